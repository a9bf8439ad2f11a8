"""Opens the model that a checkpoint of a run holds."""

from typing import Literal, NamedTuple

from genlab.build import TABLES, build_model
from genlab.config import compose as config
from genlab.config import plugins
from genlab.config.trust import Trust
from genlab.contract import Model, Shape
from genlab.registry import ConfigError
from genlab.runs.run import Run
from genlab.training import checkpoint
from genlab.training.position import Position, position_of


class Opened(NamedTuple):
    """A model as one checkpoint of a run holds it, ready to be used."""

    model: Model
    step: int
    digest: str
    """The first 16 hex digits of the checkpoint's sha256."""
    weights: Literal["average", "live"]
    position: Position


def open_model(there: Run, trust: Trust | None = None) -> Model:
    """The model of a run at its newest checkpoint, through its average where it keeps one."""
    return open_checkpoint(there, trust=trust).model


def open_checkpoint(there: Run, step: int | None = None, trust: Trust | None = None) -> Opened:
    """The model of a run as it was at this step, the newest unless told; its plugins must be trusted."""
    wanted, facts = config.load(there.path / "config.yaml"), there.facts
    plugins.load_from_run(there.path, wanted.plugins, TABLES, trust or Trust())
    model = build_model(wanted, Shape(*facts["shape"]), len(facts["classes"]))
    folder = there.path / "checkpoints"
    found = checkpoint.newest(folder) if step is None else checkpoint.at(folder, step)
    if not found:
        raise ConfigError(f"{there.path} has no checkpoint{'' if step is None else f' of step {step}'} yet.")
    model.load_state_dict(checkpoint.fitted(found, "model", model.state_dict()))
    if average := found.part("average"):
        averaged = model.averaged()
        averaged.load_state_dict(checkpoint.fitted(found, "average", averaged.state_dict()))
    model.eval().requires_grad_(False)
    weights: Literal["average", "live"] = "average" if average else "live"
    return Opened(model, found.step, found.digest, weights, position_of(found))


def open_both(there: Run, trust: Trust | None = None) -> tuple[Opened, Opened | None]:
    """The newest checkpoint, and the best where the run has chosen one and keeps it; both may be of one step."""
    last = open_checkpoint(there, trust=trust)
    best = last.position.best
    if best is None or best["step"] not in checkpoint.steps(there.path / "checkpoints"):
        return last, None
    return last, open_checkpoint(there, best["step"], trust)
