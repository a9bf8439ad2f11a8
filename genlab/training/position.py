"""The JSON of a checkpoint: where the run stands."""

from dataclasses import dataclass, field
from typing import Any

from genlab.training.checkpoint import Checkpoint, misfit


@dataclass
class Position:
    """Where a run stands; with the weights, all that it takes to go on."""

    step: int = 0
    batches: int = 0
    best: dict[str, Any] | None = None
    validation: dict[str, float] = field(default_factory=dict)
    warnings: dict[str, int] = field(default_factory=dict)


def position_of(found: Checkpoint) -> Position:
    """Return the position that a checkpoint keeps, after checking each of its facts."""
    averaged, given = found.facts.get("averaged"), found.facts.setdefault("given", {})
    if not _is_count(averaged) or not isinstance(given, dict):
        raise misfit(found, "it does not say as genlab does what it was trained with")
    facts = found.facts.get("position")
    if not isinstance(facts, dict) or not set(facts) <= set(Position.__dataclass_fields__):
        raise misfit(found, "its position does not hold what genlab writes")
    position = Position(**facts)
    counts = (position.step, position.batches, *_values(position.warnings))
    if not all(map(_is_count, counts)) or position.step != found.step:
        raise misfit(found, "its position holds counts that cannot be")
    best = position.best
    if best is not None and not (isinstance(best, dict) and _is_best(best)):
        raise misfit(found, "its position does not name a best checkpoint as genlab does")
    if not all(value is None or isinstance(value, int | float) for value in _values(position.validation)):
        raise misfit(found, "its position holds metrics that are no numbers")
    return position


def _values(facts: Any) -> list[Any]:
    return list(facts.values()) if isinstance(facts, dict) else ["no table"]


def _is_count(value: Any) -> bool:
    return type(value) is int and value >= 0


def _is_best(best: dict[str, Any]) -> bool:
    kinds: dict[str, Any] = {"step": int, "figure": str, "value": int | float}
    return set(best) == set(kinds) and all(isinstance(best[name], kind) for name, kind in kinds.items())
