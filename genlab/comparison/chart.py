"""Every figure of every run as a plot."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from genlab.comparison.comparison import Comparison
from genlab.comparison.panels import BEST, DOTS, HEAD, LETTER, POINT, dress, panels, scale

if TYPE_CHECKING:
    from genlab.comparison.panels import Axes, Chart

_FLOOR = "#777777"
_ACROSS, _DOWN, _TALLEST = 4, 6, 6000 // DOTS


class _Labels:
    """What stands beside a panel: the runs, of many of them each in fewer lines, which are smaller and closer."""

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
        """The middle of each, from the top down, in lines."""
        tops = [sum(self.heights[:number]) for number in range(len(self.heights))]
        return [-(top + height / 2) for top, height in zip(tops, self.heights, strict=True)]


def figures(comparison: Comparison) -> Chart | None:
    """A panel a figure, with a point and its spread for each run, and dashed what real data gets."""
    names, labels = panelled(comparison), _Labels(comparison)
    if not names:
        return None
    across = min(_ACROSS, len(names))
    chart, grid = panels(-(-len(names) // across), across, left=labels.wide, height=labels.tall)
    places = labels.places
    for number, name in enumerate(names):
        panel = grid[number // across][number % across]
        _draw_figure(panel, comparison, name, places)
        panel.set_yticks(places, labels.texts if number % across == 0 else [""] * len(places))
        panel.tick_params(axis="y", labelsize=labels.size)
    for panel in [panel for row in grid for panel in row][len(names) :]:
        panel.remove()
    return chart


def panelled(comparison: Comparison) -> list[str]:
    """The figures that several runs have; of more than a sheet holds the evaluated first, then what most have."""
    held = Counter(name for row in comparison.rows for name in row.figures)
    evaluated = {name for row in comparison.rows for name in row.measured.parts}
    shared = [name for name in comparison.figures if held[name] > 1 or len(comparison.rows) == 1]
    first = sorted(shared, key=lambda name: (name not in evaluated, -held[name]))
    down = int(_TALLEST / (_Labels(comparison).tall + HEAD))
    chosen = first[: _ACROSS * max(1, min(_DOWN, down))]
    return [name for name in shared if name in chosen]


def _draw_figure(panel: Axes, comparison: Comparison, name: str, places: Sequence[float]) -> None:
    best, values = comparison.best(name), list[float]()
    for row, place in zip(comparison.rows, places, strict=True):
        if name not in row.figures:
            continue
        figure = row.figures[name]
        colour = BEST if figure.mean == best else POINT
        panel.errorbar(figure.mean, place, xerr=figure.spread, fmt="o", color=colour, markersize=4, capsize=2)
        values.append(figure.mean)
        if figure.floor is not None:
            panel.vlines(figure.floor, place - 0.7, place + 0.7, colors=_FLOOR, linestyles="dashed", linewidth=1)
            values.append(figure.floor)
    panel.set_ylim(places[-1] - 1, places[0] + 1)
    scale(panel, "x", values)
    panel.grid(axis="y", color="#eeeeee")
    dress(panel, comparison, name)
