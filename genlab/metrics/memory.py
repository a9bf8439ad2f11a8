"""Memorisation: the distance of samples to the training items, and the share of copies."""

from collections.abc import Iterable
from typing import NamedTuple

import torch
from torch import Tensor

NEIGHBOURS = 50
"""Number of nearest training images that a sample is compared with (Carlini et al. 2023)."""

MUCH_NEARER = 0.5
"""A copy is nearer to one training image than this part of the mean distance to its other neighbours."""

RULE = (
    f"samples whose distance to the nearest training image is below {MUCH_NEARER} of the mean distance to the next "
    f"{NEIGHBOURS - 1}"
)
"""The definition of a copy, as the protocol of an evaluation states it."""

_AT_ONCE = 1000


def nearest_training(distances: Tensor) -> dict[str, float]:
    """Return the mean distance of the samples to their nearest training item."""
    return {"nearest_training": float(distances[:, 0].mean())} if distances.numel() else {}


def copies(distances: Tensor) -> dict[str, float]:
    """Return the share of samples that are copies of training images.

    A blurred sample is near many training images and no copy of one. The rule means nothing for points: in one or two
    dimensions, the nearest of fifty neighbours is always much nearer than the others.
    """
    if not len(distances) or distances.shape[1] <= 2:
        return {}
    copied = distances[:, 0] < MUCH_NEARER * distances[:, 1:].mean(1)
    return {"copies": float(copied.double().mean())}


def memorises(share: float, baseline: float) -> bool:
    """Return True if the share of copies is so far above that of test items that the model has memorised."""
    return share > 2 * baseline + 0.05


class Neighbours(NamedTuple):
    """The nearest training items of each sample, nearest first."""

    distances: Tensor
    """N x K, in float64."""
    places: Tensor
    """N x K: the number of each in the order of the training items."""


def nearest_distances(samples: Tensor, training: Iterable[Tensor]) -> Tensor:
    """Return the distances of each sample to its nearest training items, nearest first: N x 50, or fewer."""
    return nearest(samples, training, NEIGHBOURS).distances


def nearest(samples: Tensor, training: Iterable[Tensor], count: int) -> Neighbours:
    """Search the `count` nearest training items of each sample in blocks of training items.

    A distance is the root mean square of the differences over the numbers of an item.
    """
    # mps is the one type of device without float64.
    device = torch.device("cpu") if samples.device.type == "mps" else samples.device
    flat, start = samples.flatten(1).to(device), 0
    parts = [flat[first : first + _AT_ONCE] for first in range(0, max(1, len(flat)), _AT_ONCE)]
    found = [
        Neighbours(part.new_empty(len(part), 0, dtype=torch.float64), part.new_empty(len(part), 0, dtype=torch.int64))
        for part in parts
    ]
    for batch in training:
        items = batch.flatten(1).to(device).double()
        found = [_nearer(*pair, items, start, count) for pair in zip(found, parts, strict=True)]
        start += len(items)
    distances, places = (torch.cat(columns) for columns in zip(*found, strict=True))
    return Neighbours((distances / flat.shape[1]).sqrt(), places)


def _nearer(so_far: Neighbours, samples: Tensor, items: Tensor, start: int, count: int) -> Neighbours:
    """Return the smallest squared distances among those so far and those to these items, numbered from `start`."""
    samples = samples.double()
    lengths = samples.square().sum(1, keepdim=True) + items.square().sum(1)
    # Rounding may leave the distance to an equal item a little below zero.
    distances = torch.cat([so_far.distances, (lengths - 2 * samples @ items.T).clamp(min=0)], 1)
    smallest, columns = distances.topk(min(count, distances.shape[1]), largest=False)
    numbers = torch.arange(start, start + len(items), device=items.device).expand(len(samples), -1)
    return Neighbours(smallest, torch.cat([so_far.places, numbers], 1).gather(1, columns))
