"""Which settings differ between runs, leaving out what only follows from the names that were chosen."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

Settings = Mapping[str, Any]

_UNTOLD = ("run", "device", "plugins")
_FIRST, _LAST = ("model", "data"), ("seed",)
_SUBJECTS = ("model.name", "data.name")


class Asked(NamedTuple):
    """What a run was asked for, by dotted keys, and what the recipes of its names say by themselves."""

    settings: Settings
    recipe: Settings


def differing(asked: Sequence[Asked]) -> list[str]:
    """The dotted keys that differ and were chosen: names first, the seed last."""
    keys = dict.fromkeys(key for one in asked for key in one.settings if key not in _UNTOLD)
    found = [_short(key) for key in keys if _differs(key, asked) and (key in _SUBJECTS or _chosen(key, asked))]
    middle = [key for key in found if key not in _FIRST + _LAST]
    return [key for key in _FIRST if key in found] + middle + [key for key in _LAST if key in found]


def values(settings: Settings, keys: Sequence[str]) -> dict[str, Any]:
    """The settings of these keys that a run has."""
    short = {_short(key): value for key, value in settings.items()}
    return {key: short[key] for key in keys if key in short}


def labels(rows: Sequence[Settings], names: Sequence[str], longest: int = 60) -> list[str]:
    """Each run by what differs, such as `vae, beta 4, seed 1`; by its name where that is too long or not its own."""
    last = Counter(key.rpartition(".")[2] for key in _keys(rows))
    told = [", ".join(_told(key, value, last) for key, value in row.items()) for row in rows]
    counts = Counter(told)
    if any(len(text) > longest or not text for text in told):
        return list(names)
    return [f"{text} ({name})" if counts[text] > 1 else text for text, name in zip(told, names, strict=True)]


def text(value: Any) -> str:
    """A value as one types it."""
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return "[" + ",".join(map(text, value)) + "]"
    return json.dumps(value, default=str)


def entangled(rows: Sequence[Settings], keys: Sequence[str]) -> list[tuple[str, str]]:
    """Pairs of settings that always change together, so that their effects cannot be told apart."""
    groups = {key: _groups([text(row.get(key)) for row in rows]) for key in keys}
    return [(one, two) for number, one in enumerate(keys) for two in keys[number + 1 :] if groups[one] == groups[two]]


def _groups(texts: Sequence[str]) -> list[int]:
    """Which rows have the same value, as the first row that has it."""
    return [texts.index(value) for value in texts]


def _keys(rows: Sequence[Settings]) -> dict[str, None]:
    return dict.fromkeys(key for row in rows for key in row)


def _told(key: str, value: Any, last: Counter[str]) -> str:
    name = key.rpartition(".")[2]
    if key in _FIRST or key == "model.network":
        return text(value)
    return f"{name if last[name] == 1 else key} {text(value)}"


def _short(key: str) -> str:
    return key.removesuffix(".name")


def _is_name(key: str) -> bool:
    return key.endswith(".name")


def _differs(key: str, asked: Sequence[Asked]) -> bool:
    return len({text(one.settings[key]) for one in asked if key in one.settings}) > 1


def _chosen(key: str, asked: Sequence[Asked]) -> bool:
    """Whether it differs among runs of the same names, or somewhere from what the names alone give."""
    groups: dict[str, list[Asked]] = {}
    for one in asked:
        # What a network is called follows from the model; what it is like, from its own name too.
        telling = (name for name in one.settings if name in _SUBJECTS or (_is_name(name) and not _is_name(key)))
        names = {name: one.settings[name] for name in telling}
        groups.setdefault(json.dumps(names, sort_keys=True), []).append(one)
    return any(_differs(key, group) for group in groups.values()) or any(_deviates(key, one) for one in asked)


def _deviates(key: str, one: Asked) -> bool:
    if key not in one.settings:
        return False
    if key not in one.recipe:
        # Of a recipe that is not known the settings are taken for what it says.
        return not key.startswith(("model.", "data."))
    return text(one.settings[key]) != text(one.recipe[key])
