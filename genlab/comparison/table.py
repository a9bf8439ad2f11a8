"""A comparison as tables for the terminal: one table if it fits, else a turned one or several."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import NamedTuple

from rich.console import Console
from rich.table import Table
from rich.text import Text

from genlab.comparison.comparison import Comparison, Row
from genlab.comparison.differing import text, with_effect
from genlab.comparison.measured import direction
from genlab.metrics.metric import Better, Metric, shown
from genlab.training.console import clock, number

BASELINE = "real-data baseline"
_FEW = 6


class Column(NamedTuple):
    """A column: its name, the better direction, and a cell for each run."""

    name: str
    cells: list[Text]
    better: Better | None = None
    numeric: bool = True


def tables(comparison: Comparison, width: int | None) -> list[Table]:
    """Return the tables that read best in this many characters; None means any width."""
    names, blocks = _names(comparison), _blocks(comparison)
    whole = _upright([names, *chain(*blocks)], comparison)
    if width is None or width_of(whole) <= width:
        return [whole]
    settings, metrics, costs = blocks
    # Below many settings, the metrics would be pages away.
    order = blocks if len(settings) <= _FEW else [metrics, costs, settings]
    for heads in (names.cells, _numbers(comparison)):
        turned = _turned(heads, order)
        if width_of(turned) <= width:
            return [turned] if heads is names.cells else [turned, _legend(comparison)]
    return [*_parted(list(chain(*order)), comparison, width), _legend(comparison)]


def width_of(table: Table) -> int:
    """Return the number of characters in a line of the table if nothing is folded."""
    console = Console(width=100_000)
    return console.measure(table).maximum


def _names(comparison: Comparison) -> Column:
    return Column(
        "run", [*(Text(row.name) for row in comparison.rows), *_baseline_cell(comparison, BASELINE)], numeric=False
    )


def _blocks(comparison: Comparison) -> list[list[Column]]:
    """Return the settings, metrics and costs; each column ends with a cell for the baseline if any is known."""
    blank = _baseline_cell(comparison, "")
    settings = [
        Column(name, [*(_setting(row, name) for row in comparison.rows), *blank], numeric=False)
        for name in with_effect(comparison.settings) or comparison.settings
    ]
    metrics = list[Column]()
    for name in comparison.metrics:
        baseline = comparison.baseline(name)
        last = [Text("" if baseline is None else number(baseline))] if blank else []
        cells = [_metric(row.metrics.get(name), comparison.best(name)) for row in comparison.rows]
        metrics.append(Column(name, [*cells, *last], direction(name)))
    costs = [
        Column(
            name,
            [*(Text(_cost(name, row.cost.get(name))) for row in comparison.rows), *blank],
            numeric=name != "device",
        )
        for name in comparison.costs
    ]
    return [settings, metrics, costs]


def _baseline_cell(comparison: Comparison, words: str) -> list[Text]:
    known = any(comparison.baseline(name) is not None for name in comparison.metrics)
    return [Text(words, style="italic")] if known else []


def _setting(row: Row, name: str) -> Text:
    return Text(text(row.settings[name]) if name in row.settings else "")


def _metric(metric: Metric | None, best: float | None) -> Text:
    if metric is None:
        return Text("")
    return Text(shown(metric), style="bold" if metric.mean == best else "")


def _cost(name: str, value: float | str | None) -> str:
    if value is None or isinstance(value, str):
        return value or ""
    return clock(value) if name == "seconds" else f"{value:,.0f}"


def _title(name: str) -> str:
    return {"seconds": "time"}.get(name, name)


def _heading(column: Column) -> Text:
    return Text("\n".join([_title(column.name), *([column.better] if column.better else [])]))


def _numbers(comparison: Comparison) -> list[Text]:
    return [*(Text(str(place)) for place in range(1, len(comparison.rows) + 1)), *_baseline_cell(comparison, BASELINE)]


def _upright(columns: Sequence[Column], comparison: Comparison) -> Table:
    """Return a table with a line for each run."""
    table = Table(header_style="bold")
    for column in columns:
        table.add_column(_heading(column), justify="right" if column.numeric else "left", no_wrap=True)
    for place, line in enumerate(zip(*(column.cells for column in columns), strict=True)):
        # A table whose columns have no baseline needs no line for it.
        if place < len(comparison.rows) or any(cell.plain for cell in line[1:]):
            table.add_row(*line, end_section=place == len(comparison.rows) - 1)
    return table


def _turned(heads: Sequence[Text], blocks: Sequence[Sequence[Column]]) -> Table:
    """Return a table with a column for each run, and a rule below each block."""
    table = Table(header_style="bold")
    table.add_column("")
    for head in heads:
        table.add_column(head, justify="right", no_wrap=True)
    for block in blocks:
        for column in block:
            name = _title(column.name) + (f" ({column.better})" if column.better else "")
            table.add_row(Text(name), *column.cells, end_section=column is block[-1])
    return table


def _parted(columns: Sequence[Column], comparison: Comparison, width: int) -> list[Table]:
    """Return as many tables as the columns need, with a number for each run."""
    numbers = Column("#", _numbers(comparison), numeric=False)
    parts, waiting = list[Table](), list[Column]()
    for column in columns:
        if waiting and width_of(_upright([numbers, *waiting, column], comparison)) > width:
            parts.append(_upright([numbers, *waiting], comparison))
            waiting = []
        waiting.append(column)
    return [*parts, _upright([numbers, *waiting], comparison)]


def _legend(comparison: Comparison) -> Table:
    """Return the name of each number's run."""
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(justify="right")
    table.add_column(overflow="fold")
    for place, row in enumerate(comparison.rows, start=1):
        table.add_row(str(place), Text(row.name))
    return table
