"""A comparison of runs: the settings that differ, the metrics and the costs."""

import math
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from genlab.comparison import comparable
from genlab.comparison.differing import RunSettings, differing, entangled, labels, objectives, values
from genlab.comparison.measured import COSTS, RUNS, Measured, cost, direction, is_objective, measured
from genlab.evaluation.main_metrics import main_of
from genlab.metrics.metric import Metric
from genlab.registry import ConfigError, pick
from genlab.runs.run import Run

APART = ("not comparable", "may not compare")
"""The remarks on a metric that does not mean the same, or may not mean the same, for all runs."""


@dataclass(frozen=True)
class Row:
    """One run."""

    run: Run
    name: str
    """End of the folder's path, long enough to differ from the other runs."""
    label: str
    """The settings that differ, in words."""
    settings: dict[str, Any]
    """The run's values of the settings that differ."""
    measured: Measured
    cost: dict[str, float | str]

    @property
    def metrics(self) -> dict[str, Metric]:
        """The metrics of the run."""
        return self.measured.metrics


@dataclass(frozen=True)
class Comparison:
    """The rows, and the names of the columns."""

    rows: list[Row]
    settings: list[str]
    metrics: list[str]
    costs: list[str]
    checkpoint: str
    notes: list[str]
    """Warnings about metrics that are easily misread."""
    mixed: frozenset[str]
    """The metrics that do not compare because the runs measured them in different ways."""
    objectives: list[str]
    """The settings that change the meaning of the runs' own losses."""

    @property
    def doubtful(self) -> frozenset[str]:
        """The runs' own losses and their terms, if they differ in meaning."""
        return frozenset(filter(is_objective, self.metrics)) if self.objectives else frozenset()

    def sorted(self, by: str) -> "Comparison":
        """Sort the rows by a metric or cost, the best first, and runs without it last.

        If neither direction is better, the lowest comes first.
        """
        name = pick("metric", by, {name: name for name in [*self.metrics, *self.costs]})
        if name in self.doubtful:
            raise ConfigError(self._refusal(name))
        descending = direction(name) == "higher"

        def place(row: Row) -> tuple[bool, float, str]:
            value = row.metrics[name].mean if name in row.metrics else row.cost.get(name)
            number = value if isinstance(value, int | float) else math.inf
            return value is None, -number if descending else number, str(value) if isinstance(value, str) else ""

        return replace(self, rows=sorted(self.rows, key=place))

    def only(self, names: Iterable[str]) -> "Comparison":
        """Keep only these metrics and costs, in this order."""
        known = {name: name for name in [*self.metrics, *self.costs]}
        chosen = list(dict.fromkeys(pick("metric", name, known) for name in names))
        metrics, costs = ([name for name in chosen if name in part] for part in (self.metrics, self.costs))
        return replace(self, metrics=metrics, costs=costs, mixed=self.mixed & set(metrics))

    def shortened(self, by: str | None) -> "Comparison":
        """Keep the main metrics of the evaluated runs, the losses of the others, and the metric to sort by.

        All metrics are kept if no run is evaluated.
        """
        evaluated = [row for row in self.rows if row.measured.parts]
        if not evaluated:
            return self
        chosen = [name for row in evaluated for name in main_of(list(row.measured.parts))]
        own = ["validation/loss", "test/loss"] if len(evaluated) < len(self.rows) else []
        names = dict.fromkeys([*chosen, *own, *([by] if by else [])])
        return replace(self, metrics=[name for name in names if name in self.metrics])

    @property
    def groups(self) -> list[list[str]]:
        """The settings that may have an effect; those of a group always change together."""
        return entangled([row.settings for row in self.rows], self.settings)

    def best(self, name: str) -> float | None:
        """Return the best value of a metric, or None if fewer than two values compare or all are equal."""
        means = [row.metrics[name].mean for row in self.rows if name in row.metrics]
        way = direction(name)
        if way is None or name in self.mixed | self.doubtful or len(set(means)) < 2:
            return None
        return min(means) if way == "lower" else max(means)

    def remark(self, name: str) -> str:
        """Return whether a metric compares, and if it does, its better direction."""
        if name in self.mixed | self.doubtful:
            return APART[0] if name in self.mixed else APART[1]
        way = direction(name)
        return f"{way} is better" if way else ""

    def baseline(self, name: str) -> float | None:
        """Return the baseline of a metric if all runs have the same one."""
        baselines = {row.metrics[name].baseline for row in self.rows if name in row.metrics}
        return baselines.pop() if len(baselines) == 1 else None

    def _refusal(self, name: str) -> str:
        held = [name for name in self.metrics if all(name in row.metrics for row in self.rows)]
        shared = [name for name in held if direction(name) and name not in self.mixed | self.doubtful]
        reason = f"Cannot sort by {name}: the runs have different objectives ({', '.join(self.objectives)})."
        if not shared:
            return f"{reason} Run `genlab evaluate RUN...`, then sort by a metric that all runs share."
        return f"{reason} Sort by a metric that all runs share: {', '.join(shared)}."


def compared(runs: Sequence[Run], read_settings: Callable[[Run], RunSettings], checkpoint: str) -> Comparison:
    """Compare these runs, in this order; `read_settings` returns the settings of a run."""
    unread, read = list[str](), list[RunSettings]()
    for run in runs:
        try:
            read.append(read_settings(run))
        except ConfigError as error:
            unread.append(f"The settings of {run.path} are not known: {error}")
            read.append(RunSettings({}, {}))
    keys = differing(read)
    settings = [values(one.settings, keys) for one in read]
    names = _names([run.path for run in runs])
    rows = [
        Row(run, name, label, chosen, measured(run, checkpoint), cost(run.facts))
        for run, name, label, chosen in zip(runs, names, labels(settings, names), settings, strict=True)
    ]
    ways = {row.name: row.measured for row in rows}
    changed = objectives(read, keys)
    notes = [*unread, *_grouped(rows), *comparable.sentences(ways), *_cautions(rows, keys, changed)]
    costs = [name for name in COSTS if any(name in row.cost for row in rows)]
    return Comparison(rows, keys, _metric_names(rows), costs, checkpoint, notes, comparable.mixed(ways), changed)


def _names(paths: Sequence[Path]) -> list[str]:
    """Return the paths without their common beginning."""
    full = [path.resolve() for path in paths]
    above = Path(os.path.commonpath([path.parent for path in full]))
    return [path.relative_to(above).as_posix() for path in full]


def _metric_names(rows: Sequence[Row]) -> list[str]:
    """Return the metrics that any run has: first those of evaluations, then those of the runs' own training."""
    names = dict.fromkeys(name for row in rows for name in row.metrics)
    return sorted(names, key=lambda name: not any(name in row.measured.parts for row in rows))


def _grouped(rows: Sequence[Row]) -> list[str]:
    """Return each note once, with the names of the runs that have it."""
    named: dict[str, list[str]] = {}
    for row in rows:
        for note in row.measured.notes:
            named.setdefault(note, []).append(row.name)
    every = f"all {len(rows)} runs" if len(rows) > 1 else rows[0].name
    return [note.replace(RUNS, every if len(names) == len(rows) else ", ".join(names)) for note, names in named.items()]


def _cautions(rows: Sequence[Row], keys: Sequence[str], changed: Sequence[str]) -> list[str]:
    """Return notes about losses that differ in meaning, and about settings that change together."""
    notes = []
    if changed and sum(any(map(is_objective, row.metrics)) for row in rows) > 1:
        notes.append(
            "validation/... and test/... are each run's own loss and its terms. They do not compare, because "
            f"the meaning of the loss depends on {', '.join(changed)}."
        )
    for group in entangled([row.settings for row in rows], keys):
        if len(group) > 1:
            notes.append(f"These settings change together, so their effects cannot be separated: {', '.join(group)}.")
    return notes
