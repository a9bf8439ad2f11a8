"""A model begins with the weights that another run has come to."""

from typing import Any

from genlab.config.compose import Config, flatten
from genlab.contract import Model
from genlab.registry import ConfigError
from genlab.training.trainer import Trainer

# What of a model's settings says nothing of what its weights mean.
_NO_MATTER = ("name", "features", "pixel_steps")


def begin_with(trainer: Trainer, wanted: Config, start: str, model: Model, settings: Config) -> str:
    """Give a model the weights of another, wherever both have the same; say which, and in what the two differ."""
    theirs, ours = model.state_dict(), trainer.model.state_dict()
    same = {name: values for name, values in theirs.items() if name in ours and values.shape == ours[name].shape}
    if not same:
        raise ConfigError(f"start={start}: its model has no weight of the same name and size as one of this.")
    trainer.begin_with({**ours, **same})
    said = f"It begins with {len(same)} of its {len(ours)} tensors as {start} has them."
    our_own, their_own = _own(wanted), _own(settings)
    differ = [key for key in our_own if key in their_own and our_own[key] != their_own[key]]
    listed = ", ".join(f"{key} ({their_own[key]} there, {our_own[key]} here)" for key in differ)
    return f"{said} The two differ in {listed}." if differ else said


def _own(wanted: Config) -> dict[str, Any]:
    return flatten({name: value for name, value in wanted.model.items() if name not in _NO_MATTER})
