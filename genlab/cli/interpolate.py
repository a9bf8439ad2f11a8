"""`genlab interpolate`: a path between pictures or samples, through the codes of a model."""

from enum import StrEnum
from typing import Annotated

import typer

from genlab.cli import lab, options
from genlab.registry import ConfigError


class Mode(StrEnum):
    """The shapes of a path between two codes."""

    linear = "linear"
    spherical = "spherical"


def interpolate(
    name: options.RunName,
    paths: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="A B...",
            help="Pictures that the path goes through, in this order (default: two test items).",
            show_default=False,
        ),
    ] = None,
    seeds: Annotated[
        str | None,
        typer.Option(
            "--seeds",
            metavar="1,2",
            help="In place of pictures: the samples of `genlab sample --count 1 --seed N`.",
        ),
    ] = None,
    steps: Annotated[int, typer.Option("--steps", help="Pictures from each end to the next, with both ends.")] = 12,
    mode: Annotated[
        Mode | None,
        typer.Option(
            "--mode", help="Line or arc (default: spherical if the distribution of codes is known, otherwise linear)."
        ),
    ] = None,
    label: Annotated[
        list[str] | None,
        typer.Option(
            "--label",
            help="For a conditional model: the class of all ends, or one for each end (repeat the option). "
            "By default, the model infers the class of pictures, and samples are of the first class.",
        ),
    ] = None,
    prior: options.PriorUsed = options.Prior.auto,
    features: options.Embedding = None,
    form: options.ItemFormat = options.FileFormat.png,
    seed: options.Seed = 0,
    out: options.ResultsFolder = None,
    checkpoint: options.CheckpointUsed = options.Which.last,
    device: options.DeviceName = "auto",
    trust: options.Trusted = False,
    data: options.DataPlace = None,
) -> None:
    """Go from one picture or sample to another in code space."""
    chosen = _numbers(seeds)
    if chosen is not None and paths:
        raise typer.BadParameter("Pass pictures or --seeds, not both.")
    run = lab.opened(name, checkpoint, device, trust, data)
    from genlab.cli import tables
    from genlab.lab.given import given
    from genlab.lab.interpolate import interpolate as find_path

    results = lab.results(run, "interpolate", out)
    items = given(run, paths, count=2) if paths else None
    path = find_path(
        run,
        items.items if items else None,
        seeds=chosen,
        steps=steps,
        mode=mode.value if mode else None,
        label=label[0] if label and len(label) == 1 else label,
        prior=prior.value,
        seed=seed,
        features=features,
        console=tables.console(),
    )
    # The pictures come first: the features of the table may have to be trained.
    path.write(results, form.value)
    lab.finish(results, items)
    print(*path.sentences, path.reason, sep="\n")
    try:
        tables.terminal().print(tables.methods_table(path.metrics, "path"))
        print(f"Features: {path.features.extractor.name}. A detour of 1 is straight, a largest step of 1 is even.")
    except ConfigError as error:
        # The pictures need no features; those that the user has chosen must work.
        if features:
            raise
        print(f"The path is not measured. {error}")


def _numbers(text: str | None) -> list[int] | None:
    """Return the seeds in a list such as 1,2."""
    try:
        return None if text is None else [int(part) for part in text.split(",")]
    except ValueError:
        raise typer.BadParameter(f"Seeds must be integers such as 1,2, got {text!r}.", param_hint="--seeds") from None
