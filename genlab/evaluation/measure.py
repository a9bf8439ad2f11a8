"""Measures the checkpoints of one run, part by part, and returns their record."""

import time
from importlib.metadata import version
from typing import NamedTuple

from genlab import __version__
from genlab.contract import Model
from genlab.evaluation.bench import SPLIT, Bench, EvaluationSettings
from genlab.evaluation.parts import PARTS, PROCEDURES, Measured, Metrics, measure
from genlab.evaluation.record import FORMAT, Record
from genlab.extractors import serving
from genlab.metrics.metric import Metric, better
from genlab.registry import ConfigError, RunError, pick
from genlab.runs.run import Run

_LIBRARIES = ("torch", "numpy", "scikit-learn", "torchmetrics")


class Subject(NamedTuple):
    """A model at one checkpoint."""

    model: Model
    step: int
    checkpoint: str
    """The first 16 hex digits of its sha256."""
    weights: str
    """`ema` or `live`."""


def check(settings: EvaluationSettings) -> None:
    """Raise a ConfigError if the settings name a part or features that do not exist."""
    for name in settings.only:
        pick("part", name, PROCEDURES)
    if settings.features is not None:
        pick("features", settings.features.partition("=")[0], {name: name for name in serving("vector")})


def record_of(bench: Bench, run: Run, last: Subject, best: Subject | None) -> Record:
    """Measure the last checkpoint of a run, and its best one if it keeps one, in the same way."""
    record: Record = {
        "format": FORMAT,
        "genlab": __version__,
        "run": str(run.path.resolve()),
        "name": run.facts["name"],
        "data": {
            "fingerprint": bench.dataset.fingerprint,
            "modelled": bench.dataset.modelled,
            "split": SPLIT,
            "count": len(bench.dataset.splits[SPLIT]),
        },
        "parts": {},
    }
    for name, subject in (("last", last), ("best", best)):
        if subject is None or (name == "best" and subject.checkpoint == last.checkpoint):
            record[name] = None if subject is None else record["last"]
        else:
            record[name], protocols = _measured(bench, subject)
            record["parts"] |= protocols
    notes = [note for part in record["last"]["notes"].values() for note in part]
    if notes and not record["last"]["metrics"]:
        raise ConfigError(f"{run.path} cannot be measured. {' '.join(notes)}")
    return record


def _measured(bench: Bench, subject: Subject) -> tuple[Record, dict[str, Record]]:
    """Return the metrics of one checkpoint, and the protocol of each part."""
    values: dict[str, Record] = {}
    protocols: dict[str, Record] = {}
    notes: dict[str, list[str]] = {}
    for name in bench.settings.only or PARTS:
        bench.notes.clear()
        began = time.perf_counter()
        if outcome := _part(bench, name, subject.model):
            found, metrics = outcome
            part = found.name or name
            values |= {key: _entry(key, value, part, metrics) for key, value in found.metrics.items()}
            protocols[part] = _protocol(bench, found, time.perf_counter() - began)
        notes[name] = list(bench.notes)
    facts = {"step": subject.step, "checkpoint": subject.checkpoint, "weights": subject.weights}
    return {**facts, "metrics": values, "notes": notes}, protocols


def _part(bench: Bench, name: str, model: Model) -> tuple[Measured, Metrics] | None:
    """Measure one part; if that fails, note the reason, so that the other parts are measured."""
    try:
        outcome = measure(name, bench, model)
    except RunError:
        raise
    except Exception as error:  # the model of a plugin may raise anything
        reason = str(error) if isinstance(error, ConfigError) else f"{type(error).__name__}: {error}"
        bench.note(f"{name} cannot be measured: {reason}")
        return None
    if outcome is None and name in bench.settings.only:
        bench.note(f"{name} cannot be measured: the model lacks the ability, or the data what it needs.")
    return outcome


def _entry(name: str, metric: Metric, part: str, metrics: Metrics) -> Record:
    columns = list(metrics.columns.get(name, ()))
    return {**metric._asdict(), "better": better(name), "part": part, "columns": columns}


def _protocol(bench: Bench, found: Measured, seconds: float) -> Record:
    versions = {"genlab": __version__, **{library: version(library) for library in _LIBRARIES}}
    about = {"seconds": round(seconds, 1), "measured": time.strftime("%Y-%m-%dT%H:%M:%S%z")}
    draws = found.protocol.get("draws")
    seeds = {} if draws is None else {"seeds": list(range(draws))}
    return {"device": str(bench.device), "versions": versions, **about, **seeds, **found.protocol}
