"""Metrics as they stand in tables: which direction is better, the std over seeds, and the real-data baseline."""

import math
from collections.abc import Mapping, Sequence
from statistics import mean, stdev
from typing import Literal, NamedTuple

from genlab.training.console import number

Better = Literal["lower", "higher"]

BETTER: dict[str, Better] = {
    **dict.fromkeys(("squared_error", "absolute_error", "distance"), "lower"),
    **dict.fromkeys(("negative_elbo", "negative_bound", "reconstruction", "bits_per_dimension"), "lower"),
    **dict.fromkeys(("FD", "KID", "copies", "classes_missing", "error_inside"), "lower"),
    **dict.fromkeys(("PSNR", "SSIM", "MS-SSIM", "changed"), "higher"),
    **dict.fromkeys(("precision", "recall", "density", "coverage", "class_accuracy", "accuracy"), "higher"),
    **dict.fromkeys(("probe_accuracy", "trustworthiness", "MIG", "SAP", "DCI"), "higher"),
}
"""The better direction by the beginning of a name; other metrics have no better direction.

A suffix after a hyphen says what was measured, or by which features.
"""


def better(name: str) -> Better | None:
    """Return the better direction of the metric with this name, None if there is none."""
    parts = name.split("-")
    heads = ("-".join(parts[:count]) for count in range(len(parts), 0, -1))
    return next((BETTER[head] for head in heads if head in BETTER), None)


class Metric(NamedTuple):
    """One metric of one checkpoint."""

    mean: float
    std: float | None = None
    """Standard deviation over the seeds; None if nothing is drawn at random."""
    baseline: float | None = None
    """The value that real items get in place of generated ones; None if there is no such value."""


def summarised(draws: Sequence[Mapping[str, float]], baselines: Mapping[str, float] | None = None) -> dict[str, Metric]:
    """Return the mean and the std of each metric over the draws, one draw for each seed."""
    std = {name: stdev(draw[name] for draw in draws) if len(draws) > 1 else None for name in draws[0]}
    means = {name: mean(draw[name] for draw in draws) for name in draws[0]}
    return {name: Metric(means[name], std[name], (baselines or {}).get(name)) for name in means}


def shown(metric: Metric) -> str:
    """Format a metric as `mean ± std`, or as its mean if it has no std.

    The std gets two digits, unless four digits of the mean end before that.
    """
    text = number(metric.mean)
    if metric.std is None:
        return text
    if "e" in text or not metric.std:
        return f"{text} ± {metric.std:.2g}"
    needed = max(0, 1 - math.floor(math.log10(metric.std)))
    decimals = min(needed, len(text.partition(".")[2]))
    # A std that is too small for these decimals must not read as 0.
    std = f"{metric.std:,.{decimals}f}" if metric.std >= 10.0**-decimals else f"{metric.std:.1g}"
    return f"{metric.mean:,.{decimals}f} ± {std}"
