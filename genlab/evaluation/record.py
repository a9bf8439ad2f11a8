"""The record of an evaluation: the metrics of a run's checkpoints and their protocol, in the run's evaluation.json."""

import json
from typing import Any

from genlab.registry import ConfigError
from genlab.runs.run import Run

FILE = "evaluation.json"
FORMAT = 2
"""Changes when the fields of a record change; records of another format are not read."""
Record = dict[str, Any]


def read(run: Run) -> Record | None:
    """Return the record of a run; None if there is none, or if it is damaged or of another format."""
    try:
        record = json.loads((run.path / FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return record if isinstance(record, dict) and record.get("format") == FORMAT else None


def keep(run: Run, record: Record) -> None:
    """Write the record into its run."""
    try:
        run.keep(FILE, json.dumps(record, indent=2, allow_nan=False) + "\n")
    except OSError as error:
        raise ConfigError(f"{run.path / FILE} cannot be written: {error.strerror or error}.") from None


def with_earlier(run: Run, new: Record) -> Record:
    """Return the record with the parts that were measured earlier on the same checkpoints and data."""
    try:
        return merged(read(run), new)
    except (KeyError, TypeError, AttributeError):  # damaged in a way that the format number does not show
        return new


def merged(old: Record | None, new: Record) -> Record:
    """Return the new record with the other parts of the old one."""
    if old is None or _subject(old) != _subject(new):
        return new
    record = {**new, "parts": {**old["parts"], **new["parts"]}}
    for name in ("last", "best"):
        if new[name]:
            kept = {key: metric for key, metric in old[name]["metrics"].items() if metric["part"] not in new["parts"]}
            notes = {**old[name]["notes"], **new[name]["notes"]}
            record[name] = {**new[name], "metrics": {**kept, **new[name]["metrics"]}, "notes": notes}
    return record


def _subject(record: Record) -> list[Any]:
    """Return what a record is about; only records of the same subject can be merged."""
    checkpoints = [record[name] and record[name]["checkpoint"] for name in ("last", "best")]
    return [record["data"], record["genlab"], *checkpoints]
