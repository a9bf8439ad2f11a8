"""Rows of images as one picture, each row below its caption."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from PIL.Image import Image as Picture
    from PIL.ImageFont import FreeTypeFont, ImageFont

    from genlab.kinds.kind import Row

_GAP, _LINE, _SIZE = 2, 15, 12
_SMALLEST = 56
"""Smaller images are upscaled by a whole number until their longer side is about this many pixels."""
_LONGEST = 300
"""The length in pixels that a caption may have above any row; above wide rows it may be longer."""
_INK = (30, 30, 30)


def sheet(rows: Sequence[Row]) -> Picture:
    """Draw rows of images in [0, 1], N x C x H x W each, on a white ground."""
    from PIL import Image, ImageDraw, ImageFont

    font, pictures = ImageFont.load_default(_SIZE), [_strip(row.items) for row in rows]
    room = max(_LONGEST, *(picture.width for picture in pictures)) - 2 * _GAP
    captions = [fitting(row.caption, room, font) for row in rows]
    strips = list(zip(captions, pictures, strict=True))
    widths = [max(strip.width, int(font.getlength(caption)) + 2 * _GAP) for caption, strip in strips]
    height = sum(strip.height + (_LINE if caption else 0) for caption, strip in strips) + _GAP
    grey = all(strip.mode == "L" for _, strip in strips)
    whole = Image.new("L" if grey else "RGB", (max(widths), height), 255 if grey else (255, 255, 255))
    pen, top = ImageDraw.Draw(whole), 0
    for caption, strip in strips:
        if caption:
            pen.text((_GAP, top), caption, _INK[0] if grey else _INK, font)
            top += _LINE
        whole.paste(strip, (0, top))
        top += strip.height
    return whole


def fitting(text: str, room: float, font: FreeTypeFont | ImageFont) -> str:
    """Return a text as one line, cut if it is longer than the room in pixels."""
    line = " ".join(text.split())
    if font.getlength(line) <= room:
        return line
    while line and font.getlength(f"{line}...") > room:
        line = line[:-1]
    return f"{line}..."


def _strip(images: Tensor) -> Picture:
    """Return one row of images; small ones keep the edges of their pixels."""
    from PIL import Image

    _, channels, height, width = images.shape
    times = max(1, _SMALLEST // max(height, width))
    cells = images.mul(255).round().clamp(0, 255).to("cpu", torch.uint8)
    cells = cells.repeat_interleave(times, 2).repeat_interleave(times, 3)
    cells = torch.nn.functional.pad(cells, (_GAP, 0, _GAP, 0), value=255)
    pixels = cells.permute(2, 0, 3, 1).reshape(_GAP + height * times, -1, channels)
    pixels = torch.nn.functional.pad(pixels, (0, 0, 0, _GAP), value=255)
    return Image.fromarray((pixels.squeeze(2) if channels == 1 else pixels).contiguous().numpy())
