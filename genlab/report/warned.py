"""Warnings of the monitors that are on record for a run."""

import re
from typing import Any

from genlab.runs.run import Run
from genlab.training import journal, monitors

_LINE = re.compile(r"step ([\d,]+): (.+)")


def warnings(run: Run, lines: list[journal.Line]) -> list[dict[str, Any]]:
    """Return each warning with its step; for a run that has not ended, from its log and from its newest values."""
    facts = run.facts
    ended = facts.get("state") in ("finished", "stopped", "pruned")
    known = {} if ended else _logged(run)
    recorded = facts.get("warnings")
    if isinstance(recorded, dict):
        known |= {str(sentence): step for sentence, step in recorded.items() if isinstance(step, int)}
    now = None if ended or not lines else _now(lines)
    if now and now not in known:
        known[now] = lines[-1]["step"]
    return [{"step": step, "text": sentence} for sentence, step in sorted(known.items(), key=lambda pair: pair[1])]


def _now(lines: list[journal.Line]) -> str | None:
    try:
        return monitors.warning(lines)
    except (KeyError, TypeError):  # lines that a person has changed
        return None


def _logged(run: Run) -> dict[str, int]:
    try:
        lines = (run.path / "log.txt").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return {}
    found: dict[str, int] = {}
    for line in lines:
        if match := _LINE.fullmatch(line):
            found.setdefault(match[2], int(match[1].replace(",", "")))
    return found
