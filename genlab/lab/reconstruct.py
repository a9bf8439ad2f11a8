"""Reconstruct items with a trained model, beside PCA of equal size."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from genlab.contract import Encodes
from genlab.data import held_out
from genlab.kinds import Image, Kind, Points
from genlab.lab.given import Given
from genlab.lab.methods import MODEL, Values, draw, means, measured, single_files, write_metrics
from genlab.lab.results import Format, Results
from genlab.lab.run import Label, Run
from genlab.metrics.codes import finite, principal_components
from genlab.registry import ConfigError

PCA = "PCA"

_FITTED = 2**25
"""Numbers in the training items that PCA is fitted to: 42,799 images of 28 x 28."""
_FITTED_LEAST = 2_000


@dataclass(frozen=True)
class Reconstruction:
    """Items, their reconstructions by the model and by PCA, and the metrics of both."""

    given: Given
    kind: Kind
    found: dict[str, Tensor]
    """The reconstructions by method: `model`, and `PCA` if it can be fitted."""
    metrics: dict[str, Values]
    """By method: one value for each item, by the name of the metric."""
    notes: tuple[str, ...]
    """Sentences about PCA."""

    @property
    def means(self) -> dict[str, dict[str, float]]:
        """The mean of each metric over the items, by method."""
        return means(self.metrics)

    def write(self, results: Results, form: Format = "png") -> None:
        """Write a sheet, the reconstructions as single files or as arrays, and the metrics of each item."""
        draw(results, self.kind, {"input": self.given.items, **self.found})
        write_metrics(results, self.given, self.metrics)
        single = single_files(self.kind, form)
        results.items("reconstructions", self.given.files, self.kind, self.found[MODEL], single)


def reconstruct(run: Run, given: Given, *, label: Label | None = None) -> Reconstruction:
    """Reconstruct items, and measure the reconstructions beside those of PCA with as many numbers as a code has.

    PCA is fitted to the run's own training items. If they are gone, it is left out.
    """
    kind = run.kinds["x"]
    found = {MODEL: run.reconstruct(given.items, label=label)}
    baseline, note = _principal(run, given, label)
    if baseline is not None:
        found[PCA] = baseline
    metrics = {method: measured(kind, items, given.items) for method, items in found.items()}
    return Reconstruction(given, kind, found, metrics, (note,) if note else ())


def _principal(run: Run, given: Given, label: Label | None) -> tuple[Tensor | None, str]:
    """Return the items as PCA reconstructs them, and a sentence about it; None if it cannot be fitted."""
    kind = run.kinds["x"]
    if not isinstance(kind, Image | Points):
        return None, ""
    if not isinstance(run.model, Encodes):
        return None, f"PCA is left out: {run.name} has no codes whose length it could have."
    first = label if label is None or isinstance(label, int | str | np.integer) else label[:1]
    size = run.encode(given.items[:1], label=first).shape[1]
    if size >= math.prod(kind.shape):
        return None, f"PCA is left out: with {size:,} numbers, as many as a code has, it loses nothing."
    try:
        training = _training_items(run, kind)
    except ConfigError as error:
        return None, f"PCA is left out, because the run's own data cannot be read. {error}"
    components = principal_components(training, size)
    codes = components.transform(finite(given.items.flatten(1)))
    items = torch.from_numpy(components.inverse_transform(codes)).float().view_as(given.items)
    kept = int(components.n_components_)
    note = f"PCA has {kept:,} component{'s' if kept != 1 else ''}, fitted to {len(training):,} training {kind.plural}"
    note += ", as many as a code has numbers." if kept == size else f"; a code has {size:,} numbers."
    return items.clamp(0, 1) if isinstance(kind, Image) else items, note


def _training_items(run: Run, kind: Kind) -> Tensor:
    """Return training items of the run, not more than memory allows."""
    most = max(_FITTED_LEAST, _FITTED // math.prod(kind.shape))
    rows = held_out.chosen(run.dataset, "train", most)
    return torch.cat([batch["x"] for batch in held_out.batches(run.dataset, rows, torch.device("cpu"))])
