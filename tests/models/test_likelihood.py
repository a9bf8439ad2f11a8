"""The nats of a likelihood are those of torch.distributions."""

import math

import pytest
import torch
from torch import Tensor, distributions

from genlab.contract import Shape
from genlab.models.likelihood import Bernoulli, Gaussian, Laplace, LikelihoodName, Located, build_likelihood
from genlab.models.vae import VAE
from genlab.networks.mlp import Mlp
from genlab.registry import ConfigError

LOCATED: list[LikelihoodName] = ["gaussian", "laplace"]
NAMES: list[LikelihoodName] = ["bernoulli", *LOCATED]


def pair(count: int = 6) -> tuple[Tensor, Tensor]:
    """Something decoded, and images."""
    generator = torch.Generator().manual_seed(3)
    decoded = 2 * torch.randn(count, 3, 4, 5, generator=generator)
    return decoded, torch.rand(count, 3, 4, 5, generator=generator)


def located(name: LikelihoodName, deviation: float | None) -> Located:
    likelihood = build_likelihood(name, deviation)
    assert isinstance(likelihood, Located)
    return likelihood


def test_a_name_builds_its_own_likelihood() -> None:
    assert type(build_likelihood("bernoulli", None)) is Bernoulli
    assert type(build_likelihood("gaussian", None)) is Gaussian
    assert type(build_likelihood("laplace", 0.5)) is Laplace


def test_bernoulli_nats_are_those_of_torch_summed_over_pixels() -> None:
    decoded, images = pair()
    expected = -distributions.Bernoulli(logits=decoded, validate_args=False).log_prob(images).sum((1, 2, 3))
    nats = build_likelihood("bernoulli", None)(decoded, images)
    assert nats.shape == (6,)
    torch.testing.assert_close(nats, expected)


@pytest.mark.parametrize("deviation", [0.1, 1, 2.5])
def test_gaussian_nats_are_those_of_torch_summed_over_pixels(deviation: float) -> None:
    decoded, images = pair()
    expected = -distributions.Normal(decoded.sigmoid(), deviation).log_prob(images).sum((1, 2, 3))
    nats = build_likelihood("gaussian", deviation)(decoded, images)
    assert nats.shape == (6,)
    torch.testing.assert_close(nats, expected)


@pytest.mark.parametrize("deviation", [0.1, 1, 2.5])
def test_laplace_nats_are_those_of_torch_summed_over_pixels(deviation: float) -> None:
    decoded, images = pair()
    expected = -distributions.Laplace(decoded.sigmoid(), deviation).log_prob(images).sum((1, 2, 3))
    nats = build_likelihood("laplace", deviation)(decoded, images)
    assert nats.shape == (6,)
    torch.testing.assert_close(nats, expected)


@pytest.mark.parametrize("name", NAMES)
def test_the_mean_is_the_sigmoid_of_what_was_decoded(name: LikelihoodName) -> None:
    decoded, _ = pair()
    torch.testing.assert_close(build_likelihood(name, None).mean(decoded), 1 / (1 + (-decoded).exp()))


@pytest.mark.parametrize("name", NAMES)
def test_of_grey_images_the_mean_is_the_likeliest(name: LikelihoodName) -> None:
    _, images = pair()
    likelihood, best = build_likelihood(name, None), images.clamp(0.05, 0.95)
    least = likelihood(best.logit(), best)
    for shift in (-0.1, 0.1):
        assert (likelihood(best.logit() + shift, best) > least).all()


@pytest.mark.parametrize("name", LOCATED)
def test_a_fixed_deviation_is_no_parameter_but_is_kept(name: LikelihoodName) -> None:
    likelihood = located(name, 0.3)
    assert list(likelihood.parameters()) == []
    assert math.exp(likelihood.state_dict()["log_deviation"]) == pytest.approx(0.3)


@pytest.mark.parametrize("name", LOCATED)
def test_a_learned_deviation_starts_at_1_and_gets_a_gradient(name: LikelihoodName) -> None:
    decoded, images = pair()
    likelihood = located(name, None)
    (deviation,) = likelihood.parameters()
    torch.testing.assert_close(likelihood(decoded, images), build_likelihood(name, 1)(decoded, images))
    likelihood(decoded, images).mean().backward()
    # Each pixel's nats are distance^k / k / deviation^k + log deviation, with k = 2 of a normal and 1 of a Laplace.
    distance = (decoded.sigmoid() - images).abs()
    expected = (1 - (distance.square() if name == "gaussian" else distance)).sum() / len(images)
    assert deviation.grad is not None
    torch.testing.assert_close(deviation.grad, expected)


@pytest.mark.parametrize("name", LOCATED)
def test_a_learned_deviation_falls_to_the_error_in_closed_form(name: LikelihoodName) -> None:
    decoded, images = pair()
    likelihood = located(name, None)
    optimizer = torch.optim.SGD(likelihood.parameters(), lr=0.2)
    for _ in range(100):
        optimizer.zero_grad()
        (likelihood(decoded, images).mean() / images[0].numel()).backward()
        optimizer.step()
    distance = decoded.sigmoid() - images
    expected = distance.square().mean().sqrt() if name == "gaussian" else distance.abs().mean()
    torch.testing.assert_close(likelihood.log_deviation.detach().exp(), expected, rtol=1e-4, atol=0)


@pytest.mark.parametrize("name", NAMES)
def test_large_logits_stay_finite(name: LikelihoodName) -> None:
    logits = torch.tensor([-1e4, -200, 200, 1e4]).view(1, 1, 2, 2)
    for images in (torch.zeros(1, 1, 2, 2), torch.ones(1, 1, 2, 2), torch.full((1, 1, 2, 2), 0.5)):
        decoded = logits.clone().requires_grad_()
        nats = build_likelihood(name, None)(decoded, images)
        nats.sum().backward()
        assert decoded.grad is not None
        assert nats.isfinite().all()
        assert decoded.grad.isfinite().all()


def test_a_bernoulli_pays_a_nat_for_each_wrong_logit() -> None:
    nats = build_likelihood("bernoulli", None)(torch.full((1, 1, 1, 2), 1e4), torch.tensor([[[[0.0, 1.0]]]]))
    assert nats.tolist() == [1e4]


@pytest.mark.parametrize("name", NAMES)
def test_under_autocast_the_nats_stay_float32(name: LikelihoodName) -> None:
    decoded, images = pair()
    likelihood = build_likelihood(name, None)
    coarse = decoded.bfloat16()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        nats, mean = likelihood(coarse, images), likelihood.mean(coarse)
    assert nats.dtype == mean.dtype == torch.float32
    # Only the logits are coarse: the sum over pixels is not.
    torch.testing.assert_close(nats, likelihood(coarse.float(), images))


@pytest.mark.parametrize("name", NAMES)
def test_under_autocast_every_term_of_a_vae_stays_float32(name: LikelihoodName) -> None:
    torch.manual_seed(0)
    model = VAE(shape=Shape(1, 4, 4), network=Mlp(hidden=[8]), latent_dim=3, likelihood=name)
    images = torch.rand(5, 1, 4, 4)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert model.encoder(images).dtype == torch.bfloat16
        terms, (reconstruction, kl) = model.loss({"image": images}), model.nats(images)
        seen = [model.encode(images), model.reconstruct(images), model.score(images)]
    for tensor in (*terms.values(), reconstruction, kl, *seen):
        assert tensor.dtype == torch.float32


@pytest.mark.parametrize(
    ("name", "deviation", "message"),
    [
        ("gaussian", 0.0, "deviation must be above 0, and 0.0 is not; null learns it."),
        ("laplace", -0.5, "deviation must be above 0, and -0.5 is not; null learns it."),
        ("bernoulli", 0.0, "deviation must be above 0, and 0.0 is not; null learns it."),
        ("bernoulli", 0.1, "a bernoulli likelihood has no deviation; set deviation to null."),
    ],
)
def test_a_deviation_that_means_nothing_is_refused(name: LikelihoodName, deviation: float, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        build_likelihood(name, deviation)
    assert str(caught.value) == message
