"""Decoding of one image file to bytes of a given shape, whatever its format, mode or rotation."""

import hashlib
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

Bytes = NDArray[np.uint8]
Source = Path | bytes
"""A file, or the contents of one."""
Crop = Literal["none", "center", "random"]
Part = Literal["whole", "left", "right"]

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF")
GREY = {"1", "L", "LA", "La", "I", "I;16", "I;16L", "I;16B", "I;16N"}
TRANSPARENT = {"LA", "La", "PA", "RGBA", "RGBa"}
# A JPEG is decoded at half, a quarter or an eighth of its size if that leaves at least twice the pixels each way:
# the decoder's reduction is fast but crude, and the better filter still does the last factor of two.
_SPARE = 2


class BadFileError(Exception):
    """The reason why a file cannot be used."""


@dataclass(frozen=True)
class Style:
    """Size, crop, channels and background of every decoded image."""

    size: int
    crop: Crop | Literal["cells"]
    """`cells` keeps the whole image, cut into squares of this size."""
    channels: int
    background: tuple[int, int, int]
    shrink: int = 1
    """Factor by which an image is downscaled before it is cut into cells."""
    part: Part = field(default="whole", repr=False)
    """The half of a file that is decoded, if it holds two images side by side."""


def decode(source: Source, style: Style) -> Bytes:
    """Decode the first frame: C x H x W, upright, in 8 bits, on the background.

    Cells are returned as rows x columns x C x H x W. A file that cannot be decoded raises a BadFileError.
    """
    try:
        plain = _opened(source, style)
    except Exception as error:  # A damaged file may raise almost anything in Pillow.
        raise BadFileError(reason(error, source)) from None
    if style.crop == "cells":
        size = (plain.width // style.shrink, plain.height // style.shrink)
        return cells_of(plain if style.shrink == 1 else _resized(plain, size), style.size)
    # Antialiased, with the filter of torchvision's Resize, so that metrics can be compared.
    small = plain.resize((style.size, style.size), Image.Resampling.BILINEAR, _box(plain, style.crop))
    array = np.asarray(small)
    return np.ascontiguousarray(array[None] if array.ndim == 2 else array.transpose(2, 0, 1))


def cells_of(image: Image.Image, size: int) -> Bytes:
    """Cut a picture into rows x columns x C x size x size; the rest is cut off in equal parts on both sides."""
    columns, rows = image.width // size, image.height // size
    if not columns or not rows:
        raise BadFileError(f"it is {image.width} x {image.height}, smaller than a crop (size={size})")
    left, top = (image.width - columns * size) // 2, (image.height - rows * size) // 2
    cells = np.empty((rows, columns, len(image.getbands()), size, size), np.uint8)
    # A row of cells at a time: a large picture is in memory once as Pillow's and once as ours.
    for row in range(rows):
        band = image.crop((left, top + row * size, left + columns * size, top + (row + 1) * size))
        cells[row] = np.asarray(band).reshape(size, columns, size, -1).transpose(1, 3, 0, 2)
    return cells


def _resized(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    if not all(size):
        raise BadFileError(f"it is {image.width} x {image.height}, and nothing is left of it when it is shrunk")
    return image.resize(size, Image.Resampling.BICUBIC)


def size_of(path: Path) -> tuple[int, int]:
    """Return width and height from the header alone; 0 x 0 if it cannot be read."""
    try:
        with Image.open(path, formats=FORMATS) as image:
            return image.size
    except Exception:  # It is counted as bad when it is decoded.
        return 0, 0


def is_grey(source: Source) -> bool | None:
    """Return True if the mode in the header has no colour; None if the header cannot be read."""
    try:
        with Image.open(_readable(source), formats=FORMATS) as image:
            return image.mode in GREY
    except Exception:  # It is counted as bad when it is decoded.
        return None


def _opened(source: Source, style: Style) -> Image.Image:
    """Open the whole image, upright and in the mode of the style."""
    with Image.open(_readable(source), formats=FORMATS) as image:
        if style.crop != "cells":
            sides = 1 if style.part == "whole" else 2
            image.draft("L" if style.channels == 1 else "RGB", (sides * _SPARE * style.size, _SPARE * style.size))
        image.load()
        check_range(image)
        return _half(_in_mode(upright(image), style), style.part)


def _half(image: Image.Image, part: Part) -> Image.Image:
    """Return the whole image, or one half of it; a column in the middle belongs to neither."""
    if part == "whole":
        return image
    width = image.width // 2
    if not width:
        raise BadFileError(f"it is {image.width} x {image.height}, too narrow for two halves")
    left = 0 if part == "left" else image.width - width
    return image.crop((left, 0, left + width, image.height))


def _readable(source: Source) -> Path | BytesIO:
    return BytesIO(source) if isinstance(source, bytes) else source


def upright(image: Image.Image) -> Image.Image:
    """Turn an image as its EXIF block says."""
    try:
        return ImageOps.exif_transpose(image)
    except Exception:  # A damaged EXIF block is no reason to lose the picture.
        return image


def check_range(image: Image.Image) -> None:
    """Raise a BadFileError for pixels of no known range; a guess would scale each image differently."""
    if image.mode == "F":
        raise BadFileError("its pixels are floats, of no known range")
    # Older Pillows read PNGs of 16 bits as 32.
    if image.mode == "I" and image.format != "PNG":
        raise BadFileError("its pixels are 32-bit integers, of no known range")


def in_eight_bits(image: Image.Image) -> Image.Image:
    """Scale sixteen bits to eight: 65,535 becomes 255. Pillow would clip."""
    if not image.mode.startswith("I"):
        return image
    return Image.fromarray(((np.asarray(image).astype(np.uint32) + 128) // 257).astype(np.uint8))


def _in_mode(image: Image.Image, style: Style) -> Image.Image:
    """Convert an image of any mode to L or RGB, in 8 bits and on the background."""
    image = in_eight_bits(image)
    if image.mode in TRANSPARENT or "transparency" in image.info:
        ground = Image.new("RGBA", image.size, (*style.background, 255))
        image = Image.alpha_composite(ground, image.convert("RGBA"))
    if image.mode in ("P", "CMYK"):
        image = image.convert("RGB")
    wanted = "L" if style.channels == 1 else "RGB"
    return image if image.mode == wanted else image.convert(wanted)


def _box(image: Image.Image, crop: str) -> tuple[int, int, int, int]:
    """Return the part of the image that is kept, in whole pixels, so that an image of the right size is unchanged."""
    width, height = image.size
    if crop == "none":
        return 0, 0, width, height
    side = min(width, height)
    # The pixels alone decide, no seed and no name: copies of an image get the same crop, and stay copies.
    part = _fraction(hashlib.blake2b(image.tobytes()).digest()) if crop == "random" else 0.5
    left, top = int((width - side) * part), int((height - side) * part)
    return left, top, left + side, top + side


def _fraction(digest: bytes) -> float:
    return int.from_bytes(digest[:6], "big") / 2**48


def reason(error: Exception, source: Source) -> str:
    """Return a few words on what is wrong with a file."""
    if isinstance(error, BadFileError):
        return str(error)
    if isinstance(error, UnidentifiedImageError):
        empty = not (len(source) if isinstance(source, bytes) else source.stat().st_size)
        return "it is empty" if empty else f"it is none of {', '.join(FORMATS)}"
    if isinstance(error, Image.DecompressionBombError):
        return "it unpacks to far too many pixels (a decompression bomb)"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return " ".join(str(error).split()) or type(error).__name__
