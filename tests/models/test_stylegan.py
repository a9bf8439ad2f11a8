"""StyleGAN: its penalties, its styles and its mean image."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from genlab.contract import Batch, Styles
from genlab.kinds import Classes, Image, MissingColumnError
from genlab.models.losses.path_length import path_lengths
from genlab.models.stylegan import StyleGAN
from genlab.registry import ConfigError

KIND = Image(3, 16, 16)


def tiny(**settings: Any) -> StyleGAN:
    torch.manual_seed(0)
    return StyleGAN(
        x=KIND, **{"latent_dim": 8, "width": 4, "most": 8, "discriminator_width": 4, "mapping_layers": 2} | settings
    )


def batch(count: int = 8) -> Batch:
    return {"x": torch.rand(count, *KIND.shape, generator=torch.Generator().manual_seed(1))}


def test_path_lengths_are_those_of_finite_differences() -> None:
    model = tiny().eval().double()
    torch.manual_seed(1)
    styles, noise = torch.randn(2, model.layers, 8).double(), torch.randn(2, *KIND.shape).double()
    found = path_lengths(model.synthesis.double(), styles, noise)

    def products(styles: Tensor) -> Tensor:
        # One number for each item: the image times the noise, over the root of the number of pixels.
        images: Tensor = model.synthesis(styles)
        return (images * noise).sum((1, 2, 3)) / 16

    gradients, step = torch.zeros_like(styles), 1e-3
    with torch.no_grad():
        for layer in range(model.layers):
            for unit in range(8):
                move = torch.zeros_like(styles)
                move[:, layer, unit] = step
                gradients[:, layer, unit] = (products(styles + move) - products(styles - move)) / (2 * step)
    expected = gradients.square().sum(2).mean(1).sqrt()
    torch.testing.assert_close(found.detach().double(), expected, rtol=1e-3, atol=1e-5)


def test_the_gradient_of_the_path_length_penalty_is_that_of_finite_differences() -> None:
    model = tiny().eval().double()
    torch.manual_seed(1)
    styles, noise = torch.randn(2, model.layers, 8).double(), torch.randn(2, *KIND.shape).double()
    weight = model.synthesis.to_image[-1].conv.weights.weight  # type: ignore[union-attr]
    assert isinstance(weight, torch.nn.Parameter)

    def penalty() -> Tensor:
        return (path_lengths(model.synthesis, styles, noise).double() - 0.1).square().mean()

    (found,) = torch.autograd.grad(penalty(), [weight])
    with torch.no_grad():
        move = torch.randn_like(weight)
        ends = []
        for step in (1e-3, -1e-3):
            weight.add_(move, alpha=step)
            ends.append(penalty())
            weight.sub_(move, alpha=step)
    torch.testing.assert_close((found * move).sum(), (ends[0] - ends[1]) / 2e-3, rtol=1e-2, atol=1e-6)


def test_lazy_penalties_are_weighted_by_the_steps_between_them() -> None:
    def loss_of(kind: str, **settings: Any) -> tuple[float, dict[str, Tensor]]:
        model = tiny(mixing=0.0, **settings)
        loss: Callable[[Batch], Any] = getattr(model, kind)
        torch.manual_seed(3)
        result = loss(batch() | {"generated": torch.zeros(8, *KIND.shape)})
        return float(result.loss.detach()), result.shown

    for kind, penalty, name, weight in (
        ("smooth_discriminator_loss", "r1", "r1", 2.0),
        ("straight_generator_loss", "path", "path", 2.0),
    ):
        plain, _ = loss_of(kind.removeprefix("smooth_").removeprefix("straight_"))
        for every in (1, 16):
            found, shown = loss_of(kind, **{penalty: weight, f"{penalty}_every": every})
            assert found - plain == pytest.approx(weight * every * float(shown[name].detach()), rel=1e-3)
            assert float(shown[name].detach()) > 0


def test_r1_is_half_the_squared_gradient_of_the_score() -> None:
    model = tiny(path=0.0)
    images = batch()["x"]
    shown = model.smooth_discriminator_loss({"x": images, "generated": torch.zeros_like(images)}).shown
    inside = (2 * images - 1).requires_grad_()
    (gradient,) = torch.autograd.grad(model.discriminator(inside).sum(), [inside])
    torch.testing.assert_close(shown["r1"], 0.5 * gradient.square().flatten(1).sum(1).mean())


def test_penalties_are_added_in_their_own_steps() -> None:
    model = tiny(r1_every=4, path_every=2)
    names = [[turn.loss.__name__ for turn in model.turns(step)] for step in range(4)]
    assert names[0] == ["straight_generator_loss", "smooth_discriminator_loss"]
    assert names[1] == names[3] == ["generator_loss", "discriminator_loss"]
    assert names[2] == ["straight_generator_loss", "discriminator_loss"]
    assert {turn.loss.__name__ for turn in tiny(r1=0.0, path=0.0).turns(0)} == {"generator_loss", "discriminator_loss"}


def test_the_mean_path_length_follows_that_of_batches_and_no_infinite_one() -> None:
    model = tiny(mixing=0.0)
    shown = model.straight_generator_loss(batch()).shown
    torch.testing.assert_close(model.path_length, 0.01 * shown["path_length"].detach())
    kept = model.path_length.clone()
    with torch.no_grad():
        model.synthesis.start.fill_(torch.inf)
    model.straight_generator_loss(batch())
    assert torch.equal(model.path_length, kept)


def test_training_mixes_the_styles_of_two_codes() -> None:
    model = tiny(mixing=1.0)
    styles = model._mixed(64, None, torch.device("cpu"))
    changes = (styles[:, 1:] != styles[:, :-1]).any(2).sum(1)
    assert (changes == 1).all()
    assert (model.eval()._mixed(4, None, torch.device("cpu"))[:, 1:] == 0).sum() == 0
    same = tiny(mixing=0.0)._mixed(8, None, torch.device("cpu"))
    assert torch.equal(same, same[:, :1].expand_as(same))


def test_decoding_is_a_function_of_the_code() -> None:
    model = tiny().eval()
    with torch.no_grad():
        for layer in model.synthesis.layers:
            layer.strength.fill_(1.0)  # type: ignore[operator]
        codes = torch.randn(3, 8)
        first = model.decode(codes)
        assert torch.equal(first, model.decode(codes))
        torch.testing.assert_close(model.decode(codes[1:]), first[1:])
        model.train()
        assert not torch.equal(model.decode(codes), model.decode(codes))


def test_the_mean_style_is_the_mean_over_the_noise() -> None:
    model = tiny().eval()
    assert isinstance(model, Styles)
    with torch.no_grad():
        styles = model.styles(model.draw(50_000, generator=torch.Generator().manual_seed(5))[0])
        difference = model.mean_style()[0] - styles.mean(0)
        assert (difference.abs() < 5 * styles.std(0) / 4096**0.5).all()
    told = tiny(condition="projection", label=Classes(("a", "b"))).eval()
    means = told.mean_style({"label": torch.tensor([0, 1, 0])})
    assert torch.equal(means[0], means[2])
    assert not torch.allclose(means[0], means[1])


def test_mistakes_are_refused() -> None:
    with pytest.raises(ConfigError, match="mixing is a probability, from 0 to 1, got 1.5."):
        tiny(mixing=1.5)
    with pytest.raises(ConfigError, match="mapping_rate must be above 0"):
        tiny(mapping_rate=0.0)
    with pytest.raises(MissingColumnError, match="label"):
        tiny(condition="projection")
