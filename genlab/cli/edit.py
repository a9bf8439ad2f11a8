"""`genlab edit`: add attributes to items, or remove them."""

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from genlab.cli import lab, options

if TYPE_CHECKING:
    from genlab.lab.run import Run


class Directions(StrEnum):
    """The ways to find the directions of attributes."""

    own = "own"
    joint = "joint"
    means = "means"


def edit(
    name: options.RunName,
    paths: options.Items = None,
    add: Annotated[
        list[str] | None,
        typer.Option("--add", metavar="NAME[=VALUE]", help="Attributes to add: smile, hair=red or smile,hat."),
    ] = None,
    remove: Annotated[
        list[str] | None, typer.Option("--remove", metavar="NAME[=VALUE]", help="Attributes to remove.")
    ] = None,
    strength: Annotated[float, typer.Option("--strength", help="Factor of the directions.")] = 1.25,
    residual: Annotated[
        bool,
        typer.Option("--residual", help="Change the input itself by the difference of two decoded codes."),
    ] = False,
    directions: Annotated[
        Directions,
        typer.Option(
            "--directions",
            help="own: for each item, given its other attributes; joint: one for all items, by least squares over all "
            "attributes; means: mean code with a value minus mean code without it.",
        ),
    ] = Directions.own,
    attributes: Annotated[
        bool, typer.Option("--attributes", help="List the attributes of the data, and stop.")
    ] = False,
    measure: Annotated[
        bool,
        typer.Option("--measure", help="Also measure on test items; a classifier is trained on the data, once."),
    ] = False,
    count: options.ItemCount = None,
    form: options.ItemFormat = options.FileFormat.png,
    out: options.ResultsFolder = None,
    checkpoint: options.CheckpointUsed = options.Which.last,
    device: options.DeviceName = "auto",
    trust: options.Trusted = False,
    data: options.DataPlace = None,
) -> None:
    """Change attributes: genlab edit latest photos/ --add smile"""
    run = lab.opened(name, checkpoint, device, trust, data)
    if attributes:
        _print_attributes(run)
        return
    from genlab.cli import tables
    from genlab.lab.edit import COUNT
    from genlab.lab.edit import edit as change

    results = lab.results(run, "edit", out)
    found = change(
        run,
        paths or None,
        add=add or (),
        remove=remove or (),
        strength=strength,
        residual=residual,
        directions=directions.value,
        count=COUNT if count is None else count,
        measure=measure,
        skip_bad=True,
        console=tables.console(),
    )
    print(found.learnt)
    if found.metrics:
        tables.terminal().print(tables.methods_table(found.metrics))
        print(found.measured)
    found.write(results, form.value)
    lab.finish(results, found.given)


def _print_attributes(run: "Run") -> None:
    """Print the name of each attribute, and its values with the number of training items of each."""
    from genlab.cli import tables
    from genlab.lab.attributes import attributes_of, described

    rows = run.dataset.splits["train"]
    listed = {name: described(column, rows) for name, column in attributes_of(run).items()}
    tables.terminal().print(tables.facts_table(listed))
