"""What an adversarial game shows when it has gone wrong."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

Line = Mapping[str, Any]

_SAME, _SURE = 0.2, 0.99
_LINES, _STEPS = 3, 1000
COLLAPSED = (
    "The generator's samples are nearly all the same: they differ less than a fifth as much as real images do, "
    "and they do not grow apart."
)
WON = (
    "The critic has won: it tells real images from the generator's more than 99 times in 100, which teaches the "
    "generator little."
)


def collapsed(lines: Sequence[Line]) -> bool:
    """Whether the samples have long been alike, and are no less so than they were; at the start they always are."""
    spreads = [line["diversity"] for line in _lasting(lines, "validation", _alike)]
    return bool(spreads) and spreads[-1] <= 1.05 * spreads[0]


def won(lines: Sequence[Line]) -> bool:
    """Whether the critic has long been right about nearly all images."""
    return bool(_lasting(lines, "train", _sure))


def _alike(line: Line) -> bool:
    return _figure(line, "diversity", 1.0) < _SAME


def _sure(line: Line) -> bool:
    return min(_figure(line, f"critic/{kind}_accuracy", 0.0) for kind in ("real", "fake")) > _SURE


def _figure(line: Line, name: str, otherwise: float) -> float:
    value = line.get(name)
    return value if isinstance(value, float) else otherwise


def _lasting(lines: Sequence[Line], split: str, bad: Callable[[Line], bool]) -> list[Line]:
    """The newest lines of a split from when they became bad, if there are enough of them and far enough apart."""
    chosen = [line for line in lines if line["split"] == split]
    since = next((place for place in range(len(chosen), 0, -1) if not bad(chosen[place - 1])), 0)
    found = chosen[since:]
    return found if len(found) >= _LINES and found[-1]["step"] - found[0]["step"] >= _STEPS else []
