"""Draws every metric of every run."""

from __future__ import annotations

import math
import re
import textwrap
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from genlab.charts import BEST, DOTS, HEAD, LETTER, POINT, dress, panels, scale
from genlab.comparison.comparison import Comparison
from genlab.training.console import number as number_of

if TYPE_CHECKING:
    from genlab.charts import Axes, Chart

_BASELINE, _REAL = "#777777", "real data"
_FIRST = tuple(
    map(
        re.compile,
        ("FD-.+", "KID-.+", "negative_elbo", "negative_bound-.+", "PSNR|PSNR-Y", "probe_accuracy"),
    )
)
"""The metrics that are drawn first."""
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
    """Draw a panel for each metric: a point and its std for each run, and baselines as dashed lines."""
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
    """Return the metrics that get a panel: those that compare and that several runs have; the most telling come first.

    If there are too many for the sheet, metrics of evaluations come first, then those that most runs have.
    """
    held = Counter(name for row in comparison.rows for name in row.metrics)
    evaluated = {name for row in comparison.rows for name in row.measured.parts}
    left_out = {name for names in without_panel(comparison).values() for name in names}
    shared = [name for name in comparison.metrics if name not in left_out]
    first = sorted(shared, key=lambda name: (_rank(name), name not in evaluated, -held[name]))
    down = int(_TALLEST / (_Labels(comparison).tall + HEAD))
    chosen = first[: _ACROSS * max(1, min(_DOWN, down))]
    return sorted((name for name in shared if name in chosen), key=_rank)


def without_panel(comparison: Comparison) -> dict[str, list[str]]:
    """Return the metrics that get no panel even if there is room, by the reason."""
    several = len(comparison.rows) > 1
    held = Counter(name for row in comparison.rows for name in row.metrics)
    apart = [name for name in comparison.metrics if several and name in comparison.mixed | comparison.doubtful]
    rest = [name for name in comparison.metrics if name not in apart]
    alone = [name for name in rest if several and held[name] < 2]
    fixed = [name for name in rest if several and name not in alone and _is_baseline(comparison, name)]
    return {"do not compare": apart, "only one run has": alone, "are baselines, equal for all runs": fixed}


def _rank(name: str) -> int:
    """Return the place of a metric among the telling ones."""
    return next((place for place, known in enumerate(_FIRST) if known.fullmatch(name)), len(_FIRST))


def _is_baseline(comparison: Comparison, name: str) -> bool:
    """Return True for a metric of something else than the model, such as probe_accuracy-pixels, beside that of it."""
    return any(name.startswith(f"{head}-") for head in comparison.metrics) and _same(comparison, name) is not None


def _same(comparison: Comparison, name: str) -> float | None:
    """Return the value of a metric if all runs have the same one."""
    means = [row.metrics[name].mean for row in comparison.rows if name in row.metrics]
    return means[0] if all(math.isclose(mean, means[0], rel_tol=1e-6) for mean in means) else None


def _baselines(comparison: Comparison, name: str) -> dict[str, float]:
    """Return the baselines of a metric that are equal for all runs, by what they measure."""
    fixed = without_panel(comparison)["are baselines, equal for all runs"]
    found = {other.removeprefix(f"{name}-"): other for other in fixed if other.startswith(f"{name}-")}
    # PSNR-noise-0.1-input belongs to PSNR-noise-0.1, not to PSNR.
    own = {what: other for what, other in found.items() if "-" not in what}
    values = {what: comparison.rows[0].metrics[other].mean for what, other in own.items()}
    real = comparison.baseline(name)
    return values if real is None else {_REAL: real, **values}


def _draw_metric(panel: Axes, comparison: Comparison, name: str, places: Sequence[float]) -> None:
    best, values = comparison.best(name), list[float]()
    same = comparison.baseline(name)
    for row, place in zip(comparison.rows, places, strict=True):
        if name not in row.metrics:
            continue
        metric = row.metrics[name]
        colour = BEST if metric.mean == best else POINT
        panel.errorbar(metric.mean, place, xerr=metric.std, fmt="o", color=colour, markersize=4, capsize=2)
        values.append(metric.mean)
        if metric.baseline is not None and same is None:
            _draw_line(panel, metric.baseline, place - 0.7, place + 0.7)
            values.append(metric.baseline)
    panel.set_ylim(places[-1] - 1, places[0] + 1)
    lines = _near(_baselines(comparison, name), values)
    for number, (what, value) in enumerate(lines.items()):
        _draw_line(panel, value, places[-1] - 1, places[0] + 1)
        # In turn below and above, because lines may be close to each other.
        place, side = (places[0] + 0.9, "top") if number % 2 else (places[-1] - 0.9, "bottom")
        panel.text(value, place, what, fontsize=6.5, color=_BASELINE, rotation=90, ha="right", va=side, clip_on=True)
        values.append(value)
    scale(panel, "x", values)
    panel.grid(axis="y", color="#eeeeee")
    far = "" if same is None or _REAL in lines else f"{_REAL}: {number_of(same)}"
    dress(panel, name, "; ".join(filter(None, (comparison.remark(name), far))))


def _draw_line(panel: Axes, value: float, low: float, high: float) -> None:
    panel.vlines(value, low, high, colors=_BASELINE, linestyles="dashed", linewidth=1)


def _near(baselines: Mapping[str, float], values: Sequence[float]) -> dict[str, float]:
    """Return the baselines that leave the runs at least a third of the panel."""
    low, high = min(values), max(values)
    room = 2 * (high - low) if len(set(values)) > 1 else math.inf
    return {what: value for what, value in baselines.items() if max(low - value, value - high) <= room}
