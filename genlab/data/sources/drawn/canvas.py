"""Anti-aliased drawing of many images at once, by signed distances: negative inside, positive outside."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

Colour = Tensor | tuple[int, int, int]
"""Whole numbers up to 255: one colour for all images, or N x 3 for one each."""

CHUNK = 2**17
"""How many pixels are drawn at once: few enough for a processor's cache, at any size of the images."""

WHOLE = 2.0**12
"""What a pixel's layers add up to, all in whole numbers: float32 then adds them exactly, in whatever order."""


@dataclass(frozen=True)
class Plane:
    """Where each pixel of each image lies, in a drawing's own units: x to the right, y down."""

    x: Tensor
    y: Tensor
    unit: Tensor
    """How many pixels a unit is long, N x 1 x 1."""

    @classmethod
    def of(cls, size: int, count: int) -> Plane:
        """The plane whose origin is in the middle of the image, and whose edges are at -1 and 1."""
        centres = (torch.arange(size, dtype=torch.float32) * 2 + 1 - size) / size
        return cls(centres.view(1, 1, size), centres.view(1, size, 1), torch.full((count, 1, 1), size / 2))

    def at(self, x: Tensor | float, y: Tensor | float) -> Plane:
        """The same plane with its origin moved to (x, y)."""
        return Plane(self.x - x, self.y - y, self.unit)

    def scaled(self, factor: Tensor) -> Plane:
        """The plane of a drawing that is `factor` times as large."""
        return Plane(self.x / factor, self.y / factor, self.unit * factor)

    def turned(self, degrees: Tensor) -> Plane:
        """The plane of a drawing that is turned clockwise about its origin."""
        # In double precision, so that an angle's sine is the same wherever in a tensor the angle stands.
        angle = degrees.double().deg2rad()
        cosine, sine = angle.cos().float(), angle.sin().float()
        return Plane(self.x * cosine + self.y * sine, self.y * cosine - self.x * sine, self.unit)

    def mirrored(self) -> Plane:
        """The plane on which what is drawn to the right is drawn to the left as well."""
        return Plane(self.x.abs(), self.y, self.unit)

    def coverage(self, distance: Tensor) -> Tensor:
        """How much of each pixel lies inside, from 0 to 1."""
        return (0.5 - distance * self.unit).clamp(0, 1)


def circle(plane: Plane, radius: float) -> Tensor:
    """The distance from a circle about the origin."""
    return (plane.x.square() + plane.y.square()).sqrt() - radius


def ellipse(plane: Plane, width: float, height: float) -> Tensor:
    """The distance from an ellipse with these half axes, to the first order: exact where it is 0."""
    x, y = plane.x / width, plane.y / height
    # In the very middle both are 0, and their ratio is not to be had.
    norm = (x.square() + y.square()).clamp_(min=1e-12).sqrt_()
    slope = ((x / width).square() + (y / height).square()).clamp_(min=1e-12).sqrt_()
    return (norm - 1) * norm / slope


def box(plane: Plane, width: float, height: float, rounding: float = 0.0) -> Tensor:
    """The distance from a box of these half sides, with round corners."""
    x = plane.x.abs() - (width - rounding)
    y = plane.y.abs() - (height - rounding)
    outside = (x.clamp(min=0).square() + y.clamp(min=0).square()).sqrt()
    return outside + torch.maximum(x, y).clamp(max=0) - rounding


def bar(plane: Plane, length: float, thickness: float) -> Tensor:
    """The distance from a level stroke with round ends, both given by their halves."""
    beyond = (plane.x.abs() - length).clamp(min=0)
    return (beyond.square() + plane.y.square()).sqrt() - thickness


class Painting:
    """Layers that are laid from the front to the back, each behind all that are there."""

    def __init__(self, count: int, size: int) -> None:
        self._left = torch.full((count, size, size), WHOLE)
        self._weights: list[Tensor] = []
        self._colours: list[Tensor] = []

    def behind(self, coverage: Tensor, colour: Colour) -> None:
        """Lay a layer behind the others."""
        weight = (coverage * self._left).round_()
        self._left = self._left - weight
        self._weights.append(weight)
        self._colours.append(self._each(colour))

    def flatten(self, background: Colour) -> Tensor:
        """The images, N x 3 x H x W of bytes, on a ground of one colour."""
        weights = torch.stack([*self._weights, self._left], 1)
        colours = torch.stack([*self._colours, self._each(background)], 2)
        mixed = torch.bmm(colours, weights.flatten(2)) / WHOLE
        return mixed.view(len(weights), 3, *weights.shape[2:]).round_().to(torch.uint8)

    def _each(self, colour: Colour) -> Tensor:
        each = colour if isinstance(colour, Tensor) else torch.tensor([colour])
        return each.float().expand(len(self._left), 3)


def in_chunks(draw: Callable[[dict[str, Tensor]], Tensor], factors: dict[str, Tensor], size: int) -> Tensor:
    """What `draw` draws of all images, a few at a time, so that little memory is needed beside the images."""
    count = len(next(iter(factors.values())))
    step = max(1, CHUNK // size**2)
    images = torch.empty(0)
    for start in range(0, count, step):
        part = draw({name: values[start : start + step] for name, values in factors.items()})
        if not start:
            images = part.new_empty(count, *part.shape[1:])
        images[start : start + step] = part
    return images
