"""What a run is, in words for its log and in settings for TensorBoard."""

from typing import Any

from genlab.config.compose import Config, flatten
from genlab.runs.run import Run
from genlab.training.quick import SHARE
from genlab.training.trainer import Trainer

WHERE = {"device": "all on the device", "host": "streamed from memory", "disk": "streamed from disk"}


def described(there: Run, wanted: Config, trainer: Trainer) -> list[str]:
    """What is about to be trained, on what and how."""
    weights = sum(weight.numel() for weight in trainer.model.parameters())
    held_out = ", ".join(f"{loader.count:,} for {split}" for split, loader in trainer.examiner.loaders.items())
    took = trainer.engine.describe()
    lines = [
        f"{wanted.model['name']} ({weights:,} weights) on {wanted.data['name']} "
        f"({trainer.data.count:,} images to train on, {held_out}; {WHERE[trainer.data.residence]})",
        f"{trainer.total:,} steps of {wanted.trainer.batch_size} images on {took['device']}, {took['precision']}, "
        f"compiled: {took['compiled']}, {took['memory']}",
        f"in {there.path}",
    ]
    if quick := trainer.examiner.quick:
        bound = f"in at most {SHARE:.0%} of the time besides the first and the last look"
        lines.append(f"validations also measure {', '.join(quick.names)}, {bound}")
    return [*lines, trainer.engine.notice] if trainer.engine.notice else lines


def compared(wanted: Config) -> dict[str, Any]:
    """What TensorBoard's HParams tab compares runs by: it shows the first five names, so what cannot differ is out."""
    compared = {}
    for key, value in flatten(wanted.plain).items():
        section, _, name = key.rpartition(".")
        if name == "name":
            compared[section] = value
        elif value is not None and name not in ("class", "best", "device", "run", "plugins"):
            compared[key] = value if isinstance(value, bool | int | float | str) else str(value)
    return compared
