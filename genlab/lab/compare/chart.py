"""A comparison as plots: every figure of every run, and how each setting moves the main ones."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Sequence
from statistics import mean
from typing import TYPE_CHECKING, Any, BinaryIO

from genlab.lab.compare.comparison import Comparison
from genlab.lab.compare.differing import text
from genlab.lab.compare.measured import direction

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Chart

_POINT, _BEST, _FLOOR = "#3b6ea5", "#d1661b", "#777777"
# In inches: a line of 8 points, one of its characters, a panel, and what its title and its ticks take.
_LINE, _LETTER, _PANEL, _HEAD, _GAP = 0.16, 0.072, 2.5, 0.85, 0.35
_LABEL, _ACROSS = 40, 4
_WIDE = 100
"""Values that span more times than this are drawn on a logarithmic axis."""


def figures(comparison: Comparison) -> Chart | None:
    """A panel a figure, with a point and its spread for each run, and dashed what real data gets."""
    if not comparison.figures:
        return None
    labels = [textwrap.wrap(row.label, _LABEL) for row in comparison.rows]
    across = min(_ACROSS, len(comparison.figures))
    down = -(-len(comparison.figures) // across)
    room = max(len(line) for lines in labels for line in lines) * _LETTER + 0.2
    height = sum(max(1.4, len(lines)) for lines in labels) * _LINE + 0.2
    chart, grid = _panels(down, across, left=room, height=height)
    places = _places([max(1.4, len(lines)) for lines in labels])
    for number, name in enumerate(comparison.figures):
        panel = grid[number // across][number % across]
        _draw_figure(panel, comparison, name, places)
        panel.set_yticks(places, ["\n".join(lines) for lines in labels] if number % across == 0 else [""] * len(labels))
    for panel in [panel for row in grid for panel in row][len(comparison.figures) :]:
        panel.remove()
    return chart


def effects(comparison: Comparison) -> Chart | None:
    """A panel for each setting and main figure, with all runs and their means; none where only the seed differs."""
    pairs = {
        setting: [name for name in _main(comparison) if len(_points(comparison, setting, name)) > 1]
        for setting in comparison.settings
        if setting != "seed"
    }
    names = [name for name in _main(comparison) if any(name in those for those in pairs.values())]
    settings = [setting for setting, those in pairs.items() if those]
    if not settings:
        return None
    foot = 0.6 if any(_tilted(comparison, setting) for setting in settings) else 0.1
    chart, grid = _panels(len(settings), len(names), left=0.75, height=1.9, gap=0.75, foot=foot)
    for panels, setting in zip(grid, settings, strict=True):
        for panel, name in zip(panels, names, strict=True):
            if name in pairs[setting]:
                _draw_effect(panel, comparison, setting, name)
            else:
                panel.remove()
    return chart


def written(chart: Chart | None) -> Callable[[BinaryIO], None] | None:
    """What writes it as a PNG, if there is one."""
    return (lambda file: chart.savefig(file, format="png")) if chart else None


def _panels(
    down: int, across: int, *, left: float, height: float, gap: float = _GAP, foot: float = 0.0
) -> tuple[Chart, Any]:
    """Panels of one size, with room on the left of the first and between them, in inches."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure as Chart

    wide = left + across * _PANEL + (across - 1) * gap + 0.25
    each = height + _HEAD + foot
    tall = down * each
    chart = Chart(figsize=(wide, tall), dpi=110)
    FigureCanvasAgg(chart)
    sides = {"left": left / wide, "right": 1 - 0.25 / wide}
    # Above a panel is its title, below it are its ticks.
    edges = {"top": 1 - 0.5 / tall, "bottom": (_HEAD - 0.5 + foot) / tall}
    spaces = {"wspace": gap / _PANEL, "hspace": (each - height) / height}
    grid = chart.subplots(down, across, squeeze=False, gridspec_kw={**sides, **edges, **spaces})
    return chart, grid


def _places(heights: Sequence[float]) -> list[float]:
    """The middle of each label, from the top down, in lines."""
    tops = [sum(heights[:number]) for number in range(len(heights))]
    return [-(top + height / 2) for top, height in zip(tops, heights, strict=True)]


def _draw_figure(panel: Axes, comparison: Comparison, name: str, places: Sequence[float]) -> None:
    best, values = comparison.best(name), list[float]()
    for row, place in zip(comparison.rows, places, strict=True):
        if name not in row.figures:
            continue
        figure = row.figures[name]
        colour = _BEST if figure.mean == best else _POINT
        panel.errorbar(figure.mean, place, xerr=figure.spread, fmt="o", color=colour, markersize=4, capsize=2)
        values.append(figure.mean)
        if figure.floor is not None:
            panel.vlines(figure.floor, place - 0.7, place + 0.7, colors=_FLOOR, linestyles="dashed", linewidth=1)
            values.append(figure.floor)
    panel.set_ylim(places[-1] - 1, places[0] + 1)
    _scale(panel, "x", values)
    panel.grid(axis="y", color="#eeeeee")
    _dress(panel, comparison, name)


def _dress(panel: Axes, comparison: Comparison, name: str) -> None:
    """Name the figure and which way it is better."""
    way = direction(name)
    below = f"{way} is better" if way else ""
    if name in comparison.mixed | comparison.doubtful:
        below = "not comparable" if name in comparison.mixed else "may not compare"
    panel.set_title(f"{_short(name)}\n{below}", fontsize=8.5)
    panel.tick_params(labelsize=8)
    panel.set_axisbelow(True)
    for side in ("top", "right"):
        panel.spines[side].set_visible(False)


def _short(name: str) -> str:
    return "\n".join(textwrap.wrap(name, 34))


def _scale(panel: Axes, which: str, values: Sequence[float]) -> None:
    """A logarithmic axis where the values span much, and few ticks that say whole numbers."""
    from matplotlib.ticker import LogFormatterMathtext, LogLocator, MaxNLocator, NullFormatter, ScalarFormatter

    axis = panel.xaxis if which == "x" else panel.yaxis
    if _spans(values):
        (panel.set_xscale if which == "x" else panel.set_yscale)("log")
        axis.set_major_locator(LogLocator(numticks=4))
        axis.set_major_formatter(LogFormatterMathtext())
        axis.set_minor_formatter(NullFormatter())
    else:
        axis.set_major_locator(MaxNLocator(4))
        axis.set_major_formatter(ScalarFormatter(useOffset=False))


def _spans(values: Sequence[float]) -> bool:
    return bool(values) and min(values) > 0 and max(values) / min(values) > _WIDE


def _main(comparison: Comparison, most: int = 6) -> list[str]:
    """Of each measure the first figure that has a direction; without any, the loss of the run's own training."""
    known = [name for name in comparison.figures if direction(name) and name not in comparison.mixed]
    parts: dict[str, str] = {}
    for name in known:
        part = next((row.measured.parts[name] for row in comparison.rows if name in row.measured.parts), None)
        if part:
            parts.setdefault(part, name)
    return list(parts.values())[:most] or [name for name in known if name.endswith("/loss")][-1:] or known[:1]


def _points(comparison: Comparison, setting: str, name: str) -> dict[str, list[float]]:
    """The means of all runs by the value of the setting, as a text."""
    found: dict[str, list[float]] = {}
    for row in comparison.rows:
        if setting in row.settings and name in row.figures:
            found.setdefault(text(row.settings[setting]), []).append(row.figures[name].mean)
    return found


def _draw_effect(panel: Axes, comparison: Comparison, setting: str, name: str) -> None:
    points = _points(comparison, setting, name)
    numbers = _as_numbers(comparison, setting)
    places = {value: numbers[value] if numbers else float(number) for number, value in enumerate(points)}
    order = sorted(points, key=lambda value: places[value])
    for value, means in points.items():
        panel.plot([places[value]] * len(means), means, "o", color=_POINT, alpha=0.45, markersize=4)
    # Between names there is nothing, so no line leads from one to the next.
    line = {"linestyle": "-"} if numbers else {"linestyle": "", "marker": "_", "markersize": 22, "markeredgewidth": 2}
    panel.plot([places[value] for value in order], [mean(points[value]) for value in order], color=_BEST, **line)
    _scale(panel, "y", [value for means in points.values() for value in means])
    _dress(panel, comparison, name)
    panel.set_xlabel(setting, fontsize=8.5)
    if not numbers:
        tilted = _tilted(comparison, setting)
        panel.set_xticks([places[value] for value in order], [_cut(value) for value in order])
        if tilted:
            panel.tick_params(axis="x", labelrotation=25, labelsize=7)
            for label in panel.get_xticklabels():
                label.set(horizontalalignment="right", rotation_mode="anchor")
        panel.margins(x=0.25)
    elif _spans(list(places.values())) or len(order) <= 6:
        _at_values(panel, places)


def _tilted(comparison: Comparison, setting: str) -> bool:
    """Whether the names of the values take more room than there is below a panel."""
    values = {_cut(text(row.settings[setting])) for row in comparison.rows if setting in row.settings}
    return not _as_numbers(comparison, setting) and sum(len(value) + 3 for value in values) * _LETTER > 1.2 * _PANEL


def _cut(value: str, most: int = 16) -> str:
    """The end of a long value, by which paths differ."""
    return value if len(value) <= most else f"...{value[3 - most :]}"


def _at_values(panel: Axes, places: dict[str, float]) -> None:
    """Ticks where the values are that were tried, if they are few and apart."""
    from matplotlib.ticker import NullLocator

    wide = _spans(list(places.values()))
    if wide:
        panel.set_xscale("log")
    if len(places) <= 6 and (wide or _apart(list(places.values()))):
        panel.set_xticks(list(places.values()), list(places))
        panel.xaxis.set_minor_locator(NullLocator())


def _apart(values: Sequence[float], least: float = 0.12) -> bool:
    ordered = sorted(values)
    steps = [after - before for before, after in zip(ordered, ordered[1:], strict=False)]
    return min(steps) > least * (ordered[-1] - ordered[0])


def _as_numbers(comparison: Comparison, setting: str) -> dict[str, float]:
    """The values as numbers, where all of them are."""
    values = [row.settings[setting] for row in comparison.rows if setting in row.settings]
    if any(isinstance(value, bool) or not isinstance(value, int | float) for value in values):
        return {}
    return {text(value): float(value) for value in values}
