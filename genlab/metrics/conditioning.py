"""Metrics of classes: samples of the wanted class, their diversity within a class, and classes without samples."""

from statistics import mean

import torch
from torch import Tensor

# Distances that are in memory together, in float64.
_AT_ONCE = 2**24
_RARE, _JUDGED = 0.1, 5
"""Share of the frequency among real items below which a class is missing; a class needs so many expected samples."""


def class_accuracy(probabilities: Tensor, wanted: Tensor) -> dict[str, float]:
    """Return the share of samples that a classifier assigns to the wanted class, given its class probabilities."""
    if not len(wanted):
        return {}
    return {"class_accuracy": float((probabilities.argmax(1) == wanted).double().mean())}


def class_diversity(features: Tensor, wanted: Tensor, real_features: Tensor, real_labels: Tensor) -> dict[str, float]:
    """Return the mean distance of two samples of a class over that of two real items, averaged over the classes.

    1 means as diverse as real items; a single sample repeated gives 0. A class needs two samples and two real items.
    """
    ratios = list[float]()
    for label in sorted(set(wanted.tolist())):
        generated = _mean_distance(features[wanted == label])
        real = _mean_distance(real_features[real_labels == label])
        if generated is not None and real:
            ratios.append(generated / real)
    return {"class_diversity": mean(ratios)} if ratios else {}


def missing_classes(generated: Tensor, real: Tensor) -> list[int]:
    """Return the classes that samples show less than a tenth as often as real items do.

    Both arguments are the classes that one classifier assigns, so that its mistakes are in both. Rare classes, of which
    fewer than five samples are expected, are left out: they can be absent by chance.
    """
    count = 1 + int(max(values.max() for values in (generated, real) if len(values)))
    found, there = (values.bincount(minlength=count).double() for values in (generated, real))
    expected = there * (len(generated) / max(1, len(real)))
    missing: list[int] = ((expected >= _JUDGED) & (found < _RARE * expected)).nonzero().flatten().tolist()
    return missing


def _mean_distance(features: Tensor) -> float | None:
    """Return the mean distance of all pairs, None if there is no pair."""
    count = len(features)
    if count < 2:
        return None
    # Centred and in double precision, the distance of two nearly equal rows is not lost in rounding.
    points = features.double()
    points = points - points.mean(0)
    total = sum(float(torch.cdist(part, points).sum()) for part in torch.split(points, max(1, _AT_ONCE // count)))
    return total / (count * (count - 1))
