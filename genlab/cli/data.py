"""`genlab data`: look at data sets, and free the space that decoded images take."""

import os
from pathlib import Path
from typing import Annotated

import typer

from genlab.cli import options

app = typer.Typer(help="Show a data set, or free the space of decoded images.", no_args_is_help=True)


@app.command()
def show(
    name: options.DataName,
    overrides: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="SETTING=VALUE",
            help="Settings of the data, such as data.count=4000 data.size=32.",
            show_default=False,
        ),
    ] = None,
    picture: Annotated[
        Path | None, typer.Option(metavar="FILE", help="File for the grid (default: outputs/data/NAME.png).")
    ] = None,
    plugin: options.Plugins = None,
    config_dir: options.Folders = None,
) -> None:
    """Describe a data set, and draw a grid of its items."""
    from genlab import build
    from genlab.cli import tables
    from genlab.config import compose
    from genlab.data.files import listing
    from genlab.runs import codes as codes  # makes codes a data source
    from genlab.runs import run

    files, folders = options.plugins_and_folders(plugin, config_dir)
    # The name of a data set comes before a folder of that name, which can be given as ./mnist.
    is_folder = name not in compose.choices("data", folders) and ("/" in name or os.path.exists(name))
    set_name, settings = name, list[str]()
    if is_folder:
        set_name, settings = listing.source_of(Path(name).expanduser()), [f"data.path={name}"]
    own = _checked(overrides or [], set_name, folders)
    config = compose.compose([f"data={set_name}", *settings, *own], folders, files)
    build.load_plugins(files)
    dataset = build.build_data(config)
    file = picture or run.OUTPUTS / "data" / f"{set_name}.png"
    tables.terminal().print(tables.data_table(dataset, file))
    print(f"A grid of its {dataset.kind.plural} is in {file}")


def _checked(overrides: list[str], name: str, folders: list[Path]) -> list[str]:
    """Return the settings; raise a ConfigError for one that is none of the data, with those that it has."""
    from genlab.config import compose, hints
    from genlab.config.schema import LOADING
    from genlab.registry import ConfigError

    for override in overrides:
        key, equals, value = override.lstrip("+").partition("=")
        if equals and not key.startswith("data."):
            listed = [other for other in compose.listed([f"data={name}"], folders) if other.startswith("data.")]
            meant = hints.keys_meant(key, listed) or hints.nearest(key, listed)
            advice = hints.did_you_mean(f"{other}={value}" for other in meant)
            own = ", ".join(other for other in listed if other.removeprefix("data.") not in LOADING)
            sentences = [f"data {name!r} has no setting {key!r}.", advice, f"Available: {own or 'none'}"]
            raise ConfigError(" ".join(filter(None, sentences)))
    return overrides


@app.command()
def clean(
    every: Annotated[
        bool, typer.Option("--all", help="Also remove trained feature networks and the features of real data.")
    ] = False,
) -> None:
    """Remove the decoded images of data sets.

    They are decoded again when they are needed, and --all removes only what is computed again. Downloads stay.
    """
    from genlab.data.files import cache
    from genlab.extractors import reference, trained

    print(f"Removed from {cache.cache_folder()}: {_megabytes(cache.clean())} of decoded images.")
    for what, stored, remove in (
        ("trained classifiers and other feature networks", trained.stored, trained.clean),
        ("features of real data", reference.stored, reference.clean),
    ):
        if every:
            print(f"Removed: {_megabytes(remove())} of {what}.")
        elif paths := stored():
            print(f"Kept: {_megabytes(cache.size(paths))} of {what}; --all removes them, too.")


def _megabytes(count: int) -> str:
    return f"{count / 1e6:,.1f} MB"
