"""What a command prints when it is done: tables, and what to type next."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from genlab.comparison.table import shown
from genlab.metrics.figures import Figure
from genlab.registry import ConfigError, schema
from genlab.runs.run import Run
from genlab.training.console import clock, number
from genlab.training.journal import read

if TYPE_CHECKING:
    from genlab.data.dataset import Images


def terminal() -> Console:
    """Where tables go. On a pipe they are for programs to read: no line is folded."""
    return Console() if sys.stdout.isatty() else Console(width=200)


def outcome_table(facts: dict[str, Any]) -> Table:
    """A finished or stopped run's figures, its cost and what it ran on, from its run.json."""
    table = Table(header_style="bold", title_justify="left")
    for name in ("", "validation", "test"):
        table.add_column(name, justify="right" if name else "left")
    for name, value in facts["validation"].items():
        test = facts["test"].get(name)
        table.add_row(name.replace("_", " "), number(value), "" if test is None else number(test))
    if best := facts["best"]:
        table.add_row(f"best {best['figure']}, at step {best['step']:,}", number(best["value"]), "")
    table.add_section()
    table.add_row("time", clock(facts["seconds"]), "")
    table.add_row("images/s", number(facts["images_per_second"]), "")
    for name in ("device", "precision"):
        table.add_row(name, facts[name], "")
    return table


def runs_table(runs: list[Run]) -> Table:
    """The runs, the newest first."""
    table = Table(header_style="bold")
    table.add_column("run", overflow="fold")
    table.add_column("state")
    for name in ("step", "validation", "test"):
        table.add_column(name, justify="right")
    for run in reversed(runs):
        last = {line["split"]: line for line in read(run.path)}
        step = max((line["step"] for line in last.values()), default=0)
        figures = [last.get(split, {}).get("loss") for split in ("validation", "test")]
        shown = ["" if figure is None else number(figure) for figure in figures]
        table.add_row(str(run.path), run.state, f"{step:,}", *shown)
    return table


def measured_table(rows: Sequence[tuple[str, str, dict[str, float]]], caption: str) -> Table:
    """How well each photograph was enlarged in each way, and on the last lines all of them."""
    figures = list(rows[0][2]) if rows else []
    table = Table(header_style="bold", caption=caption, caption_justify="left")
    table.add_column("photograph", overflow="fold")
    table.add_column("enlarged by")
    for name in figures:
        table.add_column(name, justify="right")
    before = ""
    for photograph, by, measured in rows:
        if before and photograph != before:
            table.add_section()
        table.add_row(
            Text("" if photograph == before else photograph), by, *(number(measured[name]) for name in figures)
        )
        before = photograph
    return table


def evaluation_table(record: Mapping[str, Any]) -> Table:
    """What was measured of a run's last and best checkpoint, a section a part."""
    last, best = record["last"], record["best"]
    other = best if best and best["checkpoint"] != last["checkpoint"] else None
    table = Table(header_style="bold")
    table.add_column("figure")
    table.add_column("better")
    table.add_column(f"last, step {last['step']:,}", justify="right")
    if other:
        table.add_column(f"best, step {other['step']:,}", justify="right")
    table.add_column("real data", justify="right")
    before = None
    for name, figure in last["figures"].items():
        if before not in (None, figure["part"]):
            table.add_section()
        before = figure["part"]
        both = [figure, *([other["figures"].get(name)] if other else [])]
        floor = figure["floor"]
        row = [shown(Figure(each["mean"], each["spread"])) if each else "" for each in both]
        table.add_row(name, figure["better"] or "", *row, "" if floor is None else number(floor))
    return table


def protocol(record: Mapping[str, Any]) -> list[str]:
    """What one has to know of the figures, a line a part, and what could not be measured."""
    data, last, best = record["data"], record["last"], record["best"]
    which = "no best one was chosen" if not best else f"best: {best['checkpoint']} of step {best['step']:,}"
    about = f"{data['name']}, {data['split']} split of {data['count']:,}, fingerprint {data['fingerprint']}"
    lines = [f"{about}; {last['weights']} weights; last: {last['checkpoint']} of step {last['step']:,}, {which}"]
    hidden = ("seeds", "versions", "measured", "device", "seconds")
    for part, facts in record["parts"].items():
        known = [f"{key.replace('_', ' ')} {_worded(value)}" for key, value in facts.items() if key not in hidden]
        lines.append(f"{part}: {'; '.join(known)}")
    notes = [note for each in (last, best) if each for part in each["notes"].values() for note in part]
    return [*lines, *dict.fromkeys(notes)]


def _worded(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(_worded, value))
    return f"{value:,}" if isinstance(value, int) else number(value) if isinstance(value, float) else str(value)


def sets_table() -> Table:
    """The data sets: what each is, and whether it is here."""
    from genlab.config.help import described
    from genlab.data import OFFERS, SOURCES

    table = Table(header_style="bold", box=None, pad_edge=False)
    for name in ("data", "what it is", "where", "licence"):
        table.add_column(name, no_wrap=name != "what it is")
    for name, text in described("data"):
        offer = OFFERS.get(name)
        own = "yours" if name in SOURCES and "path" in schema(SOURCES[name]) else "built in"
        there = own if offer is None else "here" if offer.here() else f"download, {offer.megabytes:,} MB"
        table.add_row(name, text, there, offer.licence if offer else "")
    return table


def data_table(images: Images, file: Path) -> Table:
    """What a data set holds; a grid of its images goes into a file."""
    from genlab.data import summary

    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        summary.picture(images).save(file)
    except (OSError, ValueError) as error:
        raise ConfigError(f"The grid cannot be written to {file}: {error}") from None
    table = Table(show_header=False)
    for name, value in summary.described(images):
        table.add_row(name, Text(value))
    return table
