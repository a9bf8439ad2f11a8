"""`genlab nearest`: the training items nearest to samples or to pictures."""

from typing import Annotated

import typer

from genlab.cli import lab, options


def nearest(
    name: options.RunName,
    paths: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="PATHS...",
            help="Files, folders, quoted patterns such as 'photos/*.jpg', or the name of a data set "
            "(default: samples of the model).",
            show_default=False,
        ),
    ] = None,
    count: Annotated[int, typer.Option("--count", help="Number of samples, or of items of each data set.")] = 16,
    neighbours: Annotated[int, typer.Option("--neighbours", help="Nearest training items of each item.")] = 5,
    seed: options.Seed = 0,
    out: options.ResultsFolder = None,
    checkpoint: options.CheckpointUsed = options.Which.last,
    device: options.DeviceName = "auto",
    data: options.DataPlace = None,
    trust: options.Trusted = False,
) -> None:
    """Find the training items nearest to samples or to pictures."""
    run = lab.opened(name, checkpoint, device, trust, data)
    from genlab.cli import tables
    from genlab.lab.nearest import nearest as search

    results = lab.results(run, "nearest", out)
    found = search(run, paths, count=count, neighbours=neighbours, seed=seed, skip_bad=True)
    tables.terminal().print(tables.methods_table(found.metrics))
    for note in found.notes:
        print(note)
    found.write(results)
    lab.finish(results, found.given)
