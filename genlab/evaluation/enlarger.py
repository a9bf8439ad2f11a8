"""A model that upscales puts whole pictures together, of any size and mode, out of tiles that it can hold."""

import itertools
import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from genlab.contract import Upscales

# The most pixels of the small picture that go through the model at once, margins included.
_AT_ONCE = 2**18


class Box(NamedTuple):
    """A part of a picture, as Pillow takes it."""

    left: int
    top: int
    right: int
    bottom: int

    def times(self, scale: int) -> "Box":
        """The same part of a picture that is `scale` times larger."""
        return Box(*(scale * side for side in self))


class Tile(NamedTuple):
    """What of the picture one pass answers for, and what the model has to see for that."""

    kept: Box
    seen: Box


class Enlarger:
    """Enlarges pictures of the modes L, LA, RGB and RGBA by a model for images of `channels` channels."""

    def __init__(self, model: Upscales, channels: int, at_once: int = _AT_ONCE) -> None:
        self.model, self.channels, self.at_once = model, channels, at_once
        if isinstance(model, torch.nn.Module):
            # Convolutions are a quarter faster so.
            model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        weights = model.parameters() if isinstance(model, torch.nn.Module) else iter(())
        self.device = next(weights, torch.empty(0)).device

    @property
    def scale(self) -> int:
        """How many times larger each way a picture becomes."""
        return self.model.scale

    def tiles(self, width: int, height: int) -> list[Tile]:
        """The tiles of a picture of this size."""
        return tiles(width, height, self.model.reach, self.at_once)

    def enlarge(self, image: Image.Image, advance: Callable[[], None] = lambda: None) -> Image.Image:
        """The picture, larger; each tile goes straight into the one large image, for which alone there is memory."""
        image = _coloured_where_clear(image)
        large = Image.new(image.mode, (self.scale * image.width, self.scale * image.height))
        for tile in self.tiles(*image.size):
            large.paste(self._enlarged(image, tile), tile.kept.times(self.scale))
            advance()
        return large

    def _enlarged(self, image: Image.Image, tile: Tile) -> Image.Image:
        """One tile without its margin, in the picture's own mode."""
        grey, clear = image.mode.startswith("L"), image.mode.endswith("A")
        seen = image.crop(tile.seen)
        colours = seen.convert("L" if grey else "RGB")
        if self.channels == 3:
            made = self._through(colours.convert("RGB"), tile).convert("L" if grey else "RGB")
        elif grey:
            made = self._through(colours, tile)
        else:
            made = self._brightness_through(colours, tile)
        if clear:
            made.putalpha(self._filtered(seen.getchannel("A"), tile))
        return made

    def _brightness_through(self, colours: Image.Image, tile: Tile) -> Image.Image:
        """A model for grey images enlarges the brightness; the eye forgives a filter for the colours."""
        brightness, *hues = colours.convert("YCbCr").split()
        planes = [self._through(brightness, tile), *(self._filtered(plane, tile) for plane in hues)]
        return Image.merge("YCbCr", planes).convert("RGB")

    def _filtered(self, plane: Image.Image, tile: Tile) -> Image.Image:
        """The kept part enlarged by bicubic, which looks at the margin too."""
        size = (self.scale * (tile.kept.right - tile.kept.left), self.scale * (tile.kept.bottom - tile.kept.top))
        return plane.resize(size, Image.Resampling.BICUBIC, _inner(tile))

    def _through(self, image: Image.Image, tile: Tile) -> Image.Image:
        """The kept part enlarged by the model, which sees the margin too."""
        pixels = np.array(image)
        planes = pixels[None, None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)[None]
        left, top, right, bottom = _inner(tile).times(self.scale)
        with torch.inference_mode():
            images = torch.from_numpy(planes).to(self.device).float().div(255)
            images = images.contiguous(memory_format=torch.channels_last)
            kept = self.model.upscale(images)[0, :, top:bottom, left:right]
            large: NDArray[np.uint8] = kept.mul(255).round().clamp(0, 255).byte().permute(1, 2, 0).cpu().numpy()
        return Image.fromarray(np.ascontiguousarray(large[:, :, 0] if image.mode == "L" else large))


def tiles(width: int, height: int, reach: int, at_once: int = _AT_ONCE) -> list[Tile]:
    """A picture in parts of nearly equal size with a margin of `reach` pixels to each other, but not to the outside.

    Of all ways to cut it into tiles that hold at most `at_once` pixels, the one with the fewest pixels in margins.
    """
    # Where a model reaches far, tiles are so large that no margin is broader than half of what it surrounds.
    at_once = max(at_once, (4 * reach) ** 2)
    most = 2 * math.ceil(height / (math.isqrt(at_once) - 2 * reach))
    ways = [
        (rows, _columns(width, at_once // _seen(height, rows, reach), reach))
        for rows in range(1, min(most, height) + 1)
    ]

    def cost(way: tuple[int, int]) -> tuple[int, int, int]:
        rows, columns = way
        seen = (height + 2 * reach * (rows - 1)) * (width + 2 * reach * (columns - 1))
        return seen, rows * columns, abs(rows - columns)

    rows, columns = min((way for way in ways if 0 < way[1] <= width), key=cost)
    return [
        Tile(Box(left, top, right, bottom), Box(low, high, far, deep))
        for top, bottom, high, deep in _spans(height, rows, reach)
        for left, right, low, far in _spans(width, columns, reach)
    ]


def _seen(length: int, parts: int, reach: int) -> int:
    """How much of a side the largest of so many parts sees: margins lie at inner edges only."""
    return min(length, math.ceil(length / parts) + reach * min(parts - 1, 2))


def _columns(width: int, limit: int, reach: int) -> int:
    """Into how few parts a side can be cut that none sees more than the limit; 0 where it cannot."""
    for few in (1, 2):
        if _seen(width, few, reach) <= limit:
            return few
    return math.ceil(width / (limit - 2 * reach)) if limit > 2 * reach else 0


def _spans(length: int, parts: int, reach: int) -> list[tuple[int, int, int, int]]:
    """Where each part of a side begins and ends, without and with its margins."""
    edges = [length * part // parts for part in range(parts + 1)]
    return [(start, end, max(0, start - reach), min(length, end + reach)) for start, end in itertools.pairwise(edges)]


def _inner(tile: Tile) -> Box:
    """The kept part as the tile itself counts its pixels."""
    left, top = tile.seen.left, tile.seen.top
    return Box(tile.kept.left - left, tile.kept.top - top, tile.kept.right - left, tile.kept.bottom - top)


def _coloured_where_clear(image: Image.Image) -> Image.Image:
    """Clear pixels take on the colours beside them: what hides beneath them would show at the edges, enlarged."""
    if not image.mode.endswith("A") or image.getchannel("A").getextrema()[0] != 0:
        return image
    plain = image.mode[:-1]
    # Pillow weighs colours by how visible they are. From coarse to fine, each fills what the finer has nothing for.
    ground = image.resize((1, 1), Image.Resampling.BOX).convert(plain)
    for factor in (32, 8, 2, 1):
        size = (math.ceil(image.width / factor), math.ceil(image.height / factor))
        layer = image.resize(size, Image.Resampling.BOX) if factor > 1 else image
        visible = layer.getchannel("A").point([0, *[255] * 255])
        ground = Image.composite(layer.convert(plain), ground.resize(size, Image.Resampling.BILINEAR), visible)
    ground.putalpha(image.getchannel("A"))
    return ground
