"""`genlab augment`: a study of generated images as training data."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from genlab.cli import lab, options

if TYPE_CHECKING:
    from rich.table import Table

    from genlab.lab.augment import Study
    from genlab.metrics.intervals import Interval


def augment(
    names: options.Runs,
    sizes: Annotated[str, typer.Option("--sizes", metavar="N,...", help="Numbers of real training images.")],
    seeds: Annotated[int, typer.Option("--seeds", help="Repetitions, each with other images and weights.")] = 3,
    share: Annotated[float, typer.Option("--share", help="Share of each batch that is generated.")] = 0.25,
    steps: Annotated[int, typer.Option("--steps", help="Training steps of each classifier, the same in all arms.")] = (
        1500
    ),
    batch_size: Annotated[int, typer.Option("--batch-size", help="Images in each batch of a classifier.")] = 64,
    width: Annotated[
        int, typer.Option("--width", help="Channels of a classifier's first layer; fewer are faster.")
    ] = 32,
    generator_steps: Annotated[
        int | None, typer.Option("--generator-steps", help="Training steps of each generator (default: the run's).")
    ] = None,
    generated: Annotated[int, typer.Option("--generated", help="Images that each generator generates.")] = 10_000,
    flip: Annotated[
        bool | None,
        typer.Option("--flip/--no-flip", help="Flips as ordinary augmentation (default: the run's, or by the data)."),
    ] = None,
    shift: Annotated[
        int | None,
        typer.Option("--shift", help="Largest shift in pixels as ordinary augmentation (default: as for --flip)."),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="FOLDER", help="Folder for the results (default: lab/augment of the first run)."),
    ] = None,
    data: options.DataPlace = None,
    device: options.DeviceName = "auto",
    trust: options.Trusted = False,
) -> None:
    """Test whether generated images help a classifier.

    Run the same command again to continue a study that was stopped.
    """
    numbers = _numbers(sizes)
    from genlab.runs.run import meant

    runs = [lab.opened(str(run.path), options.Which.last, device, trust, data) for run in meant(names)]
    from genlab.lab.augment import augment as measure
    from genlab.lab.augment import default_folder
    from genlab.lab.results import Results

    results = Results(out or default_folder(runs[0]), print)
    study = measure(
        runs,
        numbers,
        seeds=seeds,
        share=share,
        steps=steps,
        batch_size=batch_size,
        width=width,
        generator_steps=generator_steps,
        generated=generated,
        flip=flip,
        shift=shift,
        results=results,
    )
    from genlab.cli.tables import terminal

    terminal().print(_table(study))
    print(*_sentences(study, steps, batch_size, share), sep="\n")
    study.write(results)
    lab.finish(results)


def _numbers(text: str) -> list[int]:
    parts = [part.strip().replace("_", "") for part in text.split(",")]
    if not all(part.isdecimal() for part in parts):
        raise typer.BadParameter(f"--sizes takes whole numbers such as 1000,5000, got {text!r}.")
    return [int(part) for part in parts]


def _table(study: Study) -> Table:
    from rich.table import Table

    table = Table(header_style="bold")
    for name in ("run", "real images", "trained on", "accuracy", "over real", "over real + ordinary"):
        table.add_column(name, justify="left" if name in ("run", "trained on") else "right")
    before = None
    for row in study.rows:
        if before and before != (row.run, row.images):
            table.add_section()
        head = (row.run, f"{row.images:,}") if before != (row.run, row.images) else ("", "")
        before = (row.run, row.images)
        table.add_row(*head, row.arm, f"{row.accuracy:.2f} %", _gain(row.over_real), _gain(row.over_ordinary))
    return table


def _gain(gain: Interval | None) -> str:
    if gain is None:
        return ""
    ends = "" if gain.low is None else f" ({gain.low:+.2f} to {gain.high:+.2f})"
    return f"{gain.mean:+.2f}{ends}"


def _sentences(study: Study, steps: int, batch_size: int, share: float) -> list[str]:
    """Say how the table was measured."""
    from genlab.training.settings import LoadingSettings

    seeds = study.rows[0].seeds
    intervals = f"paired over {seeds} seeds, with 95 % confidence intervals" if seeds > 1 else "of one seed"
    lines = [
        f"Gains are in points of accuracy, {intervals}.",
        f"Each classifier: {steps:,} steps of {batch_size} images; {share:.0%} of a mixed batch is generated.",
    ]
    plain = vars(LoadingSettings())
    for name, protocol in study.protocols.items():
        own = [trial for trial in study.trials if trial.run == name and trial.arm == "generated"]
        changes = ", ".join(f"{key} {value}" for key, value in protocol["ordinary"].items() if value != plain[key])
        asked = ", ".join(
            f"{sum(t.as_asked or 0 for t in own if t.images == size) / seeds:.0%} at {size:,}"
            for size in dict.fromkeys(trial.images for trial in own)
        )
        lines.append(f"{name}: ordinary augmentation: {changes}; generated images of the class asked for: {asked}.")
    return lines
