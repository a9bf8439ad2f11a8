"""What is measured, as it stands in tables: which way is better, its spread over draws, and what real data gets."""

from collections.abc import Mapping, Sequence
from statistics import mean, stdev
from typing import Literal, NamedTuple

Better = Literal["lower", "higher"]

BETTER: dict[str, Better] = {
    **dict.fromkeys(("squared_error", "absolute_error", "distance"), "lower"),
    **dict.fromkeys(("negative_elbo", "negative_bound", "reconstruction", "bits_per_dimension"), "lower"),
    **dict.fromkeys(("FD", "KID", "copies"), "lower"),
    **dict.fromkeys(("PSNR", "SSIM", "MS-SSIM"), "higher"),
    **dict.fromkeys(("precision", "recall", "density", "coverage", "class_accuracy"), "higher"),
    **dict.fromkeys(("probe_accuracy", "trustworthiness", "MIG", "SAP", "DCI"), "higher"),
}
"""By what a name begins with; what follows after a hyphen says of what or by what. Other figures have no direction."""


def better(name: str) -> Better | None:
    """Which way a figure of this name is better, None where neither is."""
    parts = name.split("-")
    heads = ("-".join(parts[:count]) for count in range(len(parts), 0, -1))
    return next((BETTER[head] for head in heads if head in BETTER), None)


class Figure(NamedTuple):
    """One figure of one checkpoint."""

    mean: float
    spread: float | None = None
    """The standard deviation over the draws; None where nothing is drawn."""
    floor: float | None = None
    """What other real images get in place of what the model makes; None where that means nothing."""


def summarised(draws: Sequence[Mapping[str, float]], floors: Mapping[str, float] | None = None) -> dict[str, Figure]:
    """Each figure's mean and spread over the draws, which are measured alike."""
    spread = {name: stdev(draw[name] for draw in draws) if len(draws) > 1 else None for name in draws[0]}
    means = {name: mean(draw[name] for draw in draws) for name in draws[0]}
    return {name: Figure(means[name], spread[name], (floors or {}).get(name)) for name in means}
