"""Compares runs: prints the settings that differ, the metrics and the costs, and writes files and pictures."""

import sys
from collections.abc import Callable, Sequence
from functools import cache, partial
from pathlib import Path
from typing import BinaryIO

from rich.console import Console

from genlab import charts
from genlab.comparison import chart, effects, files, samples
from genlab.comparison.comparison import Comparison, compared
from genlab.comparison.differing import RunSettings
from genlab.comparison.table import tables, width_of
from genlab.config import compose as config
from genlab.config.schema import PARTS, Plain, flatten
from genlab.config.trust import Trust
from genlab.registry import ConfigError
from genlab.runs import open as open_run
from genlab.runs.open import Opened
from genlab.runs.results import refuse_unwritable, write_fresh
from genlab.runs.run import OUTPUTS, Run, dated, meant

TABLE, CHART = "table.csv", "metrics.png"
FORMATS = {"csv": files.as_csv, "json": files.as_json}


def compare(
    names: Sequence[str],
    *,
    checkpoint: str,
    by: str | None,
    metrics: Sequence[str],
    every: bool,
    out: Path | None,
    form: str,
    trust: Trust,
) -> None:
    """Print the comparison of these runs, and write its files into `out` or into a new folder.

    Without `metrics` or `every`, the tables on the terminal hold only the main metrics, and the one to sort by.
    """
    if out:
        refuse_unwritable(out)
    comparison = compared(meant(names), run_settings, checkpoint)
    comparison = comparison.sorted(by) if by else comparison
    comparison = comparison.only(metrics) if metrics else comparison
    if form in FORMATS:
        print(FORMATS[form](comparison), end="")
    else:
        printed = comparison if every or metrics else comparison.shortened(by)
        _print_tables(printed)
        if more := len(comparison.metrics) - len(printed.metrics):
            print(f"{more} more metrics are in {TABLE}; --all prints them, and --metrics NAME,... those you name.")
    # CSV and JSON are read by programs, so nothing else goes to their stream.
    stream = sys.stderr if form in FORMATS else sys.stdout
    for note in comparison.notes:
        print(note, file=stream)
    folder = out or dated(OUTPUTS / "comparisons")
    written, left_out = _write(comparison, folder, trust)
    for note in left_out:
        print(note, file=stream)
    print(f"In {folder}: {', '.join(path.name for path in written)}", file=stream)


def run_settings(run: Run) -> RunSettings:
    """Return the settings in a run's config, and those that its recipes alone would give."""
    settings = flatten(config.load(run.path / "config.yaml").plain)
    parts = [f"model.{part}" for part in PARTS if f"model.{part}.name" in settings]
    subject = tuple(f"{key}={settings[f'{key}.name']}" for key in ("model", "data"))
    usual = _recipe(subject)
    chosen = _recipe((*subject, *(f"{key.replace('.', '/')}={settings[f'{key}.name']}" for key in parts)))
    names = {f"{key}.name": usual[f"{key}.name"] for key in parts if f"{key}.name" in usual}
    return RunSettings(settings, chosen | names)


def undrawn(comparison: Comparison, most: int = 12) -> list[str]:
    """Return sentences that name the metrics without a panel, one for each reason."""
    drawn, reasons = chart.panelled(comparison), chart.without_panel(comparison)
    named = {name for names in reasons.values() for name in names}
    reasons["have no room"] = [name for name in comparison.metrics if name not in drawn and name not in named]
    return [
        f"{CHART} has no panels for metrics that {reason}: {_listed(names, most)}."
        for reason, names in reasons.items()
        if names
    ]


def _listed(names: Sequence[str], most: int) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def _print_tables(comparison: Comparison) -> None:
    """Print tables that fit the terminal; on a pipe print one table whose lines are not folded."""
    console = Console()
    width = console.width if sys.stdout.isatty() else None
    for table in tables(comparison, width):
        wide = console if width else Console(width=max(console.width, width_of(table)))
        wide.print(table)


@cache
def _recipe(names: tuple[str, ...]) -> Plain:
    """Return the settings that these names give; none if a recipe is not here, such as that of a plugin."""
    try:
        return flatten(config.compose(names).plain)
    except ConfigError:
        return {}


def _write(comparison: Comparison, folder: Path, trust: Trust) -> tuple[list[Path], list[str]]:
    """Write the files, and return their paths and sentences about what they leave out."""
    opened = _open_best if comparison.checkpoint == "best" else _open_last
    sampled, left_out = samples.drawn(comparison.rows, partial(opened, trust=trust))
    writers: dict[str, Callable[[BinaryIO], None] | None] = {
        TABLE: files.as_writer(files.as_csv(comparison)),
        "table.json": files.as_writer(files.as_json(comparison)),
        CHART: charts.written(chart.metrics(comparison)),
        "effects.png": charts.written(effects.effects(comparison)),
        **samples.files(sampled),
    }
    written = [write_fresh(folder / name, write).path for name, write in writers.items() if write]
    return written, [*left_out, *undrawn(comparison)]


def _open_last(run: Run, trust: Trust) -> Opened:
    return open_run.open_checkpoint(run, trust=trust)


def _open_best(run: Run, trust: Trust) -> Opened:
    """Open the best checkpoint, or the last if the run keeps no best one, as the table does."""
    last, best = open_run.open_both(run, trust)
    return best or last
