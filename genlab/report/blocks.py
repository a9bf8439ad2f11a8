"""Blocks of HTML that reports of one and of several runs share."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from genlab.report.html import Html, details, element, head, joined, line, table


def notices(sentences: Iterable[str]) -> list[Html]:
    """Return a line for each sentence that a reader must know first."""
    return [element("p", sentence, class_="notice") for sentence in sentences]


def warned(warnings: Iterable[Mapping[str, Any]]) -> list[Html]:
    """Return the warnings of the monitors, each with its step."""
    return [element("p", f"Warning at step {one['step']:,}: {one['text']}", class_="warning") for one in warnings]


def facts(values: Mapping[str, str]) -> Html:
    """Return names with their values, below each other."""
    return element("dl", *((element("dt", name), element("dd", value)) for name, value in values.items()))


def changed_settings(settings: Mapping[str, Any], every: bool = True) -> Html:
    """Return the settings that differ from the recipe, and with `every` all settings, folded."""
    if settings["error"]:
        return element("p", f"The settings cannot be read. {settings['error']}")
    changed = settings["changed"]
    if changed:
        rows = [line(one["key"], one["value"], one["usual"]) for one in changed]
        label = "Settings that differ from the recipe"
        first = table(head("setting", "this run", "recipe"), rows, label=label, class_="narrow")
    elif settings["known"]:
        first = element("p", "All settings are those of the recipe.")
    else:
        first = element("p", "The recipe is not known here, so changed settings are not marked.")
    return joined([first, details("All settings", _every(settings)) if every else None])


def _every(settings: Mapping[str, Any]) -> Html:
    marked = {one["key"] for one in settings["changed"]}
    lines: list[Any] = []
    for one in settings["all"]:
        setting = f"{one['key']}={one['value']}"
        lines += [element("mark", setting) if one["key"] in marked else setting, "\n"]
    return element("pre", *lines)


def commands(lines: Sequence[Mapping[str, str]]) -> Html:
    """Return commands, each below what it does."""
    return joined([(element("p", one["does"], ":", class_="does"), element("pre", one["command"])) for one in lines])


def direction(better: str | None) -> str:
    """Return the better direction in words."""
    return f"{better} is better" if better else ""
