"""The arguments of `genlab train`: completed by the shell and explained by --help."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from genlab.config.compose import GROUPS, HIDDEN, choices, compose, directory
from genlab.config.schema import PARTS, Plain, flatten
from genlab.registry import ConfigError


def complete(before: Sequence[str], incomplete: str) -> list[str]:
    """Return the words that can follow: groups and settings, or the values of the one that is typed already.

    Bash splits words at `=` and completes only what follows it, and typer drops a word that is just `=`. Other shells
    complete the whole word.
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
    """Return the groups and settings that begin with the word; a single one with its values, so that typing goes on."""
    given = re.sub(r" ?= ?", "=", " ".join(before)).split()
    try:
        plain = compose([word for word in given if re.match(r"[\w./-]+=\S", word)]).plain
    except ConfigError:
        plain = compose([]).plain
    settings = {key: [value] for key, value in flatten(plain).items() if key.rpartition(".")[2] not in HIDDEN}
    offered = {**{group: [*choices(group)] for group in GROUPS}, **settings}
    found = [key for key in offered if key.startswith(incomplete)]
    values = [f"{found[0]}={_typed(value)}" for value in offered[found[0]]] if len(found) == 1 else []
    return [*(f"{key}=" for key in found), *values]


def described(group: str) -> list[tuple[str, str]]:
    """Return each recipe of a group with the comment at the top of its file."""
    rows = []
    for name, path in choices(group).items():
        # Lines with # @ are for Hydra.
        lines = [line for line in path.read_text(encoding="utf-8").splitlines() if not line.startswith("# @")]
        first = next(iter(lines), "")
        rows.append((name, first.removeprefix("#").strip() if first.startswith("#") else ""))
    return rows


def explain(overrides: Sequence[str], folders: Sequence[Path]) -> list[str]:
    """Return lines with the recipes of each group, and every setting of the composed config with its comment."""
    plain = compose(overrides, folders).plain
    lines = ["Recipes (choose with GROUP=NAME):"]
    for group in GROUPS:
        lines.append(f"  {group:<14} {', '.join(choices(group, folders)) or 'none'}")
    lines += ["", "Settings and their values with these arguments (change with SETTING=VALUE):"]
    comments = _comments(plain, folders)
    for key, value in flatten(plain).items():
        if key.rpartition(".")[2] not in HIDDEN:
            lines.append(f"  {f'{key}={_typed(value)}':<42} {_comment(comments, key)}".rstrip())
    return lines


def _typed(value: Any) -> str:
    """Return a value as a user types it."""
    return "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def _comments(plain: Plain, folders: Sequence[Path]) -> dict[str, str]:
    """Return the comments of the chosen recipes by dotted key."""
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
    """Return the comment of a setting; the optimizers of a model share their comments, which stand at the first one."""
    if key in comments or not key.startswith("model.optimizers."):
        return comments.get(key, "")
    name = key.rpartition(".")[2]
    shared = rf"model\.optimizers\.\w+\.{name}"
    return next((text for other, text in comments.items() if re.fullmatch(shared, other)), "")
