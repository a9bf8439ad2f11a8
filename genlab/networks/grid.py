"""Convolutions from an image to a grid of codes, and back from the grid to the image."""

import math
from itertools import pairwise

from torch import Tensor, nn

from genlab.kinds import Image
from genlab.networks.convolutional import NORMALIZATIONS
from genlab.networks.network import at_least
from genlab.registry import ConfigError

# Normalisation by groups: an item's codes do not depend on its batch, so training and evaluation see the same codes.
_NORM = NORMALIZATIONS["group"]


class Bottleneck(nn.Module):
    """A 3x3 convolution to half of the channels and a 1x1 convolution back, whose result is added to their input."""

    def __init__(self, width: int) -> None:
        super().__init__()
        inner = max(1, width // 2)
        self.body = nn.Sequential(
            _NORM(width), nn.ReLU(), nn.Conv2d(width, inner, 3, 1, 1), nn.ReLU(), nn.Conv2d(inner, width, 1)
        )

    def forward(self, values: Tensor) -> Tensor:
        """Return the values plus the output of the convolutions."""
        change: Tensor = self.body(values)
        return values + change


class Grid:
    """Strided convolutions and residual blocks whose codes lie on a grid, one for each `downsampling` x `downsampling`.

    The layout is that of van den Oord et al. (2017), with normalisation by groups (Wu and He 2018).
    """

    def __init__(self, kind: Image, *, downsampling: int, width: int, blocks: int) -> None:
        at_least(1, width=width, blocks=blocks)
        at_least(2, downsampling=downsampling)
        if downsampling & (downsampling - 1):
            raise ConfigError(f"downsampling must be a power of two, such as 2, 4 or 8, got {downsampling}.")
        _check_sides(kind, downsampling)
        self.kind, self.width, self.blocks = kind, width, blocks
        self.sides = kind.height // downsampling, kind.width // downsampling
        halvings = int(math.log2(downsampling))
        self.channels = [max(1, width // 2 ** (halvings - stage)) for stage in range(1, halvings + 1)]

    def encoder(self, features: int) -> nn.Sequential:
        """Build a module from images to N x features x rows x columns."""
        layers: list[nn.Module] = []
        for before, after in pairwise([self.kind.channels, *self.channels]):
            layers += [nn.Conv2d(before, after, 4, 2, 1), _NORM(after), nn.ReLU()]
        # The residual blocks begin with a normalisation and a ReLU of their own.
        return nn.Sequential(*layers[:-2], *self._residuals(), nn.Conv2d(self.width, features, 1))

    def decoder(self, features: int) -> nn.Sequential:
        """Build a module from N x features x rows x columns to images; its output is not bounded."""
        layers: list[nn.Module] = [nn.Conv2d(features, self.width, 3, 1, 1), *self._residuals()]
        for before, after in pairwise([*self.channels[::-1], self.kind.channels]):
            layers += [nn.ConvTranspose2d(before, after, 4, 2, 1), _NORM(after), nn.ReLU()]
        return nn.Sequential(*layers[:-2])

    def _residuals(self) -> list[nn.Module]:
        return [*(Bottleneck(self.width) for _ in range(self.blocks)), _NORM(self.width), nn.ReLU()]


def _check_sides(kind: Image, downsampling: int) -> None:
    """Raise a ConfigError that names sizes that work, if the downsampling does not divide both sides of the image."""
    height, width = kind.height, kind.width
    if height % downsampling == 0 and width % downsampling == 0:
        return
    smaller = [side // downsampling * downsampling for side in (height, width)]
    larger = [math.ceil(side / downsampling) * downsampling for side in (height, width)]
    sizes = " or ".join(f"{high}x{wide}" for high, wide in (smaller, larger) if high and wide)
    raise ConfigError(
        f"downsampling={downsampling} must divide both sides of an image, and the images have {height}x{width} pixels; "
        f"use images of {sizes} pixels, or another model.downsampling."
    )
