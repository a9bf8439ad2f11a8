"""`genlab reconstruct`: items beside their reconstructions."""

from typing import Annotated

import typer

from genlab.cli import lab, options


def reconstruct(
    name: options.RunName,
    paths: options.Items = None,
    count: options.UsedItems = 200,
    label: Annotated[
        str | None,
        typer.Option("--label", help="Class of all items for a conditional model (default: the model infers it)."),
    ] = None,
    form: options.ItemFormat = options.FileFormat.png,
    out: options.ResultsFolder = None,
    checkpoint: options.CheckpointUsed = options.Which.last,
    device: options.DeviceName = "auto",
    trust: options.Trusted = False,
    data: options.DataPlace = None,
) -> None:
    """Encode and decode items: genlab reconstruct latest photos/"""
    run = lab.opened(name, checkpoint, device, trust, data)
    from genlab.cli import tables
    from genlab.lab.reconstruct import reconstruct as compute

    results = lab.results(run, "reconstruct", out, paths)
    given = lab.items(run, paths, count)
    found = compute(run, given, label=label)
    tables.terminal().print(tables.methods_table(found.means, lab.counted(given, found.kind)))
    print(*found.notes, sep="\n", end="\n" if found.notes else "")
    found.write(results, form.value)
    lab.finish(results, given)
