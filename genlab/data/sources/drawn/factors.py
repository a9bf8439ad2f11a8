"""The factors that vary in a drawing: drawn at random for each image, and kept as its attributes."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from genlab.data.dataset import Column, Redraw, attribute
from genlab.randomness import generator
from genlab.registry import ConfigError

BLOCK = 1024
"""Images whose factors are drawn together; always a whole block, so that no image depends on the number of images."""

SMALLEST, LARGEST = 16, 256

COLUMNS = {"x": "position_x", "y": "position_y"}
"""Names of the columns of factors whose own names are taken by other columns."""


@dataclass(frozen=True)
class Number:
    """A factor that is any number between two numbers, all equally likely."""

    lowest: float
    highest: float

    def of(self, chances: Tensor) -> Tensor:
        """Return the values that belong to numbers from 0 to 1."""
        return self.lowest + chances * (self.highest - self.lowest)

    def column(self, values: Tensor) -> Column:
        """Return the values as a column of a data set."""
        return attribute(values)


@dataclass(frozen=True)
class Choice:
    """A factor that is one of several names, all equally likely."""

    names: tuple[str, ...]

    def of(self, chances: Tensor) -> Tensor:
        """Return the indices that belong to numbers from 0 to 1."""
        return (chances * len(self.names)).long()

    def column(self, values: Tensor) -> Column:
        """Return the values as a column of a data set."""
        return attribute(values, self.names)


Factors = dict[str, Number | Choice]


def draw_factors(factors: Factors, count: int, seed: int, purpose: str) -> dict[str, Tensor]:
    """Draw the values of each factor, independent of those of every other."""
    return {name: factor.of(chances(count, seed, f"{purpose}/{name}")) for name, factor in factors.items()}


def columns_of(factors: Factors, values: Mapping[str, Tensor]) -> dict[str, Column]:
    """Return the values of each factor as a column; `x` and `y` are renamed, for a data set uses these names itself."""
    return {COLUMNS.get(name, name): factor.column(values[name]) for name, factor in factors.items()}


def redrawing(draw: Callable[[dict[str, Tensor], int], Tensor], factors: Factors, size: int) -> Redraw:
    """Return the function that draws images of this size from the columns that `columns_of` returns."""

    def redraw(columns: Mapping[str, Tensor]) -> Tensor:
        return draw({name: columns[COLUMNS.get(name, name)] for name in factors}, size)

    return redraw


def chances(count: int, seed: int, purpose: str) -> Tensor:
    """Draw numbers from 0 to 1; the first ones are the same whatever the count."""
    blocks = range(-(-count // BLOCK))
    return torch.cat([torch.rand(BLOCK, generator=generator(seed, purpose, block)) for block in blocks])[:count]


def check_size(size: int) -> None:
    """Raise a ConfigError for images that are too small to show anything, or too large to train on."""
    if not SMALLEST <= size <= LARGEST:
        raise ConfigError(f"size must be between {SMALLEST} and {LARGEST}, got {size}.")


def split(count: int, validation: int, test: int) -> dict[str, Tensor]:
    """Return the splits: the first images are for the test, the next for validation, all others for training.

    A larger count therefore only adds training images.
    """
    for name, part in (("validation", validation), ("test", test)):
        if part < 1:
            raise ConfigError(f"{name} must be at least 1, got {part}.")
    if count <= validation + test:
        small = f", or set smaller splits: data.validation={max(1, count // 10)} data.test={max(1, count // 5)}"
        raise ConfigError(
            f"data.count must be above data.validation + data.test, which is {validation} + {test}, got {count}. "
            f"Set data.count={10 * (validation + test)}{small if count > 2 else ''}."
        )
    order = torch.arange(count)
    return {"train": order[test + validation :], "validation": order[test : test + validation], "test": order[:test]}
