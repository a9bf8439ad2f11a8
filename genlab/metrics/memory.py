"""Whether samples are copies of training images: how near the nearest of those is, and how alone it is there."""

from collections.abc import Iterable

import torch
from torch import Tensor

from genlab.contract import Shape

NEIGHBOURS = 50
"""How many of the nearest training images say how near is near; that and what follows as in Carlini et al. 2023."""

MUCH_NEARER = 0.5
"""A copy lies nearer to one training image than this part of its mean distance to the other near ones."""

RULE = (
    f"samples whose distance to the nearest training image is below {MUCH_NEARER} of the mean distance to the "
    f"{NEIGHBOURS - 1} next"
)
"""What a copy is, for whoever reads of them."""

_AT_ONCE = 1000


def memorised(samples: Tensor, training: Iterable[Tensor]) -> dict[str, float]:
    """How far the nearest training image is, as root mean square per pixel, and the share of samples that are copies.

    What is blurred lies near many training images and is no copy of one. No point on a line or plane is a copy either:
    there, of fifty neighbours the nearest is always much nearer.
    """
    nearest = nearest_distances(samples, training)
    figures: dict[str, float] = {}
    if len(nearest) and nearest.shape[1]:
        figures["nearest_training"] = float(nearest[:, 0].mean())
    if len(nearest) and nearest.shape[1] > 2 and not Shape(*samples.shape[1:]).points:
        copies = nearest[:, 0] < MUCH_NEARER * nearest[:, 1:].mean(1)
        figures["copies"] = float(copies.double().mean())
    return figures


def nearest_distances(samples: Tensor, training: Iterable[Tensor]) -> Tensor:
    """Of each sample the distances to its nearest training images, nearest first, as root mean square per pixel."""
    # The one kind of device that has no float64.
    home = torch.device("cpu") if samples.device.type == "mps" else samples.device
    flat = samples.flatten(1).to(home)
    parts = [flat[start : start + _AT_ONCE] for start in range(0, max(1, len(flat)), _AT_ONCE)]
    nearest = [torch.empty(len(part), 0, dtype=torch.float64, device=home) for part in parts]
    for batch in training:
        images = batch.flatten(1).to(home).double()
        nearest = [_nearer(*pair, images) for pair in zip(nearest, parts, strict=True)]
    return (torch.cat(nearest) / flat.shape[1]).sqrt()


def _nearer(so_far: Tensor, samples: Tensor, images: Tensor) -> Tensor:
    """The smallest squared distances after these images too."""
    samples = samples.double()
    lengths = samples.square().sum(1, keepdim=True) + images.square().sum(1)
    # What is left of the distance to an equal image is rounding, and may lie below zero.
    apart = (lengths - 2 * samples @ images.T).clamp(min=0)
    found = torch.cat([so_far, apart], 1)
    return found.topk(min(NEIGHBOURS, found.shape[1]), largest=False).values
