"""Charts in one style: panels of the same size on one sheet, and their axes."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Collection, Mapping, Sequence
from itertools import cycle
from typing import TYPE_CHECKING, Any, BinaryIO

if TYPE_CHECKING:
    import matplotlib.axes
    import matplotlib.figure

    Axes = matplotlib.axes.Axes
    Chart = matplotlib.figure.Figure

POINT, BEST = "#3b6ea5", "#d1661b"
OTHERS = ("#999999", "#d1661b", "#4f9d69", "#8e5ea2", "#c9a227", "#5b5b5b")
"""The colours of the lines after the first one."""
# In inches: a character of 8 points, a panel, and its title and ticks together.
LETTER, PANEL, HEAD = 0.072, 2.5, 0.85
DOTS = 110
"""Dots per inch."""
_GAP = 0.35
_CURVES, _CURVES_WIDE = 3.0, 4.6
_BARS = 60
"""Bars of a histogram."""
_WIDE = 100
"""The axis is logarithmic if the largest value is more than this many times the smallest."""


def written(chart: Chart | None) -> Callable[[BinaryIO], None] | None:
    """Return a function that writes the chart as a PNG, or None if there is no chart."""
    return (lambda file: chart.savefig(file, format="png")) if chart else None


def panels(
    down: int, across: int, *, left: float, height: float, gap: float = _GAP, foot: float = 0.0, width: float = PANEL
) -> tuple[Chart, Any]:
    """Make a grid of panels, with room on the left of the first and between them, in inches."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    wide = left + across * width + (across - 1) * gap + 0.25
    each = height + HEAD + foot
    tall = down * each
    chart = Figure(figsize=(wide, tall), dpi=DOTS)
    FigureCanvasAgg(chart)
    sides = {"left": left / wide, "right": 1 - 0.25 / wide}
    # The title of a panel needs room above it, the ticks below it.
    edges = {"top": 1 - 0.5 / tall, "bottom": (HEAD - 0.5 + foot) / tall}
    spaces = {"wspace": gap / width, "hspace": (each - height) / height}
    grid = chart.subplots(down, across, squeeze=False, gridspec_kw={**sides, **edges, **spaces})
    return chart, grid


def curves(
    title: str,
    below: str,
    beside: str,
    series: Mapping[str, Sequence[tuple[float, float]]],
    marks: Mapping[str, float] | None = None,
    note: str = "",
) -> Chart:
    """Draw one panel with a line for each series, the first one thick, and a vertical line for each mark.

    `below` and `beside` name the axes; `note` is a second line of the title.
    """
    chart, grid = panels(1, 1, left=0.75, height=_CURVES, foot=0.2, width=_CURVES_WIDE)
    panel = grid[0][0]
    for number, (name, points) in enumerate(series.items()):
        colour = POINT if number == 0 else OTHERS[(number - 1) % len(OTHERS)]
        panel.plot(*zip(*points, strict=True), "o-", label=name, color=colour, lw=1 if number else 2, markersize=4)
    for name, place in (marks or {}).items():
        panel.axvline(place, color="#777777", linestyle="dashed", linewidth=1, label=name)
    panel.set_xlabel(below, fontsize=8.5)
    panel.set_ylabel(beside, fontsize=8.5)
    panel.grid(color="#eeeeee")
    panel.legend(fontsize=8, frameon=False)
    dress(panel, title, note)
    return chart


def histogram(
    title: str,
    below: str,
    groups: Mapping[str, Sequence[float]],
    marks: Mapping[str, float] | None = None,
    *,
    outlined: Collection[str] = (),
) -> Chart:
    """Draw one panel with the shares of each group's values, and a vertical line for each mark.

    Groups that are `outlined` are a line without filling. `below` names the axis.
    """
    chart, grid = panels(1, 1, left=0.75, height=_CURVES, foot=0.2, width=_CURVES_WIDE)
    panel = grid[0][0]
    values = sorted(value for group in groups.values() for value in group)
    places = [*values, *(marks or {}).values()]
    edges = _edges(min(places), max(places), logarithmic=spans(places))
    colours = cycle((POINT, BEST))
    for name, group in groups.items():
        look: dict[str, Any] = {"color": "#444444", "histtype": "step"}
        if name not in outlined:
            look = {"color": next(colours), "alpha": 0.5}
        label = f"{name} ({len(group):,})"
        panel.hist(group, edges, weights=[100 / max(1, len(group))] * len(group), label=label, **look)
    for name, place in (marks or {}).items():
        panel.axvline(place, color="#aa2222", linestyle="dashed", linewidth=1, label=name)
    panel.set_xlabel(below, fontsize=8.5)
    panel.set_ylabel("% of the group", fontsize=8.5)
    scale(panel, "x", places)
    panel.legend(fontsize=8, frameon=False)
    dress(panel, title)
    return chart


def _edges(low: float, high: float, *, logarithmic: bool) -> list[float]:
    """Return the edges of the bars, at equal distances on the axis."""
    if not high > low:
        low, high = low - 0.5, high + 0.5
    places = [number / _BARS for number in range(_BARS + 1)]
    if logarithmic:
        return [low * (high / low) ** place for place in places]
    return [low + (high - low) * place for place in places]


def dress(panel: Axes, title: str, below: str = "") -> None:
    """Write a title and a line below it above a panel, and leave out the lines on its right and at its top."""
    lines = [*textwrap.wrap(title, 34), below]
    panel.set_title("\n".join(lines), fontsize=8.5)
    panel.tick_params(labelsize=8)
    panel.set_axisbelow(True)
    for side in ("top", "right"):
        panel.spines[side].set_visible(False)


def scale(panel: Axes, which: str, values: Sequence[float]) -> None:
    """Choose a linear or logarithmic axis, with few ticks and whole numbers."""
    from matplotlib.ticker import LogFormatterMathtext, LogLocator, MaxNLocator, NullFormatter, ScalarFormatter

    axis = panel.xaxis if which == "x" else panel.yaxis
    if spans(values):
        (panel.set_xscale if which == "x" else panel.set_yscale)("log")
        axis.set_major_locator(LogLocator(numticks=4))
        axis.set_major_formatter(LogFormatterMathtext())
        axis.set_minor_formatter(NullFormatter())
    else:
        axis.set_major_locator(MaxNLocator(4))
        axis.set_major_formatter(ScalarFormatter(useOffset=False))


def spans(values: Sequence[float]) -> bool:
    """Return True if the values need a logarithmic axis."""
    return bool(values) and min(values) > 0 and max(values) / min(values) > _WIDE


def squares(count: int, *, side: float = 4.0, right: float = 0.25, solid: bool = False) -> tuple[Chart, list[Axes]]:
    """Make one row of square panels, with room on the right for a legend, in inches; solid panels have three axes."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    left, gap, foot, head = 0.55, 0.6, 0.45, 0.7
    wide, tall = left + count * side + (count - 1) * gap + right, foot + side + head
    chart = Figure(figsize=(wide, tall), dpi=DOTS)
    FigureCanvasAgg(chart)
    place = [((left + number * (side + gap)) / wide, foot / tall, side / wide, side / tall) for number in range(count)]
    return chart, [chart.add_axes(each, projection="3d" if solid else None) for each in place]


def colours(count: int) -> list[str]:
    """Return colours for classes: up to 20 that are easy to tell apart, and for more the colours of the rainbow."""
    import matplotlib
    from matplotlib.colors import to_hex

    if count <= 20:
        found = matplotlib.colormaps["tab10" if count <= 10 else "tab20"]
        return [to_hex(found(number)) for number in range(count)]
    rainbow = matplotlib.colormaps["turbo"]
    return [to_hex(rainbow((number + 0.5) / count)) for number in range(count)]


def write_over(panel: Any, place: Sequence[float], text: str, size: float) -> None:
    """Write a word over the points of a panel, with a white outline, so that it can be read."""
    from matplotlib.patheffects import withStroke

    outline = withStroke(linewidth=2, foreground="white")
    panel.text(*place, text, fontsize=size, ha="center", va="center", path_effects=[outline], clip_on=True)
