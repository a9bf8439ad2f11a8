"""Cartoon faces with attributes that are independent of each other, each visible whatever the others are."""

import torch
from torch import Tensor

from genlab.data.dataset import Dataset
from genlab.data.sources.drawn.canvas import Painting, Plane, bar, box, circle, ellipse, in_chunks
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
from genlab.registry import unknown

NO_OR_YES = ("no", "yes")

HAIR = {"black": (52, 44, 58), "red": (208, 74, 38), "blond": (246, 200, 70), "grey": (196, 198, 208)}
SKIN = {"light": (255, 222, 196), "tan": (234, 184, 138), "brown": (190, 130, 90), "dark": (140, 88, 60)}
BACKGROUND = {"sky": (150, 205, 240), "mint": (160, 225, 185), "lilac": (200, 180, 240)}

FACTORS: Factors = {
    "smile": Choice(NO_OR_YES),
    "glasses": Choice(NO_OR_YES),
    "hat": Choice(NO_OR_YES),
    "beard": Choice(NO_OR_YES),
    "hair": Choice(tuple(HAIR)),
    "skin": Choice(tuple(SKIN)),
    "gaze": Choice(("left", "ahead", "right")),
    "size": Number(0.8, 1.0),
    "tilt": Number(-20.0, 20.0),
    "x": Number(-0.05, 0.05),
    "y": Number(-0.05, 0.05),
    "background": Choice(tuple(BACKGROUND)),
}

INK = (58, 40, 46)
WHITE = (255, 255, 255)
LINE = 0.05


def faces(*, count: int, size: int, seed: int, validation: int, test: int, label: str = "smile") -> Dataset:
    """Return faces in colour; one of the attributes is also the label, for models that need labels."""
    check_size(size)
    names = _classes(label)
    splits = split(count, validation, test)
    factors = draw_factors(FACTORS, count, seed, "faces")
    attributes = columns_of(FACTORS, factors)
    images, redraw = draw(factors, size), redrawing(draw, FACTORS, size)
    return Dataset.of_images(images, splits, factors[label], names, attributes, redraw=redraw)


def _classes(label: str) -> tuple[str, ...]:
    """Return the names of the classes if an attribute is the label, such as `no hat` and `hat`."""
    choices = {name: factor.names for name, factor in FACTORS.items() if isinstance(factor, Choice)}
    if label not in choices:
        raise unknown("label", label, choices)
    return (f"no {label}", label) if choices[label] == NO_OR_YES else choices[label]


def draw(factors: dict[str, Tensor], size: int) -> Tensor:
    """Draw the images that the factors describe, N x 3 x H x W of bytes."""
    return in_chunks(lambda part: _draw(part, size), factors, size)


def _draw(factors: dict[str, Tensor], size: int) -> Tensor:
    painting = Painting(len(factors["smile"]), size)
    x, y, large, tilt = (factors[name].view(-1, 1, 1) for name in ("x", "y", "size", "tilt"))
    plane = Plane.of(size, len(x)).at(x, y).turned(tilt).scaled(large * 0.62).at(0, 0.08)
    skin = torch.tensor(list(SKIN.values()))[factors["skin"]]
    hair = torch.tensor(list(HAIR.values()))[factors["hair"]]
    _hat(painting, plane, factors["hat"])
    _eyes(painting, plane, factors)
    _mouth(painting, plane, factors["smile"])
    _beard(painting, plane, factors["beard"], hair)
    _head(painting, plane, skin, hair)
    return painting.flatten(torch.tensor(list(BACKGROUND.values()))[factors["background"]])


def _hat(painting: Painting, plane: Plane, worn: Tensor) -> None:
    worn = worn.view(-1, 1, 1)
    band = box(plane.at(0, -0.58), 1.2, 0.19, 0.15)
    dome = torch.maximum(ellipse(plane.at(0, -0.5), 1.12, 0.86), plane.y + 0.5)
    ball = circle(plane.at(0, -1.36), 0.22)
    painting.behind(plane.coverage(band + LINE) * worn, (255, 214, 90))
    painting.behind(plane.coverage(band) * worn, INK)
    painting.behind(plane.coverage(ball + LINE) * worn, (255, 214, 90))
    painting.behind(plane.coverage(dome + LINE) * worn, (88, 84, 214))
    painting.behind(plane.coverage(torch.minimum(dome, ball)) * worn, INK)


def _eyes(painting: Painting, plane: Plane, factors: dict[str, Tensor]) -> None:
    glasses = factors["glasses"].view(-1, 1, 1)
    gaze = (factors["gaze"].view(-1, 1, 1) - 1) * 0.11
    eye = plane.mirrored().at(0.39, 0.05)
    round_eye = circle(eye, 0.0)
    frame = (round_eye - 0.34).abs() - 0.055
    rest = torch.minimum(bar(eye.at(0.47, -0.04), 0.1, 0.055), bar(eye.at(-0.39, -0.02), 0.06, 0.055))
    painting.behind(plane.coverage(torch.minimum(frame, rest)) * glasses, INK)
    pupils = plane.at(gaze, 0).mirrored().at(0.39, 0.06)
    painting.behind(plane.coverage(circle(Plane(pupils.x, pupils.y + 0.05, plane.unit), 0.04)), WHITE)
    white = ellipse(eye, 0.21, 0.24)
    painting.behind(plane.coverage(torch.maximum(circle(pupils, 0.135), white)), (40, 36, 58))
    painting.behind(plane.coverage(white), WHITE)
    painting.behind(plane.coverage(round_eye - 0.34) * glasses * 0.45, (225, 245, 255))


def _mouth(painting: Painting, plane: Plane, smiling: Tensor) -> None:
    smiling = smiling.view(-1, 1, 1)
    mouth = plane.at(0, 0.5)
    grin = torch.maximum(circle(mouth, 0.35), -mouth.y)
    teeth = torch.maximum(grin + LINE, mouth.y - 0.13)
    tongue = torch.maximum(grin + LINE, ellipse(mouth.at(0, 0.37), 0.19, 0.13))
    bent = Plane(plane.x, plane.y - plane.x.square() * 0.6, plane.unit)
    painting.behind(plane.coverage(teeth) * smiling, WHITE)
    painting.behind(plane.coverage(tongue) * smiling, (240, 110, 110))
    painting.behind(plane.coverage(grin) * smiling, (112, 22, 40))
    painting.behind(plane.coverage(bar(bent.at(0, 0.64), 0.21, 0.065)) * (1 - smiling), (96, 16, 34))


def _beard(painting: Painting, plane: Plane, grown: Tensor, hair: Tensor) -> None:
    grown = grown.view(-1, 1, 1)
    outside = ellipse(plane.at(0, 0.45), 1.0, 0.98)
    face = ellipse(plane.at(0, 0.2), 0.68, 0.78)
    beard = torch.maximum(torch.maximum(outside, -face), 0.12 - plane.y)
    painting.behind(plane.coverage(beard + LINE) * grown, hair)
    painting.behind(plane.coverage(beard) * grown, INK)


def _head(painting: Painting, plane: Plane, skin: Tensor, hair: Tensor) -> None:
    sides = plane.mirrored()
    face = ellipse(plane.at(0, 0.1), 0.95, 1.05)
    ears = circle(sides.at(0.97, 0.15), 0.14)
    mop = ellipse(plane.at(0, -0.14), 1.24, 1.14)
    fringe = circle(plane.at(-0.45, -1.05), 0.76)
    locks = torch.maximum(mop, -torch.maximum(ellipse(plane.at(0, 0.5), 0.84, 1.02), -fringe))
    painting.behind(plane.coverage(bar(sides.at(0.4, -0.3), 0.14, 0.04)), hair * 0.5)
    painting.behind(plane.coverage(ellipse(plane.at(0, 0.33), 0.1, 0.08)), skin * 0.8)
    painting.behind(plane.coverage(circle(sides.at(0.6, 0.42), 0.15)) * 0.35, (240, 100, 110))
    painting.behind(plane.coverage(ears + LINE), skin)
    painting.behind(plane.coverage(ears), INK)
    painting.behind(plane.coverage(locks + LINE), hair)
    painting.behind(plane.coverage(locks), INK)
    painting.behind(plane.coverage(face + LINE), skin)
    painting.behind(plane.coverage(face), INK)
