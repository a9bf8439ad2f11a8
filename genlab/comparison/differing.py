"""Finds the settings that differ between runs, without those that follow from the chosen recipes."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

Settings = Mapping[str, Any]

_NEVER_SHOWN = ("run", "device", "devices", "plugins")
_FIRST, _LAST = ("model", "data"), ("seed",)
# These settings change logs, measurements and files of a training, but not the trained weights.
_WITHOUT_EFFECT = (
    *("model.best", "data.residence"),
    *(f"trainer.{name}" for name in ("evaluate", "validate_every", "checkpoint_every", "log_every", "keep")),
)
_NAMES = ("model.name", "data.name")
# These settings of a model change its results, but not the meaning of its loss.
_SIZES = (
    *("model.name", "model.network", "model.optimizers.", "model.batch_size", "model.best"),
    *("model.latent_dim", "model.width", "model.blocks"),
)


class RunSettings(NamedTuple):
    """The settings of a run by dotted keys, and those that its recipes alone would give."""

    settings: Settings
    recipe: Settings


def differing(runs: Sequence[RunSettings]) -> list[str]:
    """Return the dotted keys that differ and were chosen: names first, the seed and settings without effect last."""
    keys = dict.fromkeys(key for run in runs for key in run.settings if key not in _NEVER_SHOWN)
    found = [_short(key) for key in keys if _differs(key, runs) and (key in _NAMES or _chosen(key, runs))]
    middle = [key for key in found if key not in (*_FIRST, *_LAST, *_WITHOUT_EFFECT)]
    first, last, idle = ([key for key in keys if key in found] for keys in (_FIRST, _LAST, _WITHOUT_EFFECT))
    return [*first, *middle, *last, *idle]


def with_effect(keys: Sequence[str]) -> list[str]:
    """Return the settings that may change the trained weights."""
    return [key for key in keys if key not in _WITHOUT_EFFECT]


def objective(settings: Settings) -> dict[str, str]:
    """Return the settings that give a model's own loss its meaning: its class, and the settings of its loss."""
    found = {key: text(value) for key, value in settings.items() if key.startswith("model.")}
    chosen = {key: value for key, value in found.items() if not key.startswith(_SIZES)}
    return {"model.class": found["model.name"], **chosen} if "model.name" in found else chosen


def objectives(runs: Sequence[RunSettings], keys: Sequence[str]) -> list[str]:
    """Return the settings that change the meaning of the runs' own losses; none if all losses mean the same.

    `keys` are the chosen settings that differ; only settings among them are returned.
    """
    known = [objective(run.settings) for run in runs if run.settings]
    names = dict.fromkeys(key for one in known for key in one)
    changed = [name for name in names if len({one.get(name) for one in known}) > 1]
    if not changed:
        return []
    return [key for key in keys if key == "model" or key in map(_short, changed)] or changed


def values(settings: Settings, keys: Sequence[str]) -> dict[str, Any]:
    """Return the settings of these keys that a run has."""
    short = {_short(key): value for key, value in settings.items()}
    return {key: short[key] for key in keys if key in short}


def labels(rows: Sequence[Settings], names: Sequence[str], longest: int = 60) -> list[str]:
    """Describe each run by what differs, such as `vae, beta 4, seed 1`.

    A run gets its name instead if the text is too long. If another run has the same text, its name is added.
    """
    keys = list(dict.fromkeys(key for row in rows for key in row))
    keys = with_effect(keys) or keys
    last = Counter(key.rpartition(".")[2] for key in keys)
    texts = [", ".join(_described(key, row[key], last) for key in keys if key in row) for row in rows]
    counts = Counter(texts)
    if any(len(text) > longest or not text for text in texts):
        return list(names)
    return [f"{text} ({name})" if counts[text] > 1 else text for text, name in zip(texts, names, strict=True)]


def text(value: Any) -> str:
    """Format a value as a user types it."""
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return "[" + ",".join(map(text, value)) + "]"
    return json.dumps(value, default=str)


def entangled(rows: Sequence[Settings], keys: Sequence[str]) -> list[list[str]]:
    """Group the settings that may have an effect: those of a group always change together."""
    together: dict[tuple[int, ...], list[str]] = {}
    for key in with_effect(keys):
        if key not in _LAST:
            together.setdefault(_pattern([text(row.get(key)) for row in rows]), []).append(key)
    return list(together.values())


def _pattern(texts: Sequence[str]) -> tuple[int, ...]:
    """Return for each row the first row that has the same value."""
    return tuple(texts.index(value) for value in texts)


def _described(key: str, value: Any, last: Counter[str]) -> str:
    name = key.rpartition(".")[2]
    if key in _FIRST or key == "model.network":
        return text(value)
    return f"{name if last[name] == 1 else key} {text(value)}"


def _short(key: str) -> str:
    return key.removesuffix(".name")


def _is_name(key: str) -> bool:
    return key.endswith(".name")


def _differs(key: str, runs: Sequence[RunSettings]) -> bool:
    return len({text(run.settings[key]) for run in runs if key in run.settings}) > 1


def _chosen(key: str, runs: Sequence[RunSettings]) -> bool:
    """Return True if a setting differs between runs of the same recipes, or from the recipe of some run."""
    groups: dict[str, list[RunSettings]] = {}
    for run in runs:
        # The name of a network follows from the model; the network's other settings follow from its own name, too.
        deciding = (name for name in run.settings if name in _NAMES or (_is_name(name) and not _is_name(key)))
        names = {name: run.settings[name] for name in deciding}
        groups.setdefault(json.dumps(names, sort_keys=True), []).append(run)
    return any(_differs(key, group) for group in groups.values()) or any(_deviates(key, run) for run in runs)


def _deviates(key: str, run: RunSettings) -> bool:
    if key not in run.settings:
        return False
    if key not in run.recipe:
        # If a recipe is not known, its settings count as the recipe's own.
        return not key.startswith(("model.", "data."))
    return text(run.settings[key]) != text(run.recipe[key])
