"""`genlab board`: TensorBoard."""

import os
import sys
from pathlib import Path
from typing import Annotated

import typer


def board(
    folder: Annotated[Path, typer.Argument(help="A folder with runs.")] = Path("outputs"),
    port: Annotated[int, typer.Option(help="Port of TensorBoard.")] = 6006,
) -> None:
    """Open TensorBoard on the runs."""
    from genlab.registry import ConfigError

    if not folder.is_dir():
        raise ConfigError(f"There are no runs in {folder}/ yet; `genlab train` starts one.")
    arguments = ["-m", "tensorboard.main", "--logdir", str(folder), "--port", str(port)]
    os.execv(sys.executable, [sys.executable, *arguments])
