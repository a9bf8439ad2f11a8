"""`genlab translate`: pictures in another domain, or the targets of inputs."""

from typing import Annotated

import typer

from genlab.cli import lab, options


def translate(
    name: options.RunName,
    paths: options.Items = None,
    to: Annotated[
        str | None,
        typer.Option(
            "--to", metavar="CLASS", help="Class to translate to (default: from each of both classes to the other)."
        ),
    ] = None,
    as_is: Annotated[
        bool,
        typer.Option(
            "--as-is",
            help="The pictures are inputs already: grey, with a grey box, or edges (default: make inputs of them).",
        ),
    ] = False,
    compare: Annotated[
        bool, typer.Option("--compare", help="Also write NAME-compare.png for each picture: before beside after.")
    ] = False,
    count: options.UsedItems = 48,
    form: options.ItemFormat = options.FileFormat.png,
    seed: options.Seed = 0,
    out: options.ResultsFolder = None,
    checkpoint: options.CheckpointUsed = options.Which.last,
    device: options.DeviceName = "auto",
    trust: options.Trusted = False,
    data: options.DataPlace = None,
) -> None:
    """Translate pictures: genlab translate latest photos/ --to hat"""
    run = lab.opened(name, checkpoint, device, trust, data)
    from genlab.cli import tables
    from genlab.lab.translate import translate as compute

    results = lab.results(run, "translate", out, paths)
    found = compute(run, paths or None, to=to, as_is=as_is, count=count, seed=seed, skip_bad=True)
    if found.metrics:
        tables.terminal().print(tables.methods_table(found.means, lab.counted(found.given, found.kind)))
    print(*found.notes, sep="\n", end="\n" if found.notes else "")
    found.write(results, form.value, compare=compare)
    lab.finish(results, found.given)
