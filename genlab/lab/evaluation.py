"""What was measured of a run's checkpoints, with the protocol beside it: the run's evaluation.json."""

import json
import time
from importlib.metadata import version
from typing import Any, NamedTuple

from genlab import __version__
from genlab.evaluation.figures import Figure, better
from genlab.game import Model
from genlab.lab.bench import SPLIT, Bench
from genlab.lab.parts import PARTS, Measured
from genlab.registry import ConfigError, unknown
from genlab.run import Run

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


def check_parts(names: tuple[str, ...]) -> None:
    """Refuse the name of a part that there is none of."""
    for name in names:
        if name not in PARTS:
            raise unknown("part", name, PARTS)


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
    if not record["last"]["figures"] and record["last"]["notes"]:
        raise ConfigError(f"{there.path} cannot be measured. {' '.join(record['last']['notes'])}")
    return record


def _measured(bench: Bench, subject: Subject) -> tuple[Record, dict[str, Record]]:
    """The figures of one checkpoint, and the protocol of each part of them."""
    figures: dict[str, Record] = {}
    protocols: dict[str, Record] = {}
    bench.notes.clear()
    for name in bench.asked.only or PARTS:
        began = time.perf_counter()
        try:
            found = PARTS[name](bench, subject.model)
        except ConfigError as error:
            bench.note(f"{name}: {error}")
            continue
        if found:
            part = found.name or name
            figures |= {figure: _plain(figure, value, part) for figure, value in found.figures.items()}
            protocols[part] = _protocol(bench, found, time.perf_counter() - began)
        elif name in bench.asked.only:
            bench.note(f"{name}: this model cannot do what is measured there, or the data does not have what it takes.")
    facts = {"step": subject.step, "checkpoint": subject.checkpoint, "weights": subject.weights}
    return {**facts, "figures": figures, "notes": list(bench.notes)}, protocols


def _plain(name: str, figure: Figure, part: str) -> Record:
    return {**figure._asdict(), "better": better(name), "part": part}


def _protocol(bench: Bench, found: Measured, seconds: float) -> Record:
    versions = {"genlab": __version__, **{library: version(library) for library in _LIBRARIES}}
    about = {"seconds": round(seconds, 1), "measured": time.strftime("%Y-%m-%dT%H:%M:%S%z")}
    draws = found.protocol.get("draws")
    seeds = {} if draws is None else {"seeds": list(range(draws))}
    return {**found.protocol, **seeds, "device": str(bench.device), "versions": versions, **about}


def keep(there: Run, new: Record) -> Record:
    """Write the record; parts that were measured before of the very same checkpoints and data stay beside the new."""
    record = merged(read(there), new)
    there.keep(FILE, json.dumps(record, indent=2, allow_nan=False) + "\n")
    return record


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
            record[name] = {**new[name], "figures": {**stay, **new[name]["figures"]}}
    return record


def _of(record: Record) -> list[Any]:
    """What a record is about: figures of something else have no place beside it."""
    checkpoints = [record[name] and record[name]["checkpoint"] for name in ("last", "best")]
    return [record["data"], record["genlab"], *checkpoints]
