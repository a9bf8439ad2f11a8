"""Suggestions for mistyped arguments; a suggestion is shown in an error and never applied."""

import difflib
from collections.abc import Callable, Iterable, Mapping

from genlab.config.schema import BESIDE_MODEL, LOADING, TOP
from genlab.registry import ConfigError
from genlab.training.settings import TrainerSettings

RENAMED = {
    "players": "optimizers",
    "rate": "lr",
    "average": "ema",
    "critic": "discriminator",
    "deviation": "std",
}
"""Words of earlier versions and the present ones, as segments of a dotted key."""
_OWN = {"model": BESIDE_MODEL, "data": LOADING, "trainer": tuple(TrainerSettings.__dataclass_fields__)}
"""The names in a section that are valid even if no recipe lists them."""
_MOST = 4

Recipes = Mapping[str, Iterable[str]]
"""The names of the recipes of each group."""


def refuse_word(word: str, recipes: Recipes, listed: Iterable[str]) -> ConfigError:
    """Return the error for an argument without `=`."""
    groups: dict[str, list[str]] = {}
    for group in recipes:
        for recipe in recipes[group]:
            groups.setdefault(recipe, []).append(group)
    name = word if word in groups else _near(word, groups)
    if word in recipes:
        meant = [f"{word}=NAME"]
    elif word not in groups and (keys := keys_meant(word, listed)):
        meant = [f"{key}=VALUE" for key in keys]
    else:
        meant = [f"{group}={name}" for group in groups[name]] if name else []
    advice = did_you_mean(meant) or "Arguments are GROUP=NAME or SETTING=VALUE."
    return ConfigError(f"Cannot read the argument {word!r}. {advice}")


def refuse_recipe(group: str, noun: str, name: str, recipes: Recipes) -> ConfigError:
    """Return the error for a recipe that a group does not have; another group may have one of this name."""
    own = sorted(recipes[group])
    near = _near(name, own)
    elsewhere = [other for other in recipes if name in recipes[other]]
    meant = [f"{other}={name}" for other in elsewhere] or ([repr(near)] if near else [])
    sentences = [f"Unknown {noun} {name!r}.", did_you_mean(meant), f"Available: {', '.join(own) or 'none'}"]
    return ConfigError(" ".join(filter(None, sentences)))


def refuse_setting(key: str, value: str, listed: Iterable[str], groups: Iterable[str]) -> ConfigError | None:
    """Return the error for a setting that the composed config does not list, or None if a class may take it.

    A recipe of the user need not list the settings that have a default, so not every key that is not listed is wrong.
    """
    listed, groups = list(listed), list(groups)
    sections = {other.rpartition(".")[0] for other in listed}
    section, _, name = key.rpartition(".")
    if key in listed or any(other.startswith(f"{key}.") for other in listed):
        return None
    if section in _OWN and name in _OWN[section]:
        return None
    if key.partition(".")[0] not in TOP:
        meant = keys_meant(key, listed) or _groups_meant(key, groups) or nearest(key, listed, groups)
        advice = did_you_mean(f"{other}={value}" for other in meant) or "`genlab train --help` lists all settings."
        return ConfigError(f"Unknown setting {key!r}. {advice}")
    if "." in section and section in sections:
        # The class may accept a setting of a listed section, so only a word of an earlier version is surely wrong.
        meant = [current(key)] if current(key) != key and current(key) in listed else []
    else:
        meant = keys_meant(key, listed)
    advice = did_you_mean(f"{other}={value}" for other in meant)
    return ConfigError(f"Unknown setting {key!r}. {advice}") if advice else None


def did_you_mean(meant: Iterable[str]) -> str:
    """Return `Did you mean A or B?`, or an empty text without a suggestion."""
    meant = list(meant)[:_MOST]
    return f"Did you mean {' or '.join(meant)}?" if meant else ""


def current(key: str) -> str:
    """Replace the words of earlier versions in a dotted key."""
    return ".".join(_current(segment) for segment in key.split("."))


def _current(segment: str) -> str:
    if segment.startswith("critic_"):
        return f"discriminator_{segment.removeprefix('critic_')}"
    return RENAMED.get(segment, segment)


def keys_meant(key: str, listed: Iterable[str]) -> list[str]:
    """Return the listed keys that equal a key, else those that end with it, else those that share its last word.

    A word of an earlier version is read as the present one.
    """
    listed, key = list(listed), current(key)
    last = key.rpartition(".")[2]
    tests: tuple[Callable[[str], bool], ...] = (
        lambda other: other == key,
        lambda other: other.endswith(f".{key}"),
        lambda other: other.rpartition(".")[2] == last,
    )
    return next((found for test in tests if (found := [other for other in listed if test(other)])), [])


def _groups_meant(key: str, groups: Iterable[str]) -> list[str]:
    return [group for group in groups if group.rpartition("/")[2] == key]


def nearest(key: str, listed: Iterable[str], groups: Iterable[str] = ()) -> list[str]:
    """Return the keys or groups whose last word is most similar to that of a key."""
    named: dict[str, list[str]] = {}
    for other in listed:
        named.setdefault(other.rpartition(".")[2], []).append(other)
    for group in groups:
        named[group.rpartition("/")[2]] = [group]
    near = _near(key.rpartition(".")[2], named)
    return named[near] if near else []


def _near(word: str, known: Iterable[str]) -> str | None:
    names = list(known)
    close = (difflib.get_close_matches(text, names, n=1, cutoff=0.6) for text in (word, word.lower()))
    return next((matches[0] for matches in close if matches), None)
