"""Memorisation: the distance of samples to the training items, and the share of copies."""

from collections.abc import Iterable

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


def nearest_distances(samples: Tensor, training: Iterable[Tensor]) -> Tensor:
    """Return the distances of each sample to its nearest training items, nearest first: N x 50, or fewer.

    A distance is the root mean square of the differences over the numbers of an item.
    """
    # mps is the one type of device without float64.
    device = torch.device("cpu") if samples.device.type == "mps" else samples.device
    flat = samples.flatten(1).to(device)
    parts = [flat[start : start + _AT_ONCE] for start in range(0, max(1, len(flat)), _AT_ONCE)]
    nearest = [torch.empty(len(part), 0, dtype=torch.float64, device=device) for part in parts]
    for batch in training:
        items = batch.flatten(1).to(device).double()
        nearest = [_nearer(*pair, items) for pair in zip(nearest, parts, strict=True)]
    return (torch.cat(nearest) / flat.shape[1]).sqrt()


def _nearer(so_far: Tensor, samples: Tensor, items: Tensor) -> Tensor:
    """Return the smallest squared distances among those so far and those to these items."""
    samples = samples.double()
    lengths = samples.square().sum(1, keepdim=True) + items.square().sum(1)
    # Rounding may leave the distance to an equal item a little below zero.
    distances = (lengths - 2 * samples @ items.T).clamp(min=0)
    found = torch.cat([so_far, distances], 1)
    return found.topk(min(NEIGHBOURS, found.shape[1]), largest=False).values
