"""Splits that share nothing, and a fingerprint that tells any data from any other."""

from dataclasses import replace

import pytest
import torch

from genlab.data.dataset import Images, split_off
from genlab.registry import ConfigError


@pytest.mark.parametrize("part", [1, 5, 19])
def test_what_is_split_off_and_what_is_left_are_the_whole_in_order(part: int) -> None:
    left, off = split_off(20, part)
    assert len(off) == part
    assert sorted([*left.tolist(), *off.tolist()]) == list(range(20))
    assert left.tolist() == sorted(left.tolist())
    assert off.tolist() == sorted(off.tolist())
    assert all(torch.equal(one, other) for one, other in zip((left, off), split_off(20, part), strict=True))


@pytest.mark.parametrize("part", [0, -1, 20, 21])
def test_a_split_that_leaves_one_side_empty_is_refused(part: int) -> None:
    with pytest.raises(ConfigError) as caught:
        split_off(20, part)
    assert str(caught.value) == f"validation must be between 1 and 19, and {part} is not."
    with pytest.raises(ConfigError, match="^test must be"):
        split_off(20, part, "test")


def some_images() -> Images:
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (10, 1, 4, 4), dtype=torch.uint8, generator=generator)
    splits = {"train": torch.arange(6), "validation": torch.arange(6, 8), "test": torch.arange(8, 10)}
    return Images(pixels, splits, torch.arange(10) % 3, ("a", "b", "c"))


def changed(**fields: object) -> str:
    """The fingerprint of the same images with other fields."""
    return replace(some_images(), fingerprint="", **fields).fingerprint  # type: ignore[arg-type]


def test_equal_data_has_an_equal_fingerprint() -> None:
    fingerprint = some_images().fingerprint
    assert len(fingerprint) == 16
    assert int(fingerprint, 16)
    assert changed() == fingerprint
    other_layout = some_images().pixels.permute(1, 2, 3, 0).contiguous().permute(3, 0, 1, 2)
    assert changed(pixels=other_layout) == fingerprint


@pytest.mark.parametrize("place", [(0, 0, 0, 0), (5, 0, 2, 1), (9, 0, 3, 3)], ids=str)
def test_one_pixel_changes_the_fingerprint(place: tuple[int, ...]) -> None:
    pixels = some_images().pixels.clone()
    pixels[place] ^= 1
    assert changed(pixels=pixels) != some_images().fingerprint


def test_the_shape_of_the_same_pixels_changes_the_fingerprint() -> None:
    assert changed(pixels=some_images().pixels.view(10, 1, 2, 8)) != some_images().fingerprint


def test_one_label_changes_the_fingerprint() -> None:
    labels = torch.arange(10) % 3
    labels[7] = 0
    assert len({changed(labels=labels), changed(labels=None), some_images().fingerprint}) == 3


def test_one_image_in_another_split_changes_the_fingerprint() -> None:
    swapped = {
        "train": torch.tensor([0, 1, 2, 3, 4, 6]),
        "validation": torch.tensor([5, 7]),
        "test": torch.arange(8, 10),
    }
    moved = {"train": torch.arange(5), "validation": torch.arange(5, 8), "test": torch.arange(8, 10)}
    moved_again = {"train": torch.arange(6), "validation": torch.arange(6, 9), "test": torch.arange(9, 10)}
    fingerprints = [changed(splits=splits) for splits in (swapped, moved, moved_again)]
    assert len({*fingerprints, some_images().fingerprint}) == 4
