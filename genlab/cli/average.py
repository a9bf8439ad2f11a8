"""`genlab average`: the average item of each class or of each value of an attribute."""

from typing import Annotated

import typer

from genlab.cli import lab, options


def average(
    name: options.RunName,
    by: Annotated[
        str | None,
        typer.Option(
            "--by",
            metavar="ATTRIBUTE",
            help="Attribute whose values are averaged (default: the label, else all items).",
        ),
    ] = None,
    measure: Annotated[
        bool,
        typer.Option("--measure", help="Also classify the averages; a classifier is trained on the data, once."),
    ] = False,
    form: options.ItemFormat = options.FileFormat.png,
    out: options.ResultsFolder = None,
    checkpoint: options.CheckpointUsed = options.Which.last,
    device: options.DeviceName = "auto",
    trust: options.Trusted = False,
    data: options.DataPlace = None,
) -> None:
    """Average each class, or each value of an attribute."""
    run = lab.opened(name, checkpoint, device, trust, data)
    from genlab.cli import tables
    from genlab.lab.average import average as find

    results = lab.results(run, "average", out)
    found = find(run, by=by, measure=measure, console=tables.console())
    listed = ", ".join(f"{value} {count:,}" for value, count in zip(found.values, found.counts, strict=True))
    print(f"Training items averaged: {listed}.")
    if found.metrics:
        tables.terminal().print(tables.methods_table(found.metrics))
        print(
            "shows_value: share of the averages that show their value, by a classifier of the data's attributes, in %."
        )
    found.write(results, form.value)
    lab.finish(results)
