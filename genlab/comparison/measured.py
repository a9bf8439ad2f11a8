"""Reads the metrics of a run, each with how it was measured, and the run's cost from the run's files."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from genlab.evaluation.record import FILE, FORMAT
from genlab.metrics.metric import Better, Metric, better
from genlab.runs.run import Run

COSTS: dict[str, Better | None] = {
    "steps": "lower",
    "seconds": "lower",
    "items/s": "higher",
    "weights": "lower",
    "device": None,
}
"""The costs of a run with their better direction, and the device."""
RUNS = "{runs}"
"""Placeholder in a note for the names of its runs."""
DATA, MODELLED = "data", "modelled data"
"""The fingerprint of all columns, and that of the modelled column; a metric is compared by one of the two."""

# The parts of a protocol that may differ between comparable metrics.
_INCIDENTAL = ("measured", "versions", "seconds", "device")
_LAST_INSTEAD = f"No best checkpoint was kept or evaluated for {RUNS}; the last checkpoint is shown."


@dataclass(frozen=True)
class Aspect:
    """One property of how a metric was measured."""

    value: str
    shown: str = field(compare=False)
    """The value as messages show it."""


@dataclass
class Measured:
    """The metrics of one checkpoint of a run."""

    metrics: dict[str, Metric] = field(default_factory=dict)
    aspects: dict[str, dict[str, Aspect]] = field(default_factory=dict)
    """For each metric, how it was measured."""
    labelled: set[str] = field(default_factory=set)
    """The metrics that depend on further columns, such as labels."""
    parts: dict[str, str] = field(default_factory=dict)
    """For each metric of an evaluation, the part that it belongs to."""
    versions: dict[str, str] = field(default_factory=dict)
    checkpoint: str = "last"
    """The checkpoint that was measured: `last` or `best`."""
    step: int | None = None
    notes: list[str] = field(default_factory=list)
    """Warnings, each a sentence with a placeholder for the runs' names."""


class _UnreadableError(Exception):
    """Carries the reason why an evaluation cannot be read."""


def direction(name: str) -> Better | None:
    """Return the better direction of a metric or cost; a loss is better when it is lower."""
    last = name.rpartition("/")[2]
    return COSTS.get(name) or better(last) or ("lower" if last == "loss" else None)


def is_objective(name: str) -> bool:
    """Return True for the loss of a run's own training and its terms: validation/loss, test/kl.

    The training may also measure metrics that mean the same for all models, such as validation/PSNR.
    """
    split, _, last = name.rpartition("/")
    return split in ("validation", "test") and (better(last) is None or last == "reconstruction")


def measured(run: Run, checkpoint: str) -> Measured:
    """Read the metrics of a run's last or best checkpoint: those of its evaluation, and those of its own training."""
    facts, found = run.facts, Measured(checkpoint=checkpoint)
    try:
        if _read_evaluation(run.path / FILE, found):
            _note_age(facts, found)
    except _UnreadableError as error:
        found = Measured(checkpoint=checkpoint)
        found.notes.append(
            f"Cannot read the {FILE} of {RUNS} ({error}); only metrics of the training are shown. "
            "`genlab evaluate RUN...` writes it again."
        )
    _add_own(facts, found)
    if run.state != "finished":
        found.notes.append(f"Not finished ({run.state}): {RUNS}.")
    return found


def cost(facts: Mapping[str, Any]) -> dict[str, float | str]:
    """Return the costs that run.json holds."""
    keys = {"steps": "step", "items/s": "items_per_second"}
    found: dict[str, Any] = {name: facts.get(keys.get(name, name)) for name in COSTS}
    return {name: value for name, value in found.items() if isinstance(value, str) or _is_number(value)}


def _read_evaluation(path: Path, found: Measured) -> bool:
    """Read an evaluation if there is one: of the best checkpoint if it is wanted and kept, else of the last."""
    if not path.exists():
        found.notes.append(f"Not evaluated, so only metrics of the training are shown: {RUNS}. See `genlab evaluate`.")
        return False
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise _UnreadableError(" ".join(str(error).split())) from None
    if not isinstance(record, dict) or record.get("format") != FORMAT:
        raise _UnreadableError("another version of genlab wrote it")
    section = _table(record, "best", optional=True) if found.checkpoint == "best" else None
    if section is None and found.checkpoint == "best":
        found.notes.append(_LAST_INSTEAD)
    found.checkpoint = "last" if section is None else "best"
    section = section or _table(record, "last")
    data, parts = _table(record, "data"), _table(record, "parts")
    for name, entry in _table(section, "metrics").items():
        part = str(_table({"metric": entry}, "metric").get("part"))
        found.metrics[name], found.parts[name] = _metric(name, entry), part
        found.aspects[name] = _aspects(data, parts.get(part))
        found.labelled |= {name} if entry.get("columns") else set()
        found.versions |= {key: str(value) for key, value in _versions(parts.get(part)).items()}
    found.step = section.get("step") if isinstance(section.get("step"), int) else None
    found.notes += [f"{note.rstrip('.')} ({RUNS})." for note in _sentences(_table(section, "notes"))]
    return True


def _table(value: Any, name: str, optional: bool = False) -> Any:
    inner = value.get(name) if isinstance(value, dict) else None
    if isinstance(inner, dict) or (optional and inner is None and isinstance(value, dict)):
        return inner
    raise _UnreadableError(f"{name!r} must be an object, as `genlab evaluate` writes it")


def _sentences(notes: Mapping[str, Any]) -> list[str]:
    """Return the notes of all parts of a checkpoint."""
    if not all(isinstance(sentences, list) for sentences in notes.values()):
        raise _UnreadableError("'notes' must hold lists, as `genlab evaluate` writes it")
    return list(dict.fromkeys(str(sentence) for sentences in notes.values() for sentence in sentences))


def _metric(name: str, entry: Mapping[str, Any]) -> Metric:
    values: dict[str, Any] = {key: entry.get(key) for key in Metric._fields}
    if not _is_number(values["mean"]) or any(value is not None and not _is_number(value) for value in values.values()):
        raise _UnreadableError(f"{name!r} must be a number")
    return Metric(**values)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _aspects(data: Mapping[str, Any], part: Any) -> dict[str, Aspect]:
    """Return the aspects that two metrics must share to be comparable."""
    aspects = {
        aspect: Aspect(value, f"{data.get('name')}, fingerprint {value}") for aspect, value in _data(data).items()
    }
    aspects |= {"split": _aspect(data.get("split")), "number of items in it": _aspect(data.get("count"))}
    settings = part if isinstance(part, dict) else {}
    return aspects | {key: _aspect(value) for key, value in settings.items() if key not in _INCIDENTAL and value != {}}


def _data(facts: Mapping[str, Any]) -> dict[str, str]:
    """Return the two fingerprints of the data."""
    fingerprint = str(facts.get("fingerprint"))
    return {DATA: fingerprint, MODELLED: str(facts.get("modelled") or fingerprint)}


def _aspect(value: Any) -> Aspect:
    shown = value if isinstance(value, str) else json.dumps(value, sort_keys=True).strip("[]")
    return Aspect(json.dumps(value, sort_keys=True), shown)


def _versions(part: Any) -> Mapping[str, Any]:
    versions = part.get("versions") if isinstance(part, dict) else None
    return versions if isinstance(versions, dict) else {}


def _note_age(facts: Mapping[str, Any], found: Measured) -> None:
    """Add a note if the evaluated checkpoint is no longer the last, or no longer the best."""
    best = facts.get("best") or {}
    now = facts.get("step") if found.checkpoint == "last" else best.get("step")
    if found.step is not None and isinstance(now, int) and found.step != now:
        found.notes.append(
            f"Evaluated at step {found.step:,}, but the {found.checkpoint} checkpoint is now of step {now:,}: {RUNS}."
        )


def _add_own(facts: Mapping[str, Any], found: Measured) -> None:
    """Add the metrics of the run's own training; for the best checkpoint, only the metric that selected it is known."""
    best = facts.get("best")
    if found.checkpoint == "best" and not found.parts and not best:
        found.checkpoint = "last"
        found.notes.append(_LAST_INSTEAD)
    own = {f"{split}/{name}": value for split in ("validation", "test") for name, value in _values(facts.get(split))}
    if found.checkpoint == "best" and best:
        own = {f"validation/{best['metric']}": best["value"]}
    step = best["step"] if found.checkpoint == "best" and best else facts.get("step")
    found.step = found.step if found.parts else step
    aspects = {aspect: Aspect(value, f"fingerprint {value}") for aspect, value in _data(facts).items()}
    for name, value in own.items():
        if _is_number(value):
            found.metrics[name], found.aspects[name] = Metric(float(value)), aspects
            # The loss of a conditional model depends on labels. A run without this fact counts as conditional.
            found.labelled |= {name} if facts.get("told", True) else set()


def _values(metrics: Any) -> list[tuple[str, Any]]:
    return list(metrics.items()) if isinstance(metrics, dict) else []
