"""`genlab denoise`: noisy items, cleaned by a trained model."""

from typing import TYPE_CHECKING, Annotated

import typer

from genlab.cli import lab, options

if TYPE_CHECKING:
    from genlab.lab.run import Run


def denoise(
    name: options.RunName,
    paths: options.Items = None,
    noise: Annotated[
        float | None,
        typer.Option(
            "--noise", help="Add normal noise of this std first (white is 1), and measure (default: add none)."
        ),
    ] = None,
    sweep: Annotated[
        str | None,
        typer.Option("--sweep", metavar="NOISE,...", help="Plot PSNR over these levels of noise, such as 0.1,0.3,0.5."),
    ] = None,
    count: options.UsedItems = 200,
    form: options.ItemFormat = options.FileFormat.png,
    seed: options.Seed = 0,
    out: options.ResultsFolder = None,
    checkpoint: options.CheckpointUsed = options.Which.last,
    device: options.DeviceName = "auto",
    trust: options.Trusted = False,
    data: options.DataPlace = None,
) -> None:
    """Remove noise from pictures: genlab denoise latest photos/"""
    levels = None if sweep is None else _numbers(sweep)
    run = lab.opened(name, checkpoint, device, trust, data)
    from genlab.cli import tables
    from genlab.lab import denoise as compute

    for option, level in [
        *([] if noise is None else [("--noise", noise)]),
        *(("--sweep", one) for one in levels or []),
    ]:
        compute.positive(option, level)
    results = lab.results(run, "denoise", out, paths)
    compute.refuse_unable(run)
    given = lab.items(run, paths, count)
    if noise is not None or levels is None:
        found = compute.denoise(run, given, noise=noise, seed=seed)
        if noise is None:
            print("The items are cleaned as they are. To measure, add noise first: --noise 0.3")
        else:
            tables.terminal().print(tables.methods_table(found.means, lab.counted(given, found.kind)))
        found.write(results, form.value)
    if levels is not None:
        swept = compute.sweep(run, given, noises=levels, seed=seed)
        tables.terminal().print(tables.methods_table(swept.table, f"{swept.metric} by noise"))
        swept.write(results)
    _say_training(run, noise)
    lab.finish(results, given)


def _numbers(text: str) -> list[float]:
    """Return the levels of noise in a list such as 0.1,0.3."""
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise typer.BadParameter(
            f"Levels must be numbers above 0 such as 0.1,0.3,0.5, got {text!r}.", param_hint="--sweep"
        ) from None


def _say_training(run: "Run", noise: float | None) -> None:
    """Say with which noise the model was trained, unless it is the noise that was added."""
    from genlab.lab.denoise import trained_noise

    trained = trained_noise(run)
    if trained is None:
        print(f"{run.name} was trained without noise: it removes only what its codes cannot hold.")
    elif trained != noise:
        print(f"The model was trained with noise of std {trained:g}.")
