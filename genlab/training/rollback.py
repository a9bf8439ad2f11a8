"""Returns of a training to an earlier checkpoint, with lower learning rates, when its losses stop being finite."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from genlab.registry import RunError
from genlab.training import checkpoint
from genlab.training.checkpoint import BrokenError, Checkpoint
from genlab.training.position import Position
from genlab.training.tally import NotFiniteError

FACTOR = 0.5
"""The factor of all learning rates for each return."""


def rate_factor(returns: Sequence[object]) -> float:
    """Return the factor of all learning rates after these returns."""
    return FACTOR ** len(returns)


def check_allowed(error: NotFiniteError, position: Position, allowed: int) -> None:
    """Raise the error if the training may not return, or has returned as often as it may."""
    done = len(position.returns)
    if not allowed:
        raise error
    if done >= allowed:
        times = "once" if done == 1 else f"{done} times"
        factor = rate_factor(position.returns)
        raise RunError(
            f"{error} The run has returned to an earlier checkpoint {times}, and the learning rates are {factor:g} of "
            "the recipe's. Train a new run with a lower lr or with clip=1 for the optimizers of the model. Or resume "
            f"this one with a larger trainer.rollback, such as {2 * done}."
        ) from error


def good(folder: Path, error: NotFiniteError, position: Position, calm: int) -> Checkpoint:
    """Return the newest good checkpoint; if there is none, the oldest that can be read and holds no NaN.

    A good checkpoint was followed by at least `calm` steps with finite losses, so it is not the state just before the
    failure. The run has not returned to it before, because the same failure has followed it then.
    """
    tried, oldest = {entry["to"] for entry in position.returns}, None
    for step, path in reversed(checkpoint.steps(folder).items()):
        try:
            found = checkpoint.load(path)
        except BrokenError:
            continue
        if holds_nan(found):
            continue
        if step + calm < error.step and step not in tried:
            return found
        oldest = found
    if oldest is None:
        raise RunError(f"{error} No checkpoint in {folder} is good enough to return to. Train again.") from error
    return oldest


def holds_nan(found: Checkpoint) -> bool:
    """Return True if a weight, a buffer or a number of an optimizer is NaN; an infinite number can be meant.

    The sums of the next log line can hold terms that are only shown, so they do not count.
    """
    return any(value.isnan().any() for name, value in found.tensors.items() if not name.startswith("tally/"))


def sentence(returns: Sequence[Mapping[str, Any]]) -> str:
    """Return a sentence about the last of these returns."""
    last = returns[-1]
    return (
        f"{last['reason']} The training has returned to step {last['to']:,}; from there on, all learning rates are "
        f"{rate_factor(returns):g} of the recipe's (trainer.rollback)."
    )


def warnings(returns: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    """Return a sentence about each return, with the step that was not finite."""
    return {sentence(returns[: place + 1]): entry["from"] for place, entry in enumerate(returns)}
