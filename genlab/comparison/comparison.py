"""Runs beside each other: what differs between them, what was measured of them and what they cost."""

import math
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from genlab.comparison import comparable
from genlab.comparison.differing import Asked, differing, entangled, labels, teaching, values
from genlab.comparison.measured import COSTS, RUNS, Measured, cost, direction, measured
from genlab.metrics.figures import Figure
from genlab.registry import ConfigError, pick
from genlab.runs.run import Run


@dataclass(frozen=True)
class Row:
    """One run."""

    run: Run
    name: str
    """As much of its folder's path as tells it from the others."""
    label: str
    """What differs, in words."""
    settings: dict[str, Any]
    """Of those that differ, the ones that it has."""
    measured: Measured
    cost: dict[str, float | str]

    @property
    def figures(self) -> dict[str, Figure]:
        """What was measured."""
        return self.measured.figures


@dataclass(frozen=True)
class Comparison:
    """The rows, and which columns they have."""

    rows: list[Row]
    settings: list[str]
    figures: list[str]
    costs: list[str]
    checkpoint: str
    notes: list[str]
    """What has to be known before two figures are held against each other."""
    mixed: frozenset[str]
    """The figures that were measured in different ways, which cannot be held against each other."""
    doubtful: frozenset[str]
    """The figures whose meaning a setting that differs may change."""

    def sorted(self, by: str) -> "Comparison":
        """The best first by a figure or cost, the lowest where neither way is better; runs without it last."""
        name = pick("figure", by, {name: name for name in [*self.figures, *self.costs]})
        downwards = direction(name) == "higher"

        def place(row: Row) -> tuple[bool, float, str]:
            value = row.figures[name].mean if name in row.figures else row.cost.get(name)
            number = value if isinstance(value, int | float) else math.inf
            return value is None, -number if downwards else number, str(value) if isinstance(value, str) else ""

        return replace(self, rows=sorted(self.rows, key=place))

    def only(self, names: Iterable[str]) -> "Comparison":
        """With these figures and costs alone, in this order."""
        known = {name: name for name in [*self.figures, *self.costs]}
        chosen = list(dict.fromkeys(pick("figure", name, known) for name in names))
        figures, costs = ([name for name in chosen if name in part] for part in (self.figures, self.costs))
        return replace(self, figures=figures, costs=costs, mixed=self.mixed & set(figures))

    @property
    def groups(self) -> list[list[str]]:
        """The settings that may have an effect, each beside those that its effect is not told from."""
        return entangled([row.settings for row in self.rows], self.settings)

    def best(self, name: str) -> float | None:
        """The best of several comparable figures, None where there is none."""
        means = [row.figures[name].mean for row in self.rows if name in row.figures]
        way = direction(name)
        if way is None or name in self.mixed | self.doubtful or len(means) < 2:
            return None
        return min(means) if way == "lower" else max(means)

    def floor(self, name: str) -> float | None:
        """What real data gets, where it is the same for all."""
        floors = {row.figures[name].floor for row in self.rows if name in row.figures}
        return floors.pop() if len(floors) == 1 else None


def compared(found: Sequence[Run], asked: Callable[[Run], Asked], checkpoint: str) -> Comparison:
    """The comparison of these runs, as they are given; `asked` reads a run's settings."""
    unread, questions = list[str](), list[Asked]()
    for run in found:
        try:
            questions.append(asked(run))
        except ConfigError as error:
            unread.append(f"The settings of {run.path} are not known: {error}")
            questions.append(Asked({}, {}))
    keys = differing(questions)
    settings = [values(one.settings, keys) for one in questions]
    names = _names([run.path for run in found])
    rows = [
        Row(run, name, label, chosen, measured(run, checkpoint), cost(run.facts))
        for run, name, label, chosen in zip(found, names, labels(settings, names), settings, strict=True)
    ]
    ways = {row.name: row.measured for row in rows}
    telling, figures = _telling(keys), _figure_names(rows)
    notes = [*unread, *_grouped(rows), *comparable.sentences(ways), *_cautions(rows, keys, questions)]
    doubtful = frozenset(name for name in figures if "/" in name and telling)
    costs = [name for name in COSTS if any(name in row.cost for row in rows)]
    return Comparison(rows, keys, figures, costs, checkpoint, notes, comparable.mixed(ways), doubtful)


def _names(paths: Sequence[Path]) -> list[str]:
    """The paths without what all of them begin with."""
    full = [path.resolve() for path in paths]
    above = Path(os.path.commonpath([path.parent for path in full]))
    return [path.relative_to(above).as_posix() for path in full]


def _figure_names(rows: Sequence[Row]) -> list[str]:
    """All that any run has: what was evaluated, then what the runs' own training says."""
    names = dict.fromkeys(name for row in rows for name in row.figures)
    return sorted(names, key=lambda name: not any(name in row.measured.parts for row in rows))


def _grouped(rows: Sequence[Row]) -> list[str]:
    """Each note once, with the runs that it is true of."""
    named: dict[str, list[str]] = {}
    for row in rows:
        for note in row.measured.notes:
            named.setdefault(note, []).append(row.name)
    every = f"all {len(rows)} runs" if len(rows) > 1 else rows[0].name
    return [note.replace(RUNS, every if len(names) == len(rows) else ", ".join(names)) for note, names in named.items()]


def _telling(keys: Sequence[str]) -> list[str]:
    """The settings that may change what a model's own loss is: not its network, nor how its players move."""
    other = ("model.network", "model.players.", "model.average")
    return [key for key in teaching(keys) if key.startswith("model") and not key.startswith(other)]


def _cautions(rows: Sequence[Row], keys: Sequence[str], asked: Sequence[Asked]) -> list[str]:
    """What is true of numbers that look alike, and of settings that change together."""
    own = sum(any("/" in name for name in row.figures) for row in rows) > 1
    other = _telling(keys)
    said = []
    if own and other:
        said.append(
            f"validation/... and test/... are each run's own loss and its terms: where {', '.join(other)} "
            f"{'change' if len(other) > 1 else 'changes'} what these mean, they do not compare."
        )
    for group in entangled([row.settings for row in rows], keys):
        if len(group) > 1:
            said.append(f"These change together, so no effect is told from the others': {', '.join(group)}.")
    partial = [row.name for row, one in zip(rows, asked, strict=True) if _resumed(row, one)]
    if partial:
        said.append(f"The seconds are of the last part alone of what was stopped and resumed: {', '.join(partial)}.")
    return said


def _resumed(row: Row, asked: Asked) -> bool:
    """Whether more images were dealt than fit into the seconds at this speed, by more than rounding."""
    size, known = asked.settings.get("trainer.batch_size"), [row.cost.get(name) for name in list(COSTS)[:3]]
    if not isinstance(size, int) or not all(isinstance(value, int | float) for value in known):
        return False
    steps, seconds, speed = (float(value) for value in known if value is not None)
    return (speed + 1) * (seconds + 0.1) < 0.95 * steps * size
