"""What is seen in images, as one row of numbers for each: sets of images are compared by such rows."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from genlab.data.dataset import Images
from genlab.registry import ConfigError

INSTEAD = "The features classifier (for data with labels) and random need nothing from elsewhere."
"""What a user reads who lacks a package or weights."""

_AT_ONCE, _PLACES = 128, 2**19


@dataclass(frozen=True)
class Embedding:
    """A way to turn images into rows of numbers; a distance between two sets means nothing without it."""

    name: str
    digest: str
    """16 hex digits that change with any weight and with how images are prepared."""
    says: str
    """What a protocol holds of it."""
    device: torch.device
    """Where it looks, and where its rows lie."""
    embed: Callable[[Tensor], Tensor]
    """Images in [0, 1], N x C x H x W, any number of them and wherever they lie, to N x F float32."""


def in_batches(
    look: Callable[[Tensor], Tensor], device: torch.device, most: int = _AT_ONCE
) -> Callable[[Tensor], Tensor]:
    """`look` at so many images at once as memory holds, on the device, and learning nothing from them."""

    def embed(images: Tensor) -> Tensor:
        if not len(images):
            # As wide as that of any.
            return embed(images.new_zeros(1, *images.shape[1:]))[:0]
        height, width = images.shape[2:]
        at_once = max(1, min(most, _PLACES // (height * width)))
        with torch.no_grad():
            starts = range(0, len(images), at_once)
            return torch.cat([look(images[start : start + at_once].to(device)).float() for start in starts])

    return embed


def refuse_points(name: str, images: Images | None) -> None:
    """The first look at the data: a network for pictures sees nothing in points."""
    if images is not None and images.shape.points:
        raise ConfigError(f"The features {name} are seen in images, and this data is points; coordinates takes them.")
