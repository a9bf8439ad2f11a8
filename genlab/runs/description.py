"""Describes a run that is about to begin: in words for its log, and as settings for TensorBoard."""

from typing import Any

from genlab import distributed
from genlab.config.schema import Config, flatten, shown
from genlab.runs.run import Run
from genlab.training.trainer import Trainer
from genlab.training.validation import SHARE

RESIDENCE = {"device": "all on the device", "host": "streamed from memory", "disk": "streamed from disk"}


def description(run: Run, config: Config, trainer: Trainer) -> list[str]:
    """Return lines about the model, the data and the device."""
    items = trainer.data.kinds["x"].plural
    weights = sum(weight.numel() for weight in trainer.model.parameters())
    held_out = ", ".join(f"{batches.count:,} for {split}" for split, batches in trainer.validation.splits.items())
    choices = trainer.engine.describe()
    engine = [choices["precision"], f"compiled: {choices['compiled']}", choices["memory"]]
    engine += ["CUDA graphs"] if choices["cuda_graphs"] == "yes" else []
    # On a CPU steps are exact in any case.
    engine += [] if choices["deterministic"] == "yes" else [f"deterministic: {choices['deterministic']}"]
    lines = [
        f"{config.model['name']} ({weights:,} weights) on {config.data['name']} "
        f"({trainer.data.count:,} {items} for training, {held_out}; {RESIDENCE[trainer.data.residence]})",
        f"{trainer.total:,} steps of {config.trainer.batch_size} {items} on {_place(choices['device'])}, "
        f"{', '.join(engine)}",
        f"in {run.path}",
    ]
    if config.keep:
        kept = ", ".join(map(str, config.keep))
        lines.append(f"Training and validation use only the classes {kept} (data.keep); the test uses all classes.")
    if quick := trainer.validation.quick:
        bound = f" The first and the last time aside, this takes at most {SHARE:.0%} of the time."
        bounded = "" if config.trainer.evaluate == "always" else bound
        lines.append(f"Validations also measure {', '.join(quick.names)}.{bounded}")
    return [*lines, *trainer.engine.unsaid()]


def _place(device: str) -> str:
    """Return the device, and the number of processes if there are several."""
    return device if distributed.count() == 1 else f"{distributed.count()} processes, the first on {device}"


def hyperparameters(config: Config) -> dict[str, Any]:
    """Return the settings by which TensorBoard's HParams tab compares runs.

    The tab shows five names at first: settings that differ between the runs, then others in alphabetical order. So
    settings that cannot differ in a useful way are left out.
    """
    compared = {}
    for key, value in flatten(config.plain).items():
        section, _, name = key.rpartition(".")
        if name == "name":
            compared[section] = value
        elif name not in ("class", "best", "device", "devices", "run", "plugins"):
            # Others as text: TensorBoard would show true as 1, and would not compare a value with a missing one.
            plain = isinstance(value, int | float) and not isinstance(value, bool)
            compared[key] = value if plain else shown(value)
    return compared
