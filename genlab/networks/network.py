"""What every network can build."""

from typing import Protocol

from torch import nn

Size = tuple[int, int, int]
"""Channels, height, width."""


class Network(Protocol):
    """An architecture, without a size: it builds what fits the images."""

    def encoder(self, shape: Size, features: int) -> nn.Module:
        """N x C x H x W to N x features."""
        ...

    def decoder(self, features: int, shape: Size) -> nn.Module:
        """N x features to N x C x H x W, with no bound on what comes out."""
        ...
