"""Autoencoders against worked examples, closed forms and quadrature."""

import itertools
import math

import pytest
import torch
from torch import Tensor, distributions, nn
from torch.nn import functional

from genlab.build import build_model
from genlab.config.compose import compose
from genlab.contract import Model
from genlab.kinds import Classes, Image, Points
from genlab.models.autoencoder import Autoencoder
from genlab.models.losses.likelihood import LikelihoodName
from genlab.models.vae import VAE, kl_to_standard_normal, sample_gaussian
from genlab.networks.mlp import Mlp
from genlab.randomness import normal
from genlab.registry import ConfigError
from tests.fixtures.tiny import TINY, batch, denoiser, tiny_vae

# The worked example: We, be, Wd, bd of a 4-2-4 autoencoder with sigmoids after both layers, and one image.
WORKED = {
    "encoder.weight": [[0.5, 0.3, 0.2, 0.1], [0.2, 0.4, 0.3, 0.6]],
    "encoder.bias": [0.1, 0.2],
    "decoder.weight": [[0.4, 0.3], [0.2, 0.5], [0.6, 0.1], [0.3, 0.4]],
    "decoder.bias": [0.1, 0.1, 0.1, 0.1],
}
IMAGE = [1.0, 0.8, 0.3, 0.5]
CPU = torch.device("cpu")


def worked_autoencoder(dtype: torch.dtype = torch.float32) -> tuple[Autoencoder, Tensor]:
    """Return the model and the image of the worked example."""
    network = Mlp(hidden=[])
    model = Autoencoder(
        x=TINY, network=network, latent_dim=2, code_activation="sigmoid", output_activation="sigmoid"
    ).to(dtype)
    with torch.no_grad():
        for weight, values in zip(model.parameters(), WORKED.values(), strict=True):
            weight.copy_(torch.tensor(values, dtype=dtype))
    return model, torch.tensor(IMAGE, dtype=dtype).view(1, *TINY.shape)


# The worked autoencoder.


@pytest.mark.parametrize(
    ("dtype", "within"), [(torch.float64, 5e-9), (torch.float32, 6e-8)], ids=["digits", "rounding"]
)
def test_the_worked_autoencoder_is_right_digit_by_digit(dtype: torch.dtype, within: float) -> None:
    model, image = worked_autoencoder(dtype)

    def close(seen: Tensor, expected: list[float], within: float = within) -> None:
        torch.testing.assert_close(
            seen.flatten().double(), torch.tensor(expected, dtype=torch.float64), rtol=0, atol=within
        )

    with torch.no_grad():
        code, rebuilt = [0.72111518, 0.75212911], [0.64887204, 0.65028395, 0.64745751, 0.64957832]
        close(model.encoder[0](image), [0.95, 1.11])
        close(model.encode({"x": image}), code)
        close(model.decoder(model.encoder(image)), rebuilt)
        # The results of a model are float32, whatever the type of its weights.
        close(model.reconstruct({"x": image}), rebuilt, 6e-8)
        close(model.loss({"x": image}).loss, [0.14440307], 6e-8)
        close(model.score({"x": image}), [-0.14440307], 6e-8)


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
    model.loss({"x": images}).loss.backward()
    optimizer.step()
    moved = torch.cat([weight.detach().flatten() for weight in model.parameters()])
    torch.testing.assert_close(moved, (flat - 0.5 * gradient).float(), rtol=0, atol=1e-7)
    assert model.loss({"x": images}).loss < 0.1444


def test_the_loss_of_an_autoencoder_is_half_the_squared_distance_averaged_over_images() -> None:
    model = Autoencoder(x=TINY, network=Mlp(hidden=[3]), latent_dim=2, output_activation="none")
    images = batch()["x"]
    rebuilt = model.decoder(model.encoder(images))
    expected = 0.5 * functional.mse_loss(rebuilt, images, reduction="sum") / len(images)
    torch.testing.assert_close(model.loss({"x": images}).loss, expected)
    torch.testing.assert_close(-model.score({"x": images}).mean(), expected)


def test_decoded_images_are_clamped_to_0_and_1() -> None:
    model = Autoencoder(x=TINY, network=Mlp(hidden=[]), latent_dim=2, output_activation="none")
    codes = torch.tensor([[1e3, -1e3], [-1e3, 1e3]])
    assert not ((model.decoder(codes) >= 0) & (model.decoder(codes) <= 1)).all()
    assert ((model.decode(codes) >= 0) & (model.decode(codes) <= 1)).all()


# Denoising.


def test_a_denoising_autoencoder_is_trained_on_the_clean_image() -> None:
    model, images = denoiser(), batch()["x"]
    torch.manual_seed(7)
    loss = model.loss({"x": images}).loss
    torch.manual_seed(7)
    noisy = images + 0.3 * normal(*images.shape, device=CPU)
    expected = 0.5 * (model.decoder(model.encoder(noisy)) - images).square().sum() / len(images)
    torch.testing.assert_close(loss, expected)


def test_the_abilities_of_a_denoiser_add_no_noise() -> None:
    model, plain, images = denoiser(), denoiser(noise=0), batch()
    for ability in ("encode", "reconstruct", "score"):
        assert torch.equal(getattr(model, ability)(images), getattr(plain, ability)(images))


def test_the_noise_does_not_depend_on_the_memory_format() -> None:
    kind = Image(3, 6, 5)
    model = Autoencoder(x=kind, network=Mlp(hidden=[5]), latent_dim=2, noise=0.3)
    images = batch(kind)["x"]
    losses = []
    for memory in (torch.contiguous_format, torch.channels_last):
        torch.manual_seed(7)
        losses.append(model.loss({"x": images.contiguous(memory_format=memory)}).loss)
    torch.testing.assert_close(*losses)


def test_under_autocast_the_results_of_an_autoencoder_stay_float32() -> None:
    model, images = denoiser(), batch()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert model.encoder(images["x"]).dtype == torch.bfloat16
        results = [model.encode(images), model.reconstruct(images), model.score(images), model.loss(images).loss]
    assert {tensor.dtype for tensor in results} == {torch.float32}


def test_a_denoiser_damages_images_with_noise_and_without_noise_it_damages_nothing() -> None:
    model, images = denoiser(), batch(count=10)
    torch.manual_seed(7)
    noisy, clean = model.damage(images)
    assert torch.equal(clean, images["x"])
    torch.manual_seed(7)
    torch.testing.assert_close(noisy, clean + 0.3 * normal(10, *TINY.shape, device=CPU))
    noisy, clean = denoiser(noise=0).damage(images)
    assert torch.equal(noisy, images["x"])
    assert torch.equal(clean, images["x"])


# The parts of the ELBO.


def test_the_kl_is_that_of_torch_summed_over_the_code() -> None:
    mean, log_variance = 2 * torch.randn(7, 5), 2 * torch.randn(7, 5)
    posterior = distributions.Normal(mean, (0.5 * log_variance).exp())
    expected = distributions.kl_divergence(posterior, distributions.Normal(0.0, 1.0)).sum(1)
    torch.testing.assert_close(kl_to_standard_normal(mean, log_variance), expected)


def test_the_kl_is_0_at_the_prior_and_positive_elsewhere() -> None:
    assert kl_to_standard_normal(torch.zeros(3, 4), torch.zeros(3, 4)).tolist() == [0, 0, 0]
    assert (kl_to_standard_normal(torch.randn(500, 2), torch.randn(500, 2)) > 0).all()


def test_the_gradient_of_a_draw_is_1_by_the_mean_and_the_noise_by_the_std() -> None:
    mean, std = torch.randn(6, 3, requires_grad=True), (torch.rand(6, 3) + 0.1).requires_grad_()
    torch.manual_seed(11)
    drawn = sample_gaussian(mean, 2 * std.log())
    torch.manual_seed(11)
    noise = torch.randn(6, 3)
    torch.testing.assert_close(drawn, mean + std * noise)
    by_mean, by_std = torch.autograd.grad(drawn.sum(), (mean, std))
    assert torch.equal(by_mean, torch.ones(6, 3))
    torch.testing.assert_close(by_std, noise)


@pytest.mark.parametrize("beta", [0.0, 1.0, 4.0])
def test_beta_weights_the_kl_alone(beta: float) -> None:
    model, plain, images = tiny_vae(beta=beta), tiny_vae(), batch()
    torch.manual_seed(3)
    result = model.loss(images)
    torch.manual_seed(3)
    expected = plain.loss(images)
    for part in ("reconstruction", "kl"):
        assert torch.equal(result.shown[part], expected.shown[part])
    torch.testing.assert_close(result.loss, result.shown["reconstruction"] + beta * result.shown["kl"])
    torch.manual_seed(3)
    torch.testing.assert_close(model.score(images).mean(), -expected.loss)


class Quadrature:
    """A VAE with a code of one number, computed in float64 on a grid of codes from its layers alone."""

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


LIKELIHOODS: list[LikelihoodName] = ["bernoulli", "gaussian", "laplace"]


@pytest.mark.parametrize("name", LIKELIHOODS)
def test_the_elbo_is_the_evidence_minus_the_kl_to_the_true_posterior(name: LikelihoodName) -> None:
    model, image = tiny_vae(name), torch.tensor([1.0, 0.0, 0.0, 1.0]).view(TINY.shape)
    exact = Quadrature(model, name, image)
    assert exact.integral(exact.log_posterior.exp()) == pytest.approx(1, abs=1e-9)
    assert exact.log_evidence - exact.elbo == pytest.approx(exact.kl_to_true_posterior, abs=1e-9)
    assert exact.kl_to_true_posterior > 0.05

    with torch.no_grad():
        many = {"x": image.expand(40_000, *TINY.shape)}
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


def test_the_evidence_of_all_black_and_white_images_adds_up_to_1() -> None:
    model = tiny_vae()
    images = [torch.tensor(pixels).view(TINY.shape) for pixels in itertools.product([0.0, 1.0], repeat=4)]
    evidence = [math.exp(Quadrature(model, "bernoulli", image).log_evidence) for image in images]
    assert sum(evidence) == pytest.approx(1, abs=1e-9)


# Abilities.


def test_a_vae_encodes_to_the_mean_and_draws_nothing() -> None:
    model, images = tiny_vae(latent_dim=3), batch()
    before = torch.get_rng_state()
    codes, rebuilt = model.encode(images), model.reconstruct(images)
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(codes, model.encoder(images["x"])[:, :3])
    assert torch.equal(rebuilt, model.decode(codes))
    assert torch.equal(model.encode(images), codes)
    assert torch.equal(model.reconstruct(images), rebuilt)


def test_an_autoencoder_encodes_and_reconstructs_the_same_each_time() -> None:
    model, images = denoiser(), batch()
    assert torch.equal(model.encode(images), model.encode(images))
    assert torch.equal(model.reconstruct(images), model.reconstruct(images))


@pytest.mark.parametrize("name", LIKELIHOODS)
def test_a_vae_decodes_to_the_expected_image(name: LikelihoodName) -> None:
    model, codes = tiny_vae(name), torch.randn(5, 1)
    torch.testing.assert_close(model.decode(codes), torch.sigmoid(model.decoder(codes)))


def test_samples_are_decoded_from_the_prior() -> None:
    model = tiny_vae(latent_dim=3)
    drawn = model.sample(6, generator=torch.Generator().manual_seed(4))
    codes = normal(6, 3, device=CPU, generator=torch.Generator().manual_seed(4))
    assert torch.equal(drawn, model.decode(codes))
    torch.manual_seed(4)
    assert torch.equal(model.sample(6), drawn)


def drawn_in_parts(latent_dim: int, first: int, second: int) -> tuple[Tensor, Tensor]:
    """Return the same samples, drawn at once and in two parts."""
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
    ("model", "setting", "message"),
    [
        (VAE, {"latent_dim": 0}, "latent_dim must be at least 1, got 0."),
        (VAE, {"beta": -1.0}, "beta must be at least 0, got -1.0."),
        (VAE, {"std": 0.1}, "A bernoulli likelihood has no std, got 0.1; set model.std=null."),
        (VAE, {"likelihood": "gaussian", "std": 0.0}, "std must be above 0, got 0.0; set model.std=null to learn it."),
        (Autoencoder, {"latent_dim": 0}, "latent_dim must be at least 1, got 0."),
        (Autoencoder, {"noise": -1.0}, "noise must be at least 0, got -1.0."),
    ],
)
def test_a_setting_out_of_range_is_refused(model: type[Model], setting: dict[str, float], message: str) -> None:
    with pytest.raises((ConfigError, ValueError)) as caught:
        model(**{"x": TINY, "network": Mlp(hidden=[]), "latent_dim": 2, **setting})
    assert str(caught.value) == message


def test_a_bernoulli_likelihood_is_refused_for_points() -> None:
    with pytest.raises(ConfigError, match=r"takes pixels in \[0, 1\], got points; set model\.likelihood=gaussian\.$"):
        VAE(x=Points(2), network=Mlp(hidden=[3]), latent_dim=1)
    assert VAE(x=Points(2), network=Mlp(hidden=[3]), latent_dim=1, likelihood="gaussian")


def test_the_error_for_a_setting_names_the_recipe() -> None:
    with pytest.raises(ConfigError, match=r"^model 'vae': beta must be at least 0, got -1\.0\.$"):
        build_model(compose(["model=vae", "model.beta=-1"]), {"x": TINY, "label": Classes(tuple("0123456789"))})


def test_points_beyond_0_and_1_can_be_reconstructed() -> None:
    network = Mlp(hidden=[3])
    vae = VAE(x=Points(2), network=network, latent_dim=1, likelihood="gaussian", std=1.0)
    plain = Autoencoder(x=Points(2), network=network, latent_dim=1, output_activation="none")
    for model in (vae, plain):
        with torch.no_grad():
            for weight in model.decoder.parameters():
                weight.fill_(3.0 if weight.shape == (2,) else 0.0)
        assert model.reconstruct({"x": torch.zeros(4, 2)}).tolist() == [[3.0, 3.0]] * 4
    with pytest.raises(ConfigError, match=r"Points can be any numbers.*set model\.output_activation=none\."):
        Autoencoder(x=Points(2), network=network, latent_dim=1)
