"""What was measured of a run's checkpoints, with the protocol beside it: the run's evaluation.json."""

import json
import time
from importlib.metadata import version
from typing import Any, NamedTuple

from genlab import __version__
from genlab.contract import Model
from genlab.evaluation.bench import SPLIT, Asked, Bench
from genlab.evaluation.parts import PARTS, Measured
from genlab.extractors.embeddings import EMBEDDINGS
from genlab.metrics.figures import Figure, better
from genlab.registry import ConfigError, RunError, pick
from genlab.runs.run import Run

FILE = "evaluation.json"
Record = dict[str, Any]
_LIBRARIES = ("torch", "numpy", "scikit-learn", "torchmetrics")


class Subject(NamedTuple):
    """A model at one checkpoint."""

    model: Model
    step: int
    checkpoint: str
    """The first 16 hex digits of its sha256."""
    weights: str
    """`average` or `live`."""


def check(asked: Asked) -> None:
    """Refuse names that nothing has before anything is measured."""
    for name in asked.only:
        pick("part", name, PARTS)
    if asked.features is not None:
        pick("features", asked.features.partition("=")[0], EMBEDDINGS)


def evaluated(bench: Bench, there: Run, last: Subject, best: Subject | None) -> Record:
    """The record of a run: its last checkpoint and its best one, where it keeps one, measured alike."""
    data = {"fingerprint": bench.images.fingerprint, "split": SPLIT, "count": len(bench.images.splits[SPLIT])}
    record: Record = {
        "genlab": __version__,
        "run": str(there.path.resolve()),
        "name": there.facts["name"],
        "data": data,
    }
    record["parts"] = {}
    for name, subject in (("last", last), ("best", best)):
        if subject is None or (name == "best" and subject.checkpoint == last.checkpoint):
            record[name] = None if subject is None else record["last"]
        else:
            record[name], protocols = _measured(bench, subject)
            record["parts"] |= protocols
    notes = [note for part in record["last"]["notes"].values() for note in part]
    if notes and not record["last"]["figures"]:
        raise ConfigError(f"{there.path} cannot be measured. {' '.join(notes)}")
    return record


def _measured(bench: Bench, subject: Subject) -> tuple[Record, dict[str, Record]]:
    """The figures of one checkpoint, and the protocol of each part of them."""
    figures: dict[str, Record] = {}
    protocols: dict[str, Record] = {}
    notes: dict[str, list[str]] = {}
    for name in bench.asked.only or PARTS:
        bench.notes.clear()
        began = time.perf_counter()
        if found := _part(bench, name, subject.model):
            part = found.name or name
            figures |= {figure: _plain(figure, value, part) for figure, value in found.figures.items()}
            protocols[part] = _protocol(bench, found, time.perf_counter() - began)
        notes[name] = list(bench.notes)
    facts = {"step": subject.step, "checkpoint": subject.checkpoint, "weights": subject.weights}
    return {**facts, "figures": figures, "notes": notes}, protocols


def _part(bench: Bench, name: str, model: Model) -> Measured | None:
    """One part; where it cannot be measured, a note says why, and the others are."""
    try:
        found = PARTS[name](bench, model)
    except RunError:
        raise
    except Exception as error:  # a model may be somebody's own, and raise anything
        known = isinstance(error, ConfigError)
        bench.note(f"{name}: {error}" if known else f"{name}: it cannot be measured: {type(error).__name__}: {error}")
        return None
    if found is None and name in bench.asked.only:
        bench.note(f"{name}: this model cannot do what is measured there, or the data does not have what it takes.")
    return found


def _plain(name: str, figure: Figure, part: str) -> Record:
    return {**figure._asdict(), "better": better(name), "part": part}


def _protocol(bench: Bench, found: Measured, seconds: float) -> Record:
    versions = {"genlab": __version__, **{library: version(library) for library in _LIBRARIES}}
    about = {"seconds": round(seconds, 1), "measured": time.strftime("%Y-%m-%dT%H:%M:%S%z")}
    draws = found.protocol.get("draws")
    seeds = {} if draws is None else {"seeds": list(range(draws))}
    return {"device": str(bench.device), "versions": versions, **about, **seeds, **found.protocol}


def with_older(there: Run, new: Record) -> Record:
    """The record with parts that were measured before, if of the very same checkpoints and data."""
    try:
        return merged(read(there), new)
    except (KeyError, TypeError, AttributeError):  # another program's, or another version's
        return new


def keep(there: Run, record: Record) -> None:
    """Write the record into its run."""
    try:
        there.keep(FILE, json.dumps(record, indent=2, allow_nan=False) + "\n")
    except OSError as error:
        raise ConfigError(f"{there.path / FILE} cannot be written: {error.strerror or error}.") from None


def read(there: Run) -> Record | None:
    """The record of a run; None where there is none or it cannot be read."""
    try:
        record = json.loads((there.path / FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return record if isinstance(record, dict) else None


def merged(old: Record | None, new: Record) -> Record:
    """The new record with the old one's other parts."""
    if old is None or _of(old) != _of(new):
        return new
    record = {**new, "parts": {**old["parts"], **new["parts"]}}
    for name in ("last", "best"):
        if new[name]:
            stay = {key: figure for key, figure in old[name]["figures"].items() if figure["part"] not in new["parts"]}
            notes = {**old[name]["notes"], **new[name]["notes"]}
            record[name] = {**new[name], "figures": {**stay, **new[name]["figures"]}, "notes": notes}
    return record


def _of(record: Record) -> list[Any]:
    """What a record is about: figures of something else have no place beside it."""
    checkpoints = [record[name] and record[name]["checkpoint"] for name in ("last", "best")]
    return [record["data"], record["genlab"], *checkpoints]
