"""Adversarial losses against their formulas, and against the optimal discriminator of each of them."""

from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.distributions import Normal
from torch.nn import functional

from genlab.data.dataset import Dataset
from genlab.kinds import Points
from genlab.models.gan import GAN
from genlab.models.losses.adversarial import LOSSES, LossName
from genlab.networks.mlp import Mlp
from genlab.training.settings import PlayerSettings, TrainerSettings
from genlab.training.trainer import Trainer
from tests.fixtures.tiny import linear

REAL, GENERATED = torch.tensor([3.0, -0.5, 0.0, 1.5, -2.0]), torch.tensor([-3.0, 0.7, 0.0, 1.2, 0.4])


def cross_entropy(scores: Tensor, target: float) -> Tensor:
    return functional.binary_cross_entropy(scores.sigmoid(), torch.full_like(scores, target))


def squared(scores: Tensor, target: float) -> Tensor:
    return 0.5 * functional.mse_loss(scores, torch.full_like(scores, target))


def mean(values: list[float]) -> Tensor:
    return torch.tensor(values).mean()


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.4])
@pytest.mark.parametrize(
    ("name", "distance"),
    [("non-saturating", cross_entropy), ("saturating", cross_entropy), ("least-squares", squared)],
)
def test_a_loss_with_targets_is_the_distance_from_them(name: LossName, distance: object, smoothing: float) -> None:
    assert callable(distance)
    loss = LOSSES[name]
    torch.testing.assert_close(loss.real(REAL, smoothing), distance(REAL, 1 - smoothing))
    torch.testing.assert_close(loss.generated(GENERATED), distance(GENERATED, 0.0))
    wanted = -distance(GENERATED, 0.0) if name == "saturating" else distance(GENERATED, 1.0)
    torch.testing.assert_close(loss.generator(GENERATED), wanted)
    assert loss.labelled


def test_hinge_has_a_margin_of_1_and_wasserstein_has_none() -> None:
    hinge, wasserstein = LOSSES["hinge"], LOSSES["wasserstein"]
    torch.testing.assert_close(hinge.real(REAL, 0.0), mean([max(0.0, 1 - score) for score in REAL.tolist()]))
    torch.testing.assert_close(hinge.generated(GENERATED), mean([max(0.0, 1 + score) for score in GENERATED.tolist()]))
    torch.testing.assert_close(wasserstein.real(REAL, 0.0), -REAL.mean())
    torch.testing.assert_close(wasserstein.generated(GENERATED), GENERATED.mean())
    for loss in (hinge, wasserstein):
        torch.testing.assert_close(loss.generator(GENERATED), -GENERATED.mean())
        assert not loss.labelled


def test_every_loss_is_tested_here() -> None:
    assert set(LOSSES) == {"non-saturating", "saturating", "least-squares", "hinge", "wasserstein"}


@pytest.mark.parametrize("name", ["non-saturating", "saturating"])
def test_very_large_scores_have_a_finite_loss_and_gradient(name: LossName) -> None:
    scores = torch.tensor([200.0, -200.0], requires_grad=True)
    loss = LOSSES[name].real(scores, 0.1) + LOSSES[name].generated(scores) + LOSSES[name].generator(scores)
    (gradient,) = torch.autograd.grad(loss, scores)
    assert loss.isfinite()
    assert gradient.isfinite().all()


@pytest.mark.parametrize(
    ("name", "real", "generated"),
    [
        ("non-saturating", 2 / 5, 1 / 5),
        ("saturating", 2 / 5, 1 / 5),
        ("hinge", 2 / 5, 1 / 5),
        ("least-squares", 2 / 5, 3 / 5),  # The targets are 1 and 0, so the boundary is a half.
    ],
)
def test_accuracy_is_the_share_on_the_right_side_of_the_boundary(name: LossName, real: float, generated: float) -> None:
    shown = LOSSES[name].shown(REAL, GENERATED)
    assert shown.keys() == {"real_accuracy", "generated_accuracy"}
    torch.testing.assert_close(torch.stack([*shown.values()]), torch.tensor([real, generated]))


def test_a_score_on_the_boundary_counts_as_neither() -> None:
    for name, loss in LOSSES.items():
        if loss.boundary is not None:
            same = torch.full((3,), loss.boundary)
            assert torch.stack([*loss.shown(same, same).values()]).tolist() == [0, 0], name


def test_a_wasserstein_loss_shows_the_distance_between_the_mean_scores() -> None:
    loss = LOSSES["wasserstein"]
    (name, distance), *others = loss.shown(REAL, GENERATED).items()
    assert (name, others) == ("distance", [])
    assert float(distance) == pytest.approx(0.4 + 0.14)
    # Only differences of scores mean anything, and the loss is the negative distance.
    torch.testing.assert_close(loss.shown(REAL + 100, GENERATED + 100)["distance"], distance, rtol=0, atol=1e-4)
    torch.testing.assert_close(loss.real(REAL, 0.0) + loss.generated(GENERATED), -distance)


# The optimal discriminator between two known Gaussians.

POINT = Points(1)
REAL_POINTS, GENERATED_POINTS = Normal(1.0, 0.8), Normal(-0.5, 1.0)
GRID = torch.linspace(-2, 2.5, 46)


def trained_discriminator(
    folder: Path, loss: LossName, steps: int, generated: Normal = GENERATED_POINTS, penalty: float = 0.0
) -> GAN:
    """Train the discriminator of a GAN whose generator stays the given Gaussian."""
    torch.manual_seed(0)
    # Many quantiles instead of random draws, so that the discriminator sees the density.
    points = REAL_POINTS.icdf((torch.arange(20_000) + 0.5) / 20_000).view(-1, 1)
    splits = {"train": torch.arange(20_000), "validation": torch.arange(0), "test": torch.arange(0)}
    model = GAN(x=POINT, network=Mlp(hidden=[32], activation="tanh"), latent_dim=1, loss=loss, penalty=penalty)
    model.generator = Mlp(hidden=[]).decoder(1, POINT)
    with torch.no_grad():
        layer = linear(model.generator)
        layer.weight.fill_(float(generated.stddev))
        layer.bias.fill_(float(generated.mean))
    players = {
        "discriminator": PlayerSettings(lr=0.02, betas=(0.9, 0.99), schedule="cosine"),
        "generator": PlayerSettings(optimizer="sgd", lr=0.0),
    }
    seldom = 10**6
    settings = TrainerSettings(
        batch_size=500, steps=steps, log_every=500, validate_every=seldom, checkpoint_every=seldom
    )
    Trainer(model, Dataset.of_points(points, splits), settings, players, best=None).fit(folder)
    assert layer.bias == generated.mean
    return model.eval()


def share_of_real() -> Tensor:
    """Return p / (p + q) on the grid."""
    real, generated = (law.log_prob(GRID).exp() for law in (REAL_POINTS, GENERATED_POINTS))
    share: Tensor = real / (real + generated)
    return share


@torch.no_grad()
def scores(model: GAN) -> Tensor:
    found: Tensor = model.discriminator(GRID.view(-1, 1), None)
    return found


def test_the_optimal_logistic_discriminator_is_the_share_of_real_points(tmp_path: Path) -> None:
    seen = scores(trained_discriminator(tmp_path, "non-saturating", 200)).sigmoid()
    torch.testing.assert_close(seen, share_of_real(), rtol=0, atol=0.03)


def test_the_optimal_least_squares_discriminator_is_the_share_of_real_points(tmp_path: Path) -> None:
    seen = scores(trained_discriminator(tmp_path, "least-squares", 200))
    torch.testing.assert_close(seen, share_of_real(), rtol=0, atol=0.03)


def test_the_optimal_hinge_discriminator_is_the_sign_of_the_difference_in_density(tmp_path: Path) -> None:
    seen, share = scores(trained_discriminator(tmp_path, "hinge", 300)), share_of_real()
    clear = (share - 0.5).abs() > 0.2
    assert clear.sum() > 30
    torch.testing.assert_close(seen[clear], (share[clear] - 0.5).sign(), rtol=0, atol=0.25)


def penalised_distance(generated: Normal, penalty: float) -> float:
    """Return the distance that the optimal critic of WGAN-GP shows.

    Its gradient is g, and m is the density of points between real and generated ones. It maximises the integral of
    g (Q - P) - penalty m (g - 1)^2, so g = 1 + (Q - P) / (2 penalty m).
    """
    places, shares = torch.linspace(-8, 6, 1401), ((torch.arange(400) + 0.5) / 400).unsqueeze(1)
    means = shares * REAL_POINTS.mean + (1 - shares) * generated.mean
    variances = shares.square() * REAL_POINTS.variance + (1 - shares).square() * generated.variance
    between = Normal(means, variances.sqrt()).log_prob(places).exp().mean(0)
    gap = generated.cdf(places) - REAL_POINTS.cdf(places)
    gradient = 1 + torch.where(gap > 1e-5, gap / (2 * penalty * between), 0.0)
    return float(torch.trapezoid(gradient * gap, places))


@pytest.mark.parametrize("distance", [0.5, 2.0])
def test_a_wasserstein_critic_with_a_penalty_shows_the_distance_of_the_points(tmp_path: Path, distance: float) -> None:
    generated = Normal(1.0 - distance, 0.8)
    model = trained_discriminator(tmp_path, "wasserstein", 250, generated, penalty=10.0)
    levels = (torch.arange(2000) + 0.5) / 2000
    with torch.no_grad():
        scores = [model.discriminator(law.icdf(levels).view(-1, 1), None) for law in (REAL_POINTS, generated)]
    shown = float(LOSSES["wasserstein"].shown(*scores)["distance"])
    # Two Gaussians with the same std are as far apart as their means; the finite penalty adds up to a tenth.
    assert shown == pytest.approx(distance, rel=0.15)
    assert shown == pytest.approx(penalised_distance(generated, 10.0), rel=0.05)
