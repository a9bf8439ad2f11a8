"""Curves of a run: the lines of its metrics.jsonl, one chart for each term."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from genlab.comparison.measured import direction
from genlab.runs.run import Run
from genlab.training.journal import Line, read

Point = tuple[int, float | None]
MOST_POINTS, BUDGET = 1000, 20_000
"""The points of one curve, and of all curves of a report together."""
NOT_TERMS = ("step", "epoch", "split")
"""The entries of a line that are no terms."""
LAST = ("gradient_norm", "items_per_second")
"""The terms whose charts come last: they are not part of any loss."""
_SPLITS = ("train", "validation", "test")


@dataclass
class Curve:
    """The values of one term in one split, for one player if there are several."""

    name: str
    split: str
    points: list[Point] = field(default_factory=list)


@dataclass
class Curves:
    """All curves of a run by term."""

    terms: dict[str, list[Curve]]
    lines: list[Line]
    """The lines that the curves were read from."""
    step: int
    """The step that the curves reach."""
    damage: str | None
    """A sentence if the file is damaged."""


def read_curves(run: Run) -> Curves:
    """Read the curves of a run; a value that is not a finite number becomes a gap."""
    whole = read(run.path)
    lines = [line for line in whole if _is_step(line["step"])]
    found: dict[tuple[str, str], Curve] = {}
    for line in lines:
        step, split = int(line["step"]), str(line["split"])
        for key, value in line.items():
            if key in NOT_TERMS or not (value is None or _is_value(value)):
                continue
            curve = found.get((split, key)) or found.setdefault((split, key), Curve(split, split))
            curve.points.append((step, value if value is not None and math.isfinite(value) else None))
    players: dict[str, set[str]] = {}
    for _, key in found:
        player, _, term = key.rpartition("/")
        players.setdefault(term, set()).add(player)
    terms: dict[str, list[Curve]] = {}
    for (_, key), curve in found.items():
        player, _, term = key.rpartition("/")
        if player and len(players[term] - {""}) > 1:
            curve.name = f"{curve.split}, {player}"
        terms.setdefault(term, []).append(curve)
    step = max((int(line["step"]) for line in lines), default=0)
    # Each split has the same colour in all charts, whichever was written first.
    for curves in terms.values():
        curves.sort(key=lambda curve: _SPLITS.index(curve.split) if curve.split in _SPLITS else len(_SPLITS))
    ordered = {term: terms[term] for term in sorted(terms, key=_place(terms))}
    return Curves(ordered, lines, step, _damage(run, len(whole)))


def charts(terms: Mapping[str, Sequence[Curve]], budget: int = BUDGET) -> list[dict[str, Any]]:
    """Return what the page draws: for each term its curves, thinned so that the page stays small."""
    drawn = {term: curves for term, curves in terms.items() if any(len(curve.points) > 1 for curve in curves)}
    count = sum(len(curves) for curves in drawn.values())
    most = max(30, min(MOST_POINTS, budget // max(1, count)))
    return [
        {"title": term.replace("_", " "), "series": [series(curve.name, curve.points, most) for curve in curves]}
        for term, curves in drawn.items()
    ]


def series(name: str, points: Sequence[Point], most: int) -> dict[str, Any]:
    """Return a thinned curve as the page draws it."""
    kept = thinned(points, most)
    return {"name": name, "steps": [step for step, _ in kept], "values": [short(value) for _, value in kept]}


def thinned(points: Sequence[Point], most: int) -> list[Point]:
    """Return at most about this many points: of each stretch the lowest, the highest and one gap, and both ends."""
    if len(points) <= most:
        return list(points)
    stretches = max(1, (most - 2) // (3 if any(value is None for _, value in points) else 2))
    inner, kept = points[1:-1], {0, len(points) - 1}
    for number in range(stretches):
        start, end = (len(inner) * place // stretches for place in (number, number + 1))
        places = range(1 + start, 1 + end)
        known = [(value, place) for place in places if (value := points[place][1]) is not None]
        gaps = [place for place in places if points[place][1] is None]
        kept |= {min(known)[1], max(known)[1]} if known else set()
        kept |= set(gaps[:1])
    return [points[place] for place in sorted(kept)]


def summary(terms: Mapping[str, Sequence[Curve]]) -> list[dict[str, Any]]:
    """Return the first, the last, the lowest and the highest value of each curve, for readers who cannot see it."""
    rows = []
    for term, curves in terms.items():
        for curve in curves:
            known = [(value, step) for step, value in curve.points if value is not None]
            ends = {"first": curve.points[0], "last": curve.points[-1]}
            if known:
                low, high = min(known), max(known, key=lambda pair: (pair[0], -pair[1]))
                ends |= {"lowest": (low[1], low[0]), "highest": (high[1], high[0])}
            better = direction(term)
            rows.append({"term": term.replace("_", " "), "curve": curve.name, "better": better, **ends})
    return rows


def finite(value: Any) -> float | None:
    """Return a number, or None for anything else, such as NaN."""
    return float(value) if _is_value(value) and math.isfinite(value) else None


def short(value: float | None) -> float | None:
    """Return a value with the digits that a chart can show."""
    return None if value is None else float(f"{value:.5g}")


def _is_value(value: Any) -> bool:
    # A whole number beyond the range of floats is no metric of genlab's.
    return isinstance(value, float) or (isinstance(value, int) and not isinstance(value, bool) and abs(value) < 1e300)


def _is_step(value: Any) -> bool:
    return _is_value(value) and math.isfinite(value)


def _place(terms: Mapping[str, Iterable[Curve]]) -> Any:
    """Return a key that puts the loss first, then what is validated, and the speed last."""

    def key(term: str) -> tuple[bool, bool, bool]:
        validated = any(curve.split == "validation" for curve in terms[term])
        return term in LAST, term != "loss", not validated

    return key


def _damage(run: Run, good: int) -> str | None:
    """Return a sentence if a line cannot be read after the good ones; one that is being written now is no damage."""
    try:
        text = (run.path / "metrics.jsonl").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    lines = text.splitlines()
    written_now = run.state == "running" and good == len(lines) - 1 and not text.endswith("\n")
    if good >= len(lines) or written_now:
        return None
    left = len(lines) - good
    return f"Line {good + 1:,} of metrics.jsonl is damaged. The curves end before it ({left:,} of its lines left out)."
