"""What an adversarial game shows when it has gone wrong."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

Line = Mapping[str, Any]

_SAME, _SURE = 0.2, 0.99
_LINES, _STEPS = 3, 1000
_COLLAPSED = (
    "The generator has collapsed: its samples differ less than a fifth as much as real images do. "
    "Try a lower rate of the generator, model.r1=1 or model=wgan-gp."
)
_WON = (
    "The critic has won: it tells real images from the generator's more than 99 times in 100, which teaches the "
    "generator little. Try a lower rate of the critic, model.instance_noise=0.1 or model.augment=[translation]."
)


def diagnosis(lines: Sequence[Line], judges_single_images: bool) -> str | None:
    """One sentence where the newest lines of a journal have been bad for a while, with what to try; else None."""
    if _lasts(lines, "validation", _collapsed):
        return _COLLAPSED
    return _WON if judges_single_images and _lasts(lines, "train", _won) else None


def _collapsed(line: Line) -> bool:
    return _figure(line, "diversity", 1.0) < _SAME


def _won(line: Line) -> bool:
    return min(_figure(line, f"critic/{kind}_accuracy", 0.0) for kind in ("real", "fake")) > _SURE


def _figure(line: Line, name: str, otherwise: float) -> float:
    value = line.get(name)
    return value if isinstance(value, float) else otherwise


def _lasts(lines: Sequence[Line], split: str, bad: Callable[[Line], bool]) -> bool:
    """Whether the newest lines of a split are bad, enough of them and far enough apart."""
    steps = list[int]()
    for line in reversed(lines):
        if line["split"] == split:
            if not bad(line):
                break
            steps.append(line["step"])
    return len(steps) >= _LINES and steps[0] - steps[-1] >= _STEPS
