"""Average items: the decoded mean code of the training items with each value of an attribute."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from genlab.contract import Batch, decoding_conditions, home
from genlab.data.dataset import Column
from genlab.extractors.attributes import trained_attributes
from genlab.kinds import Classes, Image, Kind, Points, Row, Tokens
from genlab.lab.attributes import attributes_of, check_codes, encoded_training, in_file_name, named, training_rows
from genlab.lab.results import Format, Results, stored
from genlab.registry import ConfigError, unknown
from genlab.training.console import Console

if TYPE_CHECKING:
    from genlab.lab.run import Run

ALL = "all items"
DECODED = "decoded mean code"
_PARTS = 4
"""Groups of equal size into which the items are divided by a number."""


@dataclass(frozen=True)
class Average:
    """The averages of groups of training items, by their codes and by the items themselves."""

    kind: Kind
    by: str | None
    """The attribute that divides the items; None for one average of all."""
    values: tuple[str, ...]
    counts: tuple[int, ...]
    """Training items with each value."""
    items: Tensor
    """The decoded mean code of each value, V x the shape of one item."""
    codes: Tensor
    """The mean codes, V x D."""
    means: Tensor | None
    """The mean of the items themselves; None for token sequences."""
    metrics: dict[str, dict[str, float]] = field(default_factory=dict)
    """By method: the share of averages that show their value as a classifier sees them, in %."""

    @property
    def mean_name(self) -> str:
        """The name of the baseline."""
        return "pixel mean" if isinstance(self.kind, Image) else "mean of the items"

    def write(self, results: Results, form: Format = "png") -> None:
        """Write a sheet of both averages, and the decoded ones: single files, or arrays with `npz`."""
        results.sheet("average", self.kind, self._rows())
        names = [in_file_name(value if self.by is None else f"{self.by}-{value}") for value in self.values]
        if form == "npz":
            means = {} if self.means is None else {"means": stored(self.kind, self.means)}
            arrays = {"x": stored(self.kind, self.items), "codes": self.codes.numpy(), **means}
            results.arrays("average", **arrays)
        elif isinstance(self.kind, Points):
            header = [f"{way} {axis + 1}" for way in (DECODED, self.mean_name) for axis in range(self.kind.dimensions)]
            assert self.means is not None
            points = torch.cat([self.items, self.means], 1).tolist()
            results.table(
                "average", ["value", *header], [[name, *row] for name, row in zip(self.values, points, strict=True)]
            )
        else:
            results.items("average", names, self.kind, self.items, form)
        if self.metrics:
            table = [[method, values["shows_value"]] for method, values in self.metrics.items()]
            results.table("average", ["method", "shows_value"], table)

    def _rows(self) -> list[Row]:
        """Arrange the averages: a row for each value, the decoded one beside the mean of the items."""
        ways = {DECODED: self.items} | ({} if self.means is None else {self.mean_name: self.means})
        if isinstance(self.kind, Points):
            # The means first: the window of the picture is that of the first row.
            return [Row(name, items) for name, items in reversed(ways.items())]
        beside = " | ".join(ways)
        each = torch.stack(list(ways.values()), 1)
        return [Row(f"{value}: {beside}", items) for value, items in zip(self.values, each, strict=True)]


def average(run: Run, *, by: str | None = None, measure: bool = False, console: Console | None = None) -> Average:
    """Return the average of the training items with each value of an attribute; see `Run.average`."""
    check_codes(run)
    by, column = _column(run, by)
    if measure and not (column and isinstance(column.kind, Classes) and isinstance(run.kinds["x"], Image)):
        raise ConfigError("Only averages of images by an attribute with names can be measured. Leave out --measure.")
    rows = training_rows(run.dataset)
    values, groups = _groups(column, rows)
    present, counts = _present(groups)
    codes, means = (found[present] for found in _means(run, rows, groups, len(values)))
    condition = _conditions(run, by, rows, groups, present)
    found = Average(
        kind=run.kinds["x"],
        by=by,
        values=tuple(values[place] for place in present.tolist()),
        counts=tuple(counts.tolist()),
        items=run._decoded(codes, condition, "decoding"),
        codes=codes,
        means=None if isinstance(run.kinds["x"], Tokens) else means,
    )
    return replace(found, metrics=_measured(run, found, present, console or Console())) if measure else found


def _column(run: Run, by: str | None) -> tuple[str | None, Column | None]:
    """Return the attribute that divides the items: by default the label, or none without labels."""
    if by is None:
        return ("label", run.dataset.columns["label"]) if run.dataset.classes else (None, None)
    columns = attributes_of(run)
    found = named(columns, by)
    if found is None:
        raise unknown("attribute", by, columns)
    return found, columns[found]


def _groups(column: Column | None, rows: Tensor) -> tuple[tuple[str, ...], Tensor]:
    """Return the names of the groups and the group of each item; a number divides them into four equal parts."""
    if column is None:
        return (ALL,), torch.zeros(len(rows), dtype=torch.int64)
    if isinstance(column.kind, Classes):
        return column.kind.names, column.rows[rows]
    numbers = column.rows[rows]
    edges = numbers.sort().values[[len(rows) * part // _PARTS for part in range(1, _PARTS)]]
    groups = torch.bucketize(numbers, edges, right=True)
    # Equal numbers are in one group, so a group can be empty.
    groups = torch.searchsorted(_present(groups)[0], groups)
    parts = [numbers[groups == group] for group in range(int(groups.max()) + 1)]
    return tuple(f"{float(part.min()):.3g} to {float(part.max()):.3g}" for part in parts), groups


def _present(groups: Tensor) -> tuple[Tensor, Tensor]:
    """Return the groups that have items, and the number of items of each."""
    counts = groups.bincount()
    present = counts.nonzero().flatten()
    return present, counts[present]


def _means(run: Run, rows: Tensor, groups: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Return the mean code and the mean item of each group."""
    codes, items, start = torch.zeros(()), torch.zeros(()), 0
    weights = torch.nn.functional.one_hot(groups, count).T.float()
    weights = weights / weights.sum(1, keepdim=True).clamp_min(1)
    for batch, encoded in encoded_training(run, rows):
        part = weights[:, start : start + len(encoded)]
        codes = codes + part @ encoded
        items = items + torch.tensordot(part, batch["x"].float(), 1)
        start += len(encoded)
    return codes, items


def _conditions(run: Run, by: str | None, rows: Tensor, groups: Tensor, present: Tensor) -> Batch:
    """Return what a conditional model is told about each average: its own class, or the most frequent one."""
    told = dict[str, Tensor]()
    for name in decoding_conditions(run.model):
        known = run.dataset.columns[name].rows[rows]
        usual = [int(known[groups == group].bincount().argmax()) for group in present.tolist()]
        told[name] = present if name == by else torch.tensor(usual)
    return told


def _measured(run: Run, found: Average, present: Tensor, console: Console) -> dict[str, dict[str, float]]:
    """Return the share of averages that show their value, as a classifier of the attributes sees them."""
    assert found.by
    classifier = trained_attributes(run.dataset, device=home(run.model), console=console)
    ways = {DECODED: found.items} | ({} if found.means is None else {found.mean_name: found.means})
    right = {name: classifier(items)[found.by] == present for name, items in ways.items()}
    return {name: {"shows_value": 100 * float(each.float().mean())} for name, each in right.items()}
