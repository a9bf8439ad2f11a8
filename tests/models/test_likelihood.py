"""Likelihoods against torch.distributions."""

import math

import pytest
import torch
from torch import Tensor, distributions

from genlab.kinds import Image, Points
from genlab.models.losses.likelihood import (
    Bernoulli,
    Gaussian,
    Laplace,
    LikelihoodName,
    LocationScale,
    build_likelihood,
)
from genlab.models.vae import VAE
from genlab.networks.mlp import Mlp
from genlab.registry import ConfigError

WITH_STD: list[LikelihoodName] = ["gaussian", "laplace"]
NAMES: list[LikelihoodName] = ["bernoulli", *WITH_STD]


def pair(count: int = 6) -> tuple[Tensor, Tensor]:
    """Return decoder output and images."""
    generator = torch.Generator().manual_seed(3)
    decoded = 2 * torch.randn(count, 3, 4, 5, generator=generator)
    return decoded, torch.rand(count, 3, 4, 5, generator=generator)


def with_std(name: LikelihoodName, std: float | None) -> LocationScale:
    likelihood = build_likelihood(name, std)
    assert isinstance(likelihood, LocationScale)
    return likelihood


def test_each_name_builds_its_likelihood() -> None:
    assert type(build_likelihood("bernoulli", None)) is Bernoulli
    assert type(build_likelihood("gaussian", None)) is Gaussian
    assert type(build_likelihood("laplace", 0.5)) is Laplace


def test_bernoulli_nats_are_those_of_torch_summed_over_pixels() -> None:
    decoded, images = pair()
    expected = -distributions.Bernoulli(logits=decoded, validate_args=False).log_prob(images).sum((1, 2, 3))
    nats = build_likelihood("bernoulli", None)(decoded, images)
    assert nats.shape == (6,)
    torch.testing.assert_close(nats, expected)


@pytest.mark.parametrize("std", [0.1, 1, 2.5])
def test_gaussian_nats_are_those_of_torch_summed_over_pixels(std: float) -> None:
    decoded, images = pair()
    expected = -distributions.Normal(decoded.sigmoid(), std).log_prob(images).sum((1, 2, 3))
    nats = build_likelihood("gaussian", std)(decoded, images)
    assert nats.shape == (6,)
    torch.testing.assert_close(nats, expected)


@pytest.mark.parametrize("std", [0.1, 1, 2.5])
def test_laplace_nats_are_those_of_torch_summed_over_pixels(std: float) -> None:
    decoded, images = pair()
    expected = -distributions.Laplace(decoded.sigmoid(), std).log_prob(images).sum((1, 2, 3))
    nats = build_likelihood("laplace", std)(decoded, images)
    assert nats.shape == (6,)
    torch.testing.assert_close(nats, expected)


@pytest.mark.parametrize("name", NAMES)
def test_the_mean_is_the_sigmoid_of_the_decoder_output(name: LikelihoodName) -> None:
    decoded, _ = pair()
    torch.testing.assert_close(build_likelihood(name, None).mean(decoded), 1 / (1 + (-decoded).exp()))


@pytest.mark.parametrize("name", NAMES)
def test_a_grey_image_is_likeliest_at_its_own_mean(name: LikelihoodName) -> None:
    _, images = pair()
    likelihood, best = build_likelihood(name, None), images.clamp(0.05, 0.95)
    least = likelihood(best.logit(), best)
    for shift in (-0.1, 0.1):
        assert (likelihood(best.logit() + shift, best) > least).all()


@pytest.mark.parametrize("name", WITH_STD)
def test_a_fixed_std_is_no_parameter_but_is_stored(name: LikelihoodName) -> None:
    likelihood = with_std(name, 0.3)
    assert list(likelihood.parameters()) == []
    assert math.exp(likelihood.state_dict()["log_std"]) == pytest.approx(0.3)


@pytest.mark.parametrize("name", WITH_STD)
def test_a_learned_std_starts_at_1_and_gets_a_gradient(name: LikelihoodName) -> None:
    decoded, images = pair()
    likelihood = with_std(name, None)
    (std,) = likelihood.parameters()
    torch.testing.assert_close(likelihood(decoded, images), build_likelihood(name, 1)(decoded, images))
    likelihood(decoded, images).mean().backward()
    # The nats of a pixel are distance^k / k / std^k + log std, with k = 2 for a normal and 1 for a Laplace.
    distance = (decoded.sigmoid() - images).abs()
    expected = (1 - (distance.square() if name == "gaussian" else distance)).sum() / len(images)
    assert std.grad is not None
    torch.testing.assert_close(std.grad, expected)


@pytest.mark.parametrize("name", WITH_STD)
def test_a_learned_std_converges_to_the_error_in_closed_form(name: LikelihoodName) -> None:
    decoded, images = pair()
    likelihood = with_std(name, None)
    optimizer = torch.optim.SGD(likelihood.parameters(), lr=0.2)
    for _ in range(100):
        optimizer.zero_grad()
        (likelihood(decoded, images).mean() / images[0].numel()).backward()
        optimizer.step()
    distance = decoded.sigmoid() - images
    expected = distance.square().mean().sqrt() if name == "gaussian" else distance.abs().mean()
    torch.testing.assert_close(likelihood.log_std.detach().exp(), expected, rtol=1e-4, atol=0)


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


def test_a_wrong_bernoulli_pixel_costs_its_logit_in_nats() -> None:
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
    # Only the logits are rounded to bfloat16, not the sum over pixels.
    torch.testing.assert_close(nats, likelihood(coarse.float(), images))


@pytest.mark.parametrize("name", NAMES)
def test_under_autocast_every_term_of_a_vae_stays_float32(name: LikelihoodName) -> None:
    torch.manual_seed(0)
    model = VAE(x=Image(1, 4, 4), network=Mlp(hidden=[8]), latent_dim=3, likelihood=name)
    batch = {"x": torch.rand(5, 1, 4, 4)}
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert model.encoder(batch["x"]).dtype == torch.bfloat16
        result, (reconstruction, kl) = model.loss(batch), model.nats(batch)
        seen = [model.encode(batch), model.reconstruct(batch), model.score(batch)]
    for tensor in (result.loss, *result.shown.values(), reconstruction, kl, *seen):
        assert tensor.dtype == torch.float32


@pytest.mark.parametrize(
    ("name", "std", "message"),
    [
        ("gaussian", 0.0, "std must be above 0, got 0.0; set model.std=null to learn it."),
        ("laplace", -0.5, "std must be above 0, got -0.5; set model.std=null to learn it."),
        ("bernoulli", 0.0, "std must be above 0, got 0.0; set model.std=null to learn it."),
        ("bernoulli", 0.1, "A bernoulli likelihood has no std, got 0.1; set model.std=null."),
    ],
)
def test_a_std_that_the_likelihood_cannot_have_is_refused(name: LikelihoodName, std: float, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        build_likelihood(name, std)
    assert str(caught.value) == message


def test_the_nats_of_points_are_summed_over_their_coordinates() -> None:
    model = VAE(x=Points(3), network=Mlp(hidden=[4]), latent_dim=2, likelihood="gaussian")
    batch, codes = {"x": torch.rand(5, 3)}, torch.randn(5, 7, 2)
    pixels = distributions.Normal(model.decode(codes.flatten(0, 1)).view(5, 7, 3), 1.0)
    torch.testing.assert_close(model.log_likelihood(codes, batch), pixels.log_prob(batch["x"].unsqueeze(1)).sum(2))
    assert model.score(batch).shape == (5,)
