"""Upscale whole pictures of any size and mode, tile by tile, so that memory stays small."""

import itertools
import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from genlab.contract import Upscales

_AT_ONCE = 2**18
"""The most pixels of the small picture that go through the model at once, margins included."""


class Box(NamedTuple):
    """A part of a picture, as Pillow takes it."""

    left: int
    top: int
    right: int
    bottom: int

    @property
    def size(self) -> tuple[int, int]:
        """Width and height."""
        return self.right - self.left, self.bottom - self.top

    def times(self, scale: int) -> "Box":
        """Return the same part of a picture that is `scale` times larger."""
        return Box(*(scale * side for side in self))

    def of(self, images: Tensor) -> Tensor:
        """Return this part of images, N x C x H x W."""
        return images[:, :, self.top : self.bottom, self.left : self.right]


class Tile(NamedTuple):
    """A part of the picture that one pass upscales, and the larger part that the model must see for it."""

    kept: Box
    seen: Box

    @property
    def inner(self) -> Box:
        """The kept part, counted from the corner of the seen part."""
        left, top = self.seen.left, self.seen.top
        return Box(self.kept.left - left, self.kept.top - top, self.kept.right - left, self.kept.bottom - top)


class TiledUpscaler:
    """Upscales pictures of the modes L, LA, RGB and RGBA with a model for images of `channels` channels."""

    def __init__(self, model: Upscales, channels: int, at_once: int = _AT_ONCE) -> None:
        self.model, self.channels, self.at_once = model, channels, at_once
        if isinstance(model, torch.nn.Module):
            # Convolutions take a quarter less time in this memory format.
            model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        weights = model.parameters() if isinstance(model, torch.nn.Module) else iter(())
        self.device = next(weights, torch.empty(0)).device

    @property
    def scale(self) -> int:
        """The factor by which width and height grow."""
        return self.model.scale

    def tiles(self, width: int, height: int) -> list[Tile]:
        """Return the tiles of a picture of this size."""
        return tiles(width, height, self.model.reach, self.at_once)

    def upscale(self, picture: Image.Image, advance: Callable[[], None] = lambda: None) -> Image.Image:
        """Upscale a picture; `advance` is called after each tile."""
        picture = _with_colours_under_clear_pixels(picture)
        # Each tile is pasted at once: only this one large picture is in memory.
        large = Image.new(picture.mode, (self.scale * picture.width, self.scale * picture.height))
        for tile in self.tiles(*picture.size):
            large.paste(self._upscale_tile(picture, tile), tile.kept.times(self.scale))
            advance()
        return large

    def upscale_images(self, images: Tensor) -> Tensor:
        """Upscale images in [0, 1], N x C x H x W, without rounding; the result is on the CPU."""
        count, channels, height, width = images.shape
        large = torch.empty(count, channels, self.scale * height, self.scale * width)
        for tile in self.tiles(width, height):
            for index in range(count):
                part = self._run(tile.seen.of(images[index, None]).to(self.device).float(), tile)
                tile.kept.times(self.scale).of(large)[index] = part[0].cpu()
        return large

    def _upscale_tile(self, picture: Image.Image, tile: Tile) -> Image.Image:
        """Upscale one tile in the picture's own mode, without its margin."""
        grey, transparent = picture.mode.startswith("L"), picture.mode.endswith("A")
        seen = picture.crop(tile.seen)
        colours = seen.convert("L" if grey else "RGB")
        if self.channels == 3:
            large = self._upscale_bytes(colours.convert("RGB"), tile).convert("L" if grey else "RGB")
        elif grey:
            large = self._upscale_bytes(colours, tile)
        else:
            large = self._upscale_brightness(colours, tile)
        if transparent:
            large.putalpha(self._resize(seen.getchannel("A"), tile))
        return large

    def _upscale_brightness(self, colours: Image.Image, tile: Tile) -> Image.Image:
        """Upscale the brightness with a model for grey images, and the hues by bicubic: eyes see them less finely."""
        brightness, *hues = colours.convert("YCbCr").split()
        planes = [self._upscale_bytes(brightness, tile), *(self._resize(plane, tile) for plane in hues)]
        return Image.merge("YCbCr", planes).convert("RGB")

    def _resize(self, plane: Image.Image, tile: Tile) -> Image.Image:
        """Upscale the kept part by bicubic, which also sees the margin."""
        return plane.resize(tile.kept.times(self.scale).size, Image.Resampling.BICUBIC, tile.inner)

    def _upscale_bytes(self, picture: Image.Image, tile: Tile) -> Image.Image:
        """Upscale the kept part with the model."""
        pixels = np.array(picture)
        planes = pixels[None, None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)[None]
        kept = self._run(torch.from_numpy(planes).to(self.device).float().div(255), tile)[0]
        large: NDArray[np.uint8] = kept.mul(255).round().clamp(0, 255).byte().permute(1, 2, 0).cpu().numpy()
        return Image.fromarray(np.ascontiguousarray(large[:, :, 0] if picture.mode == "L" else large))

    def _run(self, seen: Tensor, tile: Tile) -> Tensor:
        """Run the model on the seen part and return the kept part."""
        with torch.inference_mode():
            large = self.model.upscale(seen.contiguous(memory_format=torch.channels_last))
            return tile.inner.times(self.scale).of(large)


def tiles(width: int, height: int, reach: int, at_once: int = _AT_ONCE) -> list[Tile]:
    """Divide a picture into tiles of nearly equal size, which overlap their neighbours by `reach` pixels.

    No tile sees more than `at_once` pixels. Among all such divisions, this one has the fewest pixels in margins.
    """
    # With a large reach tiles are larger, too: no margin is wider than half of the part that it surrounds.
    at_once = max(at_once, (4 * reach) ** 2)
    most = 2 * math.ceil(height / (math.isqrt(at_once) - 2 * reach))
    divisions = [
        (rows, _columns(width, at_once // _longest(height, rows, reach), reach))
        for rows in range(1, min(most, height) + 1)
    ]

    def cost(division: tuple[int, int]) -> tuple[int, int, int]:
        rows, columns = division
        seen = (height + 2 * reach * (rows - 1)) * (width + 2 * reach * (columns - 1))
        return seen, rows * columns, abs(rows - columns)

    rows, columns = min((division for division in divisions if 0 < division[1] <= width), key=cost)
    return [
        Tile(Box(left, top, right, bottom), Box(seen_left, seen_top, seen_right, seen_bottom))
        for top, bottom, seen_top, seen_bottom in _spans(height, rows, reach)
        for left, right, seen_left, seen_right in _spans(width, columns, reach)
    ]


def _longest(length: int, parts: int, reach: int) -> int:
    """Return the length that the longest of `parts` parts sees; only inner edges have margins."""
    return min(length, math.ceil(length / parts) + reach * min(parts - 1, 2))


def _columns(width: int, limit: int, reach: int) -> int:
    """Return the smallest number of parts that see at most `limit` pixels each, or 0 if there is none."""
    for few in (1, 2):
        if _longest(width, few, reach) <= limit:
            return few
    return math.ceil(width / (limit - 2 * reach)) if limit > 2 * reach else 0


def _spans(length: int, parts: int, reach: int) -> list[tuple[int, int, int, int]]:
    """Return the start and the end of each part, without and with its margins."""
    edges = [length * part // parts for part in range(parts + 1)]
    return [(start, end, max(0, start - reach), min(length, end + reach)) for start, end in itertools.pairwise(edges)]


def _with_colours_under_clear_pixels(picture: Image.Image) -> Image.Image:
    """Give wholly transparent pixels the colours beside them; their own would show at the edges after upscaling."""
    if not picture.mode.endswith("A") or picture.getchannel("A").getextrema()[0] != 0:
        return picture
    plain = picture.mode[:-1]
    # Pillow weights colours by their alpha. From coarse to fine, each layer fills what the finer one leaves empty.
    ground = picture.resize((1, 1), Image.Resampling.BOX).convert(plain)
    for factor in (32, 8, 2, 1):
        size = (math.ceil(picture.width / factor), math.ceil(picture.height / factor))
        layer = picture.resize(size, Image.Resampling.BOX) if factor > 1 else picture
        visible = layer.getchannel("A").point([0, *[255] * 255])
        ground = Image.composite(layer.convert(plain), ground.resize(size, Image.Resampling.BILINEAR), visible)
    ground.putalpha(picture.getchannel("A"))
    return ground
