"""`genlab sample`: new items from a trained model."""

from typing import Annotated

import typer

from genlab.cli import lab, options


def sample(
    name: options.RunName,
    count: Annotated[int, typer.Option("--count", help="Number of samples.")] = 64,
    label: Annotated[
        str | None, typer.Option("--label", help="Class of all samples, by name or number (default: all in turn).")
    ] = None,
    grid: Annotated[bool, typer.Option("--grid", help="Write one sheet in place of single files.")] = False,
    truncation: Annotated[
        float, typer.Option("--truncation", help="Below 1: more typical, less diverse samples.")
    ] = 1.0,
    prior: options.PriorUsed = options.Prior.auto,
    form: options.ItemFormat = options.FileFormat.png,
    seed: options.Seed = 0,
    out: options.ResultsFolder = None,
    checkpoint: options.CheckpointUsed = options.Which.last,
    device: options.DeviceName = "auto",
    trust: options.Trusted = False,
) -> None:
    """Generate new items: genlab sample latest --count 64 --grid"""
    if grid and form is options.FileFormat.npz:
        raise typer.BadParameter("--grid draws a picture, and --format npz writes arrays; leave out one of them.")
    run = lab.opened(name, checkpoint, device, trust)
    from genlab.lab.sample import sample as write_samples

    results = lab.results(run, "sample", out)
    write_samples(
        run,
        results,
        count=count,
        label=label,
        seed=seed,
        truncation=truncation,
        prior=prior.value,
        grid=grid,
        form=form.value,
    )
    lab.finish(results)
