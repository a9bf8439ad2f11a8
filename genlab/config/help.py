"""What can be typed after `genlab train`: completed by the shell, explained by --help."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from genlab.config.compose import GROUPS, PARTS, Plain, choices, compose, directory, flatten
from genlab.registry import ConfigError

_HIDDEN = ("name", "class", "plugins")


def complete(before: Sequence[str], incomplete: str) -> list[str]:
    """What may follow: groups and settings, then the names that a group has or the value that a setting has.

    Bash splits words at `=` and asks for what follows it alone, and typer takes a word that is `=` for none; other
    shells ask for the whole word.
    """
    words = [*before, incomplete]
    if incomplete == "" and before and before[-1] in GROUPS:
        words[-1:] = ["=", ""]
    if "=" in words[-2:]:
        place = len(words) - 1 - words[::-1].index("=")
        key, typed, lead = words[place - 1], "".join(words[place + 1 :]), ""
    elif "=" in incomplete:
        key, _, typed = incomplete.partition("=")
        lead = f"{key}="
    else:
        return _keys(before, incomplete)
    chosen, comma, last = typed.rpartition(",")
    names = choices(key) if key in GROUPS else {}
    return [f"{lead}{chosen}{comma}{name}" for name in names if name.startswith(last)]


def _keys(before: Sequence[str], incomplete: str) -> list[str]:
    """The groups and settings that begin so; the only one with its values, or the shell would end the word there."""
    given = re.sub(r" ?= ?", "=", " ".join(before)).split()
    try:
        plain = compose([word for word in given if re.match(r"[\w./-]+=\S", word)]).plain
    except ConfigError:
        plain = compose([]).plain
    settings = {key: [value] for key, value in flatten(plain).items() if key.rpartition(".")[2] not in _HIDDEN}
    offered = {**{group: [*choices(group)] for group in GROUPS}, **settings}
    found = [key for key in offered if key.startswith(incomplete)]
    values = [f"{found[0]}={_typed(value)}" for value in offered[found[0]]] if len(found) == 1 else []
    return [*(f"{key}=" for key in found), *values]


def described(group: str) -> list[tuple[str, str]]:
    """Each recipe of a group with the comment that its file begins with, after Hydra's own header."""
    rows = []
    for name, path in choices(group).items():
        lines = [line for line in path.read_text(encoding="utf-8").splitlines() if not line.startswith("# @")]
        first = next(iter(lines), "")
        rows.append((name, first.removeprefix("#").strip() if first.startswith("#") else ""))
    return rows


def explain(overrides: Sequence[str], folders: Sequence[Path]) -> list[str]:
    """The groups with their names, and every setting of the composed config with its comment."""
    plain = compose(overrides, folders).plain
    lines = ["Groups, GROUP=NAME:"]
    for group in GROUPS:
        lines.append(f"  {group:<14} {', '.join(choices(group, folders)) or 'none yet'}")
    lines += ["", "Settings, SETTING=VALUE, as these arguments compose them:"]
    comments = _comments(plain, folders)
    for key, value in flatten(plain).items():
        if key.rpartition(".")[2] not in _HIDDEN:
            lines.append(f"  {f'{key}={_typed(value)}':<42} {_comment(comments, key)}".rstrip())
    return lines


def _typed(value: Any) -> str:
    """A value as one types it."""
    return "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def _comments(plain: Plain, folders: Sequence[Path]) -> dict[str, str]:
    """The comment of each setting in the recipes that were chosen, by its dotted key."""
    files = [("", directory() / "train.yaml"), ("trainer.", choices("trainer", folders)["default"])]
    for group in ("model", *(f"model/{part}" for part in PARTS), "data"):
        recipe = plain["model"].get(group.partition("/")[2], {}) if "/" in group else plain[group]
        if path := choices(group, folders).get(recipe.get("name", "")):
            files.append((group.replace("/", ".") + ".", path))
    found = {}
    for section, path in files:
        sections = list[str]()
        for line in path.read_text(encoding="utf-8").splitlines():
            if match := re.match(r"((?:  )*)(\w+):[^#]*(?:# *(.+))?$", line):
                sections[len(match[1]) // 2 :] = [match[2]]
                if match[3]:
                    found[section + ".".join(sections)] = match[3]
    return found


def _comment(comments: dict[str, str], key: str) -> str:
    """The comment of a setting; what the players of a game share is said of the first of them."""
    if key in comments or not key.startswith("model.players."):
        return comments.get(key, "")
    name = key.rpartition(".")[2]
    return next((text for other, text in comments.items() if re.fullmatch(rf"model\.players\.\w+\.{name}", other)), "")
