"""Fully connected layers."""

import math
from collections.abc import Callable
from functools import partial
from itertools import pairwise
from typing import Literal

from torch import nn

from genlab.kinds import Image, Points
from genlab.networks.network import at_least

ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "relu": nn.ReLU,
    "leaky": partial(nn.LeakyReLU, 0.2),
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "tanh": nn.Tanh,
    "sigmoid": nn.Sigmoid,
}


class Mlp:
    """Hidden layers of the given widths; the decoder has them in reverse order."""

    def __init__(
        self, *, hidden: list[int], activation: Literal["relu", "leaky", "gelu", "silu", "tanh", "sigmoid"] = "relu"
    ) -> None:
        at_least(1, **{f"hidden[{place}]": width for place, width in enumerate(hidden)})
        self.hidden, self.activation = hidden, ACTIVATIONS[activation]

    def encoder(self, kind: Image | Points, features: int) -> nn.Sequential:
        """Build layers from an item to its features, for example 784-400-20."""
        return nn.Sequential(nn.Flatten(), *self._layers([math.prod(kind.shape), *self.hidden, features]))

    def decoder(self, features: int, kind: Image | Points) -> nn.Sequential:
        """Build layers from features to an item, for example 20-400-784."""
        layers = self._layers([features, *self.hidden[::-1], math.prod(kind.shape)])
        return nn.Sequential(*layers, nn.Unflatten(1, kind.shape))

    def _layers(self, widths: list[int]) -> list[nn.Module]:
        layers: list[nn.Module] = []
        for before, after in pairwise(widths):
            layers += [nn.Linear(before, after), self.activation()]
        return layers[:-1]
