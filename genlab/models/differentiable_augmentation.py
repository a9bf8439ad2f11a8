"""Differentiable augmentation: random changes of all images that a discriminator sees (Zhao et al. 2020)."""

from collections.abc import Callable, Iterable
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from genlab import randomness

Change = Literal["color", "translation", "cutout"]


def changed(images: Tensor, changes: Iterable[Change]) -> Tensor:
    """Change each image in [-1, 1] at random; gradients flow through all changes."""
    for change in changes:
        images = CHANGES[change](images)
    return images


def _color(images: Tensor) -> Tensor:
    """Change brightness by up to 0.5, saturation by a factor up to 2, and contrast by up to a half."""
    draws = randomness.uniform(len(images), 3, 1, 1, 1, device=images.device)
    brightness, saturation, contrast = draws.unbind(1)
    images = images + (brightness - 0.5)
    grey = images.mean(1, keepdim=True)
    images = grey + (images - grey) * (2 * saturation)
    middle = images.mean((1, 2, 3), keepdim=True)
    contrasted: Tensor = middle + (images - middle) * (contrast + 0.5)
    return contrasted


def _translation(images: Tensor) -> Tensor:
    """Move each image by up to an eighth of its side, and fill with 0."""
    rows, columns = (_moved(images, dimension) for dimension in (2, 3))
    height, width = images.shape[2:]
    padded = functional.pad(images, (1, 1, 1, 1))
    # Places beyond an edge read the border of zeros.
    rows, columns = rows.clamp(-1, height) + 1, columns.clamp(-1, width) + 1
    numbers = torch.arange(len(images), device=images.device).view(-1, 1, 1)
    return padded.movedim(1, 3)[numbers, rows.unsqueeze(2), columns.unsqueeze(1)].movedim(3, 1)


def _moved(images: Tensor, dimension: int) -> Tensor:
    """Return the place along a side that each pixel of each image comes from."""
    side, most = images.shape[dimension], (images.shape[dimension] + 4) // 8
    shift = randomness.integers(-most, most + 1, len(images), 1, device=images.device)
    return torch.arange(side, device=images.device) + shift


def _cutout(images: Tensor) -> Tensor:
    """Set a square of half a side to 0, with its middle anywhere in the image."""
    outside = [~_covered(images, dimension) for dimension in (2, 3)]
    keep = outside[0].unsqueeze(2) | outside[1].unsqueeze(1)
    return images * keep.unsqueeze(1).to(images.dtype)


def _covered(images: Tensor, dimension: int) -> Tensor:
    """Return a mask for each image: the places along a side that lie in the square."""
    side = images.shape[dimension]
    half = max(1, side // 2)
    start = randomness.integers(0, side + 1 - half % 2, len(images), 1, device=images.device) - half // 2
    places = torch.arange(side, device=images.device)
    return (places >= start) & (places < start + half)


CHANGES: dict[str, Callable[[Tensor], Tensor]] = {"color": _color, "translation": _translation, "cutout": _cutout}
