"""`genlab fit-prior`: a prior for the codes of a trained model, which `genlab sample` uses from then on."""

from typing import Annotated

import typer

from genlab.cli import lab, options


def fit_prior(
    name: options.RunName,
    components: Annotated[
        str,
        typer.Option(
            "--components",
            metavar="N,...",
            help="Numbers of Gaussians to try; held-out codes choose one of these or 1.",
        ),
    ] = "10,50",
    second_stage: Annotated[
        bool, typer.Option("--second-stage", help="Train a VAE of the codes in place of Gaussians.")
    ] = False,
    count: Annotated[
        int | None,
        typer.Option(
            "--count",
            help="Samples that are compared with test items; 0 compares none (default: 10,000, or all test items).",
            show_default=False,
        ),
    ] = None,
    features: options.Embedding = None,
    seed: options.Seed = 0,
    out: options.ResultsFolder = None,
    data: options.DataPlace = None,
    checkpoint: options.CheckpointUsed = options.Which.last,
    device: options.DeviceName = "auto",
    trust: options.Trusted = False,
) -> None:
    """Fit a prior to the codes: genlab fit-prior latest"""
    numbers = _numbers(components)
    run = lab.opened(name, checkpoint, device, trust, data)
    from genlab.cli import tables
    from genlab.lab.fit_prior import fit_prior as fit

    results = lab.results(run, "fit-prior", out)
    found = fit(
        run,
        numbers,
        second_stage=second_stage,
        count=count,
        features=features,
        seed=seed,
        console=tables.console(),
    )
    tables.terminal().print(tables.methods_table(found.metrics, "prior"))
    print(f"{found.chosen}: {found.reason}")
    print(*found.notes, sep="\n")
    print(f"Next:\n  genlab sample {run.path} --grid")
    found.write(results)
    lab.finish(results)


def _numbers(text: str) -> list[int]:
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise typer.BadParameter(f"--components must be integers with commas, such as 10,50, got {text!r}.") from None
