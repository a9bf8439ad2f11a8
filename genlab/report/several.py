"""The content of a report of several runs, as plain values."""

from collections import Counter
from collections.abc import Sequence
from functools import cache
from typing import Any

from genlab.comparison import effects
from genlab.comparison.compare import run_settings
from genlab.comparison.comparison import APART, Comparison, Row, compared
from genlab.comparison.differing import text, with_effect
from genlab.comparison.measured import direction
from genlab.metrics.metric import shown
from genlab.report.curves import Curves, finite, read_curves, short
from genlab.report.exhibits import newest
from genlab.report.overlay import MOST_RUNS, overlaid
from genlab.report.questions import meaning
from genlab.report.settings import commands, read_settings
from genlab.report.single import described_run
from genlab.report.warned import warnings
from genlab.runs.run import Run
from genlab.training.console import clock, number

MOST_PICTURES = 60
_SHARE = 700_000
"""Bytes of the samples of all runs together."""


def content(runs: Sequence[Run], title: str) -> dict[str, Any]:
    """Return everything that a report of these runs shows."""
    read = cache(run_settings)
    comparison = compared(runs, read, "last")
    curves = {row.name: read_curves(row.run) for row in comparison.rows}
    entries = [_entry(row, curves[row.name], read_settings(row.run, read)) for row in comparison.rows]
    damage = [f"{name}: {one.damage}" for name, one in curves.items() if one.damage]
    drawn = overlaid(curves, comparison.objectives)
    columns = _columns(comparison)
    table = [[_cell(row, column) for column in columns] for row in comparison.rows]
    return {
        "title": title,
        "facts": _facts(comparison, entries),
        "notices": [*_unfinished(entries), *damage, *_left_out(len(runs), bool(drawn))],
        "notes": comparison.notes,
        "columns": columns,
        "runs": entries,
        "rows": table,
        "baselines": [_baseline(comparison, column) for column in columns],
        "effects": effects.found(comparison),
        "charts": drawn,
        "samples": _samples(comparison.rows),
        "plane": _plane(columns, table),
    }


def _columns(comparison: Comparison) -> list[dict[str, Any]]:
    """Return the columns of the table; the metrics that are not among the main ones can be folded."""
    main = {*comparison.shortened(None).metrics}
    settings = with_effect(comparison.settings) or comparison.settings
    return [
        *({"name": name, "of": "setting", "remark": "", "meaning": "", "main": True} for name in settings),
        *(
            {
                "name": name,
                "of": "metric",
                "remark": comparison.remark(name),
                "meaning": meaning(name),
                "main": name in main,
                "best": comparison.best(name),
            }
            for name in comparison.metrics
        ),
        *({"name": name, "of": "cost", "remark": "", "meaning": "", "main": True} for name in comparison.costs),
    ]


def _cell(row: Row, column: dict[str, Any]) -> dict[str, Any]:
    """Return a cell: its text, the value by which it is sorted, and True if it is the best of its column."""
    name = column["name"]
    if column["of"] == "setting":
        value = row.settings.get(name)
        return {"text": text(value) if name in row.settings else "", "value": _plain(value), "best": False}
    if column["of"] == "cost":
        cost = row.cost.get(name)
        return {"text": _cost(name, cost), "value": cost, "best": False}
    metric = row.metrics.get(name)
    if metric is None:
        return {"text": "", "value": None, "best": False}
    return {"text": shown(metric), "value": metric.mean, "best": metric.mean == column["best"]}


def _plain(value: Any) -> float | str | None:
    """Return a setting as a number if it is one, else as text."""
    known = finite(value)
    return known if known is not None else None if value is None else text(value)


def _cost(name: str, value: float | str | None) -> str:
    if value is None or isinstance(value, str):
        return value or ""
    return clock(value) if name == "seconds" else f"{value:,.0f}"


def _baseline(comparison: Comparison, column: dict[str, Any]) -> str:
    known = comparison.baseline(column["name"]) if column["of"] == "metric" else None
    return "" if known is None else number(known)


def _entry(row: Row, curves: Curves, settings: dict[str, Any]) -> dict[str, Any]:
    """Return the facts of one run, which are folded below the table."""
    facts = row.run.facts
    step = max(curves.step, facts["step"] if isinstance(facts.get("step"), int) else 0)
    return {
        "label": row.label,
        "name": row.name,
        "state": row.run.state,
        "step": step,
        "facts": described_run(row.run, facts, settings["names"], step),
        "warnings": warnings(row.run, curves.lines),
        "settings": settings,
        "commands": commands(row.run, settings),
    }


def _facts(comparison: Comparison, entries: Sequence[dict[str, Any]]) -> dict[str, str]:
    seconds = [value for row in comparison.rows if isinstance(value := row.cost.get("seconds"), int | float)]
    every = [row.run.facts for row in comparison.rows]
    once = {str(facts["command"]) for facts in every if facts.get("command")}
    return {
        "Runs": str(len(comparison.rows)),
        "States": _counted([entry["state"] for entry in entries]),
        "Models and data": _counted([str(facts.get("name")) for facts in every]),
        "Training time": f"{clock(sum(seconds))} in all" if seconds else "not known",
        "Devices": _counted([str(facts.get("device") or "not known") for facts in every]),
        "What differs": ", ".join(comparison.settings) or "nothing that was chosen",
        **({"Command": once.pop()} if len(once) == 1 else {}),
    }


def _counted(words: Sequence[str]) -> str:
    counts = Counter(words)
    return ", ".join(f"{word} ({count})" if len(counts) > 1 else word for word, count in counts.most_common(12))


def _unfinished(entries: Sequence[dict[str, Any]]) -> list[str]:
    training = [f"{entry['label']} at step {entry['step']:,}" for entry in entries if entry["state"] == "running"]
    if not training:
        return []
    more = f" and {len(training) - 8} more" if len(training) > 8 else ""
    return [f"Still being trained, so this report shows them as of now: {'; '.join(training[:8])}{more}."]


def _left_out(count: int, drawn: bool) -> list[str]:
    many = [f"Curves are drawn for the first {MOST_RUNS} runs."] if drawn and count > MOST_RUNS else []
    return [*many, *([f"Samples are shown of the first {MOST_PICTURES} runs."] if count > MOST_PICTURES else [])]


def _samples(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Return the newest samples of each run, smaller if there are many runs."""
    side = 480 if len(rows) <= 12 else 360 if len(rows) <= 24 else 300
    largest = _SHARE // max(1, min(len(rows), MOST_PICTURES))
    found: list[tuple[int, dict[str, Any] | None]] = [
        (number, newest(row.run, side, largest)) for number, row in enumerate(rows[:MOST_PICTURES])
    ]
    return [{"run": number, **one} for number, one in found if one]


def _plane(columns: Sequence[dict[str, Any]], table: Sequence[Sequence[dict[str, Any]]]) -> dict[str, Any]:
    """Return the values that the scatter plot can show: a column for each axis, a row for each run."""
    used = [place for place, column in enumerate(columns) if column["name"] != "device"]
    values = [[cells[place]["value"] for place in used] for cells in table]
    rows = [[short(value) if isinstance(value, float) else value for value in row] for row in values]
    axes = [columns[place] for place in used]
    metrics = [place for place, axis in enumerate(axes) if axis["of"] == "metric" and axis["main"]]
    settings = [place for place, axis in enumerate(axes) if axis["of"] == "setting" and axis["name"] != "seed"]
    good = [place for place in metrics if direction(axes[place]["name"])] or metrics
    # A metric that does not compare says little, and one that few runs have shows few points.
    good.sort(key=lambda place: (axes[place]["remark"] in APART, sum(row[place] is None for row in rows)))
    names = [{"name": axis["name"], "remark": axis["remark"], "of": axis["of"]} for axis in axes]
    return {"columns": names, "rows": rows, "x": [*settings, *good[1:], *good, 0][0], "y": [*good, 0][0]}
