"""Draws the effect of each setting on the main metrics."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from statistics import mean
from typing import TYPE_CHECKING, NamedTuple

from genlab.charts import BEST, LETTER, PANEL, POINT, dress, panels, scale, spans
from genlab.comparison.comparison import Comparison
from genlab.comparison.differing import text
from genlab.comparison.measured import direction
from genlab.evaluation.main_metrics import main_of

if TYPE_CHECKING:
    from genlab.charts import Axes, Chart

_LEVEL = 6
"""Largest number of values whose names are tilted only slightly."""
_LEAST = 3
"""Smallest number of runs for which an effect is drawn."""


def effects(comparison: Comparison) -> Chart | None:
    """Draw a panel for each setting and main metric: all runs, and their means.

    Settings that change together share a panel.
    """
    main = _main(comparison)
    pairs = {_title(group): (group[0], _moved(comparison, group[0], main)) for group in comparison.groups}
    pairs = {title: pair for title, pair in pairs.items() if pair[1]}
    names = [name for name in main if any(name in moved for _, moved in pairs.values())]
    if not pairs:
        return None
    foot = 0.6 if any(_tilted(comparison, setting) for setting, _ in pairs.values()) else 0.1
    foot += 0.15 * max(title.count("\n") for title in pairs)
    chart, grid = panels(len(pairs), len(names), left=0.75, height=1.9, gap=0.75, foot=foot)
    for line, (title, (setting, moved)) in zip(grid, pairs.items(), strict=True):
        for panel, name in zip(line, names, strict=True):
            if name in moved:
                _draw_effect(panel, comparison, setting, name)
                panel.set_xlabel(title, fontsize=8.5)
            else:
                panel.remove()
    return chart


class Effect(NamedTuple):
    """A metric of all runs by the value of a setting."""

    settings: list[str]
    """The setting, and those that change together with it."""
    metric: str
    points: dict[str, list[float]]
    """The metric of each run by the value of the setting as text, in the order of the values."""
    numbers: dict[str, float]
    """The values of the setting as numbers; empty if some are not numbers."""


def found(comparison: Comparison) -> list[Effect]:
    """Return the effect of each setting on each main metric."""
    main, listed = _main(comparison), list[Effect]()
    for group in comparison.groups:
        numbers = _as_numbers(comparison, group[0])
        for name in _moved(comparison, group[0], main):
            points = _points(comparison, group[0], name)
            order = sorted(points, key=lambda value: numbers[value]) if numbers else list(points)
            listed.append(Effect(group, name, {value: points[value] for value in order}, numbers))
    return listed


def _title(group: Sequence[str], most: int = 3) -> str:
    """Return the first setting, and below it those that change together with it."""
    first, *rest = group
    named = ", ".join(rest[:most]) + (f" and {len(rest) - most} more" if len(rest) > most else "")
    return "\n".join([first, *textwrap.wrap(f"with {named}" if rest else "", 40)])


def _moved(comparison: Comparison, setting: str, names: Sequence[str]) -> list[str]:
    """Return the metrics that enough runs have at more than one value of the setting."""
    points = {name: _points(comparison, setting, name) for name in names}
    return [name for name in names if len(points[name]) > 1 and sum(map(len, points[name].values())) >= _LEAST]


def _main(comparison: Comparison) -> list[str]:
    """Return the main metrics of the evaluations that have a better direction; else the loss, if it compares."""
    apart = comparison.mixed | comparison.doubtful
    known = [name for name in comparison.metrics if direction(name) and name not in apart]
    evaluated = [name for name in known if any(name in row.measured.parts for row in comparison.rows)]
    return main_of(evaluated) or [name for name in known if name.endswith("/loss")][-1:] or known[:1]


def _points(comparison: Comparison, setting: str, name: str) -> dict[str, list[float]]:
    """Return the means of all runs by the value of the setting, as text."""
    found: dict[str, list[float]] = {}
    for row in comparison.rows:
        if setting in row.settings and name in row.metrics:
            found.setdefault(text(row.settings[setting]), []).append(row.metrics[name].mean)
    return found


def _draw_effect(panel: Axes, comparison: Comparison, setting: str, name: str) -> None:
    points = _points(comparison, setting, name)
    numbers = _as_numbers(comparison, setting)
    places = {value: numbers[value] if numbers else float(number) for number, value in enumerate(points)}
    order = sorted(points, key=lambda value: places[value])
    for value, means in points.items():
        panel.plot([places[value]] * len(means), means, "o", color=POINT, alpha=0.45, markersize=4)
    # Names have no order, so no line joins them.
    line = (
        {"linestyle": "-"}
        if numbers
        else {"linestyle": "", "marker": "_", "markersize": min(22, 120 / len(order)), "markeredgewidth": 2}
    )
    panel.plot([places[value] for value in order], [mean(points[value]) for value in order], color=BEST, **line)
    scale(panel, "y", [value for means in points.values() for value in means])
    dress(panel, name, comparison.remark(name))
    if not numbers:
        tilted = _tilted(comparison, setting)
        panel.set_xticks([places[value] for value in order], [_cut(value) for value in order])
        if tilted:
            panel.tick_params(axis="x", labelrotation=25 if len(order) <= _LEVEL else 45, labelsize=7)
            for label in panel.get_xticklabels():
                label.set(horizontalalignment="right", rotation_mode="anchor")
        panel.margins(x=0.25)
    elif spans(list(places.values())) or len(order) <= 6:
        _at_values(panel, places)


def _tilted(comparison: Comparison, setting: str) -> bool:
    """Return True if the names of the values are too long for the room below a panel."""
    values = {_cut(text(row.settings[setting])) for row in comparison.rows if setting in row.settings}
    return not _as_numbers(comparison, setting) and sum(len(value) + 3 for value in values) * LETTER > 1.2 * PANEL


def _cut(value: str, most: int = 16) -> str:
    """Return the end of a long value, because paths differ at their ends."""
    return value if len(value) <= most else f"...{value[3 - most :]}"


def _at_values(panel: Axes, places: dict[str, float]) -> None:
    """Put ticks at the values of the runs, if they are few and far apart."""
    wide = spans(list(places.values()))
    if wide:
        panel.set_xscale("log")
    if len(places) <= 6 and (wide or _apart(list(places.values()))):
        panel.set_xticks(list(places.values()), list(places))
        panel.set_xticks([], minor=True)


def _apart(values: Sequence[float], least: float = 0.12) -> bool:
    ordered = sorted(values)
    steps = [after - before for before, after in zip(ordered, ordered[1:], strict=False)]
    return min(steps) > least * (ordered[-1] - ordered[0])


def _as_numbers(comparison: Comparison, setting: str) -> dict[str, float]:
    """Return the values as numbers, or nothing if some are not numbers."""
    values = [row.settings[setting] for row in comparison.rows if setting in row.settings]
    if any(isinstance(value, bool) or not isinstance(value, int | float) for value in values):
        return {}
    return {text(value): float(value) for value in values}
