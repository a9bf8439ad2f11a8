"""Facts about the data and the codes of a run that take a moment to compute, and are computed once for all pages."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator
from functools import cached_property
from importlib.util import find_spec
from typing import Any

import numpy as np
import torch
from torch import Tensor

from genlab.contract import Decodes, Encodes, decoding_conditions
from genlab.data import held_out
from genlab.data.dataset import Column, Dataset
from genlab.kinds import Classes, Points
from genlab.lab.anomaly_scores import WAYS, Detector
from genlab.lab.attributes import Change, attributes_of, encoded_training, training_rows
from genlab.lab.embed import Method, laid_out
from genlab.lab.interpolate import points_behind
from genlab.lab.run import PriorName, Run
from genlab.lab.traverse import Traversal, traverse
from genlab.metrics.attributes import contrasts
from genlab.metrics.codes import finite, principal_components
from genlab.registry import ConfigError

UNITS = 64
"""Sliders at most."""
SCORES = ("error", "smooth", "score")
"""The anomaly scores that need no training items."""

_ITEMS, _NUMBERS = 1_500, 2**26
"""Test items on the map, but no more than this many numbers in all of them."""
_LAID_OUT = 1_000
"""Test items that t-SNE and UMAP lay out: more take too long for somebody who waits."""
_AT_ONCE, _SMALL = 100, 256

_seeded = threading.Lock()
"""Held while items are scored: scores may seed torch's one random generator."""


def scored(run: Run, way: str, items: Tensor) -> Tensor:
    """Return the anomaly scores of items, higher for more anomalous ones."""
    with _seeded:
        return WAYS[way].scorer(Detector(run))(items).float()


class Survey:
    """The test items of a run, their codes, and what follows from them.

    One thread at a time calls these methods. Nothing here belongs to one page.
    """

    def __init__(self, run: Run) -> None:
        self.run, self.kind = run, run.kinds["x"]
        self._maps = dict[str, dict[str, Any]]()

    @cached_property
    def prior(self) -> PriorName:
        """The prior of samples: `normal` if the fitted one belongs to another checkpoint."""
        try:
            _ = self.run.fitted_prior
        except ConfigError:
            return "normal"
        return "auto"

    @cached_property
    def dataset(self) -> Dataset | None:
        """The data of the run; None if it cannot be read."""
        try:
            return self.run.dataset
        except ConfigError:
            return None

    @cached_property
    def rows(self) -> Tensor:
        """The test items that the page can show; training items if there are no test items."""
        if self.dataset is None:
            return torch.empty(0, dtype=torch.int64)
        split = "test" if len(self.dataset.splits["test"]) else "train"
        count = max(1, min(_ITEMS, _NUMBERS // math.prod(self.kind.shape)))
        return held_out.chosen(self.dataset, split, count)

    def items(self, rows: Tensor) -> Iterator[Tensor]:
        """Yield these items in batches."""
        assert self.dataset is not None
        for batch in held_out.batches(self.dataset, rows, torch.device("cpu"), _AT_ONCE):
            yield batch["x"]

    @cached_property
    def codes(self) -> Tensor:
        """The codes of the test items, N x D."""
        return torch.cat([self.run.encode(items) for items in self.items(self.rows)])

    @property
    def mapped(self) -> bool:
        """True if the test items can be drawn on a map of their codes."""
        size = getattr(self.run.model, "latent_dim", 0)
        return isinstance(self.run.model, Encodes) and size > 1 and len(self.rows) > 2

    def units(self) -> dict[str, Any]:
        """Return the numbers of a code that matter most, with their usual range, and the code to start with."""
        return self._units

    @cached_property
    def _units(self) -> dict[str, Any]:
        size = int(getattr(self.run.model, "latent_dim", 0))
        centre, std = torch.zeros(size), torch.ones(size)
        encodes, data = isinstance(self.run.model, Encodes), len(self.rows) > 1
        # Without the data, codes can be drawn, but items cannot be encoded, and points have nothing behind them.
        found = self._traversal(size) if data or not (encodes or isinstance(self.kind, Points)) else None
        if encodes and data and size > UNITS:
            # Numbers without a slider have a usual range, too.
            centre, std = self.codes.mean(0), self.codes.std(0)
        order = [unit.number for unit in found.units] if found else list(range(min(size, UNITS)))
        if found:
            centre[order], std[order] = found.values.mean(1), (found.values[:, 1] - found.values[:, 0]) / 2
        return {
            "centre": centre,
            "std": std.nan_to_num().clamp_min(1e-6),
            "order": np.array(order),
            "captions": [unit.caption for unit in found.units] if found else [f"unit {number}" for number in order],
            "start": found.code if found else centre,
        }

    def _traversal(self, size: int) -> Traversal:
        return traverse(self.run, units=min(size, UNITS), steps=2, reach=1.0, prior=self.prior)

    def methods(self) -> list[str]:
        """Return the ways to draw the map."""
        if not self.mapped:
            return []
        return ["pca", "tsne", *(["umap"] if find_spec("umap") else [])]

    def map(self, method: Method) -> dict[str, Any]:
        """Return the place of each test item in the plane, and its class."""
        if not self.mapped:
            raise ConfigError(f"{self.run.name} has no map: it cannot encode test items.")
        if method not in self._maps:
            self._maps[method] = self._map(method)
        return self._maps[method]

    def _map(self, method: Method) -> dict[str, Any]:
        assert self.dataset is not None
        count = len(self.rows) if method == "pca" else min(len(self.rows), _LAID_OUT)
        codes, plane = self.codes[:count], None
        if method != "pca":
            places = laid_out(codes, method, 2, seed=0)
        elif codes.shape[1] == 2:
            places, plane = codes, {"mean": torch.zeros(2), "axes": torch.eye(2)}
        else:
            mean, axes = codes.mean(0), _principal_axes(codes)
            places, plane = (codes - mean) @ axes.T, {"mean": mean, "axes": axes}
        labels, names = self.dataset.labels, tuple[str, ...]()
        if labels is not None:
            names = self.dataset.classes
        return {
            "x": places[:, 0].float(),
            "y": places[:, 1].float(),
            "items": torch.arange(count),
            "labels": None if labels is None else labels[self.rows[:count]],
            "names": list(names),
            "plane": plane,
        }

    @cached_property
    def _attributes(self) -> dict[str, Column]:
        """The attributes that sliders can change; empty if the data has none."""
        try:
            columns = attributes_of(self.run)
        except ConfigError:
            return {}
        label = columns.get("label")
        others = [column for name, column in columns.items() if name != "label"]
        # A class that the decoder is told is chosen in another way, and a copy of an attribute is one slider too many.
        told = "label" in decoding_conditions(self.run.model)
        if label and (told or any(torch.equal(label.rows, other.rows) for other in others)):
            del columns["label"]
        return columns

    @cached_property
    def _directions(self) -> list[dict[str, Any]]:
        run, columns = self.run, self._attributes
        changes = [change for name in columns for change in _changes(name, columns[name].kind)]
        rows = training_rows(run.dataset)
        codes = torch.cat([codes for _, codes in encoded_training(run, rows)])
        known = {change: change.indicator(columns[change.attribute].rows[rows]) for change in changes}
        known = {change: row for change, row in known.items() if float(row.min()) < float(row.max())}
        return [
            {"group": change.attribute, "value": change.text, "direction": direction}
            for name in columns
            for change, direction in _learnt(name, known, codes)
        ]

    def directions(self) -> dict[str, Any]:
        """Return the direction of each attribute among the codes, learned from training items."""
        return {"directions": self._directions}

    def has_directions(self) -> bool:
        """Return True if the data has attributes whose directions could be learned."""
        model = self.run.model
        able = isinstance(model, Encodes) and isinstance(model, Decodes) and self.dataset is not None
        return able and bool(self._attributes)

    @cached_property
    def _standings(self) -> dict[str, Tensor]:
        found = {way: list[Tensor]() for way in self.ways()}
        for items in self.items(self.rows[:_LAID_OUT]) if found else ():
            for way, scores in found.items():
                scores.append(scored(self.run, way, items))
        return {way: torch.cat(scores).sort().values.nan_to_num() for way, scores in found.items() if scores}

    def standings(self) -> dict[str, Any]:
        """Return the sorted anomaly scores of test items, by the way to score."""
        return {"names": list(self._standings), "values": list(self._standings.values())}

    def ways(self) -> list[str]:
        """Return the anomaly scores that this model can give."""
        able = [way for way in SCORES if isinstance(self.kind, WAYS[way].kinds)]
        return [way for way in able if all(isinstance(self.run.model, each) for each in WAYS[way].abilities.values())]

    def background(self) -> dict[str, Any]:
        """Return points of the data, which are drawn behind other points."""
        from genlab.explore.shown import cloud

        return cloud(points_behind(self.run))


def _principal_axes(codes: Tensor) -> Tensor:
    """Return the first two principal axes of codes, 2 x D."""
    values = finite(codes)
    if codes.shape[1] > _SMALL:
        return torch.from_numpy(principal_components(codes, 2).components_)
    # scikit-learn, which is faster for large codes, takes seconds to import.
    axes: Tensor = torch.linalg.svd(torch.from_numpy(values - values.mean(0)), full_matrices=False).Vh
    return axes[:2]


def _changes(name: str, kind: Any) -> list[Change]:
    """Return the changes that the sliders of one attribute make: one for a number and for two values, or one each."""
    if not isinstance(kind, Classes):
        return [Change(name, None, 1, "")]
    places = [1] if len(kind) == 2 else range(len(kind))
    return [Change(name, place, 1, kind.names[place]) for place in places]


def _learnt(name: str, known: dict[Change, Tensor], codes: Tensor) -> list[tuple[Change, Tensor]]:
    """Return the direction of each change of one attribute, with all other attributes held where they are."""
    own = {change: row for change, row in known.items() if change.attribute == name}
    if not own:
        return []
    # One value of each attribute follows from its others.
    others = [row for change, row in known.items() if change.attribute != name and change.value != 0]
    beside = torch.stack(others, 1) if others else None
    # Each value against all others, and not against the other sliders.
    return [(change, (contrasts(row[:, None], beside) @ codes)[0]) for change, row in own.items()]
