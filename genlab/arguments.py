"""What the commands take, and what the shell offers for it."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class Subject(StrEnum):
    """What `genlab list` lists."""

    models = "models"
    data = "data"
    networks = "networks"
    experiments = "experiments"
    runs = "runs"


GROUP_OF = {
    Subject.models: "model",
    Subject.networks: "model/network",
    Subject.experiments: "experiment",
}


class Shown(StrEnum):
    """What `--cfg` prints."""

    job = "job"


def _complete_override(context: typer.Context, incomplete: str) -> list[str]:
    from genlab.overrides import complete

    # Typer gives a callback that asks for the arguments none.
    return complete(context.params.get("overrides") or [], incomplete)


def _complete_run(incomplete: str) -> list[str]:
    from genlab.run import runs

    names = {"latest"} | {str(run.path) for run in runs()} | {str(run.facts.get("name")) for run in runs()}
    return sorted(name for name in names if name.startswith(incomplete))


Overrides = Annotated[
    list[str] | None,
    typer.Argument(metavar="[GROUP=NAME | SETTING=VALUE]...", show_default=False, autocompletion=_complete_override),
]
RunName = Annotated[
    str,
    typer.Argument(
        metavar="RUN", help="A folder, `latest`, or a name such as vae-fashion-mini.", autocompletion=_complete_run
    ),
]
Plugins = Annotated[
    list[Path] | None,
    typer.Option("--plugin", metavar="FILE", help="A file of yours with MODELS, NETWORKS or SOURCES."),
]
Folders = Annotated[
    list[Path] | None,
    typer.Option(
        "--config-dir", metavar="FOLDER", exists=True, file_okay=False, help="A configs folder of yours, besides ours."
    ),
]
Pictures = Annotated[
    list[Path],
    typer.Argument(
        metavar="PICTURES...", help="Files, folders, or quoted patterns such as 'photos/*.jpg'.", show_default=False
    ),
]
