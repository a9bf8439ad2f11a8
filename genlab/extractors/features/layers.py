"""How images go into the networks that judge them, and how several layers become the one that a loss compares."""

import torch
from torch import Tensor
from torch.nn import functional

from genlab.data.dataset import Images
from genlab.registry import ConfigError


def check(images: Images | None) -> None:
    """The first look at the data: a network for pictures sees nothing in points."""
    if images is not None and images.shape.points:
        raise ConfigError("Features are seen in images, and this data is points.")
    if images is not None and images.shape.channels not in (1, 3):
        found = images.shape.channels
        raise ConfigError(f"Features are seen in images that are grey or in colour, and these have {found} channels.")


def colour(images: Tensor) -> Tensor:
    """Grey images with their one channel three times."""
    return images.expand(-1, 3, -1, -1) if images.shape[1] == 1 else images


def joined(fine: Tensor, coarse: Tensor) -> Tensor:
    """Two layers, one of half the other's size, as one in which the mean square of each counts half.

    By a layer of stride 4 alone, images are made that it cannot tell from the right ones and that are worse than
    blurred ones, with checkerboards; with one of stride 2 beside it they come out right.
    """
    down, right = (side % 2 for side in fine.shape[2:])
    folded = functional.pixel_unshuffle(functional.pad(fine, (0, right, 0, down), mode="replicate"), 2)
    channels = folded.shape[1] + coarse.shape[1]
    parts = [part * (channels / (2 * part.shape[1])) ** 0.5 for part in (folded, coarse)]
    return torch.cat(parts, dim=1)
