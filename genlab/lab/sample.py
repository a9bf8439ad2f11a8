"""Write the samples of a trained model into files."""

from __future__ import annotations

import math
import re

import torch
from torch import Tensor

from genlab.contract import conditions
from genlab.kinds import Classes, Points, Row
from genlab.lab.results import Format, Results
from genlab.lab.run import Label, PriorName, Run, labels_of

_ACROSS = 16
"""Largest number of items in a row of a sheet."""


def sample(
    run: Run,
    results: Results,
    *,
    count: int = 64,
    label: Label | None = None,
    seed: int = 0,
    truncation: float = 1.0,
    prior: PriorName = "auto",
    grid: bool = False,
    form: Format = "png",
) -> Tensor:
    """Write samples as single files, as one sheet with `grid`, or as one file of arrays with `npz`; return them.

    The samples are those of `Run.sample`. A conditional model that is given no label generates all classes in turn.
    """
    kind, classes = run.kinds["x"], conditions(run.model).get("label")
    labels = None
    if classes:
        labels = torch.arange(count) % len(classes) if label is None else labels_of(label, classes, count)
    chosen = label if labels is None else labels
    items = run.sample(count, label=chosen, seed=seed, truncation=truncation, prior=prior)
    points = isinstance(kind, Points)
    if grid or points:
        results.sheet("samples", kind, _rows(items, labels, classes))
    if grid:
        return items
    # A picture of a single point shows nothing.
    form = "npz" if points else form
    digits = len(str(count - 1))
    names = [f"{number:0{digits}}" for number in range(count)]
    if classes and labels is not None:
        names = [f"{name}-{_plain(classes.names[of])}" for name, of in zip(names, labels.tolist(), strict=True)]
    columns = {} if labels is None else {"label": labels}
    results.items("samples", names, kind, items, form, **columns)
    return items


def _rows(items: Tensor, labels: Tensor | None, classes: Classes | None) -> list[Row]:
    """Arrange items in a square; those of a conditional model in rows of one class each."""
    if classes is None or labels is None:
        across = min(_ACROSS, math.ceil(math.sqrt(len(items))))
        return [Row("", part) for part in torch.split(items, across)] if items.dim() == 4 else [Row("", items)]
    of_classes = [(classes.names[number], items[labels == number]) for number in sorted(set(labels.tolist()))]
    return [
        Row(name if place == 0 else "", part)
        for name, members in of_classes
        for place, part in enumerate(torch.split(members, _ACROSS))
    ]


def _plain(name: str) -> str:
    """Return the name of a class as a part of a file's name."""
    return re.sub(r"[^\w.-]+", "-", name)
