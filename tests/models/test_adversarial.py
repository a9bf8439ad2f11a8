"""The losses of the adversarial game against their formulas, and against the critic that each of them asks for."""

from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.distributions import Normal
from torch.nn import functional

from genlab.contract import Shape
from genlab.data.dataset import Images
from genlab.models.adversarial import LOSSES, LossName
from genlab.models.gan import GAN
from genlab.networks.mlp import Mlp
from genlab.training.settings import PlayerSettings, TrainerSettings
from genlab.training.trainer import Trainer

REAL, FAKE = torch.tensor([3.0, -0.5, 0.0, 1.5, -2.0]), torch.tensor([-3.0, 0.7, 0.0, 1.2, 0.4])


def cross_entropy(scores: Tensor, label: float) -> Tensor:
    return functional.binary_cross_entropy(scores.sigmoid(), torch.full_like(scores, label))


def squared(scores: Tensor, label: float) -> Tensor:
    return 0.5 * functional.mse_loss(scores, torch.full_like(scores, label))


def mean(values: list[float]) -> Tensor:
    return torch.tensor(values).mean()


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.4])
@pytest.mark.parametrize(
    ("name", "distance"),
    [("non-saturating", cross_entropy), ("saturating", cross_entropy), ("least-squares", squared)],
)
def test_a_loss_with_labels_is_the_distance_from_them(name: LossName, distance: object, smoothing: float) -> None:
    assert callable(distance)
    loss = LOSSES[name]
    torch.testing.assert_close(loss.real(REAL, smoothing), distance(REAL, 1 - smoothing))
    torch.testing.assert_close(loss.fake(FAKE), distance(FAKE, 0.0))
    wanted = -distance(FAKE, 0.0) if name == "saturating" else distance(FAKE, 1.0)
    torch.testing.assert_close(loss.generator(FAKE), wanted)
    assert loss.labelled


def test_hinge_asks_for_a_margin_of_1_and_wasserstein_for_none() -> None:
    hinge, wasserstein = LOSSES["hinge"], LOSSES["wasserstein"]
    torch.testing.assert_close(hinge.real(REAL, 0.0), mean([max(0.0, 1 - score) for score in REAL.tolist()]))
    torch.testing.assert_close(hinge.fake(FAKE), mean([max(0.0, 1 + score) for score in FAKE.tolist()]))
    torch.testing.assert_close(wasserstein.real(REAL, 0.0), -REAL.mean())
    torch.testing.assert_close(wasserstein.fake(FAKE), FAKE.mean())
    for loss in (hinge, wasserstein):
        torch.testing.assert_close(loss.generator(FAKE), -FAKE.mean())
        assert not loss.labelled


def test_every_loss_stands_here() -> None:
    assert set(LOSSES) == {"non-saturating", "saturating", "least-squares", "hinge", "wasserstein"}


@pytest.mark.parametrize("name", ["non-saturating", "saturating"])
def test_scores_beyond_what_a_sigmoid_holds_have_a_finite_loss_and_gradient(name: LossName) -> None:
    scores = torch.tensor([200.0, -200.0], requires_grad=True)
    loss = LOSSES[name].real(scores, 0.1) + LOSSES[name].fake(scores) + LOSSES[name].generator(scores)
    (gradient,) = torch.autograd.grad(loss, scores)
    assert loss.isfinite()
    assert gradient.isfinite().all()


@pytest.mark.parametrize(
    ("name", "real", "fake"),
    [
        ("non-saturating", 2 / 5, 1 / 5),
        ("saturating", 2 / 5, 1 / 5),
        ("hinge", 2 / 5, 1 / 5),
        ("least-squares", 2 / 5, 3 / 5),  # 1 is real and 0 is not: a half lies between.
        ("wasserstein", 2 / 5, 2 / 5),  # Between the two means, which are 0.4 and -0.14.
    ],
)
def test_accuracy_is_the_part_on_the_right_side_of_the_boundary(name: LossName, real: float, fake: float) -> None:
    shown = LOSSES[name].accuracy(REAL, FAKE)
    torch.testing.assert_close(torch.stack(shown), torch.tensor([real, fake]))


def test_a_score_on_the_boundary_is_taken_for_neither() -> None:
    for name in LOSSES:
        boundary = LOSSES[name].boundary or 0.0
        same = torch.full((3,), boundary)
        assert torch.stack(LOSSES[name].accuracy(same, same)).tolist() == [0, 0], name


def test_a_wasserstein_critic_is_judged_by_differences_of_scores_alone() -> None:
    shown, lifted = (torch.stack(LOSSES["wasserstein"].accuracy(REAL + by, FAKE + by)) for by in (0.0, 100.0))
    assert torch.equal(shown, lifted)


# The best critic between two Gaussians that are known.

POINT = Shape(1, 1, 1)
REAL_POINTS, FAKE_POINTS = Normal(1.0, 0.8), Normal(-0.5, 1.0)
GRID = torch.linspace(-2, 2.5, 46)


def critic_of(folder: Path, loss: LossName, steps: int, fake: Normal = FAKE_POINTS, penalty: float = 0.0) -> GAN:
    """A GAN whose critic was trained, while its generator stayed the Gaussian that it was made."""
    torch.manual_seed(0)
    # Enough of them that the critic sees the density, and the quantiles of it rather than draws.
    points = REAL_POINTS.icdf((torch.arange(20_000) + 0.5) / 20_000).view(-1, *POINT)
    images = Images(points, {"train": torch.arange(20_000), "validation": torch.arange(0), "test": torch.arange(0)})
    model = GAN(
        shape=POINT, classes=0, network=Mlp(hidden=[32], activation="tanh"), latent_dim=1, loss=loss, penalty=penalty
    )
    model.generator = Mlp(hidden=[]).decoder(1, POINT)
    with torch.no_grad():
        model.generator[0].weight.fill_(float(fake.stddev))
        model.generator[0].bias.fill_(float(fake.mean))
    players = {
        "critic": PlayerSettings(rate=0.02, betas=(0.9, 0.99), schedule="cosine"),
        "generator": PlayerSettings(optimizer="sgd", rate=0.0),
    }
    seldom = {"log_every": 500, "validate_every": 10**6, "checkpoint_every": 10**6}
    Trainer(model, images, TrainerSettings(batch_size=500, steps=steps, **seldom), players, best=None).fit(folder)
    assert model.generator[0].bias == fake.mean
    return model.eval()


def share_of_real() -> Tensor:
    """p / (p + q) on the grid."""
    real, fake = (law.log_prob(GRID).exp() for law in (REAL_POINTS, FAKE_POINTS))
    return real / (real + fake)


@torch.no_grad()
def scores(model: GAN) -> Tensor:
    given: Tensor = model.critic(GRID.view(-1, *POINT), None)
    return given


def test_the_best_logistic_critic_is_the_share_of_real_points(tmp_path: Path) -> None:
    seen = scores(critic_of(tmp_path, "non-saturating", 200)).sigmoid()
    torch.testing.assert_close(seen, share_of_real(), rtol=0, atol=0.03)


def test_the_best_least_squares_critic_is_the_share_of_real_points(tmp_path: Path) -> None:
    seen = scores(critic_of(tmp_path, "least-squares", 200))
    torch.testing.assert_close(seen, share_of_real(), rtol=0, atol=0.03)


def test_the_best_hinge_critic_is_the_sign_of_the_difference_in_density(tmp_path: Path) -> None:
    seen, share = scores(critic_of(tmp_path, "hinge", 300)), share_of_real()
    clear = (share - 0.5).abs() > 0.2
    assert clear.sum() > 30
    torch.testing.assert_close(seen[clear], (share[clear] - 0.5).sign(), rtol=0, atol=0.25)


def penalised_distance(fake: Normal, penalty: float) -> float:
    """What the best critic shows: with gradient g where points lie with density m between real and fake ones,
    it raises the integral of g (Q - P) less penalty m (g - 1)^2, so g = 1 + (Q - P) / (2 penalty m)."""
    places, shares = torch.linspace(-8, 6, 1401), ((torch.arange(400) + 0.5) / 400).unsqueeze(1)
    means = shares * REAL_POINTS.mean + (1 - shares) * fake.mean
    variances = shares.square() * REAL_POINTS.variance + (1 - shares).square() * fake.variance
    between = Normal(means, variances.sqrt()).log_prob(places).exp().mean(0)
    gap = fake.cdf(places) - REAL_POINTS.cdf(places)
    gradient = 1 + torch.where(gap > 1e-5, gap / (2 * penalty * between), 0.0)
    return float(torch.trapezoid(gradient * gap, places))


@pytest.mark.parametrize("distance", [0.5, 2.0])
def test_a_wasserstein_critic_with_a_penalty_measures_how_far_the_points_must_go(
    tmp_path: Path, distance: float
) -> None:
    fake = Normal(1.0 - distance, 0.8)
    model = critic_of(tmp_path, "wasserstein", 250, fake, penalty=10.0)
    levels = (torch.arange(2000) + 0.5) / 2000
    with torch.no_grad():
        real_score, fake_score = (model.critic(law.icdf(levels).view(-1, *POINT), None) for law in (REAL_POINTS, fake))
    shown = float(real_score.mean() - fake_score.mean())
    # Of two Gaussians of one deviation each point goes as far as the mean does; a finite penalty lets a tenth more by.
    assert shown == pytest.approx(distance, rel=0.15)
    assert shown == pytest.approx(penalised_distance(fake, 10.0), rel=0.05)
