"""A comparison as text that programs read."""

import csv
import io
import json
from typing import Any

from genlab.comparison.comparison import Comparison, Row
from genlab.comparison.differing import text
from genlab.comparison.measured import direction


def as_csv(comparison: Comparison) -> str:
    """One line a run, numbers as they are, each spread and floor in a column of its own."""
    lines = [_line(comparison, row) for row in comparison.rows]
    used = {name for line in lines for name, value in line.items() if value != ""}
    # Of a spread or floor that no run has there is no column.
    names = [name for name in lines[0] if name in used or not name.endswith((" spread", " floor"))]
    file = io.StringIO()
    writer = csv.DictWriter(file, names, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(lines)
    return file.getvalue()


def as_json(comparison: Comparison) -> str:
    """All that is known, with what has to be known of it."""
    whole = {
        "checkpoint": comparison.checkpoint,
        "settings": comparison.settings,
        "figures": {
            name: {"better": direction(name), "comparable": name not in comparison.mixed} for name in comparison.figures
        },
        "runs": [_entry(comparison, row) for row in comparison.rows],
        "notes": comparison.notes,
    }
    return json.dumps(whole, indent=2, default=str, allow_nan=False) + "\n"


def _line(comparison: Comparison, row: Row) -> dict[str, Any]:
    step = row.measured.step
    line: dict[str, Any] = {"run": row.name, "path": str(row.run.path.resolve())}
    line |= {"checkpoint": row.measured.checkpoint, "step": "" if step is None else step}
    line |= {key: text(row.settings[key]) if key in row.settings else "" for key in comparison.settings}
    for name in comparison.figures:
        figure = row.figures.get(name)
        for part in ("mean", "spread", "floor"):
            value = getattr(figure, part, None)
            line[name if part == "mean" else f"{name} {part}"] = "" if value is None else value
    return line | {name: row.cost.get(name, "") for name in comparison.costs}


def _entry(comparison: Comparison, row: Row) -> dict[str, Any]:
    return {
        "run": row.name,
        "path": str(row.run.path.resolve()),
        "checkpoint": row.measured.checkpoint,
        "step": row.measured.step,
        "settings": row.settings,
        "figures": {name: row.figures[name]._asdict() for name in comparison.figures if name in row.figures},
        "cost": {name: row.cost[name] for name in comparison.costs if name in row.cost},
    }
