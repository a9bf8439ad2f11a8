"""`genlab track`: runs in an experiment tracker."""

from enum import StrEnum
from typing import Annotated

import typer

from genlab.cli import options


class Tracker(StrEnum):
    """The trackers that runs can be sent to."""

    wandb = "wandb"
    mlflow = "mlflow"
    trackio = "trackio"


def track(
    runs: options.Runs,
    to: Annotated[Tracker, typer.Option("--to", help="Experiment tracker.", show_default=False)],
    project: Annotated[str, typer.Option("--project", help="Project or experiment in the tracker.")] = "genlab",
    follow: Annotated[
        bool, typer.Option("--follow", help="Watch runs in training until they end; Ctrl-C stops sending.")
    ] = False,
) -> None:
    """Send runs to Weights & Biases, MLflow or Trackio: genlab track latest --to mlflow"""
    from genlab.lab.track import track as send

    send(runs, to.value, project, follow=follow)
