"""Likelihood bounds against a model with a known likelihood, and against torch.distributions."""

import math
from collections.abc import Callable, Iterator

import pytest
import torch
from torch import Tensor, distributions
from torch.nn import functional

from genlab.contract import Batch, Weighs
from genlab.kinds import Image
from genlab.metrics import likelihood
from genlab.metrics.likelihood import bits_per_dimension, bounds, scores
from genlab.models.losses.likelihood import LikelihoodName
from genlab.models.vae import VAE
from genlab.networks import Network
from genlab.networks.convolutional import Conv
from genlab.networks.mlp import Mlp
from genlab.randomness import normal_rows
from genlab.registry import ConfigError
from tests.fixtures.tiny import denoiser, tiny_vae

HEIGHT, WIDTH, CODE, STD = 2, 3, 2, 0.5


class Linear:
    """x = W z + b plus normal noise, with known likelihood and posterior; the model's own posterior may be wrong."""

    continuous = True

    def __init__(self, shift: float = 0, stretch: float = 1) -> None:
        generator = torch.Generator().manual_seed(7)
        # The codes of an image are independent only if the columns are orthogonal.
        columns = torch.linalg.qr(torch.randn(HEIGHT * WIDTH, CODE, dtype=torch.float64, generator=generator))[0]
        self.weight = columns * torch.tensor([1.5, 0.7], dtype=torch.float64)
        self.bias = torch.rand(HEIGHT * WIDTH, dtype=torch.float64, generator=generator)
        self.shift, self.stretch, self.sizes = shift, stretch, list[int]()

    def true_posterior(self, images: Tensor) -> tuple[Tensor, Tensor]:
        variance = 1 / (1 + self.weight.square().sum(0) / STD**2)
        mean = (images.flatten(1) - self.bias) @ self.weight / STD**2 * variance
        return mean, variance.expand_as(mean)

    def posterior(self, batch: Batch) -> tuple[Tensor, Tensor]:
        self.sizes.append(len(batch["x"]))
        mean, variance = self.true_posterior(batch["x"])
        return mean + self.shift, (variance * self.stretch**2).log()

    def log_likelihood(self, codes: Tensor, batch: Batch) -> Tensor:
        expected = codes @ self.weight.T + self.bias
        densities: Tensor = distributions.Normal(expected, STD).log_prob(batch["x"].flatten(1).unsqueeze(1))
        return densities.sum(2)

    def log_prior(self, codes: Tensor) -> Tensor:
        densities: Tensor = distributions.Normal(0.0, 1.0).log_prob(codes)
        return densities.sum(2)

    def nats(self, batch: Batch) -> tuple[Tensor, Tensor]:
        mean, log_variance = self.posterior(batch)
        posterior = distributions.Normal(mean, (log_variance / 2).exp())
        kl = distributions.kl_divergence(posterior, distributions.Normal(0.0, 1.0)).sum(1)
        return -self.log_likelihood(posterior.sample().unsqueeze(1), batch)[:, 0], kl

    def score(self, batch: Batch) -> Tensor:
        covariance = self.weight @ self.weight.T + STD**2 * torch.eye(HEIGHT * WIDTH)
        densities: Tensor = distributions.MultivariateNormal(self.bias, covariance).log_prob(batch["x"].flatten(1))
        return densities

    def elbo(self, batch: Batch) -> Tensor:
        """Return the likelihood minus the divergence of the model's posterior from the true one."""
        mean, variance = self.true_posterior(batch["x"])
        own_mean, own_log_variance = self.posterior(batch)
        own = distributions.Normal(own_mean, (own_log_variance / 2).exp())
        divergence = distributions.kl_divergence(own, distributions.Normal(mean, variance.sqrt()))
        return self.score(batch) - divergence.sum(1)


def some_images(count: int = 12, height: int = HEIGHT, width: int = WIDTH) -> Batch:
    images = torch.rand(count, 1, height, width, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    return {"x": images}


def split(batch: Batch, sizes: list[int]) -> list[Batch]:
    return [{"x": part} for part in batch["x"].split(sizes)]


@pytest.mark.parametrize("samples", [1, 3, 50])
def test_every_bound_is_the_likelihood_with_the_true_posterior(samples: int) -> None:
    model, images = Linear(), some_images()
    found = bounds(model, [images], samples, seed=0)
    assert found[f"negative_bound-{samples}"] == pytest.approx(-float(model.score(images).mean()), abs=1e-6)


def test_the_bound_approaches_the_likelihood_with_more_samples() -> None:
    # 3,000 images, because the bound improves on average only. With 16 samples it is off by 0.05, give or take 0.01.
    model, images = Linear(shift=0.4, stretch=1.3), some_images(3000)
    exact = -float(model.score(images).mean())
    found = [bounds(model, [images], samples, seed=0)[f"negative_bound-{samples}"] for samples in (1, 4, 16, 1000)]
    assert found == sorted(found, reverse=True)
    assert found[0] - exact > 0.5
    assert found[-1] == pytest.approx(exact, abs=5e-3)


def test_the_bound_of_one_sample_and_the_elbo_have_the_elbo_as_their_mean() -> None:
    model, image = Linear(shift=0.2, stretch=1.2), some_images(1)
    found = bounds(model, [{"x": image["x"].expand(20_000, -1, -1, -1)}], 1, seed=3)
    expected = -float(model.elbo(image))
    # The mean of 20,000 draws; one draw has a std of about one nat.
    assert found["negative_bound-1"] == pytest.approx(expected, abs=0.04)
    assert found["negative_elbo"] == pytest.approx(expected, abs=0.04)
    assert found["negative_elbo"] == pytest.approx(found["reconstruction"] + found["kl"])


def test_the_terms_equal_those_of_torch_for_the_same_codes() -> None:
    model, images = Linear(shift=0.3, stretch=0.8), some_images()
    found = bounds(model, [images], 4, seed=5)
    mean, log_variance = model.posterior(images)
    own = distributions.Normal(mean, (log_variance / 2).exp())
    prior = distributions.Normal(torch.zeros(CODE, dtype=torch.float64), 1)
    codes = mean.unsqueeze(1) + own.stddev.unsqueeze(1) * normal_rows(5, "bound", 0, len(mean), 4, CODE)
    likelihoods = model.log_likelihood(codes, images)
    ratios = prior.log_prob(codes).sum(2) - own.log_prob(codes.transpose(0, 1)).transpose(0, 1).sum(2)
    bound = (likelihoods + ratios).exp().mean(1).log().mean()
    assert found["reconstruction"] == pytest.approx(-float(likelihoods[:, 0].mean()))
    assert found["kl"] == pytest.approx(float(distributions.kl_divergence(own, prior).sum(1).mean()))
    assert found["negative_bound-4"] == pytest.approx(-float(bound))


def test_batches_and_blocks_change_nothing_and_each_item_is_encoded_once(monkeypatch: pytest.MonkeyPatch) -> None:
    images = some_images(11)
    whole = bounds(Linear(shift=0.3), [images], 7, seed=0)
    for numbers in (1, 13 * HEIGHT * WIDTH, 24 * HEIGHT * WIDTH):
        monkeypatch.setattr(likelihood, "_AT_ONCE", numbers)
        model = Linear(shift=0.3)
        assert bounds(model, split(images, [4, 1, 6]), 7, 0) == pytest.approx(whole, abs=1e-9)
        assert model.sizes == [4, 1, 6]


def test_another_seed_draws_other_codes() -> None:
    model, images = Linear(shift=0.3), some_images()
    first, second, again = (bounds(model, [images], 2, seed) for seed in (0, 1, 0))
    assert first == again
    assert first["negative_bound-2"] != second["negative_bound-2"]
    assert first["reconstruction"] != second["reconstruction"]
    assert first["kl"] == second["kl"]


@pytest.mark.parametrize(("count", "size"), [(1, 3), (4, 20), (5, 7)])
def test_the_codes_of_fewer_samples_are_the_first_of_more(count: int, size: int) -> None:
    many = normal_rows(0, "bound", 3, 2, 40, size)
    assert torch.equal(normal_rows(0, "bound", 3, 2, count, size), many[:, :count])
    assert torch.equal(normal_rows(0, "bound", 4, 1, 40, size), many[1:])
    assert not torch.equal(many[0], many[1])


def test_bits_per_dimension_count_bytes_if_the_likelihood_is_a_density() -> None:
    assert bits_per_dimension(12.5, 6, continuous=True) == pytest.approx(12.5 / 6 / math.log(2) + 8)
    assert bits_per_dimension(12.5, 6, continuous=False) == pytest.approx(12.5 / 6 / math.log(2))


def test_items_of_any_shape_have_bounds() -> None:
    images, points = some_images(5), {"x": some_images(5)["x"].flatten(1)}
    found = [bounds(Linear(shift=0.3), [batch], 2, seed=0) for batch in (images, points)]
    assert set(found[1]) == {"negative_elbo", "reconstruction", "kl", "negative_bound-2"}
    assert found[1] == pytest.approx(found[0])


def test_a_decoder_for_which_256_grey_values_are_equally_likely_takes_8_bits() -> None:
    class Uniform(Linear):
        def log_likelihood(self, codes: Tensor, batch: Batch) -> Tensor:
            return torch.zeros(codes.shape[:2], dtype=torch.float64)

        def posterior(self, batch: Batch) -> tuple[Tensor, Tensor]:
            return torch.zeros(len(batch["x"]), CODE), torch.zeros(len(batch["x"]), CODE)

    nats = bounds(Uniform(), [some_images()], 3, seed=0)["negative_bound-3"]
    assert bits_per_dimension(nats, HEIGHT * WIDTH, continuous=True) == pytest.approx(8)


def test_a_bound_that_is_infinite_for_one_item_is_refused() -> None:
    class Certain(Linear):
        def log_likelihood(self, codes: Tensor, batch: Batch) -> Tensor:
            return super().log_likelihood(codes, batch).index_fill(0, torch.tensor([3]), -math.inf)

    with pytest.raises(ConfigError, match="negative_elbo, .* not finite for some items"):
        bounds(Certain(), [some_images()], 2, seed=0)


def test_no_items_give_no_metrics() -> None:
    assert bounds(Linear(), [], 2, seed=0) == {}


def test_the_elbo_of_a_model_is_the_sum_of_its_two_parts_averaged_over_items() -> None:
    model, images = Linear(), some_images(7)
    torch.manual_seed(0)
    found = likelihood.elbo(model, split(images, [5, 2]))
    torch.manual_seed(0)
    parts = [torch.stack(model.nats(batch)) for batch in split(images, [5, 2])]
    reconstruction, kl = torch.cat(parts, 1).mean(1).tolist()
    assert found == pytest.approx({"negative_elbo": reconstruction + kl, "reconstruction": reconstruction, "kl": kl})


def test_fewer_than_one_importance_sample_is_refused() -> None:
    with pytest.raises(ConfigError, match="number of importance samples must be at least 1, got 0"):
        bounds(Linear(), [some_images()], 0, seed=0)


def test_scores_are_averaged_over_items_and_not_over_batches() -> None:
    model, images = denoiser(), {"x": some_images(7, 2, 2)["x"].float()}
    found = scores(model, split(images, [5, 2]))
    assert found == pytest.approx({"score": float(model.score(images).detach().mean())})


NETWORKS: list[Callable[[], Network]] = [lambda: Mlp(hidden=[8]), lambda: Conv(width=4)]


def vaes() -> Iterator[VAE]:
    likelihoods: list[tuple[LikelihoodName, float | None]] = [("bernoulli", None), ("gaussian", 0.3), ("laplace", None)]
    for name, std in likelihoods:
        for network in NETWORKS:
            torch.manual_seed(0)
            yield VAE(x=Image(3, 8, 9), network=network(), latent_dim=5, likelihood=name, std=std).eval()


@torch.no_grad()
def test_a_vaes_log_likelihood_is_its_likelihood_of_each_decoded_code() -> None:
    codes, images = 3 * torch.randn(4, 6, 5), torch.rand(4, 3, 8, 9)
    for model in vaes():
        found = model.log_likelihood(codes, {"x": images})
        one_by_one = [-model.likelihood(model.decoder(codes[:, place]), images) for place in range(6)]
        torch.testing.assert_close(found, torch.stack(one_by_one, 1))


def test_a_vae_bounds_and_an_autoencoder_only_scores() -> None:
    assert isinstance(tiny_vae(), Weighs)
    assert not isinstance(denoiser(), Weighs)
    assert [model.continuous for model in vaes()] == [False, False, True, True, True, True]


@torch.no_grad()
def test_the_mean_of_a_vaes_own_scores_is_its_elbo() -> None:
    model, images = tiny_vae(), {"x": torch.rand(3, 1, 2, 2).repeat(4000, 1, 1, 1)}
    found = bounds(model, [images], 1, seed=0)
    torch.manual_seed(0)
    by_itself = scores(model, [images])["score"]
    assert found["negative_elbo"] == pytest.approx(-by_itself, abs=0.01)
    assert found["negative_bound-1"] == pytest.approx(-by_itself, abs=0.02)


@torch.no_grad()
def test_large_logits_are_summed_within_a_thousandth_of_a_nat() -> None:
    torch.manual_seed(0)
    model = VAE(x=Image(1, 28, 28), network=Mlp(hidden=[4]), latent_dim=2)
    decoded, images = 8 * torch.randn(5, 30, 1, 28, 28), torch.rand(5, 1, 28, 28).round(decimals=1)
    targets = images.unsqueeze(1).expand_as(decoded).double()
    exact = functional.binary_cross_entropy_with_logits(decoded.double(), targets, reduction="none").flatten(2).sum(2)
    assert (model.likelihood.of_each(decoded, images) - exact).abs().max() < 1e-3


@torch.no_grad()
def test_the_bound_is_summed_in_float32_under_autocast() -> None:
    decoded, images = torch.randn(4, 6, 3, 8, 9).bfloat16(), torch.rand(4, 3, 8, 9)
    for model in vaes():
        with torch.autocast("cpu", dtype=torch.bfloat16):
            found = model.likelihood.of_each(decoded, images)
        torch.testing.assert_close(found, model.likelihood.of_each(decoded.float(), images))
