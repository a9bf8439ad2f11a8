"""Tables that commands print."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console as Terminal
from rich.table import Table
from rich.text import Text

from genlab.metrics.metric import Metric, shown
from genlab.registry import ConfigError, schema
from genlab.runs.run import Run
from genlab.training.console import Console, clock, number
from genlab.training.journal import read

if TYPE_CHECKING:
    from genlab.data.dataset import Dataset


def terminal() -> Terminal:
    """Return the terminal for tables. On a pipe, lines are not folded, so that programs can read them."""
    return Terminal() if sys.stdout.isatty() else Terminal(width=200)


def console() -> Console:
    """Return the console on which commands report their progress."""
    return Console(terminal())


def outcome_table(run: Run) -> Table:
    """Return the metrics of a finished run, its total cost and its device."""
    facts = run.facts
    table = Table(header_style="bold", title_justify="left")
    for name in ("metric", "validation", "test"):
        table.add_column(name, justify="left" if name == "metric" else "right")
    for name, value in facts["validation"].items():
        test = facts["test"].get(name)
        table.add_row(name.replace("_", " "), number(value), "" if test is None else number(test))
    if best := facts["best"]:
        table.add_row(f"best metric {best['metric']}, step {best['step']:,}", number(best["value"]), "")
    table.add_section()
    table.add_row("total time", clock(facts["seconds"]), "")
    table.add_row(f"{run.kinds['x'].plural}/s", number(facts["items_per_second"]), "")
    for name in ("device", "precision"):
        table.add_row(name, facts[name], "")
    return table


def runs_table(runs: list[Run]) -> Table:
    """Return the state and the last losses of runs, the newest first."""
    table = Table(header_style="bold")
    table.add_column("run", overflow="fold")
    table.add_column("state")
    for name in ("step", "validation", "test"):
        table.add_column(name, justify="right")
    for run in reversed(runs):
        last = {line["split"]: line for line in read(run.path)}
        step = max((line["step"] for line in last.values()), default=0)
        losses = [last.get(split, {}).get("loss") for split in ("validation", "test")]
        shown = ["" if loss is None else number(loss) for loss in losses]
        table.add_row(str(run.path), _state(run), f"{step:,}", *shown)
    return table


def _state(run: Run) -> str:
    """Return the state of a run, with the number of its returns to earlier checkpoints."""
    returns = len(run.facts.get("returns", []))
    return run.state if not returns else f"{run.state}, {returns} {'return' if returns == 1 else 'returns'}"


def measured_table(rows: Sequence[tuple[str, str, dict[str, float]]], caption: str) -> Table:
    """Return the metrics of each photograph by each method of upscaling; the last rows are their means."""
    metrics = list(rows[0][2]) if rows else []
    table = Table(header_style="bold", caption=caption, caption_justify="left")
    table.add_column("photograph", overflow="fold")
    table.add_column("upscaled by")
    for name in metrics:
        table.add_column(name, justify="right")
    before = ""
    for photograph, by, measured in rows:
        if before and photograph != before:
            table.add_section()
        table.add_row(
            Text("" if photograph == before else photograph), by, *(number(measured[name]) for name in metrics)
        )
        before = photograph
    return table


def methods_table(rows: Mapping[str, Mapping[str, float | str]], first: str = "") -> Table:
    """Return one line of metrics for each method: the model, then its baselines. A text stands as it is."""
    table = Table(header_style="bold")
    table.add_column(first)
    names = list(dict.fromkeys(name for values in rows.values() for name in values))
    for name in names:
        table.add_column(name, justify="right")
    for method, values in rows.items():
        cells = [values.get(name, "") for name in names]
        table.add_row(method, *(cell if isinstance(cell, str) else number(cell) for cell in cells))
    return table


def print_evaluation(record: dict[str, Any], *, every: bool) -> None:
    """Print the metrics of a run and how they were measured; by default only its main metrics."""
    from genlab.evaluation.main_metrics import main_metrics

    names, main = list(record["last"]["metrics"]), main_metrics(record)
    rest = [name for name in names if name not in main]
    parts = [list(part) for _, part in groupby(rest, key=lambda name: record["last"]["metrics"][name]["part"])]
    terminal().print(evaluation_table(record, [main, *parts] if every else [main]))
    if rest and not every:
        print(f"The {len(main)} main metrics of {len(names)}; --all prints all of them.")
    print(*protocol(record), sep="\n")


def evaluation_table(record: Mapping[str, Any], sections: Sequence[Sequence[str]]) -> Table:
    """Return these metrics of the last and the best checkpoint, section by section."""
    last, best = record["last"], record["best"]
    checkpoints = [last] if not best or best["checkpoint"] == last["checkpoint"] else [last, best]
    table = Table(header_style="bold")
    table.add_column("metric")
    table.add_column("better")
    for title, checkpoint in zip(("last", "best"), checkpoints, strict=False):
        table.add_column(f"{title}, step {checkpoint['step']:,}", justify="right")
    table.add_column("real-data baseline", justify="right")
    for names in sections:
        for name in names:
            metric = last["metrics"][name]
            baseline = metric["baseline"]
            table.add_row(
                name,
                metric["better"] or "",
                *(_cell(checkpoint["metrics"].get(name)) for checkpoint in checkpoints),
                "" if baseline is None else number(baseline),
            )
        table.add_section()
    return table


def _cell(metric: Mapping[str, Any] | None) -> str:
    return shown(Metric(metric["mean"], metric["std"])) if metric else ""


def protocol(record: Mapping[str, Any]) -> list[str]:
    """Return how the metrics were measured, one line for each part, and what could not be measured."""
    data, last, best = record["data"], record["last"], record["best"]
    chosen = "no best checkpoint" if not best else f"best: {best['checkpoint']} of step {best['step']:,}"
    about = f"{data['name']}, {data['split']} split of {data['count']:,}, fingerprint {data['fingerprint']}"
    lines = [f"{about}; {last['weights']} weights; last: {last['checkpoint']} of step {last['step']:,}, {chosen}"]
    hidden = ("seeds", "versions", "measured", "device", "seconds")
    for part, facts in record["parts"].items():
        known = [f"{key.replace('_', ' ')} {_in_words(value)}" for key, value in facts.items() if key not in hidden]
        lines.append(f"{part}: {'; '.join(known)}")
    notes = [note for each in (last, best) if each for part in each["notes"].values() for note in part]
    return [*lines, *dict.fromkeys(notes)]


def _in_words(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(_in_words, value))
    return f"{value:,}" if isinstance(value, int) else number(value) if isinstance(value, float) else str(value)


def sets_table() -> Table:
    """Return the data sets: what each holds, where it is, and its licence."""
    from genlab.config.help import described
    from genlab.data import OFFERS, SOURCES
    from genlab.runs import codes as codes  # makes codes a data source

    table = Table(header_style="bold", box=None, pad_edge=False)
    for name in ("data", "description", "where", "licence"):
        table.add_column(name, no_wrap=name != "description")
    for name, text in described("data"):
        offer = OFFERS.get(name)
        own = "yours" if name in SOURCES and {"path", "run"} & schema(SOURCES[name]).keys() else "built in"
        where = own if offer is None else "here" if offer.here() else f"download, {offer.megabytes:,} MB"
        table.add_row(name, text, where, offer.licence if offer else "")
    return table


def data_table(dataset: Dataset, file: Path) -> Table:
    """Return the contents of a data set, and draw a grid of its items into a file."""
    from genlab.data import summary

    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        summary.picture(dataset).save(file)
    except (OSError, ValueError) as error:
        raise ConfigError(f"The grid cannot be written to {file}: {error}") from None
    return facts_table(dict(summary.described(dataset)))


def facts_table(facts: Mapping[str, str]) -> Table:
    """Return one line for each fact."""
    table = Table(show_header=False)
    for name, value in facts.items():
        table.add_row(name, Text(value))
    return table
