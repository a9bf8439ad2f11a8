"""Directions of attributes among the codes of a run, learned from its training items."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor

from genlab.data.dataset import Column
from genlab.kinds import Classes, Number, Tokens
from genlab.lab.attributes import Change, encoded_training, size_of, training_rows
from genlab.metrics.attributes import Linear, contrasts, discriminant, independent, interactions, regression
from genlab.registry import ConfigError

if TYPE_CHECKING:
    from genlab.lab.run import Run

Directions = Literal["own", "joint", "means"]
"""own: for each item a direction of its own, given its attributes; joint: least squares over all attributes
together; means: the mean code with a value minus the mean code without it."""

_ITEMS_EACH = 50
"""Training items for each coefficient that directions of their own need; with fewer, all items share one."""


@dataclass(frozen=True)
class Asked:
    """One column of the fit: whether an item has a value of an attribute that is to be changed."""

    attribute: str
    indicator: Tensor
    """N; 0 or 1 for each training item, or a number in stds."""
    factor: float
    """Factor of the column's direction in the step."""
    start: int | None = None
    """The value from which this is the way; None for a direction that every item takes."""


@dataclass(frozen=True)
class Situation:
    """Facts about items whose codes are changed: their other attributes and the ways that they take."""

    others: Tensor
    """N x M, without their means over the training items."""
    factors: Tensor
    """N x C: the factor of each column's direction."""


@dataclass(frozen=True)
class Steps:
    """The directions of columns, and what the other attributes of an item add to them."""

    table: Tensor
    """C x (1 + M) x the shape of one code or item."""

    def of(self, situation: Situation) -> Tensor:
        """Return the step of each item, N x that shape."""
        found, shape = list[Tensor](), self.table.shape[2:]
        for place, directions in enumerate(self.table):
            each = directions[0] + torch.tensordot(situation.others, directions[1:], 1)
            found.append(each * situation.factors[:, place].view(-1, *[1] * len(shape)))
        return torch.stack(found).sum(0)


@dataclass(frozen=True)
class Reader:
    """Reads attributes of items from their codes, so that nothing about the items has to be known."""

    columns: Mapping[str, Column]
    functions: Mapping[str, Linear]
    rows: Tensor
    """The training items."""
    asked: Sequence[Asked]
    others: Mapping[str, Column]
    """The attributes that stay as they are."""
    kept: Tensor
    """The places of their columns that do not follow from others."""
    means: Tensor

    def __call__(self, codes: Tensor) -> Situation:
        """Return what is known about the items of these codes."""
        values = {
            name: numbers.argmax(1) if isinstance(self.columns[name].kind, Classes) else numbers[:, 0].float()
            for name, numbers in ((name, function(codes)) for name, function in self.functions.items())
        }
        others = _columns(self.others, values, self.rows, len(codes)) - self.means
        factors = [
            torch.full((len(codes),), each.factor)
            if each.start is None
            else each.factor * (values[each.attribute] == each.start)
            for each in self.asked
        ]
        return Situation(others[:, self.kept].float(), torch.stack(factors, 1))


@dataclass(frozen=True)
class Learnt:
    """The directions of changes among codes and, as a baseline, among the items themselves."""

    codes: Tensor
    """The direction of each change that all items share, K x D."""
    items: Tensor | None
    """K x the shape of one item; None for token sequences."""
    count: int
    """Training items from which the directions were computed."""
    reader: Reader | None = None
    """None if all items share the directions."""
    own_codes: Steps | None = None
    own_items: Steps | None = None
    few: bool = False
    """True if the training items are too few for directions of each item's own."""

    def step(self, codes: Tensor) -> Tensor:
        """Return what a strength of 1 adds to each code: N x D, or 1 x D if all items share it."""
        if self.reader and self.own_codes:
            return self.own_codes.of(self.reader(codes))
        return self.codes.sum(0, keepdim=True)

    @property
    def sentence(self) -> str:
        """Sentences about the training items, for the user."""
        found = f"The directions come from {self.count:,} training items."
        if self.reader:
            return f"{found} Each item has its own, given its attributes, which are read from its code."
        return f"{found} They are too few for a direction of each item's own." if self.few else found


def learn(run: Run, columns: Mapping[str, Column], changes: Sequence[Change], directions: Directions) -> Learnt:
    """Compute the directions of changes from training items alone; each has the sign of its change."""
    rows = training_rows(run.dataset)
    named = {change.attribute for change in changes}
    others = {name: column for name, column in columns.items() if name not in named}
    known = _columns(others, {name: column.rows[rows] for name, column in others.items()}, rows, len(rows))
    shared = _shared(changes, columns, rows, None if directions == "means" else known)
    asked = [each for change in changes for each in _asked(change, changes, columns, rows)]
    table = torch.stack([each.indicator for each in asked], 1)
    kept = independent(table, known)
    wanted = directions == "own" and (len(kept) > 0 or any(each.start is not None for each in asked))
    enough = len(rows) >= _ITEMS_EACH * (1 + len(asked)) * (1 + len(kept))
    own = interactions(table, known[:, kept]) if wanted and enough else None
    weights = shared if own is None else torch.cat([shared, own.flatten(0, 1)])
    codes, items, start = list[Tensor](), torch.zeros(()), 0
    for batch, encoded in encoded_training(run, rows):
        items = items + torch.tensordot(weights[:, start : start + len(encoded)], batch["x"].float(), 1)
        codes.append(encoded)
        start += len(encoded)
    encoded, count = torch.cat(codes), len(changes)
    plain = None if isinstance(run.kinds["x"], Tokens) else items
    found = Learnt(shared @ encoded, None if plain is None else plain[:count], len(rows), few=wanted and not enough)
    if own is None:
        return found
    read = {**others, **{each.attribute: columns[each.attribute] for each in asked if each.start is not None}}
    return replace(
        found,
        reader=Reader(columns, _functions(read, encoded, rows), rows, asked, others, kept, known.mean(0)),
        own_codes=Steps(torch.tensordot(own, encoded, 1)),
        own_items=None if plain is None else Steps(plain[count:].view(*own.shape[:2], *plain.shape[1:])),
    )


def _shared(changes: Sequence[Change], columns: Mapping[str, Column], rows: Tensor, others: Tensor | None) -> Tensor:
    """Return the weights of the directions that all items share, K x N; without others by the means alone."""
    table = torch.stack([_checked(change, columns, rows) for change in changes], 1)
    if others is None:
        weights = torch.cat([contrasts(column[:, None]) for column in table.T])
    else:
        weights = contrasts(table, others)
    return weights * torch.tensor([[float(change.sign)] for change in changes])


def _asked(change: Change, changes: Sequence[Change], columns: Mapping[str, Column], rows: Tensor) -> Iterator[Asked]:
    """Yield the columns of a change: one, or, towards one of several values, one for each other value to start from."""
    column, values = columns[change.attribute], columns[change.attribute].rows[rows]
    alone = sum(other.attribute == change.attribute for other in changes) == 1
    if change.value is None or change.sign < 0 or not alone or size_of(column) == 2:
        yield Asked(change.attribute, change.indicator(values), float(change.sign))
        return
    for value in range(size_of(column)):
        if value != change.value and bool((values == value).any()):
            # The column's direction leads from the wanted value to this one.
            yield Asked(change.attribute, (values == value).double(), -1.0, value)


def _functions(columns: Mapping[str, Column], codes: Tensor, rows: Tensor) -> dict[str, Linear]:
    """Return the functions that read attributes from codes, fitted to the codes of the training items."""
    return {
        name: discriminant(codes, column.rows[rows], size_of(column))
        if isinstance(column.kind, Classes)
        else regression(codes, column.rows[rows])
        for name, column in columns.items()
    }


def _checked(change: Change, columns: Mapping[str, Column], rows: Tensor) -> Tensor:
    """Return the indicator of a change for training items, of which some must have the value and some not."""
    column = columns[change.attribute]
    indicator = change.indicator(column.rows[rows])
    if float(indicator.min()) < float(indicator.max()):
        return indicator
    if change.value is None or not isinstance(column.kind, Classes):
        fact = f"All training items have the same {change.attribute}"
    else:
        which = "Every" if indicator.any() else "No"
        fact = f"{which} training item has {change.attribute}={column.kind.names[change.value]}"
    raise ConfigError(f"{fact}, so there is no direction to learn.")


def _columns(columns: Mapping[str, Column], values: Mapping[str, Tensor], rows: Tensor, count: int) -> Tensor:
    """Return attributes as numbers: numbers in stds of the training items, values as an indicator for each but one."""
    found = [torch.zeros(count, 0, dtype=torch.float64)]
    for name, column in columns.items():
        if isinstance(column.kind, Number):
            known = column.rows[rows].double()
            found.append(((values[name].double() - known.mean()) / known.std().clamp_min(1e-12))[:, None])
        else:
            found.append(torch.nn.functional.one_hot(values[name], size_of(column))[:, 1:].double())
    return torch.cat(found, 1)
