"""`genlab mix`: coarse styles of some samples with fine styles of others."""

from typing import Annotated

import typer

from genlab.cli import lab, options


def mix(
    name: options.RunName,
    rows: Annotated[int, typer.Option("--rows", help="Samples that give the styles of all other layers.")] = 5,
    columns: Annotated[int, typer.Option("--columns", help="Samples that give the styles of --layers.")] = 6,
    layers: Annotated[
        str | None,
        typer.Option(
            "--layers", help="Layers that take the columns' styles, such as 4-7 or 0,1 (default: the finer half)."
        ),
    ] = None,
    label: Annotated[
        str | None, typer.Option("--label", help="Class of all samples, for a conditional model (default: drawn).")
    ] = None,
    truncation: Annotated[
        float, typer.Option("--truncation", help="Below 1: more typical, less diverse samples.")
    ] = 1.0,
    form: options.ItemFormat = options.FileFormat.png,
    seed: options.Seed = 0,
    out: options.ResultsFolder = None,
    checkpoint: options.CheckpointUsed = options.Which.last,
    device: options.DeviceName = "auto",
    trust: options.Trusted = False,
) -> None:
    """Mix the styles of samples: genlab mix latest --layers 4-7"""
    run = lab.opened(name, checkpoint, device, trust)
    from genlab.lab.mix import mix as mixed

    results = lab.results(run, "mix", out)
    found = mixed(run, rows=rows, columns=columns, layers=layers, label=label, truncation=truncation, seed=seed)
    found.write(results, form.value)
    for sentence in found.sentences:
        print(sentence)
    lab.finish(results)
