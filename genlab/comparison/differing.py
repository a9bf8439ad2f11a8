"""Which settings differ between runs, leaving out what only follows from the names that were chosen."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

Settings = Mapping[str, Any]

_UNTOLD = ("run", "device", "plugins")
_FIRST, _LAST = ("model", "data"), ("seed",)
# What only says what is looked at, shown or kept along the way, and where the images lie.
_ASIDE = (
    *("model.best", "data.residence"),
    *(f"trainer.{name}" for name in ("evaluate", "validate_every", "checkpoint_every", "log_every", "keep")),
)
_SUBJECTS = ("model.name", "data.name")


class Asked(NamedTuple):
    """What a run was asked for, by dotted keys, and what the recipes of its names say by themselves."""

    settings: Settings
    recipe: Settings


def differing(asked: Sequence[Asked]) -> list[str]:
    """The dotted keys that differ and were chosen: names first, last the seed and what nothing is learnt from."""
    keys = dict.fromkeys(key for one in asked for key in one.settings if key not in _UNTOLD)
    found = [_short(key) for key in keys if _differs(key, asked) and (key in _SUBJECTS or _chosen(key, asked))]
    middle = [key for key in found if key not in (*_FIRST, *_LAST, *_ASIDE)]
    first, last, aside = ([key for key in some if key in found] for some in (_FIRST, _LAST, _ASIDE))
    return [*first, *middle, *last, *aside]


def teaching(keys: Sequence[str]) -> list[str]:
    """Those of the settings that may change what is learnt."""
    return [key for key in keys if key not in _ASIDE]


def values(settings: Settings, keys: Sequence[str]) -> dict[str, Any]:
    """The settings of these keys that a run has."""
    short = {_short(key): value for key, value in settings.items()}
    return {key: short[key] for key in keys if key in short}


def labels(rows: Sequence[Settings], names: Sequence[str], longest: int = 60) -> list[str]:
    """Each run by what differs, such as `vae, beta 4, seed 1`; by its name where that is too long or not its own."""
    keys = _keys(rows)
    keys = teaching(keys) or keys
    last = Counter(key.rpartition(".")[2] for key in keys)
    told = [", ".join(_told(key, row[key], last) for key in keys if key in row) for row in rows]
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


def entangled(rows: Sequence[Settings], keys: Sequence[str]) -> list[list[str]]:
    """The settings that may have an effect, each beside those that always change together with it."""
    together: dict[tuple[int, ...], list[str]] = {}
    for key in teaching(keys):
        if key not in _LAST:
            together.setdefault(_alike([text(row.get(key)) for row in rows]), []).append(key)
    return list(together.values())


def _alike(texts: Sequence[str]) -> tuple[int, ...]:
    """Which rows have the same value, as the first row that has it."""
    return tuple(texts.index(value) for value in texts)


def _keys(rows: Sequence[Settings]) -> list[str]:
    return list(dict.fromkeys(key for row in rows for key in row))


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
