"""A comparison of runs as tables for a person: one where it fits, turned or parted where it does not."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import chain
from typing import NamedTuple

from rich.console import Console
from rich.table import Table
from rich.text import Text

from genlab.comparison.comparison import Comparison, Row
from genlab.comparison.differing import teaching, text
from genlab.comparison.measured import direction
from genlab.metrics.figures import Better, Figure
from genlab.training.console import clock, number

FLOOR = "real data"
_FEW = 6


class Column(NamedTuple):
    """A name, which way is better, and a cell a run."""

    name: str
    cells: list[Text]
    better: Better | None = None
    numeric: bool = True


def tables(comparison: Comparison, width: int | None) -> list[Table]:
    """What reads best in so many characters; None is as wide as it takes."""
    names, blocks = _names(comparison), _blocks(comparison)
    whole = _upright([names, *chain(*blocks)], comparison)
    if width is None or width_of(whole) <= width:
        return [whole]
    settings, figures, costs = blocks
    # Of many settings the figures would be pages away.
    order = blocks if len(settings) <= _FEW else [figures, costs, settings]
    for heads in (names.cells, _numbers(comparison)):
        turned = _turned(heads, order)
        if width_of(turned) <= width:
            return [turned] if heads is names.cells else [turned, _legend(comparison)]
    return [*_parted(list(chain(*order)), comparison, width), _legend(comparison)]


def width_of(table: Table) -> int:
    """How many characters a line of it takes when nothing is folded."""
    console = Console(width=100_000)
    return console.measure(table).maximum


def shown(figure: Figure) -> str:
    """The mean, and where there is one the spread: to two digits of it, unless four of the mean are fewer."""
    text = number(figure.mean)
    if figure.spread is None:
        return text
    if "e" in text or not figure.spread:
        return f"{text} +- {figure.spread:.2g}"
    needed = max(0, 1 - math.floor(math.log10(figure.spread)))
    decimals = min(needed, len(text.partition(".")[2]))
    # A spread that so many decimals do not show is not none.
    spread = f"{figure.spread:,.{decimals}f}" if figure.spread >= 10.0**-decimals else f"{figure.spread:.1g}"
    return f"{figure.mean:,.{decimals}f} +- {spread}"


def _names(comparison: Comparison) -> Column:
    return Column("run", [*(Text(row.name) for row in comparison.rows), *_floor_cell(comparison, FLOOR)], numeric=False)


def _blocks(comparison: Comparison) -> list[list[Column]]:
    """The settings, figures and costs, with a last cell for what real data gets where that is known."""
    blank = _floor_cell(comparison, "")
    settings = [
        Column(name, [*(_setting(row, name) for row in comparison.rows), *blank], numeric=False)
        for name in teaching(comparison.settings) or comparison.settings
    ]
    figures = list[Column]()
    for name in comparison.figures:
        floor = comparison.floor(name)
        last = [Text("" if floor is None else number(floor))] if blank else []
        cells = [_figure(row.figures.get(name), comparison.best(name)) for row in comparison.rows]
        figures.append(Column(name, [*cells, *last], direction(name)))
    costs = [
        Column(
            name,
            [*(Text(_cost(name, row.cost.get(name))) for row in comparison.rows), *blank],
            numeric=name != "device",
        )
        for name in comparison.costs
    ]
    return [settings, figures, costs]


def _floor_cell(comparison: Comparison, words: str) -> list[Text]:
    known = any(comparison.floor(name) is not None for name in comparison.figures)
    return [Text(words, style="italic")] if known else []


def _setting(row: Row, name: str) -> Text:
    return Text(text(row.settings[name]) if name in row.settings else "")


def _figure(figure: Figure | None, best: float | None) -> Text:
    if figure is None:
        return Text("")
    return Text(shown(figure), style="bold" if figure.mean == best else "")


def _cost(name: str, value: float | str | None) -> str:
    if value is None or isinstance(value, str):
        return value or ""
    return clock(value) if name == "seconds" else f"{value:,.0f}"


def _title(name: str) -> str:
    return {"seconds": "time"}.get(name, name)


def _heading(column: Column) -> Text:
    return Text("\n".join([_title(column.name), *([column.better] if column.better else [])]))


def _numbers(comparison: Comparison) -> list[Text]:
    return [*(Text(str(place)) for place in range(1, len(comparison.rows) + 1)), *_floor_cell(comparison, FLOOR)]


def _upright(columns: Sequence[Column], comparison: Comparison) -> Table:
    """A line a run."""
    table = Table(header_style="bold")
    for column in columns:
        table.add_column(_heading(column), justify="right" if column.numeric else "left", no_wrap=True)
    for place, line in enumerate(zip(*(column.cells for column in columns), strict=True)):
        # Where nothing is known of real data, nothing is said of it.
        if place < len(comparison.rows) or any(cell.plain for cell in line[1:]):
            table.add_row(*line, end_section=place == len(comparison.rows) - 1)
    return table


def _turned(heads: Sequence[Text], blocks: Sequence[Sequence[Column]]) -> Table:
    """A column a run, and a line below each block."""
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
    """As many tables as it takes, the runs by their numbers."""
    numbers = Column("#", _numbers(comparison), numeric=False)
    parts, waiting = list[Table](), list[Column]()
    for column in columns:
        if waiting and width_of(_upright([numbers, *waiting, column], comparison)) > width:
            parts.append(_upright([numbers, *waiting], comparison))
            waiting = []
        waiting.append(column)
    return [*parts, _upright([numbers, *waiting], comparison)]


def _legend(comparison: Comparison) -> Table:
    """Which run has which number."""
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(justify="right")
    table.add_column(overflow="fold")
    for place, row in enumerate(comparison.rows, start=1):
        table.add_row(str(place), Text(row.name))
    return table
