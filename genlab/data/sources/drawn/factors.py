"""What is free in a drawing: the truth about each image, drawn at random and kept beside it."""

from dataclasses import dataclass

import torch
from torch import Tensor

from genlab.data.dataset import Attribute
from genlab.randomness import generator
from genlab.registry import ConfigError

BLOCK = 1024
"""Images whose truth is drawn together; always a whole block, so that no image depends on how many follow it."""

SMALLEST, LARGEST = 16, 256


@dataclass(frozen=True)
class Number:
    """A factor that is anything between two numbers, all equally likely."""

    lowest: float
    highest: float

    def of(self, chances: Tensor) -> Tensor:
        """The values that belong to numbers from 0 to 1."""
        return self.lowest + chances * (self.highest - self.lowest)

    def attribute(self, values: Tensor) -> Attribute:
        """The values as a data set keeps them."""
        return Attribute(values)


@dataclass(frozen=True)
class Choice:
    """A factor that is one of some names, all equally likely."""

    names: tuple[str, ...]

    def of(self, chances: Tensor) -> Tensor:
        """The indices that belong to numbers from 0 to 1."""
        return (chances * len(self.names)).long()

    def attribute(self, values: Tensor) -> Attribute:
        """The values as a data set keeps them."""
        return Attribute(values, self.names)


Factors = dict[str, Number | Choice]


def draw_factors(factors: Factors, count: int, seed: int, purpose: str) -> dict[str, Tensor]:
    """The values of each factor, independent of those of every other."""
    return {name: factor.of(chances(count, seed, f"{purpose}/{name}")) for name, factor in factors.items()}


def chances(count: int, seed: int, purpose: str) -> Tensor:
    """Numbers from 0 to 1, of which the first are the same whatever the count."""
    blocks = range(-(-count // BLOCK))
    return torch.cat([torch.rand(BLOCK, generator=generator(seed, purpose, block)) for block in blocks])[:count]


def check_size(size: int) -> None:
    """Refuse images that are too small to see anything on, or too large to train on."""
    if not SMALLEST <= size <= LARGEST:
        raise ConfigError(f"size must be between {SMALLEST} and {LARGEST}, and {size} is not.")


def split(count: int, validation: int, test: int) -> dict[str, Tensor]:
    """The first images to test on, the next to choose by: a larger count only adds images to train on."""
    for name, part in (("validation", validation), ("test", test)):
        if part < 1:
            raise ConfigError(f"{name} must be at least 1, and {part} is not.")
    if count <= validation + test:
        together = validation + test
        raise ConfigError(f"count must be above {together}, which validation and test take, and {count} is not.")
    order = torch.arange(count)
    return {"train": order[test + validation :], "validation": order[test : test + validation], "test": order[:test]}
