"""`genlab project`: the style whose image is most like a picture."""

from enum import StrEnum
from typing import Annotated

import typer

from genlab.cli import lab, options


class Space(StrEnum):
    """The spaces that are searched."""

    w = "w"
    plus = "w+"


def project(
    name: options.RunName,
    paths: options.Items = None,
    count: options.UsedItems = 8,
    steps: Annotated[int, typer.Option("--steps", help="Steps of the search.")] = 500,
    space: Annotated[
        Space, typer.Option("--space", help="w: one style for all layers; w+: a style for each layer.")
    ] = Space.w,
    features: Annotated[
        str | None,
        typer.Option("--features", help="Feature maps to compare pictures by (default: lite0 if it is installed)."),
    ] = None,
    label: Annotated[
        str | None, typer.Option("--label", help="Class of all pictures, for a conditional model.")
    ] = None,
    form: options.ItemFormat = options.FileFormat.png,
    seed: options.Seed = 0,
    out: options.ResultsFolder = None,
    checkpoint: options.CheckpointUsed = options.Which.last,
    device: options.DeviceName = "auto",
    trust: options.Trusted = False,
    data: options.DataPlace = None,
) -> None:
    """Find the styles of pictures: genlab project latest photo.png"""
    run = lab.opened(name, checkpoint, device, trust, data)
    from genlab.cli import tables
    from genlab.lab.project import project as search
    from genlab.lab.styles import styled

    styled(run)
    results = lab.results(run, "project", out, paths)
    given = lab.items(run, paths, count)
    found = search(run, given, steps=steps, space=space.value, features=features, label=label, seed=seed)
    tables.terminal().print(tables.methods_table(found.means, lab.counted(given, found.kind)))
    for note in found.notes:
        print(note)
    found.write(results, form.value)
    lab.finish(results, given)
