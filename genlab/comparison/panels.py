"""Panels of one size on one sheet, of one look."""

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
# In inches: a character of 8 points, a panel, and what its title and its ticks take.
LETTER, PANEL, HEAD = 0.072, 2.5, 0.85
DOTS = 110
"""In an inch."""
_GAP = 0.35
_WIDE = 100
"""Values that span more times than this are drawn on a logarithmic axis."""


def written(chart: Chart | None) -> Callable[[BinaryIO], None] | None:
    """What writes it as a PNG, if there is one."""
    return (lambda file: chart.savefig(file, format="png")) if chart else None


def panels(
    down: int, across: int, *, left: float, height: float, gap: float = _GAP, foot: float = 0.0
) -> tuple[Chart, Any]:
    """Panels of one size, with room on the left of the first and between them, in inches."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    wide = left + across * PANEL + (across - 1) * gap + 0.25
    each = height + HEAD + foot
    tall = down * each
    chart = Figure(figsize=(wide, tall), dpi=DOTS)
    FigureCanvasAgg(chart)
    sides = {"left": left / wide, "right": 1 - 0.25 / wide}
    # Above a panel is its title, below it are its ticks.
    edges = {"top": 1 - 0.5 / tall, "bottom": (HEAD - 0.5 + foot) / tall}
    spaces = {"wspace": gap / PANEL, "hspace": (each - height) / height}
    grid = chart.subplots(down, across, squeeze=False, gridspec_kw={**sides, **edges, **spaces})
    return chart, grid


def dress(panel: Axes, comparison: Comparison, name: str) -> None:
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


def scale(panel: Axes, which: str, values: Sequence[float]) -> None:
    """A logarithmic axis where the values span much, and few ticks that say whole numbers."""
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
    return bool(values) and min(values) > 0 and max(values) / min(values) > _WIDE
