"""Differentiable augmentation: each change is one of the allowed changes and nothing else."""

import itertools

import pytest
import torch
from torch import Tensor

from genlab.kinds import Image
from genlab.models.differentiable_augmentation import CHANGES, Change, changed
from genlab.models.gan import GAN
from genlab.networks.mlp import Mlp
from tests.fixtures.tiny import linear

ALL: tuple[Change, ...] = ("color", "translation", "cutout")


def images(count: int = 4, channels: int = 3, height: int = 12, width: int = 9) -> Tensor:
    """Make images in which no pixel is 0 or equal to another."""
    torch.manual_seed(1)
    return torch.rand(count, channels, height, width) * 0.8 + 0.1


def moved(image: Tensor, down: int, right: int) -> Tensor:
    """Move one image by whole pixels, pixel by pixel, and fill with 0."""
    result = torch.zeros_like(image)
    _, height, width = image.shape
    for row, column in itertools.product(range(height), range(width)):
        if 0 <= row - down < height and 0 <= column - right < width:
            result[:, row, column] = image[:, row - down, column - right]
    return result


def cut(image: Tensor, row: int, column: int) -> Tensor:
    """Set a square with half the sides of an image to 0; its middle is given, and it may reach beyond the edges."""
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
def test_translation_moves_by_whole_pixels_and_at_most_an_eighth(height: int, width: int) -> None:
    original, found = images(1, 2, height, width), set()
    down, right = (height + 4) // 8, (width + 4) // 8
    candidates = {(y, x): moved(original[0], y, x) for y in range(-down, down + 1) for x in range(-right, right + 1)}
    torch.manual_seed(0)
    for result in changed(original.expand(300, -1, -1, -1), ["translation"]):
        found.add(next(move for move, image in candidates.items() if torch.equal(image, result)))
    assert found == set(candidates)


@pytest.mark.parametrize(("height", "width"), [(12, 9), (8, 8), (5, 6)])
def test_cutout_sets_a_square_to_0_and_changes_nothing_else(height: int, width: int) -> None:
    original, found = images(1, 2, height, width), set()
    # The middle of a square with an even side may lie on either edge.
    rows, columns = range(height + 1 - height // 2 % 2), range(width + 1 - width // 2 % 2)
    candidates = {(y, x): cut(original[0], y, x) for y in rows for x in columns}
    torch.manual_seed(0)
    for result in changed(original.expand(1500, -1, -1, -1), ["cutout"]):
        found.add(next(place for place, image in candidates.items() if torch.equal(image, result)))
    assert found == set(candidates)


def colour_of(original: Tensor, result: Tensor) -> tuple[float, float, float]:
    """Compute brightness, saturation and contrast of one change from its result."""
    brightness = float(result.mean() - original.mean())
    grey, new_grey = original.mean(0), result.mean(0)
    contrast = float((new_grey - new_grey.mean()).norm() / (grey - grey.mean()).norm())
    saturation = float((result - new_grey).norm() / (original - grey).norm()) / contrast
    return brightness, saturation, contrast


def test_color_changes_brightness_saturation_and_contrast_of_each_image() -> None:
    originals = images(400)
    torch.manual_seed(0)
    results = changed(originals, ["color"])
    found = torch.tensor([colour_of(*pair) for pair in zip(originals, results, strict=True)])
    for original, result, (brightness, saturation, contrast) in zip(originals, results, found, strict=True):
        # The three numbers explain the whole change of the image.
        bright = original + brightness
        grey = bright.mean(0)
        rich = grey + saturation * (bright - grey)
        torch.testing.assert_close(rich.mean() + contrast * (rich - rich.mean()), result, rtol=0, atol=1e-5)
    for values, (low, high) in zip(found.T, ((-0.5, 0.5), (0.0, 2.0), (0.5, 1.5)), strict=True):
        assert low - 1e-5 <= values.min() < low + 0.05 * (high - low)
        assert high + 1e-5 >= values.max() > high - 0.05 * (high - low)


def test_color_does_not_change_the_saturation_of_grey_images() -> None:
    originals = images(channels=1)
    for original, result in zip(originals, changed(originals, ["color"]), strict=True):
        (slope, offset), *_ = torch.linalg.lstsq(
            torch.stack([original.flatten(), torch.ones(original.numel())], 1), result.flatten()
        )
        assert 0.5 <= slope <= 1.5
        torch.testing.assert_close(slope * original + offset, result)


@pytest.mark.parametrize("change", [*CHANGES])
def test_each_image_is_changed_differently(change: Change) -> None:
    torch.manual_seed(0)
    results = changed(images(1).expand(8, -1, -1, -1), [change])
    assert len({tuple(result.flatten().tolist()) for result in results}) > 3


@pytest.mark.parametrize("changes", [*((change,) for change in CHANGES), ALL])
def test_the_gradient_through_every_change_is_that_of_finite_differences(changes: tuple[Change, ...]) -> None:
    def fixed(values: Tensor) -> Tensor:
        torch.manual_seed(3)
        return changed(values, changes)

    values = images(2, 2, 4, 4).double().requires_grad_()
    assert torch.autograd.gradcheck(fixed, values)
    (gradient,) = torch.autograd.grad(fixed(values).square().sum(), values)
    assert gradient.abs().sum() > 1


@pytest.mark.parametrize("changes", [*((change,) for change in CHANGES), ALL])
def test_the_changes_do_not_depend_on_the_memory_format(changes: tuple[Change, ...]) -> None:
    results = []
    for memory in (torch.contiguous_format, torch.channels_last):
        torch.manual_seed(3)
        results.append(changed(images().contiguous(memory_format=memory), changes))
    torch.testing.assert_close(*results)


def test_changes_are_made_in_the_given_order_and_an_empty_list_changes_nothing() -> None:
    original = images()
    assert changed(original, []) is original
    torch.manual_seed(3)
    expected = CHANGES["color"](CHANGES["cutout"](original))
    torch.manual_seed(3)
    assert torch.equal(changed(original, ["cutout", "color"]), expected)


# In the game.


class Witness(torch.nn.Module):
    """A discriminator that keeps the images that it sees."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[Tensor] = []
        self.classifier = None

    def judge(self, images: Tensor, labels: Tensor | None) -> tuple[Tensor, None]:
        self.seen.append(images.detach())
        return images.mean((1, 2, 3)), None


def watched(augment: tuple[Change, ...], instance_noise: float = 0.0) -> tuple[GAN, Witness]:
    """Build a GAN whose generator makes white images, and return it with its discriminator."""
    discriminator = Witness()
    model = GAN(
        x=Image(1, 8, 8),
        network=Mlp(hidden=[]),
        latent_dim=1,
        discriminator_normalization="none",
        augment=augment,
        instance_noise=instance_noise,
    )
    model.discriminator = discriminator  # type: ignore[assignment]
    with torch.no_grad():
        linear(model.generator).weight.zero_()
        linear(model.generator).bias.fill_(50.0)
    return model, discriminator


WHITE = {"x": torch.ones(16, 1, 8, 8)}


def test_real_and_generated_images_are_augmented_in_the_turns_of_both_players() -> None:
    model, discriminator = watched(("cutout",))
    model.discriminator_loss(WHITE)
    model.generator_loss(WHITE)
    assert len(discriminator.seen) == 3
    for images in discriminator.seen:
        # The images are white except for the square, which is smaller at the edges.
        holes = (images == 0).sum((1, 2, 3))
        assert ((holes >= 4) & (holes <= 16)).all()
        assert ((images == 0) | (images == 1)).all()
    assert not torch.equal(discriminator.seen[0], discriminator.seen[1])


def test_instance_noise_is_added_to_real_and_generated_images() -> None:
    model, discriminator = watched((), instance_noise=0.3)
    torch.manual_seed(0)
    model.discriminator_loss(WHITE)
    model.generator_loss(WHITE)
    assert len(discriminator.seen) == 3
    for images in discriminator.seen:
        assert float((images - 1).std()) == pytest.approx(0.3, rel=0.15)
        assert float((images - 1).mean()) == pytest.approx(0, abs=0.05)


def test_validation_and_samples_are_not_augmented() -> None:
    model, discriminator = watched(ALL, instance_noise=0.3)
    model.eval()
    model.validate(WHITE)
    assert len(discriminator.seen) == 2
    assert all(torch.equal(images, torch.ones_like(images)) for images in discriminator.seen)
    assert torch.equal(model.sample(3), torch.ones(3, 1, 8, 8))
