"""Panels of the same size and style on one sheet."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, BinaryIO

from genlab.comparison.comparison import Comparison
from genlab.comparison.measured import direction

if TYPE_CHECKING:
    import matplotlib.axes
    import matplotlib.figure

    Axes = matplotlib.axes.Axes
    Chart = matplotlib.figure.Figure

POINT, BEST = "#3b6ea5", "#d1661b"
# In inches: a character of 8 points, a panel, and its title and ticks together.
LETTER, PANEL, HEAD = 0.072, 2.5, 0.85
DOTS = 110
"""Dots per inch."""
_GAP = 0.35
_WIDE = 100
"""The axis is logarithmic if the largest value is more than this many times the smallest."""


def written(chart: Chart | None) -> Callable[[BinaryIO], None] | None:
    """Return a function that writes the chart as a PNG, or None if there is no chart."""
    return (lambda file: chart.savefig(file, format="png")) if chart else None


def panels(
    down: int, across: int, *, left: float, height: float, gap: float = _GAP, foot: float = 0.0
) -> tuple[Chart, Any]:
    """Make a grid of panels, with room on the left of the first and between them, in inches."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    wide = left + across * PANEL + (across - 1) * gap + 0.25
    each = height + HEAD + foot
    tall = down * each
    chart = Figure(figsize=(wide, tall), dpi=DOTS)
    FigureCanvasAgg(chart)
    sides = {"left": left / wide, "right": 1 - 0.25 / wide}
    # The title of a panel needs room above it, the ticks below it.
    edges = {"top": 1 - 0.5 / tall, "bottom": (HEAD - 0.5 + foot) / tall}
    spaces = {"wspace": gap / PANEL, "hspace": (each - height) / height}
    grid = chart.subplots(down, across, squeeze=False, gridspec_kw={**sides, **edges, **spaces})
    return chart, grid


def dress(panel: Axes, comparison: Comparison, name: str) -> None:
    """Write the name of the metric and its better direction above a panel."""
    way = direction(name)
    below = f"{way} is better" if way else ""
    if name in comparison.mixed | comparison.doubtful:
        below = "not comparable" if name in comparison.mixed else "may not compare"
    panel.set_title(f"{_wrapped(name)}\n{below}", fontsize=8.5)
    panel.tick_params(labelsize=8)
    panel.set_axisbelow(True)
    for side in ("top", "right"):
        panel.spines[side].set_visible(False)


def _wrapped(name: str) -> str:
    return "\n".join(textwrap.wrap(name, 34))


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
