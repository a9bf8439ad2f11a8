"""`genlab embed`: the codes of items as a table and as a plot."""

from enum import StrEnum
from typing import Annotated

import typer

from genlab.cli import lab, options


class Method(StrEnum):
    """The methods that reduce codes."""

    pca = "pca"
    tsne = "tsne"
    umap = "umap"


def embed(
    name: options.RunName,
    paths: options.Items = None,
    method: Annotated[
        Method, typer.Option("--method", help="Method that reduces the codes for the plot.")
    ] = Method.pca,
    dimensions: Annotated[int, typer.Option("--dimensions", help="Dimensions of the plot: 1, 2 or 3.")] = 2,
    by: Annotated[
        str | None,
        typer.Option("--by", metavar="ATTRIBUTE", help="Attribute that colours the points (default: the label)."),
    ] = None,
    count: Annotated[int, typer.Option("--count", help="Items of the test split, or of each data set.")] = 2_000,
    seed: options.Seed = 0,
    out: options.ResultsFolder = None,
    checkpoint: options.CheckpointUsed = options.Which.last,
    device: options.DeviceName = "auto",
    data: options.DataPlace = None,
    trust: options.Trusted = False,
) -> None:
    """Plot the codes of items beside PCA of the pixels."""
    run = lab.opened(name, checkpoint, device, trust, data)
    from genlab.cli import tables
    from genlab.data.files.listing import shown
    from genlab.lab.embed import embed as embedded

    results = lab.results(run, "embed", out)
    found = embedded(
        run,
        paths,
        method=method.value,
        dimensions=dimensions,
        count=count,
        by=by,
        seed=seed,
        skip_bad=True,
    )
    if any(found.metrics.values()):
        tables.terminal().print(tables.methods_table(found.metrics, f"{len(found.given):,} items"))
    for note in found.notes:
        print(note)
    found.write(results)
    lab.finish(results, found.given)
    print(f"TensorBoard shows the codes in three dimensions: genlab board {shown(str(results.folder))}")
