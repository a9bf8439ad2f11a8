"""The autoencoders against worked examples, closed forms and quadrature."""

import itertools
import math

import pytest
import torch
from torch import Tensor, distributions, nn
from torch.nn import functional

from genlab.build import build_model
from genlab.config.compose import compose
from genlab.contract import Model, Shape
from genlab.models.autoencoder import Autoencoder
from genlab.models.likelihood import LikelihoodName
from genlab.models.vae import VAE, kl_to_standard_normal, sample_gaussian
from genlab.networks.mlp import Mlp
from genlab.registry import ConfigError
from tests.fixtures.tiny import TINY, batch, denoiser, tiny_vae

# Worked by hand in the reference: We, be, Wd, bd of a 4-2-4 autoencoder, sigmoid after both layers, and one image.
WORKED = {
    "encoder.weight": [[0.5, 0.3, 0.2, 0.1], [0.2, 0.4, 0.3, 0.6]],
    "encoder.bias": [0.1, 0.2],
    "decoder.weight": [[0.4, 0.3], [0.2, 0.5], [0.6, 0.1], [0.3, 0.4]],
    "decoder.bias": [0.1, 0.1, 0.1, 0.1],
}
IMAGE = [1.0, 0.8, 0.3, 0.5]


def worked_autoencoder(dtype: torch.dtype = torch.float32) -> tuple[Autoencoder, Tensor]:
    """The model and the image of the worked example."""
    network = Mlp(hidden=[])
    model = Autoencoder(
        shape=TINY, network=network, latent_dim=2, code_activation="sigmoid", output_activation="sigmoid"
    ).to(dtype)
    with torch.no_grad():
        for weight, values in zip(model.parameters(), WORKED.values(), strict=True):
            weight.copy_(torch.tensor(values, dtype=dtype))
    return model, torch.tensor(IMAGE, dtype=dtype).view(1, *TINY)


# The worked autoencoder.


@pytest.mark.parametrize(
    ("dtype", "within"), [(torch.float64, 5e-9), (torch.float32, 6e-8)], ids=["digits", "rounding"]
)
def test_the_worked_autoencoder_comes_out_digit_by_digit(dtype: torch.dtype, within: float) -> None:
    model, image = worked_autoencoder(dtype)

    def close(seen: Tensor, expected: list[float], within: float = within) -> None:
        torch.testing.assert_close(
            seen.flatten().double(), torch.tensor(expected, dtype=torch.float64), rtol=0, atol=within
        )

    with torch.no_grad():
        code, rebuilt = [0.72111518, 0.75212911], [0.64887204, 0.65028395, 0.64745751, 0.64957832]
        close(model.encoder[0](image), [0.95, 1.11])
        close(model.encode(image), code)
        close(model.decoder(model.encoder(image)), rebuilt)
        # What a model gives is in float32, whatever its weights are in.
        close(model.reconstruct(image), rebuilt, 6e-8)
        close(model.loss({"image": image})["loss"], [0.14440307], 6e-8)
        close(model.score(image), [-0.14440307], 6e-8)


def test_one_step_of_gradient_descent_follows_finite_differences() -> None:
    flat = torch.cat([torch.tensor(values, dtype=torch.float64).flatten() for values in WORKED.values()])
    image = torch.tensor(IMAGE, dtype=torch.float64)

    def loss(weights: Tensor) -> float:
        first, first_bias, second, second_bias = weights.split([8, 2, 8, 4])
        code = torch.sigmoid(first.view(2, 4) @ image + first_bias)
        return float(0.5 * (torch.sigmoid(second.view(4, 2) @ code + second_bias) - image).square().sum())

    nudges = 1e-5 * torch.eye(len(flat), dtype=torch.float64)
    gradient = torch.tensor([(loss(flat + nudge) - loss(flat - nudge)) / 2e-5 for nudge in nudges])

    model, images = worked_autoencoder()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    model.loss({"image": images})["loss"].backward()
    optimizer.step()
    moved = torch.cat([weight.detach().flatten() for weight in model.parameters()])
    torch.testing.assert_close(moved, (flat - 0.5 * gradient).float(), rtol=0, atol=1e-7)
    assert model.loss({"image": images})["loss"] < 0.1444


def test_an_autoencoder_pays_half_the_squared_distance_averaged_over_images() -> None:
    model = Autoencoder(shape=TINY, network=Mlp(hidden=[3]), latent_dim=2, output_activation="none")
    images = batch()["image"]
    rebuilt = model.decoder(model.encoder(images))
    expected = 0.5 * functional.mse_loss(rebuilt, images, reduction="sum") / len(images)
    torch.testing.assert_close(model.loss({"image": images})["loss"], expected)
    torch.testing.assert_close(-model.score(images).mean(), expected)


def test_what_is_decoded_without_a_bound_is_shown_within_0_and_1() -> None:
    model = Autoencoder(shape=TINY, network=Mlp(hidden=[]), latent_dim=2, output_activation="none")
    codes = torch.tensor([[1e3, -1e3], [-1e3, 1e3]])
    assert not ((model.decoder(codes) >= 0) & (model.decoder(codes) <= 1)).all()
    assert ((model.decode(codes) >= 0) & (model.decode(codes) <= 1)).all()


# Denoising.


def test_a_denoising_autoencoder_is_asked_for_the_clean_image() -> None:
    model, images = denoiser(), batch()["image"]
    torch.manual_seed(7)
    loss = model.loss({"image": images})["loss"]
    torch.manual_seed(7)
    noisy = images + 0.3 * model.noise(*images.shape)
    expected = 0.5 * (model.decoder(model.encoder(noisy)) - images).square().sum() / len(images)
    torch.testing.assert_close(loss, expected)


def test_what_is_asked_of_a_trained_denoiser_gets_no_noise() -> None:
    model, plain, images = denoiser(), denoiser(noise=0), batch()["image"]
    for ability in ("encode", "reconstruct", "score"):
        assert torch.equal(getattr(model, ability)(images), getattr(plain, ability)(images))


def test_the_noise_is_the_same_in_every_memory_format() -> None:
    shape = Shape(3, 6, 5)
    model = Autoencoder(shape=shape, network=Mlp(hidden=[5]), latent_dim=2, noise=0.3)
    images = batch(shape)["image"]
    losses = []
    for memory in (torch.contiguous_format, torch.channels_last):
        torch.manual_seed(7)
        losses.append(model.loss({"image": images.contiguous(memory_format=memory)})["loss"])
    torch.testing.assert_close(*losses)


def test_under_autocast_what_an_autoencoder_gives_stays_float32() -> None:
    model, images = denoiser(), batch()["image"]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert model.encoder(images).dtype == torch.bfloat16
        given = [model.encode(images), model.reconstruct(images), model.score(images)]
        given.append(model.loss({"image": images})["loss"])
    assert {tensor.dtype for tensor in given} == {torch.float32}


def test_a_denoiser_shows_the_clean_the_noisy_and_the_cleaned() -> None:
    model, images = denoiser(), batch(count=10)["image"]
    torch.manual_seed(7)
    shown = model.show({"image": images})["reconstructions"]
    assert shown.shape == (3, 8, *TINY)
    clean, noisy, cleaned = shown
    assert torch.equal(clean, images[:8])
    assert 0 < (noisy - clean).abs().mean() < 3 * 0.3
    assert ((shown >= 0) & (shown <= 1)).all()
    # The interpolations between codes draw nothing, so the noise is the first that is drawn.
    torch.manual_seed(7)
    drawn = images[:8] + 0.3 * model.noise(8, *TINY)
    torch.testing.assert_close(noisy, drawn.clamp(0, 1))
    torch.testing.assert_close(cleaned, model.reconstruct(drawn))
    assert denoiser(noise=0).show({"image": images})["reconstructions"].shape == (2, 8, *TINY)


# The parts of the ELBO.


def test_kl_is_that_of_torch_summed_over_the_code() -> None:
    mean, log_variance = 2 * torch.randn(7, 5), 2 * torch.randn(7, 5)
    posterior = distributions.Normal(mean, (0.5 * log_variance).exp())
    expected = distributions.kl_divergence(posterior, distributions.Normal(0.0, 1.0)).sum(1)
    torch.testing.assert_close(kl_to_standard_normal(mean, log_variance), expected)


def test_kl_is_nothing_at_the_prior_and_never_below() -> None:
    assert kl_to_standard_normal(torch.zeros(3, 4), torch.zeros(3, 4)).tolist() == [0, 0, 0]
    assert (kl_to_standard_normal(torch.randn(500, 2), torch.randn(500, 2)) > 0).all()


def test_a_draw_moves_by_1_with_its_mean_and_by_the_noise_with_its_deviation() -> None:
    mean, deviation = torch.randn(6, 3, requires_grad=True), (torch.rand(6, 3) + 0.1).requires_grad_()
    torch.manual_seed(11)
    drawn = sample_gaussian(mean, 2 * deviation.log())
    torch.manual_seed(11)
    noise = torch.randn(6, 3)
    torch.testing.assert_close(drawn, mean + deviation * noise)
    by_mean, by_deviation = torch.autograd.grad(drawn.sum(), (mean, deviation))
    assert torch.equal(by_mean, torch.ones(6, 3))
    torch.testing.assert_close(by_deviation, noise)


@pytest.mark.parametrize("beta", [0.0, 1.0, 4.0])
def test_beta_weighs_the_kl_alone(beta: float) -> None:
    model, plain, images = tiny_vae(beta=beta), tiny_vae(), batch()
    torch.manual_seed(3)
    terms = model.loss(images)
    torch.manual_seed(3)
    expected = plain.loss(images)
    for part in ("reconstruction", "kl"):
        assert torch.equal(terms[part], expected[part])
    torch.testing.assert_close(terms["loss"], terms["reconstruction"] + beta * terms["kl"])
    torch.manual_seed(3)
    torch.testing.assert_close(model.score(images["image"]).mean(), -expected["loss"])


class Quadrature:
    """A VAE with a code of one number, in float64 on a grid of codes, with nothing of its own but its layers."""

    def __init__(self, model: VAE, name: LikelihoodName, image: Tensor) -> None:
        self.codes = torch.linspace(-12, 12, 24_001, dtype=torch.float64)
        encoder, decoder = self._exact(model.encoder), self._exact(model.decoder)
        with torch.no_grad():
            mean, log_variance = encoder(image.double().unsqueeze(0))[0]
            decoded = decoder(self.codes.unsqueeze(1))
        pixels: dict[str, distributions.Distribution] = {
            "bernoulli": distributions.Bernoulli(logits=decoded),
            "gaussian": distributions.Normal(decoded.sigmoid(), 0.4),
            "laplace": distributions.Laplace(decoded.sigmoid(), 0.4),
        }
        prior = distributions.Normal(*torch.tensor([0.0, 1.0], dtype=torch.float64)).log_prob(self.codes)
        self.joint = prior + pixels[name].log_prob(image.double()).sum((1, 2, 3))
        self.log_posterior = distributions.Normal(mean, (0.5 * log_variance).exp()).log_prob(self.codes)
        self.prior = prior

    @staticmethod
    def _exact(module: nn.Module) -> nn.Module:
        twin = Mlp(hidden=[3], activation="tanh")
        built = twin.encoder(TINY, 2) if isinstance(module[0], nn.Flatten) else twin.decoder(1, TINY)  # type: ignore[index]
        built.load_state_dict(module.state_dict())
        return built.double()

    def integral(self, values: Tensor) -> float:
        return float(torch.trapezoid(values, self.codes))

    @property
    def log_evidence(self) -> float:
        return math.log(self.integral(self.joint.exp()))

    @property
    def elbo(self) -> float:
        return self.integral(self.log_posterior.exp() * (self.joint - self.log_posterior))

    @property
    def kl_to_prior(self) -> float:
        return self.integral(self.log_posterior.exp() * (self.log_posterior - self.prior))

    @property
    def kl_to_true_posterior(self) -> float:
        truth = self.joint - torch.logsumexp(self.joint, 0) - math.log(float(self.codes[1] - self.codes[0]))
        return self.integral(self.log_posterior.exp() * (self.log_posterior - truth))


KINDS: list[LikelihoodName] = ["bernoulli", "gaussian", "laplace"]


@pytest.mark.parametrize("name", KINDS)
def test_the_elbo_lies_below_the_evidence_by_the_kl_to_the_true_posterior(name: LikelihoodName) -> None:
    model, image = tiny_vae(name), torch.tensor([1.0, 0.0, 0.0, 1.0]).view(TINY)
    exact = Quadrature(model, name, image)
    assert exact.integral(exact.log_posterior.exp()) == pytest.approx(1, abs=1e-9)
    assert exact.log_evidence - exact.elbo == pytest.approx(exact.kl_to_true_posterior, abs=1e-9)
    assert exact.kl_to_true_posterior > 0.05

    with torch.no_grad():
        many = image.expand(40_000, *TINY)
        torch.manual_seed(1)
        scores = model.score(many).double()
        torch.manual_seed(1)
        reconstruction, kl = model.nats(many)
    torch.testing.assert_close(scores, -(reconstruction + kl).double())
    assert float(kl[0]) == pytest.approx(exact.kl_to_prior, rel=1e-5)
    error = float(scores.std()) / math.sqrt(len(scores))
    assert error < 0.02
    assert float(scores.mean()) == pytest.approx(exact.elbo, abs=4 * error)
    assert float(scores.mean()) < exact.log_evidence


def test_the_evidence_of_all_images_of_two_colours_adds_up_to_1() -> None:
    model = tiny_vae()
    images = [torch.tensor(pixels).view(TINY) for pixels in itertools.product([0.0, 1.0], repeat=4)]
    evidence = [math.exp(Quadrature(model, "bernoulli", image).log_evidence) for image in images]
    assert sum(evidence) == pytest.approx(1, abs=1e-9)


# What a VAE is asked for.


def test_a_vae_encodes_to_the_mean_and_draws_nothing() -> None:
    model, images = tiny_vae(latent_dim=3), batch()["image"]
    before = torch.get_rng_state()
    codes, rebuilt = model.encode(images), model.reconstruct(images)
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(codes, model.encoder(images)[:, :3])
    assert torch.equal(rebuilt, model.decode(codes))
    assert torch.equal(model.encode(images), codes)
    assert torch.equal(model.reconstruct(images), rebuilt)


def test_an_autoencoder_encodes_and_reconstructs_the_same_each_time() -> None:
    model, images = denoiser(), batch()["image"]
    assert torch.equal(model.encode(images), model.encode(images))
    assert torch.equal(model.reconstruct(images), model.reconstruct(images))


@pytest.mark.parametrize("name", KINDS)
def test_a_vae_decodes_to_the_expected_image(name: LikelihoodName) -> None:
    model, codes = tiny_vae(name), torch.randn(5, 1)
    torch.testing.assert_close(model.decode(codes), torch.sigmoid(model.decoder(codes)))


def test_samples_are_decoded_from_the_prior() -> None:
    model = tiny_vae(latent_dim=3)
    drawn = model.sample(6, generator=torch.Generator().manual_seed(4))
    codes = model.noise(6, 3, generator=torch.Generator().manual_seed(4))
    assert torch.equal(drawn, model.decode(codes))
    torch.manual_seed(4)
    assert torch.equal(model.sample(6), drawn)


def drawn_in_parts(latent_dim: int, first: int, second: int) -> tuple[Tensor, Tensor]:
    """The same samples, drawn at once and in two parts."""
    model = tiny_vae(latent_dim=latent_dim)
    whole = model.sample(first + second, generator=torch.Generator().manual_seed(8))
    generator = torch.Generator().manual_seed(8)
    return whole, torch.cat([model.sample(count, generator=generator) for count in (first, second)])


@pytest.mark.parametrize(
    ("latent_dim", "first", "second"), [(20, 7, 9), (20, 32, 64), (16, 3, 5), (2, 4, 6), (1, 1, 6)]
)
def test_samples_of_one_generator_are_the_same_at_once_or_in_two_parts(
    latent_dim: int, first: int, second: int
) -> None:
    torch.testing.assert_close(*drawn_in_parts(latent_dim, first, second))


@pytest.mark.parametrize(
    ("kind", "setting", "message"),
    [
        (VAE, {"latent_dim": 0}, "latent_dim must be at least 1, and 0 is not."),
        (VAE, {"beta": -1.0}, "beta must be at least 0, and -1.0 is not."),
        (VAE, {"deviation": 0.1}, "a bernoulli likelihood has no deviation; set deviation to null."),
        (
            VAE,
            {"likelihood": "gaussian", "deviation": 0.0},
            "deviation must be above 0, and 0.0 is not; null learns it.",
        ),
        (Autoencoder, {"latent_dim": 0}, "latent_dim must be at least 1, and 0 is not."),
        (Autoencoder, {"noise": -1.0}, "noise must be at least 0, and -1.0 is not."),
    ],
)
def test_a_setting_out_of_range_is_refused(kind: type[Model], setting: dict[str, float], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        kind(**{"shape": TINY, "network": Mlp(hidden=[]), "latent_dim": 2, **setting})
    assert str(caught.value) == message


def test_points_are_no_pixels_of_a_bernoulli() -> None:
    points = Shape(1, 1, 2)
    with pytest.raises(ConfigError, match=r"bernoulli is a likelihood of pixels in \[0, 1\], and these are points"):
        VAE(shape=points, network=Mlp(hidden=[3]), latent_dim=1)
    assert VAE(shape=points, network=Mlp(hidden=[3]), latent_dim=1, likelihood="gaussian")


def test_a_setting_out_of_range_is_refused_by_the_name_of_its_recipe() -> None:
    with pytest.raises(ConfigError, match=r"^model 'vae': beta must be at least 0, and -1.0 is not\.$"):
        build_model(compose(["model=vae", "model.beta=-1"]), TINY, 10)
