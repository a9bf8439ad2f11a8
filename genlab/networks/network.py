"""The interface of networks: each builds an encoder and a decoder for a kind of data."""

from typing import Any, Protocol, runtime_checkable

from torch import nn

Size = tuple[int, int, int]
"""Channels, height, width."""


def at_least(least: float, **settings: float) -> None:
    """Raise a ValueError, which the registry completes, for the first setting below `least`."""
    for name, value in settings.items():
        if value < least:
            raise ValueError(f"{name} must be at least {least}, got {value}.")


class Network(Protocol):
    """An architecture without sizes: it builds modules that fit one kind of items.

    A network annotates `kind` with the kinds that it takes, such as `kind: Image | Points`. The annotation is what
    `kinds.fit` checks.
    """

    def encoder(self, kind: Any, features: int) -> nn.Module:
        """Build a module from a batch of items to N x features."""
        ...

    def decoder(self, features: int, kind: Any) -> nn.Module:
        """Build a module from N x features to a batch of items; its output is not bounded."""
        ...


@runtime_checkable
class TakesClasses(Network, Protocol):
    """A network that can also build a decoder whose layers are told a class, as by conditional normalisation."""

    def class_decoder(self, features: int, kind: Any, classes: int) -> nn.Module:
        """Build a module from N x (features + classes), the class of each item as 0s and a 1 at the end, to items."""
        ...
