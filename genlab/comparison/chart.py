"""Draws every metric of every run."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from genlab.charts import BEST, DOTS, HEAD, LETTER, POINT, dress, panels, scale
from genlab.comparison.comparison import Comparison

if TYPE_CHECKING:
    from genlab.charts import Axes, Chart

_BASELINE = "#777777"
_ACROSS, _DOWN, _TALLEST = 4, 6, 6000 // DOTS


class _Labels:
    """The names of the runs beside a panel; many runs get fewer and smaller lines each."""

    def __init__(self, comparison: Comparison) -> None:
        few = len(comparison.rows) <= 12
        longest, least = (40, 1.4) if few else (60, 1.15)
        self.size, line = (8.0, 0.16) if few else (6.5, 0.11)
        lines = [textwrap.wrap(row.label, longest) for row in comparison.rows]
        self.texts = ["\n".join(some) for some in lines]
        self.heights = [max(least, len(some)) for some in lines]
        self.tall = sum(self.heights) * line + 0.2
        self.wide = max(len(line) for some in lines for line in some) * LETTER * self.size / 8 + 0.2

    @property
    def places(self) -> list[float]:
        """The middle of each label, from the top down, in lines."""
        tops = [sum(self.heights[:number]) for number in range(len(self.heights))]
        return [-(top + height / 2) for top, height in zip(tops, self.heights, strict=True)]


def metrics(comparison: Comparison) -> Chart | None:
    """Draw a panel for each metric: a point and its std for each run, and the baseline as a dashed line."""
    names, labels = panelled(comparison), _Labels(comparison)
    if not names:
        return None
    across = min(_ACROSS, len(names))
    chart, grid = panels(-(-len(names) // across), across, left=labels.wide, height=labels.tall)
    places = labels.places
    for number, name in enumerate(names):
        panel = grid[number // across][number % across]
        _draw_metric(panel, comparison, name, places)
        panel.set_yticks(places, labels.texts if number % across == 0 else [""] * len(places))
        panel.tick_params(axis="y", labelsize=labels.size)
    for panel in [panel for row in grid for panel in row][len(names) :]:
        panel.remove()
    return chart


def panelled(comparison: Comparison) -> list[str]:
    """Return the metrics that get a panel: those that several runs have.

    If there are too many for the sheet, metrics of evaluations come first, then those that most runs have.
    """
    held = Counter(name for row in comparison.rows for name in row.metrics)
    evaluated = {name for row in comparison.rows for name in row.measured.parts}
    shared = [name for name in comparison.metrics if held[name] > 1 or len(comparison.rows) == 1]
    first = sorted(shared, key=lambda name: (name not in evaluated, -held[name]))
    down = int(_TALLEST / (_Labels(comparison).tall + HEAD))
    chosen = first[: _ACROSS * max(1, min(_DOWN, down))]
    return [name for name in shared if name in chosen]


def _draw_metric(panel: Axes, comparison: Comparison, name: str, places: Sequence[float]) -> None:
    best, values = comparison.best(name), list[float]()
    for row, place in zip(comparison.rows, places, strict=True):
        if name not in row.metrics:
            continue
        metric = row.metrics[name]
        colour = BEST if metric.mean == best else POINT
        panel.errorbar(metric.mean, place, xerr=metric.std, fmt="o", color=colour, markersize=4, capsize=2)
        values.append(metric.mean)
        if metric.baseline is not None:
            panel.vlines(metric.baseline, place - 0.7, place + 0.7, colors=_BASELINE, linestyles="dashed", linewidth=1)
            values.append(metric.baseline)
    panel.set_ylim(places[-1] - 1, places[0] + 1)
    scale(panel, "x", values)
    panel.grid(axis="y", color="#eeeeee")
    dress(panel, name, comparison.remark(name))
