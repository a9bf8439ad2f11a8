"""Random changes of whole batches of images, on the device, drawn from their own generator."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from genlab import randomness


@dataclass(frozen=True, kw_only=True)
class Augmentation:
    """Random changes of training images; the defaults change nothing."""

    flip: bool = False
    shift: int = 0
    zoom: float = 1.0
    jitter: float = 0.0
    binarize: bool = False

    def __bool__(self) -> bool:
        return self.flip or self.shift > 0 or self.zoom < 1 or self.jitter > 0 or self.binarize

    def __call__(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """Change each image of the batch by its own draws."""
        if self.flip:
            images = flipped(images, _uniform(images, generator) < 0.5)
        if self.zoom < 1:
            images = zoomed(images, self.zoom, *(_uniform(images, generator) for _ in range(3)))
        if self.shift:
            images = shifted(images, *(self._pixels(images, generator) for _ in range(2)))
        if self.jitter:
            images = jittered(images, *(1 + self.jitter * (2 * _uniform(images, generator) - 1) for _ in range(3)))
        return binarized(images, generator) if self.binarize else images

    def _pixels(self, images: Tensor, generator: torch.Generator) -> Tensor:
        least, beyond = -self.shift, self.shift + 1
        return randomness.integers(least, beyond, len(images), device=images.device, generator=generator)


def flipped(images: Tensor, chosen: Tensor) -> Tensor:
    """Mirror the chosen images."""
    return torch.where(chosen.view(-1, 1, 1, 1), images.flip(3), images)


def shifted(images: Tensor, down: Tensor, right: Tensor) -> Tensor:
    """Move each image by whole pixels; the pixels of the edge are repeated."""
    for dimension, distance in ((2, down), (3, right)):
        side = images.shape[dimension]
        places = (torch.arange(side, device=images.device) - distance.view(-1, 1)).clamp(0, side - 1)
        shape = [len(images), 1, 1, 1]
        shape[dimension] = side
        images = images.gather(dimension, places.view(shape).expand_as(images))
    return images


def zoomed(images: Tensor, least: float, size: Tensor, down: Tensor, right: Tensor) -> Tensor:
    """Resize a part of each image to full size.

    The part has between `least` and all of each side. `size`, `down` and `right` are draws in [0, 1).
    """
    scale = least + (1 - least) * size
    room = 1 - scale
    zero = torch.zeros_like(scale)
    across = torch.stack([scale, zero, room * (2 * right - 1)], 1)
    along = torch.stack([zero, scale, room * (2 * down - 1)], 1)
    grid = functional.affine_grid(torch.stack([across, along], 1), list(images.shape), align_corners=False)
    return functional.grid_sample(images, grid, padding_mode="border", align_corners=False)


def jittered(images: Tensor, brightness: Tensor, contrast: Tensor, saturation: Tensor) -> Tensor:
    """Multiply brightness, contrast and saturation of each image by these factors."""
    brightness, contrast, saturation = (factor.view(-1, 1, 1, 1) for factor in (brightness, contrast, saturation))
    images = images * brightness
    images = torch.lerp(images.mean((1, 2, 3), keepdim=True), images, contrast)
    return torch.lerp(images.mean(1, keepdim=True), images, saturation).clamp(0, 1)


def binarized(images: Tensor, generator: torch.Generator) -> Tensor:
    """Draw each pixel as 0 or 1, with its grey value as the probability of 1."""
    thresholds = randomness.uniform(*images.shape, device=images.device, generator=generator)
    return (thresholds < images).to(images.dtype)


def _uniform(images: Tensor, generator: torch.Generator) -> Tensor:
    return randomness.uniform(len(images), device=images.device, generator=generator)
