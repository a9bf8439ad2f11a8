"""Starts a new model with the weights of another run."""

from typing import Any

from genlab.config.schema import Config, flatten, shown
from genlab.contract import Model
from genlab.registry import ConfigError
from genlab.training.trainer import Trainer

# Settings of a model that do not change what its weights mean.
_IRRELEVANT = ("name", "class", "features", "pixel_steps")


def begin_with(trainer: Trainer, config: Config, start: str, model: Model, other: Config) -> str:
    """Copy each weight of another model that has the same name and size here; return a sentence about it.

    `start` names the other run, and `other` is its config.
    """
    theirs, ours = model.state_dict(), trainer.model.state_dict()
    same = {name: values for name, values in theirs.items() if name in ours and values.shape == ours[name].shape}
    if not same:
        raise ConfigError(f"start={start}: its model has no weight of the same name and size as one here.")
    trainer.begin_with({**ours, **same})
    copied = f"The model begins with {len(same)} of its {len(ours)} tensors from {start}."
    our_settings, their_settings = _settings_of(config), _settings_of(other)
    differing = [key for key in our_settings if key in their_settings and our_settings[key] != their_settings[key]]
    listed = ", ".join(
        f"{key} ({shown(their_settings[key])} there, {shown(our_settings[key])} here)" for key in differing
    )
    return f"{copied} Settings that differ: {listed}." if differing else copied


def _settings_of(config: Config) -> dict[str, Any]:
    return flatten({name: value for name, value in config.model.items() if name not in _IRRELEVANT})
