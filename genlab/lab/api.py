"""The Python API: train runs, load them and list them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from genlab.config import compose, plugins
from genlab.config.trust import Trust
from genlab.data.files.listing import source_of
from genlab.lab.after_training import fit_asked_prior
from genlab.lab.run import Checkpoint, Run
from genlab.registry import ConfigError
from genlab.runs import lifecycle
from genlab.runs import run as folders
from genlab.training.console import Console


def load(
    name: str | Path = "latest",
    *,
    checkpoint: Checkpoint = "last",
    device: str = "auto",
    trust: bool = False,
    data: str | Path | None = None,
) -> Run:
    """Open a trained run.

    `name` is `latest`, the folder of a run, or a model and its data, such as `vae-fashion-mini`, for the newest of
    these. `checkpoint` is `last` or `best`. `device` is auto, cpu, cuda, cuda:1 or mps. The plugins of a run are Python
    code: those that you have not trained with yourself run only with `trust=True`. `data` is the folder of the data if
    it has moved since the training.

    ```python
    run = genlab.load("latest")
    images = run.sample(64, seed=0)
    ```
    """
    place = None if data is None else Path(data)
    run = Run(folders.find(str(name)).path, checkpoint=checkpoint, device=device, trust=trust, data=place)
    # Opened at once, so that a mistake is reported here and not later.
    _ = run.model
    return run


def train(
    model: str | None = None,
    *,
    data: str | Path | None = None,
    epochs: int | None = None,
    steps: int | None = None,
    seed: int | None = None,
    run: str | Path | None = None,
    device: str | None = None,
    plugin: str | Path | Sequence[str | Path] = (),
    quiet: bool = False,
    trust: bool = False,
    settings: Mapping[str, Any] | None = None,
    **more: Any,
) -> Run:
    """Train a model and return the run.

    The defaults are those of `genlab train`. `data` is the name of a data set, or a folder with images. `run` is the
    folder of the run. `plugin` is a file with models or data of your own. `settings` have the names of the command
    line; they can also be given as further arguments.

    If the folder `run` already holds this run, it is continued; if it is finished, it is only opened. If you interrupt
    the training, the run is saved.

    ```python
    run = genlab.train("vae", data="fashion-mini", epochs=3)
    run = genlab.train("vae", data="photos/", settings={"model.beta": 4, "model/network": "conv", "data.size": 32})
    run = genlab.train("vae", **{"model.beta": 4})
    ```
    """
    files = [str(file) for file in ([plugin] if isinstance(plugin, str | Path) else plugin)]
    configs = [folder for file in files for folder in plugins.config_folder(file)]
    folder = None if run is None else Path(run)
    named = {"seed": seed, "run": folder, "device": device, "trainer.epochs": epochs, "trainer.steps": steps}
    chosen = {key: value for key, value in named.items() if value is not None}
    overrides = [
        *([] if model is None else [f"model={model}"]),
        *([] if data is None else _data(data, configs)),
        *(f"{key}={_written(value)}" for key, value in _once(chosen, settings or {}, more)),
    ]
    config = compose.compose(overrides, configs, files)
    options = [word for file in files for word in ("--plugin", file)] + ["--trust"] * trust
    command = lifecycle.command_line(["train", *options, *overrides])
    console, trusted = _console(quiet), Trust(trust)
    trained, outcome = lifecycle.train(config, console, trusted, command)
    fit_asked_prior(trained, outcome, console, trusted)
    return Run(trained.path, device=config.device, trust=trust)


def runs(folder: str | Path = folders.OUTPUTS) -> list[Run]:
    """Return all runs below a folder (default: outputs/), oldest first; a model is opened when it is first used.

    ```python
    losses = {run.name: run.metrics["validation"]["loss"] for run in genlab.runs()}
    ```
    """
    return [Run(found.path) for found in folders.runs(Path(folder)) if found.format == folders.FORMAT]


def _data(data: str | Path, configs: list[Path]) -> list[str]:
    """Return the overrides for a data set's name or, if there is none of that name, for a folder or Parquet file."""
    place = Path(data).expanduser()
    if str(data) not in compose.choices("data", configs) and (place.is_dir() or place.is_file()):
        return [f"data={source_of(place)}", f"data.path={_written(Path(data))}"]
    return [f"data={data}"]


def _once(*groups: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield the settings of all groups; raise a ConfigError for one that is given twice."""
    seen = set[str]()
    for key, value in (item for group in groups for item in group.items()):
        if key in seen:
            raise ConfigError(f"{key} is given twice. Leave one of them out.")
        seen.add(key)
        yield key, value


def _written(value: Any) -> str:
    """Write a value as the command line has it."""
    if isinstance(value, np.ndarray | np.generic | Tensor):
        value = value.tolist()
    if isinstance(value, Mapping):
        raise ConfigError(f"Write each setting by its full name, such as 'model.beta', got {value!r}.")
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, list | tuple):
        return f"[{','.join(_written(each) for each in value)}]"
    if isinstance(value, Path):
        # A path is never a number or a list. Quotes are left out where they change nothing.
        plain = re.fullmatch(r"[A-Za-z_/][\w./-]*", str(value)) and str(value).lower() not in _WORDS
        return str(value) if plain else compose.quoted(str(value))
    text = str(value)
    return compose.quoted(text) if "," in text and text[0] not in "[{'\"" else text


_WORDS = {"null", "true", "false", "yes", "no", "on", "off", "nan", "inf"}
"""Words that YAML and Hydra read as something else than a text."""


def _console(quiet: bool) -> Console:
    from rich.console import Console as Terminal

    return Console() if quiet else Console(Terminal())
