"""A page without a decoder: a plane of codes, of which a grid of places is decoded beforehand."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

if TYPE_CHECKING:
    from genlab.explore.questions import Answer, Questions

_BYTES = 900_000
"""Bytes of all decoded places; a page has about as many after compression and encoding."""
_LEAST, _MOST = 5, 32
"""Places along one side of the grid."""
_REACH = 3
"""Stds of a number from its centre to the edge of a plane that has no map."""


def flattened(questions: Questions, answers: Answer) -> Answer:
    """Return the answers for a page whose codes are places in a plane: two numbers."""
    plane = _plane(answers)
    grid = _grid(questions, plane)
    facts, items = answers["facts"], answers["items"]
    features = dict.fromkeys(facts["features"], False)
    mapped = items is not None
    # Places of a plane have no prior around 0, so an arc means nothing there.
    features |= {"decode": True, "background": facts["features"]["background"]}
    features |= dict.fromkeys(("map", "path", "encode", "items"), mapped)
    side = grid["side"]
    about = [*facts["about"], f"shows the nearest of {side} x {side} decoded places"]
    places = plane["project"]
    found = {
        **answers,
        "facts": {**facts, "size": 2, "features": features, "drawn": [], "about": about},
        "units": {
            "centre": plane["centre"],
            "std": plane["std"],
            "order": torch.arange(2),
            "captions": plane["captions"],
            "start": places(answers["units"]["start"][None])[0],
        },
        "samples": None,
        "directions": [],
        "mode": "linear",
        "sprite": grid,
    }
    if mapped:
        flat = {"mean": torch.zeros(2), "axes": torch.eye(2)}
        found["map"] = {**answers["map"], "plane": flat}
        found["items"] = {**items, "codes": torch.stack([answers["map"]["x"], answers["map"]["y"]], 1)}
    return found


def _plane(answers: Answer) -> Mapping[str, Any]:
    """Return a plane through the codes: that of the map, or that of the two most important numbers."""
    units = answers["units"]
    if answers["map"] is not None:
        found = answers["map"]
        mean, axes = found["plane"]["mean"], found["plane"]["axes"]
        places = torch.stack([found["x"], found["y"]], 1)
        low, high = places.min(0).values, places.max(0).values
        captions = ["place on the map, left to right", "place on the map, bottom to top"]
        centre, std = (low + high) / 2, (high - low).clamp_min(1e-6) / (2 * _REACH)
    else:
        order = [int(unit) for unit in units["order"][:2]]
        mean = torch.as_tensor(units["start"]).clone()
        axes = torch.zeros(2, len(mean))
        for row, unit in enumerate(order):
            axes[row, unit], mean[unit] = 1, 0
        centre, std = torch.zeros(2), torch.ones(2)
        for row, unit in enumerate(order):
            centre[row], std[row] = units["centre"][unit], units["std"][unit]
        captions = [*units["captions"][:2], "not used"][:2]
    margin = std * _REACH * 1.1

    def project(codes: Tensor) -> Tensor:
        placed: Tensor = (codes - mean) @ axes.T
        return placed

    return {
        "mean": mean,
        "axes": axes,
        "low": centre - margin,
        "high": centre + margin,
        "centre": centre,
        "std": std,
        "captions": captions,
        "project": project,
    }


def _grid(questions: Questions, plane: Mapping[str, Any]) -> dict[str, Any]:
    """Decode a grid of places, for each class that the decoder is told."""
    from genlab.explore.standalone import decoded

    classes = len(questions.facts()["classes"])
    one = math.prod(questions.kind.shape) * (4 if len(questions.kind.shape) == 1 else 1)
    side = max(_LEAST, min(_MOST, math.isqrt(_BYTES // (one * max(1, classes)))))
    low, high = plane["low"], plane["high"]
    steps = [torch.linspace(float(low[axis]), float(high[axis]), side) for axis in range(2)]
    places = torch.cartesian_prod(steps[1], steps[0]).flip(1)
    codes = plane["mean"] + places @ plane["axes"]
    parts = [decoded(questions, codes, label) for label in (range(classes) if classes else [-1])]
    key = "pixels" if "pixels" in parts[0] else "values"
    every = {**parts[0], "count": sum(part["count"] for part in parts), key: torch.cat([part[key] for part in parts])}
    return {"side": side, "low": low, "high": high, "items": every}
