"""Whole pictures out of tiles: no seam, no pixel twice, and every mode as it was."""

import itertools

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from genlab.evaluation.enlarger import Enlarger, Tile, tiles
from tests.fixtures.enlarging import Bicubic, Nearest, photo, toy


def area(tile: Tile, part: str) -> int:
    left, top, right, bottom = getattr(tile, part)
    return int((right - left) * (bottom - top))


SIZES = [(1, 1), (3, 200), (200, 3), (100, 75), (64, 64), (199, 101)]


@pytest.mark.parametrize(("size", "reach", "at_once"), [*itertools.product(SIZES, (0, 1, 3), (200, 1000, 5000))])
def test_every_pixel_is_in_one_tile_whose_margins_reach_as_far_as_the_picture_goes(
    size: tuple[int, int], reach: int, at_once: int
) -> None:
    width, height = size
    counts = np.zeros((height, width), int)
    for tile in tiles(width, height, reach, at_once):
        left, top, right, bottom = tile.kept
        counts[top:bottom, left:right] += 1
        around = (max(0, left - reach), max(0, top - reach), min(width, right + reach), min(height, bottom + reach))
        assert tile.seen == around
        assert area(tile, "seen") <= at_once
    assert (counts == 1).all()


def test_a_model_that_reaches_farther_than_a_tile_is_large_gets_larger_tiles() -> None:
    found = tiles(400, 400, reach=30, at_once=100)
    assert max(area(tile, "seen") for tile in found) <= (4 * 30) ** 2
    assert sum(area(tile, "kept") for tile in found) == 400 * 400


def test_tiles_are_few_and_nearly_equal() -> None:
    found = tiles(1000, 750, reach=16)
    assert len(found) == 4
    assert sum(area(tile, "seen") for tile in found) < 1.08 * 1000 * 750
    kept = [area(tile, "kept") for tile in found]
    assert max(kept) - min(kept) < 0.01 * max(kept)


@pytest.mark.parametrize(("scale", "reach"), [(2, 3), (4, 2), (3, 5)])
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_tiled_equals_untiled(scale: int, reach: int, mode: str) -> None:
    model, image = toy(scale=scale, reach=reach), Image.fromarray(photo(61, 83)).convert(mode)
    tiled = Enlarger(model, 3, at_once=700)
    assert len(tiled.tiles(*image.size)) > 6
    seamless = Enlarger(model, 3, at_once=10**6).enlarge(image)
    assert np.abs(bytes_of(tiled.enlarge(image)) - bytes_of(seamless)).max() <= 1


def test_a_margin_that_is_too_narrow_would_show() -> None:
    model, image = toy(reach=3), Image.fromarray(photo(61, 83))
    seamless = Enlarger(model, 3).enlarge(image)
    model.reach = 1
    assert np.abs(bytes_of(Enlarger(model, 3, at_once=700).enlarge(image)) - bytes_of(seamless)).max() > 1


def test_the_whole_picture_is_what_the_model_makes_of_it() -> None:
    model, pixels = toy(), photo(20, 30)
    images = torch.from_numpy(pixels).permute(2, 0, 1)[None].float() / 255
    expected = (model.upscale(images)[0] * 255).round().permute(1, 2, 0).numpy()
    assert np.abs(bytes_of(Enlarger(model, 3).enlarge(Image.fromarray(pixels))) - expected).max() <= 1


@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA"])
@pytest.mark.parametrize("channels", [1, 3])
def test_the_model_enlarges_grey_and_colours_and_the_filter_the_rest(mode: str, channels: int) -> None:
    nearest, bicubic = Image.Resampling.NEAREST, Image.Resampling.BICUBIC
    image, large = Image.fromarray(photo(40, 50)).convert("L" if mode.startswith("L") else "RGB"), (100, 80)
    expected = image.resize(large, nearest)
    if channels == 1 and image.mode == "RGB":
        # A model for grey images makes the brightness.
        brightness, *hues = image.convert("YCbCr").split()
        planes = [brightness.resize(large, nearest), *(plane.resize(large, bicubic) for plane in hues)]
        expected = Image.merge("YCbCr", planes).convert("RGB")
    if mode.endswith("A"):
        alpha = Image.fromarray(photo(40, 50, channels=1, seed=1).clip(1, 255))
        image.putalpha(alpha)
        expected.putalpha(alpha.resize(large, bicubic))
    found = Enlarger(Nearest(), channels, at_once=900).enlarge(image)
    assert found.mode == mode
    assert np.array_equal(bytes_of(found), bytes_of(expected))


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_what_hides_beneath_clear_pixels_does_not_show_at_the_edge(mode: str) -> None:
    bright, hidden = ((230, 230, 230, 255), (0, 0, 0, 0)) if mode == "RGBA" else ((230, 255), (0, 0))
    image = Image.new(mode, (40, 40), hidden)
    image.paste(bright, (10, 10, 30, 30))
    found = bytes_of(Enlarger(Bicubic(), 3).enlarge(image))
    visible = found[..., -1] > 8
    assert 40 * 40 <= visible.sum() < 48 * 48
    assert found[visible][:, :-1].min() >= 229


def test_a_wholly_clear_picture_stays_so() -> None:
    found = Enlarger(toy(), 3).enlarge(Image.new("RGBA", (9, 7)))
    assert found.size == (18, 14)
    assert bytes_of(found)[..., 3].max() == 0


def test_a_picture_of_one_pixel_is_enlarged() -> None:
    assert Enlarger(toy(), 3).enlarge(Image.new("RGB", (1, 1), (9, 99, 199))).size == (2, 2)


def bytes_of(image: Image.Image) -> NDArray[np.int64]:
    return np.asarray(image).astype(np.int64)
