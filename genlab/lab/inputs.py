"""Convert the inputs of a user (files, pictures, arrays, tensors, texts) to items of a kind."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import singledispatch
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image as Pillow
from torch import Tensor

from genlab.data.files.decode import FORMATS, BadFileError, Style, check_range, decode, reason, upright
from genlab.data.files.first_pass import quiet_pillow
from genlab.kinds import Image, Kind, Points, Tokens
from genlab.lab.files import sources
from genlab.lab.picture import named, plain
from genlab.registry import ConfigError

Inputs = str | Path | Pillow.Image | NDArray[Any] | Tensor | Sequence[Any]
"""A file, a folder, a pattern, a PIL image, an array, a tensor, or a list of these."""


@dataclass(frozen=True)
class Fitting:
    """The way in which pictures are brought to the size of the data."""

    crop: bool = True
    """True to cut the largest part of the right proportions from the middle, False to stretch the whole picture."""
    background: tuple[int, int, int] = (255, 255, 255)
    """The colour behind transparent pictures."""


@singledispatch
def items(kind: Kind, inputs: Inputs, fitting: Fitting) -> Tensor:
    """Convert inputs to items as a model sees them, N x the shape of one item."""
    raise ConfigError(f"There is no way to read {kind.describe()} from {_named(inputs)}.")


@items.register
def _(kind: Image, inputs: Inputs, fitting: Fitting) -> Tensor:
    with quiet_pillow():
        found = [_image(kind, element, fitting) for element in elements(inputs)]
    if not found:
        raise ConfigError("There are no images: the list is empty.")
    return torch.cat(found)


@items.register
def _(kind: Points, inputs: Inputs, fitting: Fitting) -> Tensor:
    points = numbers(inputs, f"points, N x {kind.dimensions}")
    if points.dim() == 1:
        points = points[:, None] if kind.dimensions == 1 else points[None]
    if points.dim() != 2 or points.shape[1] != kind.dimensions:
        raise ConfigError(f"Points must be N x {kind.dimensions}, got shape {tuple(points.shape)}.")
    return points


@items.register
def _(kind: Tokens, inputs: Inputs, fitting: Fitting) -> Tensor:
    texts = [inputs] if isinstance(inputs, str) else inputs
    if isinstance(texts, Sequence) and all(isinstance(text, str) for text in texts):
        return kind.load(kind.encode([str(text) for text in texts]))
    rows = numbers(inputs, "texts, or the numbers of their symbols").to(kind.dtype)
    kind.check(rows, "x")
    return kind.load(rows)


def elements(inputs: Inputs) -> Iterator[Path | Pillow.Image | Tensor]:
    """Yield pictures in files, PIL images, and tensors, in order; folders and patterns give one path a picture."""
    if isinstance(inputs, str | Path):
        yield from (source.path for source in sources([Path(inputs)]))
    elif isinstance(inputs, Pillow.Image | Tensor):
        yield inputs
    elif isinstance(inputs, np.ndarray):
        yield _tensor(inputs)
    elif isinstance(inputs, Sequence):
        for each in inputs:
            yield from elements(each)
    else:
        raise ConfigError(
            f"Images must be a file, folder, PIL image, array, tensor or a list of these, got {_named(inputs)}."
        )


def values(kind: Image, array: Tensor, height: int | None, width: int | None) -> Tensor:
    """Convert an array in any usual layout to images in [0, 1], N x C x H x W; None stands for any height or width."""
    return _in_range(kind, _arranged(kind, array, height, width))


def numbers(inputs: object, what: str) -> Tensor:
    """Convert a list, an array or a tensor to float32."""
    try:
        if isinstance(inputs, list | tuple) and all(isinstance(each, Tensor) for each in inputs):
            inputs = torch.stack(list(inputs))
        found: Tensor = torch.as_tensor(inputs, dtype=torch.float32).detach().cpu()
    except (TypeError, ValueError, RuntimeError):
        raise ConfigError(f"Pass an array or a tensor of {what}, got {_named(inputs)}.") from None
    return found


def _image(kind: Image, element: Path | Pillow.Image | Tensor, fitting: Fitting) -> Tensor:
    """Convert one element to images; a tensor may hold several."""
    if isinstance(element, Tensor):
        return values(kind, element, kind.height, kind.width)
    try:
        stored = _from_picture(kind, element, fitting)
    except (BadFileError, OSError) as error:
        raise ConfigError(f"{named(element)} cannot be read: {error}.") from None
    return kind.load(stored[None])


def _from_picture(kind: Image, picture: Path | Pillow.Image, fitting: Fitting) -> Tensor:
    """Convert a picture to bytes, C x H x W."""
    if isinstance(picture, Pillow.Image):
        return _fitted(kind, picture, fitting)
    if kind.height == kind.width:
        # Exactly as the source data=folder reads it.
        style = Style(kind.width, "center" if fitting.crop else "none", kind.channels, fitting.background)
        return torch.from_numpy(np.array(decode(picture, style)))
    try:
        with Pillow.open(picture, formats=FORMATS) as opened:
            return _fitted(kind, opened, fitting)
    except Exception as error:  # Pillow raises almost anything for a damaged file.
        raise BadFileError(reason(error, picture)) from None


def _fitted(kind: Image, picture: Pillow.Image, fitting: Fitting) -> Tensor:
    check_range(picture)
    picture = plain(upright(picture))
    if picture.mode.endswith("A"):
        ground = Pillow.new("RGBA", picture.size, (*fitting.background, 255))
        picture = Pillow.alpha_composite(ground, picture.convert("RGBA"))
    picture = picture.convert("L" if kind.channels == 1 else "RGB")
    box = _middle(picture.size, kind) if fitting.crop else (0, 0, *picture.size)
    pixels = np.array(picture.resize((kind.width, kind.height), Pillow.Resampling.BILINEAR, box))
    return torch.from_numpy(pixels)[None] if pixels.ndim == 2 else torch.from_numpy(pixels).permute(2, 0, 1)


def _middle(size: tuple[int, int], kind: Image) -> tuple[int, int, int, int]:
    """Return the largest part in the middle with the proportions of the kind, in whole pixels."""
    width = max(1, min(size[0], size[1] * kind.width // kind.height))
    height = max(1, min(size[1], size[0] * kind.height // kind.width))
    left, top = (size[0] - width) // 2, (size[1] - height) // 2
    return left, top, left + width, top + height


def _tensor(array: NDArray[Any]) -> Tensor:
    try:
        # A copy: torch warns about read-only arrays, and refuses negative strides.
        return torch.from_numpy(np.array(array))
    except TypeError:
        raise ConfigError(f"Images must be uint8 in 0..255 or floats in 0..1, got an array of {array.dtype}.") from None


def _arranged(kind: Image, array: Tensor, height: int | None, width: int | None) -> Tensor:
    """Bring an array to N x C x H x W. If both layouts fit, channels come first."""
    channels = kind.channels
    layouts: list[tuple[tuple[int | None, ...], Callable[[Tensor], Tensor]]] = [
        ((channels, height, width), lambda image: image[None]),
        ((height, width, channels), lambda image: image.permute(2, 0, 1)[None]),
        ((None, channels, height, width), lambda images: images),
        ((None, height, width, channels), lambda images: images.permute(0, 3, 1, 2)),
    ]
    if channels == 1:
        layouts += [
            ((height, width), lambda image: image[None, None]),
            ((None, height, width), lambda images: images[:, None]),
        ]
    for layout, arrange in layouts:
        if len(layout) == array.dim() and all(
            side in (None, there) for side, there in zip(layout, array.shape, strict=True)
        ):
            return arrange(array)
    high, wide = height or "H", width or "W"
    raise ConfigError(
        f"Arrays of {kind.plural} must be N x {channels} x {high} x {wide} or N x {high} x {wide} x {channels}, "
        f"got shape {tuple(array.shape)}. Files and PIL images are converted and resized; arrays are not."
    )


def _in_range(kind: Image, images: Tensor) -> Tensor:
    images = images.detach().cpu()
    if images.dtype == torch.uint8:
        return kind.load(images)
    if not images.is_floating_point():
        raise ConfigError(f"{_CHOICES}, got {images.dtype}.")
    if images.numel() and not (images.min() >= 0 and images.max() <= 1):
        raise ConfigError(f"{_CHOICES}, got floats from {float(images.min()):.4g} to {float(images.max()):.4g}.")
    return images.float()


_CHOICES = "Images must be uint8 in 0..255 or floats in 0..1"


def _named(inputs: object) -> str:
    return repr(inputs) if isinstance(inputs, str) else f"an object of type {type(inputs).__name__}"
