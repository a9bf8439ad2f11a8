"""Pictures are upscaled in tiles: without seams, without overlaps, and in their own mode."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from genlab.evaluation.tiles import Tile, TiledUpscaler, tiles
from tests.fixtures.upscaling import Bicubic, Nearest, photo, toy


def area(tile: Tile, part: str) -> int:
    left, top, right, bottom = getattr(tile, part)
    return int((right - left) * (bottom - top))


SIZES = [(1, 1), (3, 200), (200, 3), (100, 75), (64, 64), (199, 101)]
PAIRWISE = [
    (size, reach, (200, 1000, 5000)[(row + column) % 3])
    for row, size in enumerate(SIZES)
    for column, reach in enumerate((0, 1, 3))
]


@pytest.mark.parametrize(("size", "reach", "at_once"), PAIRWISE)
def test_every_pixel_is_in_one_tile_and_margins_end_at_the_border_of_the_picture(
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


def test_a_reach_larger_than_a_tile_gives_larger_tiles() -> None:
    found = tiles(400, 400, reach=30, at_once=100)
    assert max(area(tile, "seen") for tile in found) <= (4 * 30) ** 2
    assert sum(area(tile, "kept") for tile in found) == 400 * 400


def test_tiles_are_few_and_of_nearly_equal_size() -> None:
    found = tiles(1000, 750, reach=16)
    assert len(found) == 4
    assert sum(area(tile, "seen") for tile in found) < 1.08 * 1000 * 750
    kept = [area(tile, "kept") for tile in found]
    assert max(kept) - min(kept) < 0.01 * max(kept)


@pytest.mark.parametrize(("scale", "reach"), [(2, 3), (4, 2), (3, 5)])
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_tiled_and_untiled_results_are_equal(scale: int, reach: int, mode: str) -> None:
    model, image = toy(scale=scale, reach=reach), Image.fromarray(photo(61, 83)).convert(mode)
    tiled = TiledUpscaler(model, 3, at_once=700)
    assert len(tiled.tiles(*image.size)) > 6
    seamless = TiledUpscaler(model, 3, at_once=10**6).upscale(image)
    assert np.abs(bytes_of(tiled.upscale(image)) - bytes_of(seamless)).max() <= 1


def test_a_margin_that_is_too_narrow_changes_the_result() -> None:
    model, image = toy(reach=3), Image.fromarray(photo(61, 83))
    seamless = TiledUpscaler(model, 3).upscale(image)
    model.reach = 1
    assert np.abs(bytes_of(TiledUpscaler(model, 3, at_once=700).upscale(image)) - bytes_of(seamless)).max() > 1


def test_the_result_is_the_output_of_the_model() -> None:
    model, pixels = toy(), photo(20, 30)
    images = torch.from_numpy(pixels).permute(2, 0, 1)[None].float() / 255
    expected = (model.upscale(images)[0] * 255).round().permute(1, 2, 0).numpy()
    assert np.abs(bytes_of(TiledUpscaler(model, 3).upscale(Image.fromarray(pixels))) - expected).max() <= 1


@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA"])
@pytest.mark.parametrize("channels", [1, 3])
def test_the_model_upscales_grey_and_colours_and_bicubic_the_rest(mode: str, channels: int) -> None:
    nearest, bicubic = Image.Resampling.NEAREST, Image.Resampling.BICUBIC
    image, large = Image.fromarray(photo(40, 50)).convert("L" if mode.startswith("L") else "RGB"), (100, 80)
    expected = image.resize(large, nearest)
    if channels == 1 and image.mode == "RGB":
        # A model for grey images upscales the brightness only.
        brightness, *hues = image.convert("YCbCr").split()
        planes = [brightness.resize(large, nearest), *(plane.resize(large, bicubic) for plane in hues)]
        expected = Image.merge("YCbCr", planes).convert("RGB")
    if mode.endswith("A"):
        alpha = Image.fromarray(photo(40, 50, channels=1, seed=1).clip(1, 255))
        image.putalpha(alpha)
        expected.putalpha(alpha.resize(large, bicubic))
    found = TiledUpscaler(Nearest(), channels, at_once=900).upscale(image)
    assert found.mode == mode
    assert np.array_equal(bytes_of(found), bytes_of(expected))


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_colours_under_transparent_pixels_do_not_show_at_the_edge(mode: str) -> None:
    bright, hidden = ((230, 230, 230, 255), (0, 0, 0, 0)) if mode == "RGBA" else ((230, 255), (0, 0))
    image = Image.new(mode, (40, 40), hidden)
    image.paste(bright, (10, 10, 30, 30))
    found = bytes_of(TiledUpscaler(Bicubic(), 3).upscale(image))
    visible = found[..., -1] > 8
    assert 40 * 40 <= visible.sum() < 48 * 48
    assert found[visible][:, :-1].min() >= 229


def test_a_wholly_transparent_picture_stays_transparent() -> None:
    found = TiledUpscaler(toy(), 3).upscale(Image.new("RGBA", (9, 7)))
    assert found.size == (18, 14)
    assert bytes_of(found)[..., 3].max() == 0


def test_a_picture_of_one_pixel_is_upscaled() -> None:
    assert TiledUpscaler(toy(), 3).upscale(Image.new("RGB", (1, 1), (9, 99, 199))).size == (2, 2)


def test_tensors_are_upscaled_in_tiles_without_rounding() -> None:
    model = toy()
    images = torch.rand(2, 3, 40, 50, generator=torch.Generator().manual_seed(0))
    upscaler = TiledUpscaler(model, 3, at_once=700)
    assert len(upscaler.tiles(50, 40)) > 2
    assert torch.allclose(upscaler.upscale_images(images), model.upscale(images), atol=1e-5)


def bytes_of(image: Image.Image) -> NDArray[np.int64]:
    return np.asarray(image).astype(np.int64)
