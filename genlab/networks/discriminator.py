"""The discriminator of a GAN: a network that scores items, its condition and its normalisation."""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.parametrizations import spectral_norm

from genlab.kinds import Image, Points
from genlab.networks.network import Network

Condition = Literal["none", "concatenate", "projection"]
DiscriminatorNormalization = Literal["batch", "layer", "none"]

_PROJECTED = 128
_REPLACEMENTS: dict[str, Callable[[int], nn.Module]] = {
    "layer": lambda channels: nn.GroupNorm(1, channels),
    "none": lambda channels: nn.Identity(),
}


class Discriminator(nn.Module):
    """A network with one score for each item, higher for real ones; a conditional one also takes the labels."""

    def __init__(
        self,
        network: Network,
        kind: Image | Points,
        classes: int,
        condition: Condition,
        normalization: DiscriminatorNormalization,
        spectral: bool,
    ) -> None:
        super().__init__()
        self.condition = condition
        features = 1
        if condition == "concatenate":
            # One more channel, or as many more coordinates, which the label selects (after Mirza and Osindero 2014).
            self.plane_shape, kind = _with_plane(kind)
            self.plane = nn.Embedding(classes, math.prod(self.plane_shape))
        elif condition == "projection":
            # The inner product of the features with a vector of the class (Miyato and Koyama 2018).
            features = _PROJECTED
            self.direction, self.score = nn.Embedding(classes, features), nn.Linear(features, 1)
        self.encoder = network.encoder(kind, features)
        if normalization in _REPLACEMENTS:
            _replace_batch_norm(self, _REPLACEMENTS[normalization])
        if spectral:
            for part in list(self.modules()):
                if isinstance(part, nn.Conv2d | nn.Linear | nn.Embedding):
                    spectral_norm(part)

    def forward(self, items: Tensor, labels: Tensor | None) -> Tensor:
        """Return one score for each item."""
        if self.condition == "concatenate":
            items = torch.cat([items, self.plane(labels).view(-1, *self.plane_shape)], dim=1)
        features = self.encoder(items)
        if self.condition == "projection":
            features = functional.leaky_relu(features, 0.2)
            features = self.score(features) + (features * self.direction(labels)).sum(1, keepdim=True)
        scores: Tensor = features.squeeze(1).float()
        return scores

    @property
    def normalizes_batches(self) -> bool:
        """True if the score of an item depends on the other items of its batch."""
        return any(isinstance(part, nn.BatchNorm1d | nn.BatchNorm2d) for part in self.modules())


def _with_plane(kind: Image | Points) -> tuple[tuple[int, ...], Image | Points]:
    """Return the shape of what the label adds to each item, and the kind of the result."""
    if isinstance(kind, Points):
        return kind.shape, Points(2 * kind.dimensions)
    return (1, kind.height, kind.width), replace(kind, channels=kind.channels + 1)


def _replace_batch_norm(module: nn.Module, replacement: Callable[[int], nn.Module]) -> None:
    for name, part in module.named_children():
        if isinstance(part, nn.BatchNorm1d | nn.BatchNorm2d):
            setattr(module, name, replacement(part.num_features))
        else:
            _replace_batch_norm(part, replacement)
