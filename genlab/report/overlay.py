"""Curves of several runs on the same steps, so that many of them stay small and are drawn quickly."""

from collections.abc import Mapping, Sequence
from typing import Any

from genlab.comparison.measured import is_objective
from genlab.report.curves import LAST, Curves, Point, short

MOST_CHARTS, MOST_RUNS = 6, 100
_BUDGET, _LEAST, _MOST = 60_000, 40, 400
"""The points of all curves together, and those of one curve."""


def overlaid(runs: Mapping[str, Curves], objectives: Sequence[str]) -> list[dict[str, Any]]:
    """Return a chart for each of the most telling curves, with that curve of every run that has it.

    `objectives` are the settings by which the runs' own losses differ in meaning, if they do.
    """
    runs = dict(list(runs.items())[:MOST_RUNS])
    found: dict[tuple[str, str], dict[int, list[Point]]] = {}
    for number, curves in enumerate(runs.values()):
        for term, some in curves.terms.items():
            for curve in some:
                found.setdefault((term, curve.name), {})[number] = curve.points
    drawn = {key: some for key, some in found.items() if any(len(points) > 1 for points in some.values())}
    chosen = sorted(drawn, key=lambda key: (*_place(*key), -len(drawn[key])))[:MOST_CHARTS]
    count = sum(len(drawn[key]) for key in chosen)
    most = max(_LEAST, min(_MOST, _BUDGET // max(1, count)))
    return [_chart(key, drawn[key], most, objectives) for key in chosen]


def aligned(curves: Sequence[Sequence[Point]], most: int) -> list[list[Point]]:
    """Return curves that share at most this many steps.

    If they have more steps, each stretch of the training gets two: the lowest and the highest value of a curve in that
    stretch stand there, in the order in which they came.
    """
    steps = sorted({step for points in curves for step, _ in points})
    if len(steps) <= most:
        return [list(points) for points in curves]
    stretches, first = most // 2, steps[0]
    width = (steps[-1] - first) / stretches
    return [_snapped(points, first, width, stretches) for points in curves]


def _snapped(points: Sequence[Point], first: int, width: float, stretches: int) -> list[Point]:
    inside: dict[int, list[Point]] = {}
    for step, value in points:
        inside.setdefault(min(stretches - 1, int((step - first) / width)), []).append((step, value))
    kept: list[Point] = []
    for number, some in sorted(inside.items()):
        known = [(value, step) for step, value in some if value is not None]
        ends = sorted({min(known), max(known)}, key=lambda pair: pair[1]) if known else [(None, some[0][0])]
        places = [round(first + (number + share) * width) for share in (0.25, 0.75)]
        kept += [(place, value) for place, (value, _) in zip(places, ends, strict=False)]
    return kept


def _chart(
    key: tuple[str, str], curves: dict[int, list[Point]], most: int, objectives: Sequence[str]
) -> dict[str, Any]:
    term, name = key
    kept = aligned(list(curves.values()), most)
    steps = sorted({step for points in kept for step, _ in points})
    series = []
    for run, points in zip(curves, kept, strict=True):
        one: dict[str, Any] = {"run": run, "values": [short(value) for _, value in points]}
        own = [step for step, _ in points]
        series.append(one if own == steps else {**one, "steps": own})
    doubtful = bool(objectives) and term not in LAST and is_objective(f"validation/{term}")
    title = f"{term.replace('_', ' ')} ({name})"
    return {"title": title, "remark": "may not compare" if doubtful else "", "steps": steps, "series": series}


def _place(term: str, name: str) -> tuple[bool, bool, bool, bool]:
    """Return a key that puts losses first, then what is validated, and the speed last."""
    return term in LAST, name == "test", term != "loss", not name.startswith("validation")
