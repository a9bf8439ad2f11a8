"""Whether samples are of the class that was asked for, and how varied they are within it."""

from statistics import mean

import torch
from torch import Tensor

# Distances at once, in float64.
_AT_ONCE = 2**24


def class_accuracy(probabilities: Tensor, asked: Tensor) -> dict[str, float]:
    """The share of samples that are taken for the class that was asked for, by the probability of each class."""
    if not len(asked):
        return {}
    return {"class_accuracy": float((probabilities.argmax(1) == asked).double().mean())}


def class_diversity(features: Tensor, asked: Tensor, real_features: Tensor, real_labels: Tensor) -> dict[str, float]:
    """How far apart two samples of a class lie over how far two real images of it do, averaged over the classes.

    1 is as varied as real images are, and one image a class gives 0. A class counts that has two of each.
    """
    ratios = list[float]()
    for name in sorted(set(asked.tolist())):
        made, real = _spread(features[asked == name]), _spread(real_features[real_labels == name])
        if made is not None and real:
            ratios.append(made / real)
    return {"class_diversity": mean(ratios)} if ratios else {}


def _spread(features: Tensor) -> float | None:
    """The mean distance of all pairs, None where there is none."""
    count = len(features)
    if count < 2:
        return None
    # Around their middle and in double precision the distance of two that are alike is not lost in rounding.
    points = features.double()
    points = points - points.mean(0)
    total = sum(float(torch.cdist(part, points).sum()) for part in torch.split(points, max(1, _AT_ONCE // count)))
    return total / (count * (count - 1))
