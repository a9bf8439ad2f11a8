"""Anomaly detection: scores of items, the quality of their order, and a threshold for a false-alarm rate."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from genlab.registry import ConfigError

NEIGHBOURS = 5
"""Number of nearest training items whose mean distance is a score."""
WINDOW = 3
"""Side of the window, in pixels, over which `smooth_errors` averages differences."""

_AT_ONCE = 2**22
"""Distances that are computed at once."""


def auroc(scores: Tensor, anomalous: Tensor) -> float:
    """Return the probability that an anomaly scores higher than a normal item; equal scores count half.

    It is the area under the ROC curve: 0.5 is chance, 1 is perfect.
    """
    _check(scores, anomalous)
    _, places, counts = torch.unique(scores.double(), return_inverse=True, return_counts=True)
    # The mean rank of each value, from 1; equal scores share it.
    ranks = (counts.cumsum(0) - (counts - 1) / 2).double()[places]
    positive = int(anomalous.sum())
    above = float(ranks[anomalous].sum()) - positive * (positive + 1) / 2
    return above / (positive * (len(scores) - positive))


def average_precision(scores: Tensor, anomalous: Tensor) -> float:
    """Return the mean over all anomalies of the precision at their score; the share of anomalies is chance."""
    _check(scores, anomalous)
    values, places = torch.unique(scores.double(), return_inverse=True)
    found = torch.zeros(len(values), dtype=torch.float64).index_add_(0, places, anomalous.double())
    every = places.bincount(minlength=len(values)).double()
    # From the highest score down: all items that score at least this much.
    precision = found.flip(0).cumsum(0) / every.flip(0).cumsum(0)
    return float((precision * found.flip(0)).sum() / found.sum())


def ranking(scores: Tensor, anomalous: Tensor) -> dict[str, float]:
    """Return `AUROC` and `average_precision`."""
    return {"AUROC": auroc(scores, anomalous), "average_precision": average_precision(scores, anomalous)}


@dataclass(frozen=True)
class Calibration:
    """A threshold for a rate of false alarms, and the normal items that it rests on."""

    threshold: float
    """An item is flagged if its score is above this."""
    rate: float
    """The false-alarm rate that was asked for."""
    count: int
    """Number of normal items."""

    @property
    def std(self) -> float:
        """Standard deviation of the true false-alarm rate over draws of the normal items.

        The true rate has a beta distribution, whatever the distribution of the scores (Vovk 2012).
        """
        allowed = self.count + 1 - _place(self.count, self.rate)
        mean = allowed / (self.count + 1)
        return math.sqrt(mean * (1 - mean) / (self.count + 2))


def calibrate(normal: Tensor, rate: float) -> Calibration:
    """Return the threshold that a new normal item exceeds with at most this probability.

    It is the score at place ceil((n + 1)(1 - rate)) of n normal items in ascending order. Without the + 1, the rate
    would be exceeded on average, because the threshold fits the items that it was chosen with.
    """
    if isinstance(rate, bool) or not isinstance(rate, int | float) or not 0 < rate < 1:
        raise ConfigError(f"The false-alarm rate must be above 0 and below 1, such as 0.05, got {rate!r}.")
    place = _place(len(normal), rate)
    if not 1 <= place <= len(normal):
        raise ConfigError(
            f"{len(normal):,} normal items give no threshold for a false-alarm rate of {rate:g}; "
            f"with so few, the rate must be at least {1 / (len(normal) + 1):.2g}."
        )
    return Calibration(float(normal.double().sort().values[place - 1]), float(rate), len(normal))


def _place(count: int, rate: float) -> int:
    # Rounded first: (99 + 1) * (1 - 0.05) is a little more than 95.
    return math.ceil(round((count + 1) * (1 - rate), 9))


def smooth_errors(reconstructed: Tensor, truth: Tensor) -> Tensor:
    """Return the mean square of each image's difference from its reconstruction, averaged over 3 x 3 pixels first.

    Texture and edges that are off by one pixel cancel out. What is missing or too much over a whole area stays.
    """
    return smoothed(reconstructed - truth).square().flatten(1).mean(1)


def smoothed(images: Tensor) -> Tensor:
    """Return the mean of the 3 x 3 pixels around each pixel; at the border, of those that are there."""
    return functional.avg_pool2d(images, WINDOW, stride=1, padding=WINDOW // 2, count_include_pad=False)


class Neighbours:
    """Training items, whitened if they are codes, and the mean distance of others to the nearest of them."""

    def __init__(self, training: Tensor, *, whiten: bool = False) -> None:
        rows = training.flatten(1).double()
        self._change = _whitening(rows) if whiten else None
        self._training = self._changed(rows)

    def distances(self, items: Tensor, *, training: bool = False) -> Tensor:
        """Return the mean distance of each item to its five nearest training items.

        With `training` the items are the training items themselves, and none is its own neighbour.
        """
        rows, own = self._changed(items.flatten(1).double()), int(training)
        count = min(NEIGHBOURS + own, len(self._training))
        if count <= own:
            raise ConfigError(f"Distances need at least 2 training items, got {len(self._training)}.")
        size = max(1, _AT_ONCE // len(self._training))
        nearest = [
            torch.cdist(part, self._training).topk(count, largest=False).values for part in torch.split(rows, size)
        ]
        return torch.cat(nearest).sort(1).values[:, own:].mean(1)

    def _changed(self, rows: Tensor) -> Tensor:
        # Distances in single precision: half the time, and their order is the same.
        return (rows if self._change is None else rows @ self._change).float()


def _whitening(rows: Tensor) -> Tensor:
    """Return the matrix after which all directions of the rows have a variance of 1, or 0 if they do not vary."""
    covariance = (rows - rows.mean(0)).T @ (rows - rows.mean(0)) / max(1, len(rows) - 1)
    variances, directions = torch.linalg.eigh(covariance)
    # A direction that hardly varies would otherwise decide alone.
    least = 1e-4 * float(variances.max())
    change: Tensor = directions * torch.where(variances > least, variances.clamp_min(least or 1).rsqrt(), 0.0)
    return change


class Standard:
    """The mean and the std of the logarithms of training scores, which bring other scores to one scale."""

    def __init__(self, training: Tensor) -> None:
        logs = _log(training)
        self._mean, self._std = logs.mean(), logs.std().clamp_min(1e-12)

    def __call__(self, scores: Tensor) -> Tensor:
        """Return how many stds each score is above the training scores."""
        return (_log(scores) - self._mean) / self._std


def _log(scores: Tensor) -> Tensor:
    return scores.double().clamp_min(1e-12).log()


def _check(scores: Tensor, anomalous: Tensor) -> None:
    if not 0 < int(anomalous.sum()) < len(scores):
        raise ConfigError("Both normal items and anomalies are needed to measure a detector.")
