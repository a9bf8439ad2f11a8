"""Perceptual distance of images, by the feature maps of an extractor."""

import torch
from torch import Tensor
from torch.nn import functional

from genlab.networks.extractor import Extractor
from genlab.registry import ConfigError

TILE = 640
"""Longest side of an image that is processed whole; the maps of larger images would fill memory."""


@torch.no_grad()
def distance(extractor: Extractor, first: Tensor, second: Tensor) -> Tensor:
    """Return the distance of each pair of images: LPIPS without learned weights (Zhang et al. 2018).

    At each position of a feature map, the channels are scaled to a vector of length 1. The squared differences are
    averaged over positions and then over maps: 0 means alike, 4 means opposite everywhere. Large images are tiled.
    """
    assert first.shape == second.shape
    found = [_of_pair(extractor, first[row, None], second[row, None]) for row in range(len(first))]
    return torch.stack(found) if found else first.new_zeros(0)


def name_of(extractor: Extractor) -> str:
    """Return the metric's name in tables; distances by different extractors cannot be compared."""
    return f"distance-{extractor.name}"


def _of_pair(extractor: Extractor, one: Tensor, other: Tensor) -> Tensor:
    """Return the average over tiles, weighted by their size."""
    tiles = list(zip(_tiles(one), _tiles(other), strict=True))
    shares = [tile.numel() / one.numel() for tile, _ in tiles]
    return torch.stack([share * _of_tile(extractor, *pair) for share, pair in zip(shares, tiles, strict=True)]).sum()


def _tiles(image: Tensor) -> list[Tensor]:
    rows, columns = (-(-side // TILE) for side in image.shape[2:])
    return [tile for row in image.tensor_split(rows, dim=2) for tile in row.tensor_split(columns, dim=3)]


def _of_tile(extractor: Extractor, one: Tensor, other: Tensor) -> Tensor:
    """Return the average over the maps; each pair of maps is freed before the next is compared."""
    maps, total = [extractor.maps(images) for images in (one, other)], list[Tensor]()
    while maps[0]:
        pair = [each.pop() for each in maps]
        if pair[0].shape[1] < 2:
            raise ConfigError(
                f"features {extractor.name!r} give no perceptual distance: a map of one channel has no direction."
            )
        directions = [functional.normalize(each.float(), dim=1, eps=1e-10) for each in pair]
        total.append((directions[0] - directions[1]).square_().sum(1).mean())
    return torch.stack(total).mean()
