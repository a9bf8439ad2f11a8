"""What every network can build."""

from typing import Protocol

from torch import nn

Size = tuple[int, int, int]
"""Channels, height, width."""


def at_least(least: float, **settings: float) -> None:
    """A ValueError, which the registry makes a sentence of, for the first setting that is less."""
    for name, value in settings.items():
        if value < least:
            raise ValueError(f"{name} must be at least {least}, and {value} is not.")


class Network(Protocol):
    """An architecture, without a size: it builds what fits the images."""

    def encoder(self, shape: Size, features: int) -> nn.Module:
        """N x C x H x W to N x features."""
        ...

    def decoder(self, features: int, shape: Size) -> nn.Module:
        """N x features to N x C x H x W, with no bound on what comes out."""
        ...
