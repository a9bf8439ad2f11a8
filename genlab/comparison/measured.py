"""What the files of a run say of it: figures, each with how it was measured, and cost."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from genlab.metrics.figures import Better, Figure, better
from genlab.runs.run import Run

FILE = "evaluation.json"
COSTS: dict[str, Better | None] = {
    "steps": "lower",
    "seconds": "lower",
    "images/s": "higher",
    "weights": "lower",
    "device": None,
}
"""What a run costs and on what, with which way is better."""
RUNS = "{runs}"
"""Stands in a note for the runs that it is true of."""

# Of a part's protocol, what may differ between figures that compare.
_ABOUT = ("measured", "versions", "seconds", "device")
_LAST_STANDS = f"No best checkpoint was kept or measured of {RUNS}; the last stands."


@dataclass(frozen=True)
class Aspect:
    """One thing about how a figure was measured; as it is shown, which no comparison asks."""

    value: str
    shown: str = field(compare=False)


@dataclass
class Measured:
    """The figures of one checkpoint of a run."""

    figures: dict[str, Figure] = field(default_factory=dict)
    aspects: dict[str, dict[str, Aspect]] = field(default_factory=dict)
    """How each was measured."""
    parts: dict[str, str] = field(default_factory=dict)
    """Which measure each is from; none for those of the run's own training."""
    versions: dict[str, str] = field(default_factory=dict)
    checkpoint: str = "last"
    """Which of its checkpoints these are of: `last` or `best`."""
    step: int | None = None
    notes: list[str] = field(default_factory=list)
    """What has to be known of them, each a sentence with a place for the run."""


class _UnreadableError(Exception):
    """Why an evaluation cannot be read."""


def direction(name: str) -> Better | None:
    """Which way a figure or cost of this name is better; of a run's own losses, down."""
    last = name.rpartition("/")[2]
    return COSTS.get(name) or better(last) or ("lower" if last == "loss" else None)


def measured(run: Run, checkpoint: str) -> Measured:
    """What was measured of a run's last or best checkpoint, where that is kept, and by its own training."""
    facts, found = run.facts, Measured(checkpoint=checkpoint)
    try:
        section = _evaluated(run.path / FILE, found)
        if section:
            _note_age(facts, found)
    except _UnreadableError as error:
        found = Measured(checkpoint=checkpoint)
        found.notes.append(f"The {FILE} of {RUNS} cannot be read ({error}); what its own training measured serves.")
    _add_own(facts, found)
    if facts.get("state") != "finished":
        found.notes.append(f"Not finished ({facts.get('state')}): {RUNS}.")
    return found


def cost(facts: Mapping[str, Any]) -> dict[str, float | str]:
    """What run.json says that the run took."""
    names = {"steps": "step", "images/s": "images_per_second"}
    found: dict[str, Any] = {name: facts.get(names.get(name, name)) for name in COSTS}
    return {name: value for name, value in found.items() if isinstance(value, str) or _is_number(value)}


def _evaluated(path: Path, found: Measured) -> bool:
    """Read an evaluation, if there is one: of the best checkpoint where it is wanted and kept, else of the last."""
    if not path.exists():
        found.notes.append(
            f"Only what their own training measured is known of {RUNS}; `genlab evaluate RUN...` adds to it."
        )
        return False
    try:
        whole = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise _UnreadableError(" ".join(str(error).split())) from None
    section = _table(whole, "best", optional=True) if found.checkpoint == "best" else None
    if section is None and found.checkpoint == "best":
        found.notes.append(_LAST_STANDS)
    found.checkpoint = "last" if section is None else "best"
    section = section or _table(whole, "last")
    data, parts = _table(whole, "data"), _table(whole, "parts")
    for name, entry in _table(section, "figures").items():
        part = str(_table({"figure": entry}, "figure").get("part"))
        found.figures[name], found.parts[name] = _figure(name, entry), part
        found.aspects[name] = _aspects(data, parts.get(part))
        found.versions |= {key: str(value) for key, value in _versions(parts.get(part)).items()}
    found.step = section.get("step") if isinstance(section.get("step"), int) else None
    found.notes += [f"{note.rstrip('.')} ({RUNS})." for note in _sentences(section.get("notes") or [])]
    return True


def _table(value: Any, name: str, optional: bool = False) -> Any:
    inner = value.get(name) if isinstance(value, dict) else None
    if isinstance(inner, dict) or (optional and inner is None and isinstance(value, dict)):
        return inner
    raise _UnreadableError(f"its {name!r} is not what `genlab evaluate` writes")


def _sentences(notes: Any) -> list[str]:
    """The notes of a checkpoint, which stand in a list for each of its parts; or, of older versions, in one list."""
    lists = list(notes.values()) if isinstance(notes, dict) else [notes]
    if not all(isinstance(sentences, list) for sentences in lists):
        raise _UnreadableError("its 'notes' are not what `genlab evaluate` writes")
    return list(dict.fromkeys(str(sentence) for sentences in lists for sentence in sentences))


def _figure(name: str, entry: Mapping[str, Any]) -> Figure:
    values: dict[str, Any] = {key: entry.get(key) for key in ("mean", "spread", "floor")}
    if not _is_number(values["mean"]) or any(value is not None and not _is_number(value) for value in values.values()):
        raise _UnreadableError(f"its {name!r} is no number")
    return Figure(*values.values())


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _aspects(data: Mapping[str, Any], part: Any) -> dict[str, Aspect]:
    """All that two figures must share to be held against each other."""
    fingerprint = str(data.get("fingerprint"))
    aspects = {"data": Aspect(fingerprint, f"{data.get('name')}, fingerprint {fingerprint}")}
    aspects |= {"split": _aspect(data.get("split")), "number of images in it": _aspect(data.get("count"))}
    settings = part if isinstance(part, dict) else {}
    return aspects | {key: _aspect(value) for key, value in settings.items() if key not in _ABOUT and value != {}}


def _aspect(value: Any) -> Aspect:
    shown = value if isinstance(value, str) else json.dumps(value, sort_keys=True).strip("[]")
    return Aspect(json.dumps(value, sort_keys=True), shown)


def _versions(part: Any) -> Mapping[str, Any]:
    versions = part.get("versions") if isinstance(part, dict) else None
    return versions if isinstance(versions, dict) else {}


def _note_age(facts: Mapping[str, Any], found: Measured) -> None:
    """An evaluation of a checkpoint that training has left behind says less than it seems to."""
    best = facts.get("best") or {}
    now = facts.get("step") if found.checkpoint == "last" else best.get("step")
    if found.step is not None and now is not None and found.step != now:
        found.notes.append(
            f"Evaluated at step {found.step:,}, and the {found.checkpoint} checkpoint is of step {now:,} now: {RUNS}."
        )


def _add_own(facts: Mapping[str, Any], found: Measured) -> None:
    """The figures of the run's own training; of its best checkpoint there is only the one that it was chosen by."""
    best = facts.get("best")
    if found.checkpoint == "best" and not found.parts and not best:
        found.checkpoint = "last"
        found.notes.append(_LAST_STANDS)
    own = {f"{split}/{name}": value for split in ("validation", "test") for name, value in _terms(facts.get(split))}
    if found.checkpoint == "best" and best:
        own = {f"validation/{best['figure']}": best["value"]}
    step = best["step"] if found.checkpoint == "best" and best else facts.get("step")
    found.step = found.step if found.parts else step
    fingerprint = str(facts.get("fingerprint"))
    for name, value in own.items():
        if _is_number(value):
            found.figures[name] = Figure(float(value))
            found.aspects[name] = {"data": Aspect(fingerprint, f"fingerprint {fingerprint}")}


def _terms(figures: Any) -> list[tuple[str, Any]]:
    return list(figures.items()) if isinstance(figures, dict) else []
