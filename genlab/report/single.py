"""The content of a report of one run, as plain values."""

import re
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from genlab.config.help import described
from genlab.evaluation.record import FILE
from genlab.kinds import Classes, Kind
from genlab.registry import ConfigError
from genlab.report.curves import NOT_TERMS, charts, finite, read_curves, summary
from genlab.report.exhibits import read_exhibits
from genlab.report.questions import read_evaluation
from genlab.report.settings import commands, read_settings
from genlab.report.warned import warnings
from genlab.runs.run import Run
from genlab.training.console import clock, number
from genlab.training.journal import Line

_SIZES = re.compile(r" on .* \((\S+ .+ for training[^;)]*)")


def content(run: Run) -> dict[str, Any]:
    """Return everything that a report of this run shows."""
    facts, curves, exhibits = run.facts, read_curves(run), read_exhibits(run)
    settings, evaluation, state = read_settings(run), read_evaluation(run), run.state
    step = max(curves.step, facts["step"] if isinstance(facts.get("step"), int) else 0)
    notices = [
        *_unfinished(state, step, facts, run.path),
        *_not_evaluated(run, evaluation, step),
        *([curves.damage] if curves.damage else []),
        *([] if curves.terms else ["The run has no curves: its metrics.jsonl is missing or empty."]),
        *([f"These files are left out: {', '.join(exhibits.bad)}."] if exhibits.bad else []),
        *([f"The settings cannot be read. {settings['error']}"] if settings["error"] else []),
    ]
    return {
        "title": str(facts.get("name") or run.path.name),
        "path": str(run.path),
        "state": state,
        "step": step,
        "facts": described_run(run, facts, settings["names"], step),
        "notices": notices,
        "warnings": warnings(run, curves.lines),
        "evaluation": evaluation,
        "own": own_metrics(facts, curves.lines),
        "charts": charts(curves.terms),
        "summary": summary(curves.terms),
        "exhibits": exhibits.shown,
        "settings": settings,
        "commands": commands(run, settings),
    }


def described_run(run: Run, facts: Mapping[str, Any], names: Mapping[str, str], step: int) -> dict[str, str]:
    """Return what was trained, on what data, how long and on which device."""
    name = str(facts.get("name") or "")
    known = {
        "Model": _model(names.get("model") or name.partition("-")[0], facts),
        "Abilities": _abilities(facts),
        "Data": _data(names.get("data") or name.partition("-")[2], run),
        "Classes": _classes(run),
        "Fingerprint": str(facts.get("fingerprint") or ""),
        "Training": _training(run, facts, step),
        "Device": _device(facts),
        "Began": str(facts.get("created") or ""),
        "Versions": _versions(facts),
        "Started from": str(facts.get("start") or ""),
        "Folder": str(run.path),
    }
    return {key: value for key, value in known.items() if value}


def own_metrics(facts: Mapping[str, Any], lines: Sequence[Line]) -> list[dict[str, str]]:
    """Return the metrics of the run's own training on validation and test items; before its end, the newest ones."""
    newest = {line["split"]: {key: line[key] for key in line if key not in NOT_TERMS} for line in lines}
    found = {split: facts.get(split) or newest.get(split) for split in ("validation", "test")}
    tables = {split: values for split, values in found.items() if isinstance(values, dict)}
    names = dict.fromkeys(name for values in tables.values() for name in values)
    return [
        {"name": name.replace("_", " "), **{split: _cell(values, name) for split, values in tables.items()}}
        for name in names
    ]


def _cell(values: Mapping[str, Any], name: str) -> str:
    return number(finite(values[name])) if name in values else ""


def _unfinished(state: str, step: int, facts: Mapping[str, Any], path: Path) -> list[str]:
    sentences = {
        "running": f"The run is still being trained; this report shows it as of step {step:,}.",
        "stopped": f"The run was stopped at step {step:,}; `genlab resume {path}` continues it.",
        "pruned": f"A search pruned the run at step {step:,}; `genlab resume {path}` trains it to its end.",
        "interrupted": f"The run was interrupted; this report shows it as of step {step:,}.",
        "failed": f"The run failed at step {step:,}: {facts.get('reason') or 'no reason is on record'}",
    }
    return [sentences[state]] if state in sentences else []


def _not_evaluated(run: Run, evaluation: Mapping[str, Any] | None, step: int) -> list[str]:
    if evaluation is None:
        if (run.path / FILE).exists():
            return [f"The {FILE} cannot be read; `genlab evaluate {run.path}` writes it again."]
        return [f"The run is not evaluated yet; `genlab evaluate {run.path}` measures it."]
    if evaluation["step"] != step:
        return [f"The metrics are those of step {evaluation['step']:,}, and the run is now at step {step:,}."]
    return []


def _model(model: str, facts: Mapping[str, Any]) -> str:
    recipe = _recipes("model").get(model, "")
    weights = facts.get("weights")
    counted = f"{weights:,} weights" if isinstance(weights, int) else ""
    return "; ".join(filter(None, [f"{model}: {recipe}" if recipe else model, counted]))


@cache
def _recipes(group: str) -> dict[str, str]:
    return dict(described(group))


def _abilities(facts: Mapping[str, Any]) -> str:
    can = facts.get("abilities")
    return ", ".join(map(str, can)) if isinstance(can, list) else ""


def _data(data: str, run: Run) -> str:
    recipe = _recipes("data").get(data, "")
    item = _kinds(run).get("x")
    shape = item.describe() if item else ""
    return "; ".join(filter(None, [f"{data}: {recipe}" if recipe else data, shape, _sizes(run)]))


def _classes(run: Run, most: int = 10) -> str:
    label = _kinds(run).get("label")
    if not isinstance(label, Classes) or len(label.names) < 2:
        return ""
    more = f" and {len(label.names) - most} more" if len(label.names) > most else ""
    return f"{len(label.names)}: {', '.join(label.names[:most])}{more}"


def _kinds(run: Run) -> dict[str, Kind]:
    try:
        return run.kinds
    except ConfigError:
        return {}


def _sizes(run: Run) -> str:
    """Return the numbers of items of each split, which the log holds."""
    try:
        with open(run.path / "log.txt", encoding="utf-8", errors="replace") as file:
            found = _SIZES.search(file.readline(10_000))
    except OSError:
        return ""
    return found[1] if found else ""


def _training(run: Run, facts: Mapping[str, Any], step: int) -> str:
    seconds, speed = finite(facts.get("seconds")), finite(facts.get("items_per_second"))
    items = kind.plural if (kind := _kinds(run).get("x")) else "items"
    took = f" in {clock(seconds)}" if seconds is not None else ""
    quick = f", {number(speed)} {items}/s" if speed else ""
    best = facts.get("best")
    kept = ""
    if isinstance(best, dict) and finite(best.get("value")) is not None:
        kept = f". Best validation {best.get('metric')}: {number(finite(best['value']))} at step {best.get('step'):,}"
    return f"{step:,} steps{took}{quick}{kept}"


def _device(facts: Mapping[str, Any]) -> str:
    named = [str(facts[key]) for key in ("device", "precision") if facts.get(key)]
    compiled = [f"compiled: {facts['compiled']}"] if facts.get("compiled") else []
    return ", ".join([*named, *compiled])


def _versions(facts: Mapping[str, Any]) -> str:
    versions = facts.get("versions")
    return ", ".join(f"{name} {version}" for name, version in versions.items()) if isinstance(versions, dict) else ""
