"""Write the settings of configs/ into docs/configuration.md: python docs/generate_configuration.py.

The text above the marker is written by hand and stays. Everything below it is replaced. The script reads the YAML files
alone: it needs neither genlab nor Hydra.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parent.parent
CONFIGS = ROOT / "configs"
PAGE = ROOT / "docs" / "configuration.md"
MARKER = "<!-- The rest of this page is generated from configs/. Run `make configuration` to update it. -->"
TITLES = {
    "model": "Models",
    "model/network": "Networks",
    "model/features": "Features",
    "data": "Data sets",
    "trainer": "Trainer",
    "experiment": "Experiments",
}
# Keys that choose a class or other recipes. They are not settings.
NOT_SETTINGS = ("defaults", "class")


@dataclass(frozen=True)
class Setting:
    """One line of a recipe: its dotted key, its value as the file spells it, and its comment."""

    key: str
    value: str
    comment: str


@dataclass(frozen=True)
class Recipe:
    """One YAML file."""

    group: str
    name: str
    description: str
    settings: tuple[Setting, ...]
    chosen: dict[str, str]
    """The recipes of other groups that this one starts from, by group; under its own group, the recipe it extends."""


def read_recipe(path: Path, group: str) -> Recipe:
    """Read the description, the settings and the defaults list of a YAML file."""
    text = path.read_text(encoding="utf-8")
    lines = text.splitlines()
    first = next((line for line in lines if not line.startswith("# @")), "")
    description = first.removeprefix("#").strip() if first.startswith("#") else ""
    node = yaml.compose(text, Loader=yaml.SafeLoader)
    settings = tuple(_settings(node, lines)) if isinstance(node, yaml.MappingNode) else ()
    chosen = _chosen((yaml.safe_load(text) or {}).get("defaults", []), group)
    return Recipe(group, path.stem, description, settings, chosen)


def _settings(node: Any, lines: list[str], above: str = "") -> Iterator[Setting]:
    """Yield the settings of a mapping and of the mappings in it, in the order of the file."""
    for key_node, value_node in node.value:
        if not above and key_node.value in NOT_SETTINGS:
            continue
        key = f"{above}{key_node.value}"
        if isinstance(value_node, yaml.MappingNode) and value_node.value:
            yield from _settings(value_node, lines, f"{key}.")
        else:
            start, end = value_node.start_mark, value_node.end_mark
            value = " ".join(start.buffer[start.pointer : end.pointer].rstrip("\0").split())
            comment = re.match(r"\s+#\s*(.*)", lines[end.line][end.column :]) if end.line < len(lines) else None
            yield Setting(key, value, comment[1].strip() if comment else "")


def _chosen(defaults: list[Any], group: str) -> dict[str, str]:
    """Return the recipes that a defaults list names, by group."""
    chosen = {}
    for entry in defaults:
        if isinstance(entry, str) and entry != "_self_":
            chosen[group] = entry
        elif isinstance(entry, dict):
            for key, name in entry.items():
                other = key.removeprefix("override").strip()
                other = other.removeprefix("/") if other.startswith("/") or not group else f"{group}/{other}"
                if name is not None:
                    chosen[other] = name
    return chosen


def read_groups(configs: Path) -> dict[str, dict[str, Recipe]]:
    """Return the recipes by group and name: `train.yaml` under "", then the known groups, then all others."""
    folders = {path.parent.relative_to(configs).as_posix() for path in configs.rglob("*.yaml")} - {"."}
    order = [*(group for group in TITLES if group in folders), *sorted(folders - set(TITLES))]
    return {
        "": {"train": read_recipe(configs / "train.yaml", "")},
        **{
            group: {path.stem: read_recipe(path, group) for path in sorted((configs / group).glob("*.yaml"))}
            for group in order
        },
    }


def comments_of(recipe: Recipe, groups: dict[str, dict[str, Recipe]]) -> dict[str, str]:
    """Return the comments that explain a recipe's settings, by dotted key.

    A recipe that changes a few settings of others does not repeat their comments. They are read from the recipes that
    it starts from.
    """
    found = {setting.key: setting.comment for setting in recipe.settings if setting.comment}
    if not recipe.group:
        return found
    starts = recipe.chosen
    if recipe.group == "experiment":
        starts = {"trainer": "default", **starts, "": "train"}
    for group, name in starts.items():
        other = groups.get(group, {}).get(name)
        if other is not None and other is not recipe:
            lead = "" if group == recipe.group else prefix(group)
            found = {**{lead + key: text for key, text in comments_of(other, groups).items()}, **found}
    return found


def prefix(group: str) -> str:
    """Return what a setting of this group starts with on the command line."""
    return "" if group in ("", "experiment") else f"{group.replace('/', '.')}."


def comment_of(key: str, comments: dict[str, str]) -> str:
    """Return the comment of a setting; the optimizers of a model share the comments of the first one."""
    if key in comments:
        return comments[key]
    shared = re.sub(r"(^|\.)optimizers\.\w+\.", r"\1optimizers.*.", key)
    if shared == key:
        return ""
    pattern = re.escape(shared).replace(r"\*", r"\w+")
    return next((text for other, text in comments.items() if re.fullmatch(pattern, other)), "")


def table(settings: tuple[Setting, ...], comments: dict[str, str], lead: str) -> list[str]:
    """Return the lines of a Markdown table."""
    rows = [
        f"| `{lead}{setting.key}` | `{_code(setting.value)}` | {_text(comment_of(setting.key, comments))} |"
        for setting in settings
    ]
    return ["| setting | default | meaning |", "|---|---|---|", *rows] if rows else []


def _code(text: str) -> str:
    """Return text that stands between backticks in a table cell."""
    return text.replace("|", r"\|")


def _text(text: str) -> str:
    """Return plain text with the characters escaped that mean something in Markdown."""
    return re.sub(r"([\\`*<>|$\[\]{}])", r"\\\1", text)


def section(recipe: Recipe, groups: dict[str, dict[str, Recipe]]) -> list[str]:
    """Return the lines about one recipe."""
    lines = ["", f"### {recipe.group}={recipe.name}", ""]
    if recipe.description:
        lines += [_text(recipe.description), ""]
    if recipe.chosen:
        starts = ", ".join(f"`{group}={name}`" for group, name in recipe.chosen.items())
        lines += [f"Starts from {starts}.", ""]
    return lines + table(recipe.settings, comments_of(recipe, groups), prefix(recipe.group))


def generate(configs: Path = CONFIGS) -> str:
    """Return the generated part of the page."""
    groups = read_groups(configs)
    top = groups[""]["train"]
    lines = ["## General settings", "", *table(top.settings, comments_of(top, groups), "")]
    for group, recipes in groups.items():
        if group:
            lines += ["", f"## {TITLES.get(group, group)}", "", f"Choose one with `{group}=NAME`."]
            for recipe in recipes.values():
                lines += section(recipe, groups)
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).rstrip("\n") + "\n"


def page(current: str, generated: str) -> str:
    """Return the page with everything below the marker replaced."""
    above, marker, _ = current.partition(MARKER)
    if not marker:
        raise SystemExit(f"{PAGE.name} must contain this line, below the text that is written by hand:\n{MARKER}")
    return f"{above}{MARKER}\n\n{generated}"


if __name__ == "__main__":
    current = PAGE.read_text(encoding="utf-8")
    updated = page(current, generate())
    if updated != current:
        PAGE.write_text(updated, encoding="utf-8")
        print(f"Updated {PAGE.relative_to(ROOT)}")
