"""Experiment trackers behind one interface: Weights & Biases, MLflow and Trackio."""

import html
import importlib
import re
import textwrap
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from PIL import Image

from genlab.registry import ConfigError

Rows = Sequence[tuple[int, Mapping[str, float]]]
"""Steps, each with metrics by name."""


class Tracker(Protocol):
    """One run in an experiment tracker."""

    def begin(self, name: str, config: Mapping[str, Any], known: str | None) -> str:
        """Continue the run with the id `known`, or start one if the tracker does not have it; return the id."""

    def scalars(self, rows: Rows) -> None:
        """Send metrics."""

    def picture(self, name: str, step: int, path: Path) -> None:
        """Send a PNG."""

    def sound(self, name: str, step: int, path: Path) -> None:
        """Send a WAV."""

    def text(self, name: str, step: int, path: Path) -> None:
        """Send a text."""

    def finish(self, state: str) -> str:
        """Wait until everything has arrived, note the state of the run, and return how to look at it."""


class Wandb:
    """Weights & Biases; with WANDB_MODE=offline it writes files for `wandb sync`."""

    def __init__(self, project: str) -> None:
        self.library, self.project = _library("wandb"), project

    def begin(self, name: str, config: Mapping[str, Any], known: str | None) -> str:
        quiet = self.library.Settings(silent=True, console="off", x_disable_stats=True)
        given: dict[str, Any] = {"project": self.project, "name": name, "config": dict(config), "id": known}
        self.run = self.library.init(
            **given, resume="allow", allow_val_change=True, reinit="create_new", settings=quiet
        )
        # Its own count of steps never goes back, so it would drop what comes late. With this, the order is free.
        self.run.define_metric("*", step_metric="step")
        return str(self.run.id)

    def scalars(self, rows: Rows) -> None:
        for step, values in rows:
            self.run.log({**values, "step": step})

    def picture(self, name: str, step: int, path: Path) -> None:
        self.run.log({name: self.library.Image(str(path)), "step": step})

    def sound(self, name: str, step: int, path: Path) -> None:
        self.run.log({name: self.library.Audio(str(path)), "step": step})

    def text(self, name: str, step: int, path: Path) -> None:
        page = f"<pre>{html.escape(path.read_text(encoding='utf-8'))}</pre>"
        self.run.log({name: self.library.Html(page, inject=False), "step": step})

    def finish(self, state: str) -> str:
        self.run.finish(exit_code=int(state == "failed"))
        return str(self.run.url or f"wandb sync {Path(self.run.dir).parent}")


class Mlflow:
    """MLflow; MLFLOW_TRACKING_URI names the server (default: files in the current folder)."""

    def __init__(self, project: str) -> None:
        self.library, self.project = _library("mlflow"), project
        self.client = self.library.MlflowClient()

    def begin(self, name: str, config: Mapping[str, Any], known: str | None) -> str:
        if known and self._has(known):
            self.run = known
            self.client.update_run(known, status="RUNNING")
            return known
        found = self.client.get_experiment_by_name(self.project)
        experiment = found.experiment_id if found else self.client.create_experiment(self.project)
        self.run = str(self.client.create_run(experiment, run_name=name).info.run_id)
        settings = [self.library.entities.Param(_plain(key), str(value)[:6000]) for key, value in config.items()]
        for first in range(0, len(settings), 100):
            self.client.log_batch(self.run, params=settings[first : first + 100])
        return self.run

    def _has(self, known: str) -> bool:
        try:
            return bool(self.client.get_run(known).info.lifecycle_stage == "active")
        except self.library.exceptions.MlflowException:
            return False

    def scalars(self, rows: Rows) -> None:
        now, metric = round(1000 * time.time()), self.library.entities.Metric
        metrics = [metric(_plain(name), value, now, step) for step, values in rows for name, value in values.items()]
        for first in range(0, len(metrics), 1000):
            self.client.log_batch(self.run, metrics=metrics[first : first + 1000])

    def picture(self, name: str, step: int, path: Path) -> None:
        with Image.open(path) as opened:
            self.client.log_image(self.run, opened.convert("RGB"), key=_plain(name), step=step)

    def sound(self, name: str, step: int, path: Path) -> None:
        self.client.log_artifact(self.run, str(path), "sounds")

    def text(self, name: str, step: int, path: Path) -> None:
        self.client.log_artifact(self.run, str(path), "texts")

    def finish(self, state: str) -> str:
        words = {"finished": "FINISHED", "failed": "FAILED"}
        words |= dict.fromkeys(("stopped", "pruned", "interrupted"), "KILLED")
        if state in words:
            self.client.set_terminated(self.run, words[state])
        place = self.library.get_tracking_uri()
        return str(place) if str(place).startswith("http") else f"mlflow ui --backend-store-uri {place}"


class Trackio:
    """Trackio, which keeps its files on this machine unless TRACKIO_SPACE_ID names a Space."""

    def __init__(self, project: str) -> None:
        self.library, self.project = _library("trackio"), project

    def begin(self, name: str, config: Mapping[str, Any], known: str | None) -> str:
        given: dict[str, Any] = {"project": self.project, "name": name, "config": dict(config), "embed": False}
        # It finds a run by its name, so the caller's names must be unique.
        self.run = self.library.init(
            **given, resume="allow" if known else "never", auto_log_cpu=False, auto_log_gpu=False
        )
        return str(self.run.id)

    def scalars(self, rows: Rows) -> None:
        for step, values in rows:
            self.run.log(dict(values), step=step)

    def picture(self, name: str, step: int, path: Path) -> None:
        self.run.log({name: self.library.Image(str(path))}, step=step)

    def sound(self, name: str, step: int, path: Path) -> None:
        self.run.log({name: self.library.Audio(str(path))}, step=step)

    def text(self, name: str, step: int, path: Path) -> None:
        self.run.log(
            {name: self.library.Markdown(textwrap.indent(path.read_text(encoding="utf-8"), "    "))}, step=step
        )

    def finish(self, state: str) -> str:
        self.library.finish()
        return f'trackio show --project "{self.project}"'


TRACKERS: dict[str, Callable[[str], Tracker]] = {"wandb": Wandb, "mlflow": Mlflow, "trackio": Trackio}


def _plain(name: str) -> str:
    """Replace what MLflow does not take in a name."""
    return re.sub(r"[^\w\-./ :]", "_", name)


def _library(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name != name:
            raise
        raise ConfigError(f"The package {name} is not installed. Run pip install {name}.") from None
