"""The page of several runs."""

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

from genlab.comparison.effects import Effect
from genlab.report import blocks
from genlab.report.html import Html, details, element, joined
from genlab.report.page import page
from genlab.report.strips import strip

_SCRIPTS = ("dom.js", "chart.js", "overlay.js", "table.js", "scatter.js", "paper.js")
_TITLES = {"seconds": "time"}


def write(content: Mapping[str, Any]) -> str:
    """Return the page with this content."""
    runs = content["runs"]
    top = [element("p", f"{len(runs)} runs", class_="soft"), *blocks.notices(content["notices"])]
    sections = {"Runs": joined([blocks.facts(content["facts"]), *blocks.notices(content["notes"]), _warned(runs)])}
    sections["Table"] = _table(content)
    if content["effects"]:
        sections["Effects"] = _effects(content["effects"])
    if content["charts"]:
        sections["Curves"] = _curves()
    if content["samples"]:
        sections["Samples"] = _samples(content["samples"], runs)
    sections["Scatter"] = _scatter()
    sections["Each run"] = joined([_run(place, run) for place, run in enumerate(runs)])
    data = {"labels": [run["label"] for run in runs], "charts": content["charts"], "plane": content["plane"]}
    return page(content["title"], sections, top, _SCRIPTS, data)


def _warned(runs: Sequence[Mapping[str, Any]]) -> list[Html]:
    """Return each warning once, with the runs that have it."""
    found: dict[str, list[str]] = {}
    for run in runs:
        for one in run["warnings"]:
            found.setdefault(one["text"], []).append(f"{run['label']} (step {one['step']:,})")
    lines = []
    for sentence, names in found.items():
        more = f" and {len(names) - 6} more" if len(names) > 6 else ""
        lines.append(element("p", f"Warning: {sentence} Runs: {'; '.join(names[:6])}{more}.", class_="warning"))
    return lines


def _table(content: Mapping[str, Any]) -> Html:
    columns, runs = content["columns"], content["runs"]
    heads = [element("th", "run", scope="col"), *map(_heading, columns)]
    rows = [
        element("tr", _name(place, run), *map(_cell, columns, cells))
        for place, (run, cells) in enumerate(zip(runs, content["rows"], strict=True))
    ]
    parts = [element("thead", element("tr", *heads)), element("tbody", *rows)]
    if any(content["baselines"]):
        last = (_plain(column, value) for column, value in zip(columns, content["baselines"], strict=True))
        parts.append(element("tfoot", element("tr", element("th", "real data", scope="row"), *last)))
    count = sum(column["of"] == "metric" and not column["main"] for column in columns)
    return joined(
        [
            element("p", "Choose a column's name to sort by it. A star marks the best run.", class_="soft screen-only"),
            element("div", id="columns", class_="screen-only", data_more=count),
            element(
                "div",
                element("table", *parts, id="run-table", class_="wide"),
                class_="scroll",
                tabindex=0,
                role="region",
                aria_label="Table of the runs",
            ),
        ]
    )


def _heading(column: Mapping[str, Any]) -> Html:
    remark = element("small", column["remark"], class_="soft") if column["remark"] else None
    title = column["meaning"] or None
    return element(
        "th",
        element("span", _TITLES.get(column["name"], column["name"])),
        remark,
        scope="col",
        title=title,
        class_=_classes(column),
    )


def _name(place: int, run: Mapping[str, Any]) -> Html:
    state = (
        None if run["state"] == "finished" else element("small", f"{run['state']}, step {run['step']:,}", class_="soft")
    )
    return element("th", element("a", run["label"], href=f"#run-{place}"), state, scope="row")


def _cell(column: Mapping[str, Any], cell: Mapping[str, Any]) -> Html:
    star = element("span", "\u2605 ", class_="star", title="the best run") if cell["best"] else None
    return element("td", star, cell["text"], class_=_classes(column), data_value=cell["value"])


def _plain(column: Mapping[str, Any], words: str) -> Html:
    return element("td", words, class_=_classes(column))


def _classes(column: Mapping[str, Any]) -> str | None:
    numeric = column["of"] != "setting" and column["name"] != "device"
    return " ".join([*(["number"] if numeric else []), *([] if column["main"] else ["more"])]) or None


def _effects(effects: Sequence[Effect]) -> Html:
    parts: list[Any] = [element("p", "A point is a run. The line or the bar is the mean of the runs.", class_="soft")]
    for settings, some in groupby(effects, key=lambda effect: effect.settings):
        more = f" (together with {', '.join(settings[1:])})" if len(settings) > 1 else ""
        parts.append(element("h3", settings[0], more))
        parts.append(element("div", *map(strip, some), class_="strips"))
    return joined(parts)


def _curves() -> Html:
    hint = "Point at a curve to see its run. Drag to zoom, double-click to see all. The buttons switch runs on and off."
    return joined(
        [
            element("noscript", element("p", "The curves are drawn by JavaScript; the table has the results.")),
            element("p", hint, class_="soft screen-only"),
            element(
                "div", element("label", "Colour by ", element("select", id="colour-by")), id="by", class_="choices"
            ),
            element("div", id="switches", class_="legend", role="group", aria_label="Runs that the curves show"),
            element("div", id="charts", class_="charts"),
        ]
    )


def _samples(samples: Sequence[Mapping[str, Any]], runs: Sequence[Mapping[str, Any]]) -> Html:
    return element("div", *(_sample(one, runs[one["run"]]["label"]) for one in samples), class_="samples")


def _sample(one: Mapping[str, Any], label: str) -> Html:
    name = one["name"].replace("_", " ")
    size = {"width": one["width"], "height": one["height"]} if "picture" in one else {}
    shown = (
        element("img", src=one["picture"], alt=f"{name} of {label}", decoding="async", **size)
        if "picture" in one
        else element("pre", one["text"])
    )
    link = element("a", label, href=f"#run-{one['run']}")
    return element("figure", shown, element("figcaption", link, f": {name} at step {one['step']:,}"))


def _scatter() -> Html:
    chosen = [
        element("label", words, " ", element("select", id=f"axis-{axis}"))
        for axis, words in (("x", "Across"), ("y", "Up"), ("colour", "Colour"))
    ]
    return joined(
        [
            element("noscript", element("p", "The scatter plot is drawn by JavaScript; the table has its values.")),
            element("div", *chosen, class_="choices"),
            element("div", id="plane"),
            element("p", id="pointed", class_="soft", aria_live="polite"),
        ]
    )


def _run(place: int, run: Mapping[str, Any]) -> Html:
    content = [
        *blocks.warned(run["warnings"]),
        blocks.facts({**run["facts"], "State": f"{run['state']}, step {run['step']:,}"}),
        blocks.changed_settings(run["settings"], every=False),
        blocks.commands(run["commands"]),
    ]
    return details(run["label"], *content, id=f"run-{place}", class_="run")
