"""`genlab traverse`: one unit of a code varied in each row."""

from enum import StrEnum
from typing import Annotated

import typer

from genlab.cli import lab, options


class Axes(StrEnum):
    """The things that can be varied: units of a code, or directions of SeFa."""

    units = "units"
    sefa = "sefa"


def traverse(
    name: options.RunName,
    picture: Annotated[
        str | None,
        typer.Argument(
            metavar="PICTURE", help="Picture whose code is varied (default: a test item).", show_default=False
        ),
    ] = None,
    units: Annotated[int, typer.Option("--units", help="Number of units, the most important ones.")] = 8,
    steps: Annotated[int, typer.Option("--steps", help="Number of values of each unit.")] = 9,
    reach: Annotated[
        float, typer.Option("--range", help="Largest distance from the mean of a unit, in standard deviations.")
    ] = 2.5,
    directions: Annotated[
        Axes, typer.Option("--directions", help="units of codes, or sefa: strong directions of styles, for a stylegan.")
    ] = Axes.units,
    layers: Annotated[
        str | None,
        typer.Option("--layers", help="With sefa: layers whose styles vary, such as 0-3 (default: all)."),
    ] = None,
    label: Annotated[
        str | None, typer.Option("--label", help="Class of all items, for a conditional model (default: inferred).")
    ] = None,
    prior: options.PriorUsed = options.Prior.auto,
    form: options.ItemFormat = options.FileFormat.png,
    seed: options.Seed = 0,
    out: options.ResultsFolder = None,
    checkpoint: options.CheckpointUsed = options.Which.last,
    device: options.DeviceName = "auto",
    trust: options.Trusted = False,
    data: options.DataPlace = None,
) -> None:
    """Vary one unit of a code in each row: genlab traverse latest"""
    run = lab.opened(name, checkpoint, device, trust, data)
    from genlab.cli import tables
    from genlab.lab.given import given
    from genlab.lab.traverse import traverse as vary

    results = lab.results(run, "traverse", out)
    item = given(run, picture, count=1) if picture else None
    found = vary(
        run,
        item.items if item else None,
        units=units,
        steps=steps,
        reach=reach,
        directions=directions.value,
        layers=layers,
        label=label,
        prior=prior.value,
        seed=seed,
    )
    found.write(results, form.value)
    tables.terminal().print(tables.methods_table(found.table))
    for sentence in found.sentences:
        print(sentence)
    lab.finish(results, item)
