"""Baselines of translated images: ways to translate that know no more than means, or a nearest neighbour."""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

_BLOCK = 2**26
"""Differences of numbers that are held at once in a search."""


@dataclass(frozen=True)
class MeanColour:
    """Inputs to which the mean difference between targets and inputs is added, in each channel."""

    difference: Tensor
    """1 x C x 1 x 1."""

    @classmethod
    def of(cls, pairs: Iterable[tuple[Tensor, Tensor]]) -> "MeanColour":
        """Compute the mean difference over batches of inputs and targets."""
        total, count = torch.zeros(()), 0
        for source, target in pairs:
            total = total + (target - source).double().mean((2, 3)).sum(0)
            count += len(target)
        return cls((total / max(1, count)).float().view(1, -1, 1, 1))

    def __call__(self, source: Tensor) -> Tensor:
        """Return the inputs with this colour; of grey ones, the brightness stays."""
        return (source + self.difference).clamp(0, 1)


@dataclass(frozen=True)
class NearestTarget:
    """The targets of the training inputs that are nearest to the given inputs."""

    sources: Tensor
    targets: Tensor

    def __call__(self, source: Tensor) -> Tensor:
        """Return for each input the target of the training input with the least squared distance."""
        known = self.sources.flatten(1)
        parts = torch.split(source.flatten(1), max(1, _BLOCK // max(1, len(known))))
        nearest = torch.cat([torch.cdist(part, known).argmin(1) for part in parts])
        return self.targets[nearest]


@dataclass(frozen=True)
class PixelArithmetic:
    """Images to which the difference of the mean images of two domains is added."""

    step: Tensor
    """The mean image of the second domain minus that of the first."""

    @classmethod
    def of(cls, first: Iterable[Tensor], second: Iterable[Tensor]) -> "PixelArithmetic":
        """Compute the mean images of both domains."""
        return cls(_mean(second) - _mean(first))

    def __call__(self, images: Tensor, sign: int) -> Tensor:
        """Return the images with the difference added (sign 1) or subtracted (sign -1)."""
        return (images + sign * self.step).clamp(0, 1)


def _mean(batches: Iterable[Tensor]) -> Tensor:
    total, count = torch.zeros(()), 0
    for images in batches:
        total, count = total + images.double().sum(0), count + len(images)
    return (total / max(1, count)).float()
