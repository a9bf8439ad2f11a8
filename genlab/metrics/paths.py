"""Metrics of a path of vectors, F x D: its length, how straight it is, and how evenly it moves."""

from torch import Tensor


def length(path: Tensor) -> float:
    """Return the sum of all steps."""
    return float(_steps(path).sum())


def detour(path: Tensor) -> float:
    """Return the length over the distance of the ends: 1 for a straight path, infinite for one that returns."""
    total, distance = length(path), float((path[-1] - path[0]).double().norm())
    if distance:
        return total / distance
    return float("inf") if total else 1.0


def largest_step(path: Tensor) -> float:
    """Return the largest step over the mean step: 1 if the path moves evenly, or not at all."""
    steps = _steps(path)
    return float(steps.max() / steps.mean()) if bool(steps.any()) else 1.0


def _steps(path: Tensor) -> Tensor:
    steps: Tensor = path.double().diff(dim=0).norm(dim=1)
    return steps
