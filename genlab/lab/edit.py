"""Attribute arithmetic: change attributes of items by adding directions to their codes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, get_args

import torch
from torch import Tensor

from genlab.contract import Batch, home
from genlab.data import held_out
from genlab.data.dataset import Column
from genlab.extractors.attributes import Attributes, distinct, trained_attributes
from genlab.kinds import Image, Kind, Points, Row, Tokens
from genlab.lab.attributes import Change, attributes_of, changes_of, check_codes, in_file_name, inferred
from genlab.lab.directions import Directions, Learnt, learn
from genlab.lab.given import Given, given
from genlab.lab.inputs import Inputs
from genlab.lab.results import Format, Results, stored
from genlab.lab.run import at_least
from genlab.metrics.attributes import changed_pixels, squared_error_inside
from genlab.registry import ConfigError
from genlab.training.console import Console

if TYPE_CHECKING:
    from genlab.lab.run import Run

STRENGTH = 1.25
"""The factor of a direction: on drawn faces it comes nearest to the redrawn face, and 1 leaves some faces unchanged."""
COUNT, MEASURED = 12, 1_000
"""Items of a data set that are edited, and test items that are measured."""
_ACROSS, _SHOWN = 8, 32
"""Items in a row of the sheet, and on the whole sheet."""
EDITED, RESIDUAL, PIXELS, OWN_PIXELS, UNEDITED, REDRAWN = (
    "edited",
    "edited, residual",
    "pixel arithmetic",
    "pixel arithmetic, own directions",
    "unedited",
    "redrawn with the attribute",
)


@dataclass(frozen=True)
class Edit:
    """Items before and after a change of their attributes."""

    kind: Kind
    changes: tuple[str, ...]
    """The changes as a user writes them, such as `+smile`."""
    given: Given
    """The items before."""
    reconstructed: Tensor
    edited: Tensor
    codes: Tensor
    """The codes after the change, N x D."""
    directions: Tensor
    """The direction of each change that all items share, K x D; with `own` the step of an item is another one."""
    learnt: str
    """Sentences about the training items from which the directions come."""
    redrawn: Tensor | None = None
    """The items as truly drawn with the changed attributes, if the data can draw them."""
    metrics: dict[str, dict[str, float]] = field(default_factory=dict)
    """By method: the squared error inside what changes, and shares of items as a classifier sees them."""
    measured: str = ""
    """A sentence about what was measured."""

    def write(self, results: Results, form: Format = "png") -> None:
        """Write a sheet (input, reconstruction, edited), and the edited items: single files, or arrays with `npz`."""
        results.sheet("edited", self.kind, self._rows())
        if form == "npz":
            arrays = {"codes": self.codes.numpy(), "directions": self.directions.numpy()}
            arrays |= {"x": stored(self.kind, self.edited), "before": stored(self.kind, self.given.items)}
            results.arrays("edited", **arrays)
        elif isinstance(self.kind, Points):
            header = [f"{way} {axis + 1}" for way in ("before", "after") for axis in range(self.kind.dimensions)]
            results.table("points", ["item", *header], self._points())
        else:
            what = in_file_name("".join(self.changes))
            names = [f"{in_file_name(_stem(name))}{what}" for name in self.given.names]
            results.items("edited", names, self.kind, self.edited, form)
        if self.metrics:
            names = list(dict.fromkeys(name for values in self.metrics.values() for name in values))
            table = [[method, *(values.get(name, "") for name in names)] for method, values in self.metrics.items()]
            results.table("edited", ["method", *names], table)

    def _points(self) -> list[list[str | float]]:
        """Return the name of each point, and its coordinates before and after."""
        rows = torch.cat([self.given.items, self.edited], 1).tolist()
        return [[name, *row] for name, row in zip(self.given.names, rows, strict=True)]

    def _rows(self) -> list[Row]:
        """Arrange the items in blocks, each with a row of inputs and rows of what became of them."""
        after = f"edited: {' '.join(self.changes)}"
        rows = {"input": self.given.items, "reconstruction": self.reconstructed, after: self.edited}
        rows |= {} if self.redrawn is None else {REDRAWN: self.redrawn}
        if isinstance(self.kind, Points):
            return [Row(caption, items) for caption, items in rows.items()]
        starts = range(0, min(_SHOWN, len(self.edited)), _ACROSS)
        return [Row(caption, items[start : start + _ACROSS]) for start in starts for caption, items in rows.items()]


@dataclass(frozen=True)
class Editor:
    """The changes of attributes and how they are made."""

    run: Run
    columns: dict[str, Column]
    """The attributes of the data."""
    changes: tuple[Change, ...]
    learnt: Learnt
    strength: float

    def decoded(self, items: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return the code of each item, its reconstruction, the item decoded from its changed code, and that code."""
        condition = inferred(self.run, items)
        codes = self.run.encode(items, label=condition.get("label"))
        moved = codes + self.strength * self.learnt.step(codes)
        after = self.after(condition)
        parts = [self.run._decoded(each, told, "decoding") for each, told in ((codes, condition), (moved, after))]
        return codes, parts[0], parts[1], moved

    def residual(self, items: Tensor, reconstructed: Tensor, decoded: Tensor) -> Tensor:
        """Return the items with the change of their reconstruction, which keeps all that is not reconstructed."""
        changed = items + decoded - reconstructed
        return changed.clamp(0, 1) if isinstance(self.run.kinds["x"], Image) else changed

    def pixels(self, items: Tensor) -> Tensor | None:
        """Return the items with the shared directions added to them, without any model; None for token sequences."""
        return None if self.learnt.items is None else self._added(items, self.learnt.items.sum(0))

    def own_pixels(self, items: Tensor, codes: Tensor) -> Tensor | None:
        """Return the same with a direction of each item's own, for which its attributes are read from its code."""
        if self.learnt.reader is None or self.learnt.own_items is None:
            return None
        return self._added(items, self.learnt.own_items.of(self.learnt.reader(codes)))

    def _added(self, items: Tensor, step: Tensor) -> Tensor:
        changed = items + self.strength * step
        return changed.clamp(0, 1) if isinstance(self.run.kinds["x"], Image) else changed

    def after(self, rows: Mapping[str, Tensor]) -> Batch:
        """Return attributes after the changes; one that no single value follows for is left out."""
        found = dict(rows)
        for change in (change for change in self.changes if change.attribute in found):
            values = change.done(found.pop(change.attribute), self.columns[change.attribute], self.strength)
            if values is not None:
                found[change.attribute] = values
        return found

    def redrawn(self, rows: Mapping[str, Tensor]) -> Tensor | None:
        """Return the items of these attributes, drawn with the changes; None if the data cannot be drawn."""
        dataset, attributes = self.run.dataset, self.after(rows)
        if dataset.redraw is None or not dataset.attributes.keys() <= attributes.keys():
            return None
        return dataset.kind.load(dataset.redraw(attributes))

    def lacking(self, count: int) -> Tensor:
        """Return at most `count` rows of test items that every change would change, evenly spaced."""
        dataset, columns = self.run.dataset, self.columns
        rows = dataset.splits["test"] if len(dataset.splits["test"]) else dataset.splits["train"]
        for change in self.changes:
            rows = rows[change.lacked(columns[change.attribute].rows[rows])]
        if not len(rows):
            changes = " ".join(change.text for change in self.changes)
            raise ConfigError(f"No test item of the data can be changed by {changes}. Pass files or a data set.")
        count = min(count, len(rows))
        return rows[torch.arange(count) * len(rows) // count]


def edit(
    run: Run,
    inputs: Inputs | None = None,
    *,
    add: str | Sequence[str] = (),
    remove: str | Sequence[str] = (),
    strength: float = STRENGTH,
    residual: bool = False,
    directions: Directions = "own",
    count: int = COUNT,
    measure: bool = False,
    skip_bad: bool = False,
    console: Console | None = None,
) -> Edit:
    """Return items with attributes added and removed; see `Run.edit`."""
    check_codes(run)
    if directions not in get_args(Directions):
        raise ConfigError(f"directions must be one of {', '.join(get_args(Directions))}, got {directions!r}.")
    if residual and isinstance(run.kinds["x"], Tokens):
        raise ConfigError(f"A residual is a difference of numbers, and {run.name} holds {run.kinds['x'].describe()}.")
    if measure and not isinstance(run.kinds["x"], Image):
        raise ConfigError(f"Only edits of images can be measured, and {run.name} holds {run.kinds['x'].describe()}.")
    strength, count = _number("strength", strength), at_least(1, "count", count)
    columns = attributes_of(run)
    changes = changes_of(columns, add, remove)
    # Files that cannot be read are reported before the training items are encoded.
    before = given(run, inputs, count=count, skip_bad=skip_bad) if inputs is not None else None
    editor = Editor(run, columns, changes, learn(run, columns, changes, directions), strength)
    if before is None:
        before = _of_rows(run, editor.lacking(count))
    _, reconstructed, edited, codes = editor.decoded(before.items)
    metrics, sentence = measured(editor, residual, console or Console()) if measure else ({}, "")
    return Edit(
        kind=run.kinds["x"],
        changes=tuple(change.text for change in changes),
        given=before,
        reconstructed=reconstructed,
        edited=editor.residual(before.items, reconstructed, edited) if residual else edited,
        codes=codes,
        directions=editor.learnt.codes,
        learnt=editor.learnt.sentence,
        redrawn=editor.redrawn(before.columns),
        metrics=metrics,
        measured=sentence,
    )


def _of_rows(run: Run, rows: Tensor) -> Given:
    """Return these items of the run's own data."""
    dataset, name = run.dataset, str(run.config["data"]["name"])
    items = torch.cat([batch["x"] for batch in held_out.batches(dataset, rows, torch.device("cpu"))])
    columns = {key: column.rows[rows] for key, column in dataset.columns.items() if key not in ("x", "y")}
    return Given(items, tuple(f"{name}/test/{row}" for row in rows.tolist()), columns)


def measured(editor: Editor, residual: bool, console: Console) -> tuple[dict[str, dict[str, float]], str]:
    """Compare ways to change test items: with the items truly redrawn, and by a classifier of the attributes."""
    trial = Trial(editor, _of_rows(editor.run, editor.lacking(MEASURED)), console)
    before, reconstructed, decoded, _ = editor.decoded(trial.given.items)
    ways = {EDITED: decoded, RESIDUAL: editor.residual(trial.given.items, reconstructed, decoded)}
    ways = dict(reversed(ways.items())) if residual else ways
    baselines = {PIXELS: editor.pixels(trial.given.items), OWN_PIXELS: editor.own_pixels(trial.given.items, before)}
    ways |= {name: items for name, items in baselines.items() if items is not None}
    ways |= {UNEDITED: trial.given.items}
    ways |= {} if trial.truth is None else {REDRAWN: trial.truth}
    return {name: trial.metrics(items) for name, items in ways.items()}, trial.sentence


@dataclass(frozen=True)
class Trial:
    """Test items that lack an attribute, and what is known about the same items with it."""

    editor: Editor
    given: Given
    console: Console

    @cached_property
    def truth(self) -> Tensor | None:
        """The items truly drawn with the changes, if the data can draw them."""
        return self.editor.redrawn(self.given.columns)

    @cached_property
    def classifier(self) -> Attributes | None:
        """The classifier of the attributes, if there is one that has at least two values."""
        run = self.editor.run
        if not distinct(run.dataset)[0]:
            return None
        return trained_attributes(run.dataset, device=home(run.model), console=self.console)

    @property
    def sentence(self) -> str:
        """A sentence about what was measured."""
        changes = " ".join(change.text for change in self.editor.changes)
        parts = [f"Measured on {len(self.given):,} test items that {changes} changes."]
        if self.truth is not None:
            parts.append("error_inside: squared error in the pixels in which the redrawn image differs from the input.")
        if self.classifier:
            parts.append("changed, others_kept: shares by a classifier of the data's own attributes, in %.")
        return " ".join(parts)

    def metrics(self, items: Tensor) -> dict[str, float]:
        """Return the metrics of changed items."""
        found = dict[str, float]()
        if self.truth is not None:
            inside = changed_pixels(self.given.items, self.truth)
            found["error_inside"] = squared_error_inside(items, self.truth, inside)
        return found | (self._shares(self.classifier(items)) if self.classifier else {})

    def _shares(self, seen: Mapping[str, Tensor]) -> dict[str, float]:
        """Return the share of items that show all changes, and that of other attributes that stay as they were."""
        named = {change.attribute for change in self.editor.changes}
        changed = [
            (seen[change.attribute] == change.value) == (change.sign > 0)
            for change in self.editor.changes
            if change.value is not None
        ]
        columns, _ = distinct(self.editor.run.dataset)
        rows = self.given.columns
        kept = [
            (seen[name] == rows[name]).float().mean()
            for name in columns
            if not any(torch.equal(rows[name], rows[other]) for other in named)
        ]
        shares = {"changed": torch.stack(changed).all(0).float().mean()} if changed else {}
        shares |= {"others_kept": torch.stack(kept).mean()} if kept else {}
        return {name: 100 * float(share) for name, share in shares.items()}


def _number(name: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < float("inf"):
        raise ConfigError(f"{name} must be a number, got {value!r}.")
    return float(value)


def _stem(name: str) -> str:
    """Return the name of a file without its folder and suffix, and the whole name of an item of a data set."""
    return Path(name).stem if Path(name).suffix else name
