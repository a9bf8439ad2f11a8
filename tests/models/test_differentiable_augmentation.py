"""The random changes on the way to the critic, each against what it may do to an image and no more."""

import itertools

import pytest
import torch
from torch import Tensor

from genlab.contract import Shape
from genlab.models.differentiable_augmentation import CHANGES, Change, changed
from genlab.models.gan import GAN
from genlab.networks.mlp import Mlp

ALL: tuple[Change, ...] = ("color", "translation", "cutout")


def images(count: int = 4, channels: int = 3, height: int = 12, width: int = 9) -> Tensor:
    """No pixel of them is 0 or like another."""
    torch.manual_seed(1)
    return torch.rand(count, channels, height, width) * 0.8 + 0.1


def moved(image: Tensor, down: int, right: int) -> Tensor:
    """One image moved by whole pixels, pixel by pixel; what comes in is 0."""
    result = torch.zeros_like(image)
    _, height, width = image.shape
    for row, column in itertools.product(range(height), range(width)):
        if 0 <= row - down < height and 0 <= column - right < width:
            result[:, row, column] = image[:, row - down, column - right]
    return result


def cut(image: Tensor, row: int, column: int) -> Tensor:
    """One image with a square of half its sides in 0, whose middle is at a place, as far as it lies in the image."""
    _, height, width = image.shape
    tall, wide = height // 2, width // 2
    result = image.clone()
    for y, x in itertools.product(
        range(row - tall // 2, row - tall // 2 + tall), range(column - wide // 2, column - wide // 2 + wide)
    ):
        if 0 <= y < height and 0 <= x < width:
            result[:, y, x] = 0
    return result


@pytest.mark.parametrize(("height", "width"), [(12, 9), (8, 8), (5, 3)])
def test_translation_is_a_move_by_whole_pixels_of_at_most_an_eighth(height: int, width: int) -> None:
    original, found = images(1, 2, height, width), set()
    down, right = (height + 4) // 8, (width + 4) // 8
    candidates = {(y, x): moved(original[0], y, x) for y in range(-down, down + 1) for x in range(-right, right + 1)}
    torch.manual_seed(0)
    for result in changed(original.expand(300, -1, -1, -1), ["translation"]):
        found.add(next(move for move, image in candidates.items() if torch.equal(image, result)))
    assert found == set(candidates)


@pytest.mark.parametrize(("height", "width"), [(12, 9), (8, 8), (5, 6)])
def test_cutout_leaves_a_square_of_0_and_all_else_as_it_was(height: int, width: int) -> None:
    original, found = images(1, 2, height, width), set()
    # With an even side the middle may lie on either edge.
    rows, columns = range(height + 1 - height // 2 % 2), range(width + 1 - width // 2 % 2)
    candidates = {(y, x): cut(original[0], y, x) for y in rows for x in columns}
    torch.manual_seed(0)
    for result in changed(original.expand(1500, -1, -1, -1), ["cutout"]):
        found.add(next(place for place, image in candidates.items() if torch.equal(image, result)))
    assert found == set(candidates)


def colour_of(original: Tensor, result: Tensor) -> tuple[float, float, float]:
    """Brightness, saturation and contrast of one change, found again from the image that it gave."""
    brightness = float(result.mean() - original.mean())
    grey, new_grey = original.mean(0), result.mean(0)
    contrast = float((new_grey - new_grey.mean()).norm() / (grey - grey.mean()).norm())
    saturation = float((result - new_grey).norm() / (original - grey).norm()) / contrast
    return brightness, saturation, contrast


def test_color_is_a_brightness_a_saturation_and_a_contrast_of_each_image() -> None:
    originals = images(400)
    torch.manual_seed(0)
    results = changed(originals, ["color"])
    found = torch.tensor([colour_of(*pair) for pair in zip(originals, results, strict=True)])
    for original, result, (brightness, saturation, contrast) in zip(originals, results, found, strict=True):
        # Written out for one image: these three numbers are all that was done to it.
        bright = original + brightness
        grey = bright.mean(0)
        rich = grey + saturation * (bright - grey)
        torch.testing.assert_close(rich.mean() + contrast * (rich - rich.mean()), result, rtol=0, atol=1e-5)
    for values, (low, high) in zip(found.T, ((-0.5, 0.5), (0.0, 2.0), (0.5, 1.5)), strict=True):
        assert low - 1e-5 <= values.min() < low + 0.05 * (high - low)
        assert high + 1e-5 >= values.max() > high - 0.05 * (high - low)


def test_grey_images_have_no_saturation_to_change() -> None:
    originals = images(channels=1)
    for original, result in zip(originals, changed(originals, ["color"]), strict=True):
        (slope, offset), *_ = torch.linalg.lstsq(
            torch.stack([original.flatten(), torch.ones(original.numel())], 1), result.flatten()
        )
        assert 0.5 <= slope <= 1.5
        torch.testing.assert_close(slope * original + offset, result)


@pytest.mark.parametrize("change", [*CHANGES])
def test_each_image_is_changed_in_a_way_of_its_own(change: Change) -> None:
    torch.manual_seed(0)
    results = changed(images(1).expand(8, -1, -1, -1), [change])
    assert len({tuple(result.flatten().tolist()) for result in results}) > 3


@pytest.mark.parametrize("changes", [*((change,) for change in CHANGES), ALL])
def test_the_gradient_flows_through_every_change_as_differences_say(changes: tuple[Change, ...]) -> None:
    def fixed(values: Tensor) -> Tensor:
        torch.manual_seed(3)
        return changed(values, changes)

    values = images(2, 2, 4, 4).double().requires_grad_()
    assert torch.autograd.gradcheck(fixed, values)
    (gradient,) = torch.autograd.grad(fixed(values).square().sum(), values)
    assert gradient.abs().sum() > 1


@pytest.mark.parametrize("changes", [*((change,) for change in CHANGES), ALL])
def test_the_changes_are_the_same_in_every_memory_format(changes: tuple[Change, ...]) -> None:
    results = []
    for memory in (torch.contiguous_format, torch.channels_last):
        torch.manual_seed(3)
        results.append(changed(images().contiguous(memory_format=memory), changes))
    torch.testing.assert_close(*results)


def test_changes_are_made_in_the_order_that_is_given_and_none_is_none() -> None:
    original = images()
    assert changed(original, []) is original
    torch.manual_seed(3)
    expected = CHANGES["color"](CHANGES["cutout"](original))
    torch.manual_seed(3)
    assert torch.equal(changed(original, ["cutout", "color"]), expected)


# In the game.


class Witness(torch.nn.Module):
    """A critic that keeps what it is shown."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[Tensor] = []

    def forward(self, images: Tensor, labels: Tensor | None) -> Tensor:
        self.seen.append(images.detach())
        return images.mean((1, 2, 3))


def watched(augment: tuple[Change, ...], instance_noise: float = 0.0) -> tuple[GAN, Witness]:
    """A GAN whose generator makes images of nothing but 1, and its critic."""
    network, critic = Mlp(hidden=[]), Witness()
    model = GAN(
        shape=Shape(1, 8, 8),
        classes=0,
        network=network,
        latent_dim=1,
        critic_normalization="none",
        augment=augment,
        instance_noise=instance_noise,
    )
    model.critic = critic  # type: ignore[assignment]
    with torch.no_grad():
        model.generator[0].weight.zero_()
        model.generator[0].bias.fill_(50.0)
    return model, critic


WHITE = {"image": torch.ones(16, 1, 8, 8)}


def test_real_images_and_made_ones_are_cut_in_both_players_turns() -> None:
    model, critic = watched(("cutout",))
    model.critic_loss(WHITE)
    model.generator_loss(WHITE)
    assert len(critic.seen) == 3
    for shown in critic.seen:
        # All are white until they are cut, by a quarter and less at the edges.
        holes = (shown == 0).sum((1, 2, 3))
        assert ((holes >= 4) & (holes <= 16)).all()
        assert ((shown == 0) | (shown == 1)).all()
    assert not torch.equal(critic.seen[0], critic.seen[1])


def test_instance_noise_is_on_real_and_made_images_alike() -> None:
    model, critic = watched((), instance_noise=0.3)
    torch.manual_seed(0)
    model.critic_loss(WHITE)
    model.generator_loss(WHITE)
    for shown in critic.seen:
        assert float((shown - 1).std()) == pytest.approx(0.3, rel=0.15)
        assert float((shown - 1).mean()) == pytest.approx(0, abs=0.05)


def test_what_is_validated_and_sampled_is_not_changed() -> None:
    model, critic = watched(ALL, instance_noise=0.3)
    model.eval()
    model.validate(WHITE)
    assert len(critic.seen) == 2
    assert all(torch.equal(shown, torch.ones_like(shown)) for shown in critic.seen)
    assert torch.equal(model.sample(3), torch.ones(3, 1, 8, 8))
