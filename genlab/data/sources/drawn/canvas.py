"""Anti-aliased drawing of many images at once, by signed distances: negative inside, positive outside."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

Colour = Tensor | tuple[int, int, int]
"""Red, green and blue up to 255: one colour for all images, or N x 3 for one colour each."""

CHUNK = 2**17
"""Number of pixels that are drawn at once: few enough for a processor's cache, whatever the size of the images."""

WHOLE = 2.0**12
"""Sum of the weights of a pixel's layers. All weights are whole numbers, so float32 adds them exactly in any order."""


@dataclass(frozen=True)
class Plane:
    """Coordinates of each pixel of each image, in units of the drawing: x to the right, y down."""

    x: Tensor
    y: Tensor
    unit: Tensor
    """Length of a unit in pixels, N x 1 x 1."""

    @classmethod
    def of(cls, size: int, count: int) -> Plane:
        """Return the plane with its origin in the middle of the image and its edges at -1 and 1."""
        centres = (torch.arange(size, dtype=torch.float32) * 2 + 1 - size) / size
        return cls(centres.view(1, 1, size), centres.view(1, size, 1), torch.full((count, 1, 1), size / 2))

    def at(self, x: Tensor | float, y: Tensor | float) -> Plane:
        """Return the plane with its origin moved to (x, y)."""
        return Plane(self.x - x, self.y - y, self.unit)

    def scaled(self, factor: Tensor) -> Plane:
        """Return the plane of a drawing that is `factor` times as large."""
        return Plane(self.x / factor, self.y / factor, self.unit * factor)

    def turned(self, degrees: Tensor) -> Plane:
        """Return the plane of a drawing that is turned clockwise about its origin."""
        # In double precision the sine of an angle is the same at every place of a tensor.
        angle = degrees.double().deg2rad()
        cosine, sine = angle.cos().float(), angle.sin().float()
        return Plane(self.x * cosine + self.y * sine, self.y * cosine - self.x * sine, self.unit)

    def mirrored(self) -> Plane:
        """Return the plane on which everything on the right is drawn on the left, too."""
        return Plane(self.x.abs(), self.y, self.unit)

    def coverage(self, distance: Tensor) -> Tensor:
        """Return the part of each pixel that is inside, from 0 to 1."""
        return (0.5 - distance * self.unit).clamp(0, 1)


def circle(plane: Plane, radius: float) -> Tensor:
    """Return the distance from a circle around the origin."""
    return (plane.x.square() + plane.y.square()).sqrt() - radius


def ellipse(plane: Plane, width: float, height: float) -> Tensor:
    """Return the distance from an ellipse with these half axes, to first order: exact where it is 0."""
    x, y = plane.x / width, plane.y / height
    # In the very middle both are 0, and their ratio is undefined.
    norm = (x.square() + y.square()).clamp_(min=1e-12).sqrt_()
    slope = ((x / width).square() + (y / height).square()).clamp_(min=1e-12).sqrt_()
    return (norm - 1) * norm / slope


def box(plane: Plane, width: float, height: float, rounding: float = 0.0) -> Tensor:
    """Return the distance from a box with these half sides and round corners."""
    x = plane.x.abs() - (width - rounding)
    y = plane.y.abs() - (height - rounding)
    outside = (x.clamp(min=0).square() + y.clamp(min=0).square()).sqrt()
    return outside + torch.maximum(x, y).clamp(max=0) - rounding


def bar(plane: Plane, length: float, thickness: float) -> Tensor:
    """Return the distance from a horizontal stroke with round ends; both sizes are halves."""
    beyond = (plane.x.abs() - length).clamp(min=0)
    return (beyond.square() + plane.y.square()).sqrt() - thickness


class Painting:
    """Layers that are added from the front to the back."""

    def __init__(self, count: int, size: int) -> None:
        self._left = torch.full((count, size, size), WHOLE)
        self._weights: list[Tensor] = []
        self._colours: list[Tensor] = []

    def behind(self, coverage: Tensor, colour: Colour) -> None:
        """Add a layer behind all others."""
        weight = (coverage * self._left).round_()
        self._left = self._left - weight
        self._weights.append(weight)
        self._colours.append(self._each(colour))

    def flatten(self, background: Colour) -> Tensor:
        """Return the images, N x 3 x H x W of bytes, on a background of one colour."""
        weights = torch.stack([*self._weights, self._left], 1)
        colours = torch.stack([*self._colours, self._each(background)], 2)
        mixed = torch.bmm(colours, weights.flatten(2)) / WHOLE
        return mixed.view(len(weights), 3, *weights.shape[2:]).round_().to(torch.uint8)

    def _each(self, colour: Colour) -> Tensor:
        each = colour if isinstance(colour, Tensor) else torch.tensor([colour])
        return each.float().expand(len(self._left), 3)


def in_chunks(draw: Callable[[dict[str, Tensor]], Tensor], factors: dict[str, Tensor], size: int) -> Tensor:
    """Draw all images, a few at a time, so that little memory is needed besides the images."""
    count = len(next(iter(factors.values())))
    step = max(1, CHUNK // size**2)
    images = torch.empty(0)
    for start in range(0, count, step):
        part = draw({name: values[start : start + step] for name, values in factors.items()})
        if not start:
            images = part.new_empty(count, *part.shape[1:])
        images[start : start + step] = part
    return images
