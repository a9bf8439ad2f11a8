"""Augmentation agrees with loops over single images, and does not depend on the order of the batches."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from genlab.kinds.augmentation import Augmentation, flipped, jittered, shifted, zoomed
from tests.fixtures.toys import toy_images


def images(count: int = 6, channels: int = 3) -> Tensor:
    return torch.rand(count, channels, 7, 5, generator=torch.Generator().manual_seed(0))


def drawn(seed: int = 1) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


ALL = Augmentation(flip=True, shift=2, zoom=0.7, jitter=0.3)


def test_the_chosen_images_and_no_others_are_mirrored() -> None:
    batch, chosen = images(), torch.tensor([True, False, True, True, False, False])
    for one, before, mirrored in zip(flipped(batch, chosen), batch, chosen, strict=True):
        assert torch.equal(one, before.flip(2) if mirrored else before)


def test_a_shift_moves_whole_pixels_and_repeats_the_edge() -> None:
    batch = images(25)
    down, right = torch.arange(25) // 5 - 2, torch.arange(25) % 5 - 2
    found = shifted(batch, down, right)
    padded = functional.pad(batch, (2, 2, 2, 2), mode="replicate")
    for number in range(25):
        top, left = 2 - int(down[number]), 2 - int(right[number])
        assert torch.equal(found[number], padded[number, :, top : top + 7, left : left + 5])


def test_a_zoom_of_half_the_side_at_a_corner_enlarges_that_quarter() -> None:
    batch = torch.rand(2, 1, 8, 8, generator=drawn())
    corner, whole = torch.zeros(2), torch.ones(2)
    found = zoomed(batch, 0.5, corner, corner, whole)
    expected = functional.interpolate(batch, scale_factor=2, mode="bilinear", align_corners=False)[:, :, :8, 8:]
    assert torch.allclose(found[:, :, :7, 1:], expected[:, :, :7, 1:], atol=1e-6)


def test_a_zoom_that_draws_the_whole_changes_nothing() -> None:
    batch, some = images(), torch.rand(6, generator=drawn())
    assert torch.allclose(zoomed(batch, 0.5, torch.ones(6), some, some), batch, atol=1e-5)


def test_jitter_scales_brightness_then_contrast_then_colour() -> None:
    batch = images() * 0.4 + 0.3
    factors = [torch.rand(6, generator=drawn(seed)) * 0.4 + 0.8 for seed in range(3)]
    found = jittered(batch, *factors)
    for number in range(6):
        brightness, contrast, saturation = (float(factor[number]) for factor in factors)
        one = batch[number] * brightness
        one = (one - one.mean()) * contrast + one.mean()
        grey = one.mean(0, keepdim=True)
        expected = ((one - grey) * saturation + grey).clamp(0, 1)
        assert torch.allclose(found[number], expected, atol=1e-6)


def test_grey_images_stay_grey_and_all_stay_within_0_and_1() -> None:
    batch = ALL(images(64, 1), drawn())
    assert batch.shape == (64, 1, 7, 5)
    assert 0 <= float(batch.min()) <= float(batch.max()) <= 1


@pytest.mark.parametrize("change", [{"flip": True}, {"shift": 2}, {"zoom": 0.6}, {"jitter": 0.3}], ids=str)
def test_each_change_alone_changes_most_images_by_their_own_draws(change: dict[str, float]) -> None:
    batch = images().repeat(50, 1, 1, 1)
    found = Augmentation(**change)(batch, drawn())  # type: ignore[arg-type]
    moved = (found != batch).flatten(1).any(1).float().mean()
    assert 0.4 < float(moved) <= 1
    assert len(found[::6].flatten(1).unique(dim=0)) > 1


def test_the_defaults_change_nothing() -> None:
    assert not Augmentation()
    assert torch.equal(Augmentation()(images(), drawn()), images())


def test_a_batch_is_augmented_alike_whatever_was_asked_for_before() -> None:
    one, other = (toy_images().batches("train", 4, seed=2, augmentation=ALL) for _ in range(2))
    expected = [one.batch(number)["x"] for number in range(12)]
    torch.manual_seed(9)
    for number in (11, 3, 0, 7):
        assert torch.equal(other.batch(number)["x"], expected[number])
    assert not torch.equal(expected[0], toy_images().batches("train", 4, seed=2).batch(0)["x"])


def test_held_out_items_are_never_augmented() -> None:
    changed, plain = (toy_images().batches("train", 4, augmentation=change) for change in (ALL, None))
    for ours, theirs in zip(changed.once(), plain.once(), strict=True):
        assert torch.equal(ours["x"], theirs["x"])


def test_binarized_pixels_are_0_or_1_and_as_often_1_as_they_are_bright() -> None:
    images = torch.linspace(0, 1, 5).view(1, 1, 1, 5).expand(4000, 1, 1, 5)
    drawn = Augmentation(binarize=True)(images, torch.Generator().manual_seed(0))
    assert set(drawn.unique().tolist()) == {0.0, 1.0}
    torch.testing.assert_close(drawn.mean((0, 1, 2)), torch.linspace(0, 1, 5), atol=0.03, rtol=0)
