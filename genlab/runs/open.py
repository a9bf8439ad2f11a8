"""Opens the model that a checkpoint of a run holds, and the data that the run was trained on."""

from dataclasses import replace
from pathlib import Path
from typing import Literal, NamedTuple

from genlab.build import TABLES, build_data, build_model
from genlab.config import compose, plugins
from genlab.config.schema import Config
from genlab.config.trust import Trust
from genlab.contract import Model
from genlab.data.dataset import Dataset
from genlab.kinds import Kinds
from genlab.registry import ConfigError
from genlab.runs import codes as codes  # makes codes a data source
from genlab.runs.run import Run
from genlab.training import checkpoint
from genlab.training.position import Position, position_of

Weights = Literal["ema", "live"]


class Opened(NamedTuple):
    """A model at one checkpoint of a run, ready to be used."""

    model: Model
    kinds: Kinds
    """The kind of each column that the model may use."""
    step: int
    digest: str
    """The first 16 hex digits of the checkpoint's sha256."""
    weights: Weights
    """`ema` if the run keeps moving averages of its weights; these are used then."""
    position: Position


def open_model(run: Run, trust: Trust | None = None) -> Model:
    """Return the model of a run at its newest checkpoint."""
    return open_checkpoint(run, trust=trust).model


def open_checkpoint(run: Run, step: int | None = None, trust: Trust | None = None) -> Opened:
    """Open the checkpoint of this step (default: the newest); the user must trust the plugins of the run."""
    run.check_format()
    config, kinds = compose.load(run.path / "config.yaml"), run.kinds
    plugins.load_from_run(run.path, config.plugins, TABLES, trust or Trust())
    model = build_model(config, kinds)
    folder = run.path / "checkpoints"
    found = checkpoint.newest(folder) if step is None else checkpoint.at(folder, step)
    if not found:
        raise ConfigError(f"{run.path} has no checkpoint{'' if step is None else f' of step {step}'} yet.")
    weights = load_weights(model, found)
    return Opened(model, kinds, found.step, found.digest, weights, position_of(found))


def load_weights(model: Model, found: checkpoint.Checkpoint) -> Weights:
    """Load the weights of a checkpoint into a model, and freeze it in evaluation mode; say which weights these are."""
    state, ema = model.state_dict(), found.part("ema")
    weights = checkpoint.fitted(found, "model", state)
    if ema:
        # Only the players with ema > 0 have averages; the weights of the others are used as they are.
        weights |= checkpoint.fitted(found, "ema", {name: state[name] for name in ema if name in state})
    model.load_state_dict(weights)
    model.eval().requires_grad_(False)
    return "ema" if ema else "live"


def open_both(run: Run, trust: Trust | None = None) -> tuple[Opened, Opened | None]:
    """Open the newest and the best checkpoint; the best is None if none was chosen or it is gone.

    Both may be the same checkpoint.
    """
    last = open_checkpoint(run, trust=trust)
    best = last.position.best
    if best is None or best["step"] not in checkpoint.steps(run.path / "checkpoints"):
        return last, None
    return last, open_checkpoint(run, best["step"], trust)


def open_data(run: Run, place: Path | None = None) -> Dataset:
    """Build the data that a run was trained on; `place` is its folder if it has moved."""
    settings = settings_of(run, place)
    try:
        dataset = build_data(settings)
    except ConfigError as error:
        if not {"path", "root"} & settings.data.keys():
            raise
        way = f"Is {place} the data of {run.path}?" if place else "If the data has moved, say where with --data FOLDER."
        raise ConfigError(f"{error}\n{way}") from None
    check_data(run, dataset, place)
    return dataset


def settings_of(run: Run, place: Path | None = None) -> Config:
    """Return the settings of a run, with the folder where its data is now."""
    settings = compose.load(run.path / "config.yaml")
    if place is None:
        return settings
    key = next((key for key in ("path", "root") if key in settings.data), None)
    if key is None:
        raise ConfigError(f"Data {settings.data['name']!r} is not read from a folder; leave out --data.")
    return replace(settings, data={**settings.data, key: str(place)})


def check_data(run: Run, dataset: Dataset, place: Path | None = None) -> None:
    """Raise a ConfigError if the data is not what the run was trained on."""
    known = run.facts["fingerprint"]
    if dataset.fingerprint != known:
        where = f" in {place}" if place else ""
        moved = "" if place else " If the data has moved, say where with --data FOLDER."
        raise ConfigError(
            f"The data{where} is not what {run.path} was trained on: its fingerprint is {dataset.fingerprint}, not "
            f"{known}. The present test items may have been trained on.{moved}"
        )
