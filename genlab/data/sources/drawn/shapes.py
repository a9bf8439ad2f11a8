"""Anti-aliased squares, ellipses and hearts, one in each image, as in dSprites (Matthey et al. 2017)."""

import math

import torch
from torch import Tensor

from genlab.data.dataset import Dataset
from genlab.data.sources.drawn.canvas import Plane, box, circle, ellipse, in_chunks
from genlab.data.sources.drawn.factors import (
    Choice,
    Factors,
    Number,
    check_size,
    columns_of,
    draw_factors,
    redrawing,
    split,
)

REACH = 0.44
"""Distance that the largest shape reaches from its middle, where 1 is half of the image."""

ROOM = 0.45
"""Smallest distance of a middle from the edges, in the same units: no shape is cut off, whatever its angle."""

SHAPES = ("square", "ellipse", "heart")

FACTORS: Factors = {
    "shape": Choice(SHAPES),
    "size": Number(0.5, 1.0),
    "angle": Number(0.0, 360.0),
    # Position of the middle: 0 is the left or upper edge of the image, 1 the right or lower one.
    "x": Number(ROOM / 2, 1 - ROOM / 2),
    "y": Number(ROOM / 2, 1 - ROOM / 2),
}

PALETTE = {
    "red": (235, 70, 60),
    "yellow": (250, 210, 60),
    "green": (80, 190, 90),
    "cyan": (70, 205, 220),
    "blue": (75, 110, 240),
    "pink": (240, 110, 200),
}


def shapes(*, count: int, size: int, colour: bool, seed: int, validation: int, test: int) -> Dataset:
    """Return white shapes on black or, in colour, shapes of six colours; the label is the shape."""
    check_size(size)
    splits = split(count, validation, test)
    varied = FACTORS | ({"colour": Choice(tuple(PALETTE))} if colour else {})
    factors = draw_factors(varied, count, seed, "shapes")
    attributes, redraw = columns_of(varied, factors), redrawing(draw, varied, size)
    return Dataset.of_images(draw(factors, size), splits, factors["shape"], SHAPES, attributes, redraw=redraw)


def draw(factors: dict[str, Tensor], size: int) -> Tensor:
    """Draw the images that the factors describe: grey, or in colour if `colour` is among the factors."""
    return in_chunks(lambda part: _draw(part, size), factors, size)


def _draw(factors: dict[str, Tensor], size: int) -> Tensor:
    colours = torch.tensor(list(PALETTE.values()))[factors["colour"]] if "colour" in factors else torch.tensor([[255]])
    return (_coverage(factors, size).unsqueeze(1) * colours.view(*colours.shape, 1, 1)).round_().to(torch.uint8)


def _coverage(factors: dict[str, Tensor], size: int) -> Tensor:
    coverage = torch.empty(len(factors["shape"]), size, size)
    for number, distance in enumerate((_square, _ellipse, _heart)):
        rows = (factors["shape"] == number).nonzero().flatten()
        large, angle, x, y = (factors[name][rows].view(-1, 1, 1) for name in ("size", "angle", "x", "y"))
        plane = Plane.of(size, len(rows)).at(2 * x - 1, 2 * y - 1).turned(angle).scaled(large * REACH)
        coverage[rows] = plane.coverage(distance(plane))
    return coverage


def _square(plane: Plane) -> Tensor:
    return box(plane, math.sqrt(0.5), math.sqrt(0.5))


def _ellipse(plane: Plane) -> Tensor:
    return ellipse(plane, 1.0, 0.6)


def _heart(plane: Plane) -> Tensor:
    """Return the distance from a heart: a square on its corner, with half a disc on each of its upper sides."""
    # With this size and place, the smallest circle around the heart is the one around the other shapes.
    side, low = 0.56, 0.207
    lobes = plane.at(0, low).mirrored()
    corner = Plane((lobes.x + lobes.y) * math.sqrt(0.5), (lobes.x - lobes.y) * math.sqrt(0.5), plane.unit)
    middle = side * math.sqrt(0.5)
    return torch.minimum(box(corner, side, side), circle(lobes.at(middle, -middle), side))
