"""`genlab data`: look at data sets, and free the space that decoded images take."""

import os
from pathlib import Path
from typing import Annotated

import typer

from genlab.cli import options

app = typer.Typer(help="Show a data set, or remove decoded images.", no_args_is_help=True)


@app.command()
def show(
    name: options.DataName,
    overrides: Annotated[list[str] | None, typer.Argument(metavar="[SETTING=VALUE]...", show_default=False)] = None,
    picture: Annotated[
        Path | None, typer.Option(metavar="FILE", help="File for the grid (default: outputs/data/NAME.png).")
    ] = None,
    plugin: options.Plugins = None,
    config_dir: options.Folders = None,
) -> None:
    """Describe a data set, and draw a grid of its items with their attributes."""
    from genlab import build
    from genlab.cli import tables
    from genlab.config import compose
    from genlab.runs import run

    files, folders = options.plugins_and_folders(plugin, config_dir)
    # The name of a data set comes before a folder of that name, which can be given as ./mnist.
    is_folder = name not in compose.choices("data", folders) and ("/" in name or os.path.exists(name))
    set_name, settings = ("folder", [f"data.path={name}"]) if is_folder else (name, [])
    config = compose.compose([f"data={set_name}", *settings, *(overrides or [])], folders, files)
    build.load_plugins(files)
    dataset = build.build_data(config)
    file = picture or run.OUTPUTS / "data" / f"{set_name}.png"
    tables.terminal().print(tables.data_table(dataset, file))
    print(f"A grid of its {dataset.kind.plural} is in {file}")


@app.command()
def clean() -> None:
    """Remove the decoded images of data=folder; they are decoded again when they are needed."""
    from genlab.data.files import cache

    print(f"{cache.clean() / 1e6:,.1f} MB are free again in {cache.cache_folder()}.")
