"""Confidence intervals of a mean, by Student's t distribution."""

import math
from collections.abc import Sequence
from statistics import mean, stdev
from typing import NamedTuple

from genlab.registry import ConfigError


class Interval(NamedTuple):
    """A mean and its confidence interval."""

    mean: float
    low: float | None
    """Lower end; None if there is only one value."""
    high: float | None


def interval(values: Sequence[float], confidence: float = 0.95) -> Interval:
    """Return the mean of independent values and its confidence interval.

    For a paired comparison, pass the difference within each pair: what a pair has in common then cancels.
    """
    if not values:
        raise ConfigError("A mean needs at least one value, got none.")
    if len(values) == 1:
        return Interval(values[0], None, None)
    middle = mean(values)
    half = t_quantile((1 + confidence) / 2, len(values) - 1) * stdev(values) / math.sqrt(len(values))
    return Interval(middle, middle - half, middle + half)


def t_quantile(probability: float, degrees: int) -> float:
    """Return the value that a t-distributed number stays below with this probability, at least 1/2 and below 1."""
    if not 0.5 <= probability < 1 or degrees < 1:
        raise ConfigError(
            f"A t quantile needs a probability from 0.5 to below 1 and at least 1 degree of freedom, "
            f"got {probability:g} and {degrees}."
        )
    low, high = 0.0, 1.0
    while t_cdf(high, degrees) < probability:
        low, high = high, 2 * high
    # Halved until two neighbouring numbers are left.
    while low < (middle := (low + high) / 2) < high:
        low, high = (middle, high) if t_cdf(middle, degrees) < probability else (low, middle)
    return high


def t_cdf(value: float, degrees: int) -> float:
    """Return the probability that a t-distributed number is below a value that is at least 0.

    For whole degrees of freedom it is a finite sum (Abramowitz and Stegun 1964, 26.7.3 and 26.7.4).
    """
    angle = math.atan2(value, math.sqrt(degrees))
    odd, square = degrees % 2, math.cos(angle) ** 2
    # An odd number of degrees sums cos, 2/3 cos^3, ...; an even one 1, 1/2 cos^2, ...
    term, total = math.cos(angle) if odd else 1.0, 0.0
    for power in range(1 if odd else 0, degrees - 1, 2):
        total += term
        term *= square * (power + 1) / (power + 2)
    inside = 2 / math.pi * (angle + math.sin(angle) * total) if odd else math.sin(angle) * total
    return (1 + inside) / 2
