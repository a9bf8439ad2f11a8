"""A comparison as CSV and JSON."""

import csv
import io
import json
from collections.abc import Callable
from typing import Any, BinaryIO

from genlab.comparison.comparison import Comparison, Row
from genlab.comparison.differing import text
from genlab.comparison.measured import direction
from genlab.metrics.metric import Metric


def as_writer(text: str) -> Callable[[BinaryIO], None]:
    """Return a function that writes a text into a file."""

    def write(file: BinaryIO) -> None:
        file.write(text.encode())

    return write


def as_csv(comparison: Comparison) -> str:
    """Return one line for each run; columns that are empty for every run are left out."""
    lines = [_line(comparison, row) for row in comparison.rows]
    used = {name for line in lines for name, value in line.items() if value != ""}
    file = io.StringIO()
    names = [name for name in lines[0] if name in used]
    writer = csv.DictWriter(file, names, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(lines)
    return file.getvalue()


def as_json(comparison: Comparison) -> str:
    """Return all that is known of the runs, with the notes."""
    whole = {
        "checkpoint": comparison.checkpoint,
        "settings": comparison.settings,
        "metrics": {name: _about(comparison, name) for name in comparison.metrics},
        "runs": [_entry(comparison, row) for row in comparison.rows],
        "notes": comparison.notes,
    }
    return json.dumps(whole, indent=2, default=str, allow_nan=False) + "\n"


def _about(comparison: Comparison, name: str) -> dict[str, Any]:
    return {"better": direction(name), "comparable": name not in comparison.mixed | comparison.doubtful}


def _line(comparison: Comparison, row: Row) -> dict[str, Any]:
    step = row.measured.step
    line: dict[str, Any] = {"run": row.name, "path": str(row.run.path.resolve())}
    line |= {"checkpoint": row.measured.checkpoint, "step": "" if step is None else step}
    line |= {key: text(row.settings[key]) if key in row.settings else "" for key in comparison.settings}
    for name in comparison.metrics:
        for part in Metric._fields:
            value = getattr(row.metrics.get(name), part, None)
            line[name if part == "mean" else f"{name} {part}"] = "" if value is None else value
    return line | {name: row.cost.get(name, "") for name in comparison.costs}


def _entry(comparison: Comparison, row: Row) -> dict[str, Any]:
    return {
        "run": row.name,
        "path": str(row.run.path.resolve()),
        "checkpoint": row.measured.checkpoint,
        "step": row.measured.step,
        "settings": row.settings,
        "metrics": {name: row.metrics[name]._asdict() for name in comparison.metrics if name in row.metrics},
        "cost": {name: row.cost[name] for name in comparison.costs if name in row.cost},
    }
