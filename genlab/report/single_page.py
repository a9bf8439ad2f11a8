"""The page of one run."""

from collections.abc import Mapping, Sequence
from typing import Any

from genlab.report import blocks
from genlab.report.html import Html, details, element, head, joined, numbers, table
from genlab.report.page import page
from genlab.training.console import number

_SCRIPTS = ("dom.js", "chart.js", "curves.js", "pictures.js", "paper.js")


def write(content: Mapping[str, Any]) -> str:
    """Return the page with this content."""
    top = [
        element("p", f"{content['state']}, step {content['step']:,}", class_="soft"),
        *blocks.notices(content["notices"]),
        *blocks.warned(content["warnings"]),
    ]
    sections = {"Run": blocks.facts(content["facts"]), "Metrics": _metrics(content)}
    if content["summary"]:
        sections["Curves"] = _curves(content)
    sections["Pictures"] = _exhibits(content["exhibits"])
    sections["Settings"] = blocks.changed_settings(content["settings"])
    sections["Commands"] = blocks.commands(content["commands"])
    data = {"charts": content["charts"], "exhibits": [_for_slider(exhibit) for exhibit in content["exhibits"]]}
    return page(content["title"], sections, top, _SCRIPTS, data)


def _metrics(content: Mapping[str, Any]) -> Html:
    evaluation, own = content["evaluation"], content["own"]
    parts = list[Html]()
    if evaluation:
        protocols = {one["part"]: one["protocol"] for one in evaluation["questions"]}
        cards = [_card(metric, protocols[metric["part"]], evaluation) for metric in evaluation["main"]]
        parts += [element("div", *cards, class_="cards"), element("p", evaluation["about"], class_="soft")]
        parts += [element("p", note, class_="notice") for note in evaluation["notes"]]
        parts += [_question(one, evaluation) for one in evaluation["questions"]]
    if own:
        parts.append(details("What did the training itself measure?", _own(own), open=not evaluation))
    return joined(parts or element("p", "The run has no metrics yet."))


def _card(metric: Mapping[str, Any], protocol: Mapping[str, str], evaluation: Mapping[str, Any]) -> Html:
    lines = [
        element("h3", metric["name"]),
        element("p", metric["value"], class_="value"),
        element("p", metric["meaning"]) if metric["meaning"] else None,
        element("p", _beside(metric, evaluation), class_="soft"),
        details("Protocol", blocks.facts(protocol)),
    ]
    return element("article", *lines, class_="card")


def _beside(metric: Mapping[str, Any], evaluation: Mapping[str, Any]) -> str:
    real = f"real data: {metric['baseline']}" if metric["baseline"] else ""
    best = f"best checkpoint (step {evaluation['best_step']:,}): {metric['best']}" if metric["best"] else ""
    return "; ".join(filter(None, [blocks.direction(metric["better"]), real, *metric["rivals"], best]))


def _question(one: Mapping[str, Any], evaluation: Mapping[str, Any]) -> Html:
    best = evaluation["best_step"]
    steps = [f"step {evaluation['step']:,}", *([f"best, step {best:,}"] if best else [])]
    top = head("metric", *steps, "real data", "better", numeric=(*steps, "real data"))
    content = [
        table(top, [_metric_row(metric, bool(best)) for metric in one["metrics"]], label=one["question"]),
        *blocks.notices(one["notes"]),
        details("Protocol", blocks.facts(one["protocol"])),
    ]
    return details(one["question"], *content, data_paper=True)


def _metric_row(metric: Mapping[str, Any], best: bool) -> Html:
    name = [metric["name"], element("small", metric["meaning"], class_="soft")]
    cells = [metric["value"], *([metric["best"] or ""] if best else []), metric["baseline"] or ""]
    return element(
        "tr",
        element("th", *name, scope="row"),
        *(element("td", cell, class_="number") for cell in cells),
        element("td", metric["better"] or ""),
    )


def _own(rows: Sequence[Mapping[str, str]]) -> Html:
    splits = [split for split in ("validation", "test") if any(row.get(split) for row in rows)]
    lines = [numbers(row["name"], *(row.get(split, "") for split in splits)) for row in rows]
    return table(head("metric", *splits, numeric=splits), lines, label="Metrics of the training", class_="narrow")


def _curves(content: Mapping[str, Any]) -> Html:
    hint = "Drag to zoom, double-click to see all. With the keyboard: the arrow keys move the cursor over a curve."
    return joined(
        [
            element("noscript", element("p", "The curves are drawn by JavaScript; the table has their values.")),
            element("p", hint, class_="soft screen-only"),
            element("div", id="charts", class_="charts"),
            details("The curves in numbers", summary_table(content["summary"])),
        ]
    )


def summary_table(rows: Sequence[Mapping[str, Any]]) -> Html:
    """Return the ends and the extremes of curves, each with its step."""
    columns = ("first", "lowest", "highest", "last")
    lines = [numbers(f"{row['term']}: {row['curve']}", *(_at_step(row.get(name)) for name in columns)) for row in rows]
    return table(head("curve", *columns, numeric=columns), lines, label="The curves in numbers")


def _at_step(point: Any) -> list[Any]:
    return [number(point[1]), element("small", f"step {point[0]:,}", class_="soft")] if point else []


def _exhibits(exhibits: Sequence[Mapping[str, Any]]) -> Html:
    if not exhibits:
        return element("p", "The run has no pictures, texts or sounds.")
    return element("div", *(_exhibit(place, one) for place, one in enumerate(exhibits)), class_="exhibits")


def _exhibit(place: int, one: Mapping[str, Any]) -> Html:
    last, steps = one["items"][-1], len(one["items"])
    name, slider = one["name"].replace("_", " "), f"slider-{place}"
    shown = [
        element("img", alt=f"{name} at step {last['step']:,}", src=last["picture"], **_size(last), class_="pixels")
        if "picture" in last
        else None,
        element("pre", last["text"]) if "text" in last else None,
        element("audio", src=last["sound"], controls=True, aria_label=f"{name}, a sound") if "sound" in last else None,
    ]
    move = element(
        "div",
        element("label", f"Training step of the {name}", for_=slider),
        element("input", type="range", id=slider, min=0, max=steps - 1, step=1, value=steps - 1),
        class_="screen-only slider",
        hidden=True,
    )
    left_out = one["left_out"]
    few = f" {left_out:,} of {steps + left_out:,} steps are left out, so that the file stays small." if left_out else ""
    caption = element("figcaption", element("span", f"Step {last['step']:,}", class_="step"), f".{few}")
    return element(
        "figure", element("h3", name.capitalize()), *shown, move if steps > 1 else None, caption, data_exhibit=place
    )


def _size(item: Mapping[str, Any]) -> dict[str, int]:
    return {"width": item["width"], "height": item["height"]}


def _for_slider(exhibit: Mapping[str, Any]) -> dict[str, Any]:
    """Return the items of an exhibit; the content of the last one stands in the page already."""
    *earlier, last = exhibit["items"]
    return {"name": exhibit["name"].replace("_", " "), "items": [*earlier, {"step": last["step"]}]}
