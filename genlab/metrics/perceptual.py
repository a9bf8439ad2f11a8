"""How different two images look, by what a network sees in them."""

import torch
from torch import Tensor
from torch.nn import functional

from genlab.networks.extractor import Features
from genlab.registry import ConfigError

TILE = 640
"""The longest side that is looked at as it is: of larger images the layers would fill memory."""


@torch.no_grad()
def distance(features: Features, first: Tensor, second: Tensor) -> Tensor:
    """Of each pair of images: how far the directions of all layers' vectors lie apart (Zhang et al. 2018, unweighted).

    At each place of a layer the vector of its channels has length 1; the squared differences are averaged over places
    and then over layers: 0 is alike, and 4 would be opposite everywhere. Large images are looked at in tiles.
    """
    assert first.shape == second.shape
    found = [_of_a_pair(features, first[place, None], second[place, None]) for place in range(len(first))]
    return torch.stack(found) if found else first.new_zeros(0)


def name_of(features: Features) -> str:
    """What it is called in a table: a distance means nothing without what it was measured by."""
    return f"distance-{features.name}"


def _of_a_pair(features: Features, one: Tensor, other: Tensor) -> Tensor:
    """The average over tiles, each as much as it is large."""
    tiles = list(zip(_tiles(one), _tiles(other), strict=True))
    shares = [tile.numel() / one.numel() for tile, _ in tiles]
    return torch.stack([share * _of_a_tile(features, *pair) for share, pair in zip(shares, tiles, strict=True)]).sum()


def _tiles(image: Tensor) -> list[Tensor]:
    rows, columns = (-(-side // TILE) for side in image.shape[2:])
    return [tile for row in image.tensor_split(rows, dim=2) for tile in row.tensor_split(columns, dim=3)]


def _of_a_tile(features: Features, one: Tensor, other: Tensor) -> Tensor:
    """The average over the layers, each let go of before the next is compared."""
    seen, total = [features.layers(images) for images in (one, other)], list[Tensor]()
    while seen[0]:
        layers = [layers.pop() for layers in seen]
        if layers[0].shape[1] < 2:
            raise ConfigError(f"No distance can be measured by {features.name}: one channel has no direction.")
        directions = [functional.normalize(layer.float(), dim=1, eps=1e-10) for layer in layers]
        total.append((directions[0] - directions[1]).square_().sum(1).mean())
    return torch.stack(total).mean()
