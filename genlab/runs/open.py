"""Opens the model that a checkpoint of a run holds."""

from typing import Literal, NamedTuple

from genlab.build import TABLES, build_model
from genlab.config import compose, plugins
from genlab.config.trust import Trust
from genlab.contract import Model
from genlab.kinds import Kinds
from genlab.registry import ConfigError
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
    state, ema = model.state_dict(), found.part("ema")
    weights = checkpoint.fitted(found, "model", state)
    if ema:
        # Only the players with ema > 0 have averages; the weights of the others are used as they are.
        weights |= checkpoint.fitted(found, "ema", {name: state[name] for name in ema if name in state})
    model.load_state_dict(weights)
    model.eval().requires_grad_(False)
    return Opened(model, kinds, found.step, found.digest, "ema" if ema else "live", position_of(found))


def open_both(run: Run, trust: Trust | None = None) -> tuple[Opened, Opened | None]:
    """Open the newest and the best checkpoint; the best is None if none was chosen or it is gone.

    Both may be the same checkpoint.
    """
    last = open_checkpoint(run, trust=trust)
    best = last.position.best
    if best is None or best["step"] not in checkpoint.steps(run.path / "checkpoints"):
        return last, None
    return last, open_checkpoint(run, best["step"], trust)
