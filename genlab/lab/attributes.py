"""Attributes of a run's data: their values, the changes that a user asks for, and the codes of training items."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from genlab.contract import Batch, Decodes, Encodes, decoding_conditions, home
from genlab.data import held_out
from genlab.data.dataset import Column, Dataset
from genlab.data.progress import progress
from genlab.kinds import Classes, Number
from genlab.registry import ConfigError, suggestion, unknown

if TYPE_CHECKING:
    from genlab.lab.run import Run

LEARNT_FROM = 10_000
"""Largest number of training items from which directions and averages are computed."""
_ITEMS = 500
"""Items that are encoded at once."""


@dataclass(frozen=True)
class Change:
    """A change of one attribute: towards one of its values or away from it, or of a number up or down."""

    attribute: str
    value: int | None
    """The number of the value; None for an attribute that is a number."""
    sign: int
    text: str
    """The change as a user writes it, such as `+smile` or `-hair=red`."""

    def indicator(self, rows: Tensor) -> Tensor:
        """Return 1 for each item that has the value and 0 for the others; numbers in stds of all the items."""
        if self.value is None:
            return (rows.double() - rows.double().mean()) / rows.double().std().clamp_min(1e-12)
        return (rows == self.value).double()

    def lacked(self, rows: Tensor) -> Tensor:
        """Return True for each item that the change would change; all items for a number."""
        if self.value is None:
            return torch.ones(len(rows), dtype=torch.bool)
        return (rows == self.value) != (self.sign > 0)

    def done(self, rows: Tensor, column: Column, strength: float) -> Tensor | None:
        """Return the values after the change; None if it does not say which value follows, as in `-hair=red`.

        A number changes by `strength` stds, within the range of the data.
        """
        if self.value is None:
            moved = rows + self.sign * strength * column.rows.std()
            return moved.clamp(float(column.rows.min()), float(column.rows.max()))
        if self.sign > 0:
            return torch.full_like(rows, self.value)
        if not (rows == self.value).any():
            return rows
        others = [number for number in range(size_of(column)) if number != self.value]
        return torch.where(rows == self.value, others[0], rows) if len(others) == 1 else None


def attributes_of(run: Run) -> dict[str, Column]:
    """Return the attributes of a run's data, then its label; raise a ConfigError if there is none."""
    found = {name: column for name, column in run.dataset.attributes.items() if _usable(column)}
    if "label" in run.dataset.columns and _usable(run.dataset.columns["label"]):
        found["label"] = run.dataset.columns["label"]
    if not found:
        raise ConfigError(
            f"The data of {run.name} has no attributes and no labels. Train on data that has them, such as data=faces, "
            "or on a folder with a table of attributes (data.labels=TABLE)."
        )
    return found


def check_codes(run: Run) -> None:
    """Raise a ConfigError if the model cannot turn items into codes and codes into items."""
    for name, ability in (("encode", Encodes), ("decode", Decodes)):
        if not isinstance(run.model, ability):
            raise run._cannot(name)


def in_file_name(text: str) -> str:
    """Return a text as a part of a file's name."""
    return re.sub(r"[^\w.+-]+", "-", text)


def described(column: Column, rows: Tensor) -> str:
    """Return the values of an attribute with the number of items of each, or the range of a number."""
    values = column.rows[rows]
    if isinstance(column.kind, Classes):
        counts = values.bincount(minlength=len(column.kind)).tolist()
        return ", ".join(f"{name} {count:,}" for name, count in zip(column.kind.names, counts, strict=True))
    return f"{float(values.min()):.4g} to {float(values.max()):.4g}, mean {float(values.mean()):.4g}"


def changes_of(
    columns: Mapping[str, Column], add: str | Sequence[str], remove: str | Sequence[str]
) -> tuple[Change, ...]:
    """Return the changes that a user asks for, each as NAME or NAME=VALUE, or several of them between commas."""
    asked = [(text, sign) for sign, given in ((1, add), (-1, remove)) for text in _separated(columns, given)]
    found = [_change(columns, text, sign) for text, sign in asked]
    if not found:
        raise ConfigError(f"Say what to change: add or remove one of {', '.join(columns)}.")
    for number, one in enumerate(found):
        for other in found[:number]:
            if one.attribute == other.attribute and (one.value == other.value or one.sign == other.sign == 1):
                how = (
                    "the same change twice" if one.sign == other.sign and one.value == other.value else "contradictory"
                )
                raise ConfigError(f"{other.text} and {one.text} are {how}. Leave one of them out.")
    return tuple(found)


def _change(columns: Mapping[str, Column], text: str, sign: int) -> Change:
    name, given, value = text.partition("=")
    attribute = named(columns, name)
    if attribute is None and not given:
        attribute, value = _of_value(columns, name)
    if attribute is None:
        raise unknown("attribute", name, columns)
    kind, shown = columns[attribute].kind, f"{'+' if sign > 0 else '-'}{text}"
    if isinstance(kind, Number):
        if value:
            raise ConfigError(f"{attribute} is a number and has no value {value!r}. Pass {attribute} alone.")
        return Change(attribute, None, sign, shown)
    assert isinstance(kind, Classes)
    if not value and len(kind) != 2:
        choices = ", ".join(f"{attribute}={name}" for name in kind.names[:6])
        raise ConfigError(f"{attribute} has {len(kind)} values: pass one of them, such as {choices}.")
    place = _place(attribute, value, kind) if value else 1
    # Of two values, towards one is away from the other.
    return (
        Change(attribute, 1, sign if place else -sign, shown)
        if len(kind) == 2
        else Change(attribute, place, sign, shown)
    )


def named(columns: Mapping[str, Column], name: str) -> str | None:
    """Return the attribute of this name in upper or lower case, or None."""
    return next((known for known in columns if known.casefold() == name.casefold()), None)


def _of_value(columns: Mapping[str, Column], name: str) -> tuple[str | None, str]:
    """Return the only attribute that has a value of this name, such as `hair` for `red`."""
    having = [
        key
        for key, column in columns.items()
        if isinstance(column.kind, Classes) and name.casefold() in {each.casefold() for each in column.kind.names}
    ]
    if len(having) > 1:
        choices = ", ".join(f"{key}={name}" for key in having)
        raise ConfigError(f"{name!r} is a value of several attributes. Pass one of: {choices}.")
    if not having:
        values = [each for column in columns.values() if isinstance(column.kind, Classes) for each in column.kind.names]
        near = suggestion(name, [*columns, *values])
        raise ConfigError(f"Unknown attribute {name!r}. {near}Available: {', '.join(columns)}")
    return having[0], name


def _place(attribute: str, value: str, kind: Classes) -> int:
    names = [name.casefold() for name in kind.names]
    if value.casefold() not in names:
        raise unknown(f"value of {attribute}", value, kind.names)
    return names.index(value.casefold())


def _separated(columns: Mapping[str, Column], given: str | Sequence[str]) -> Iterator[str]:
    """Yield the parts between commas; a value whose own name has a comma stays whole."""
    values = {name.casefold() for column in columns.values() for name in getattr(column.kind, "names", ())}
    for text in [given] if isinstance(given, str) else given:
        whole = str(text).strip()
        name, _, value = whole.partition("=")
        alone = whole.casefold() in values or (value.casefold() in values and named(columns, name) is not None)
        yield from [whole] if alone else (part.strip() for part in whole.split(",") if part.strip())


def _usable(column: Column) -> bool:
    return isinstance(column.kind, Number) or (isinstance(column.kind, Classes) and len(column.kind) > 1)


def size_of(column: Column) -> int:
    """Return the number of values of an attribute that has names."""
    assert isinstance(column.kind, Classes)
    return len(column.kind)


def training_rows(dataset: Dataset) -> Tensor:
    """Return the training items from which directions and averages are computed."""
    return held_out.chosen(dataset, "train", LEARNT_FROM)


def encoded_training(run: Run, rows: Tensor) -> Iterator[tuple[Batch, Tensor]]:
    """Yield training items in batches, and the codes of each batch."""
    starts = -(-len(rows) // _ITEMS)
    with progress(starts, "encoding training items", "encoded", "batches") as advance:
        for batch in held_out.batches(run.dataset, rows, torch.device("cpu"), _ITEMS):
            known = batch["label"] if "label" in decoding_conditions(run.model) else None
            yield batch, run.encode(batch["x"], label=known)
            advance()


def inferred(run: Run, items: Tensor) -> Batch:
    """Return the classes that a conditional model infers for items; nothing for any other model."""
    if not decoding_conditions(run.model):
        return {}
    parts = [run._with_condition({"x": part.to(home(run.model))}) for part in torch.split(items, _ITEMS)]
    return {name: torch.cat([part[name] for part in parts]).cpu() for name in decoding_conditions(run.model)}
