"""Position of a run in its training, and checks of the JSON that a checkpoint keeps it in."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from genlab.training.checkpoint import Checkpoint, misfit


@dataclass
class Position:
    """The progress of a run; with the weights, this is all that a resumed run needs."""

    step: int = 0
    batches: int = 0
    """The number of batches that were dealt."""
    best: dict[str, Any] | None = None
    """`step`, `metric` and `value` of the best checkpoint."""
    stale: int = 0
    """The number of validations since the model was best."""
    validation: dict[str, float] = field(default_factory=dict)
    warnings: dict[str, int] = field(default_factory=dict)
    """The step of each warning."""
    returns: list[dict[str, Any]] = field(default_factory=list)
    """The returns to earlier checkpoints: `from` which step, `to` which step, and the `reason`."""


def position_of(found: Checkpoint) -> Position:
    """Return the position that a checkpoint keeps, after checking each of its facts."""
    checks: dict[str, Callable[[Any], bool]] = {
        "ema": _is_count,
        "extractors": lambda value: isinstance(value, str),
        "players": lambda value: _is_first_step(value, found.step),
    }
    if not all(check(value) for name, check in checks.items() for value in _values(found.facts.get(name))):
        raise misfit(found, "its facts about players and averages are not in genlab's format")
    facts = found.facts.get("position")
    if not isinstance(facts, dict) or not set(facts) <= set(Position.__dataclass_fields__):
        raise misfit(found, "its position is not in genlab's format")
    position = Position(**facts)
    if not isinstance(position.returns, list) or not all(map(_is_return, position.returns)):
        raise misfit(found, "its returns to earlier checkpoints are not in genlab's format")
    counts = (position.step, position.batches, position.stale, *_values(position.warnings))
    if not all(map(_is_count, counts)) or position.step != found.step:
        raise misfit(found, "its position holds impossible counts")
    best = position.best
    if best is not None and not (isinstance(best, dict) and _is_best(best)):
        raise misfit(found, "its best checkpoint is not in genlab's format")
    if not all(value is None or isinstance(value, int | float) for value in _values(position.validation)):
        raise misfit(found, "its position holds metrics that are not numbers")
    return position


def engine_facts_of(found: Checkpoint) -> dict[str, bool | None]:
    """Return the choices of the engine that a checkpoint keeps; earlier versions kept none."""
    facts = found.facts.get("engine", {})
    if not isinstance(facts, dict) or not all(value is None or isinstance(value, bool) for value in facts.values()):
        raise misfit(found, "its facts about the engine are not in genlab's format")
    return facts


def _values(table: Any) -> list[Any]:
    """Return the values of a table; anything else gives one value that no check accepts."""
    return list(table.values()) if isinstance(table, dict) else [()]


def _is_count(value: Any) -> bool:
    return type(value) is int and value >= 0


def _is_first_step(value: Any, step: int) -> bool:
    """Return True for `{"began": s}` with a step before this one, or None if the player has not moved yet."""
    if not isinstance(value, dict) or set(value) != {"began"}:
        return False
    began = value["began"]
    return began is None or (_is_count(began) and began < step)


def _is_return(value: Any) -> bool:
    if not isinstance(value, dict) or set(value) != {"from", "to", "reason"}:
        return False
    return _is_count(value["from"]) and _is_count(value["to"]) and isinstance(value["reason"], str)


def _is_best(best: dict[str, Any]) -> bool:
    kinds: dict[str, Any] = {"step": int, "metric": str, "value": int | float}
    return set(best) == set(kinds) and all(isinstance(best[name], kind) for name, kind in kinds.items())
