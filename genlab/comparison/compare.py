"""Runs beside each other: what their folders say as a table, and in a folder of its own as files and pictures."""

import sys
from collections.abc import Callable, Sequence
from functools import cache, partial
from pathlib import Path
from typing import BinaryIO

from rich.console import Console

from genlab.comparison import chart, effects, files, panels, samples
from genlab.comparison import table as comparison_tables
from genlab.comparison.comparison import Comparison, compared
from genlab.comparison.differing import Asked
from genlab.config import compose as config
from genlab.config.trust import Trust
from genlab.contract import Model
from genlab.registry import ConfigError
from genlab.runs import open as open_run
from genlab.runs.fresh import refuse_unwritable, write_fresh
from genlab.runs.run import OUTPUTS, Run, dated, meant

TABLE, FIGURES = "table.csv", "figures.png"
AS_TEXT = {"csv": files.as_csv, "json": files.as_json}


def compare(
    names: Sequence[str],
    *,
    checkpoint: str,
    by: str | None,
    figures: Sequence[str],
    out: Path | None,
    form: str,
    trust: Trust,
) -> None:
    """Print the comparison of these runs, and write it into a new folder or beside what is in `out`."""
    if out:
        refuse_unwritable(out)
    comparison = compared(meant(names), _asked, checkpoint)
    comparison = comparison.sorted(by) if by else comparison
    comparison = comparison.only(figures) if figures else comparison
    if form in AS_TEXT:
        print(AS_TEXT[form](comparison), end="")
    else:
        _show(comparison)
    # What is read by a program has nothing else in it.
    aside = sys.stderr if form in AS_TEXT else sys.stdout
    for note in comparison.notes:
        print(note, file=aside)
    folder = out or dated(OUTPUTS / "comparisons")
    written, left_out = _write(comparison, folder, trust)
    for note in left_out:
        print(note, file=aside)
    print(f"In {folder}: {', '.join(path.name for path in written)}", file=aside)


def _show(comparison: Comparison) -> None:
    """In a terminal what fits it; on a pipe one table, of which no line is folded."""
    console = Console()
    width = console.width if sys.stdout.isatty() else None
    for table in comparison_tables.tables(comparison, width):
        wide = console if width else Console(width=max(console.width, comparison_tables.width_of(table)))
        wide.print(table)


def _asked(run: Run) -> Asked:
    """What the run's config says, and what its recipes would say without anything else."""
    settings = config.flatten(config.load(run.path / "config.yaml").plain)
    parts = [f"model.{part}" for part in config.PARTS if f"model.{part}.name" in settings]
    subject = tuple(f"{key}={settings[f'{key}.name']}" for key in ("model", "data"))
    usual = _recipe(subject)
    chosen = _recipe((*subject, *(f"{key}={settings[f'{key}.name']}" for key in parts)))
    return Asked(settings, chosen | {f"{key}.name": usual[f"{key}.name"] for key in parts if f"{key}.name" in usual})


@cache
def _recipe(names: tuple[str, ...]) -> config.Plain:
    """The settings that these names give; none where the recipes are not here, such as a plugin's."""
    try:
        return config.flatten(config.compose(names).plain)
    except ConfigError:
        return {}


def _write(comparison: Comparison, folder: Path, trust: Trust) -> tuple[list[Path], list[str]]:
    """The files that were written, and what there is to say of what they leave out."""
    opened = _best if comparison.checkpoint == "best" else open_run.open_model
    sampled, left_out = samples.drawn(comparison.rows, partial(opened, trust=trust))
    writers: dict[str, Callable[[BinaryIO], None] | None] = {
        TABLE: _text(files.as_csv(comparison)),
        "table.json": _text(files.as_json(comparison)),
        FIGURES: panels.written(chart.figures(comparison)),
        "effects.png": panels.written(effects.effects(comparison)),
        "samples.png": samples.written(sampled),
    }
    written = [write_fresh(folder / name, write).path for name, write in writers.items() if write]
    return written, [*left_out, *_undrawn(comparison)]


def _undrawn(comparison: Comparison, most: int = 12) -> list[str]:
    """Which figures have no panel, if any."""
    drawn = chart.panelled(comparison)
    rest = [name for name in comparison.figures if name not in drawn]
    if not rest:
        return []
    named = ", ".join(rest[:most]) + (f" and {len(rest) - most} more" if len(rest) > most else "")
    return [f"{FIGURES} leaves out what a single run has, or is more than it holds; {TABLE} has it: {named}."]


def _best(run: Run, trust: Trust) -> Model:
    """The model of the best checkpoint; where none was kept the last stands, as in the table."""
    last, best = open_run.open_both(run, trust)
    return (best or last).model


def _text(text: str) -> Callable[[BinaryIO], None]:
    def write(file: BinaryIO) -> None:
        file.write(text.encode())

    return write
