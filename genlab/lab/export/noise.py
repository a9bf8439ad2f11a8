"""Sampling as a function of its noise: the random numbers of a model become an input."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from genlab import randomness
from genlab.contract import Model, Samples
from genlab.kinds import Classes

_COUNT = 3


class NoiseError(Exception):
    """The reason why the noise of a model cannot be an input, as a sentence."""


class Width(NamedTuple):
    """Random numbers for each sample: those that the model draws, and those that change the sample."""

    drawn: int
    used: int

    def padded(self, noise: Tensor) -> Tensor:
        """Add the numbers that change nothing."""
        return functional.pad(noise, (0, self.drawn - self.used)) if self.drawn > self.used else noise


@contextmanager
def given_noise(noise: Tensor) -> Iterator[None]:
    """Let `randomness.normal` return this noise inside a `with` block."""
    with _normal(lambda count, *size, **_: noise):
        yield


@contextmanager
def _normal(replacement: Callable[..., Tensor]) -> Iterator[None]:
    before = randomness.normal
    randomness.normal = replacement
    try:
        yield
    finally:
        randomness.normal = before


@torch.no_grad()
def width_of_noise(model: Model, classes: Classes | None) -> Width:
    """Return how many normal numbers a sample takes; raise a NoiseError if it is not drawn from these alone.

    A conditional model draws one more number for the class, which is an input here, so that number changes nothing.
    """
    assert isinstance(model, Samples)
    label = None if classes is None else {"label": torch.arange(_COUNT) % len(classes)}
    draws, before = list[tuple[int, ...]](), randomness.normal

    def counted(count: int, *size: int, **options: Any) -> Tensor:
        draws.append(size)
        return before(count, *size, **options)

    with _normal(counted):
        model.sample(_COUNT, label)
    if len(draws) != 1 or len(draws[0]) != 1:
        raise NoiseError(
            "Its samples are not drawn from one normal vector of genlab.randomness.normal each, so an exported file "
            "cannot take the noise as an input."
        )
    width = draws[0][0]
    noise = torch.randn(_COUNT, width, generator=torch.Generator().manual_seed(0))
    found = list[Tensor]()
    for last in (-1.5, 1.5):
        noise[:, -1] = last
        with given_noise(noise), torch.random.fork_rng([]):
            torch.manual_seed(0)
            found.append(model.sample(_COUNT, label))
    unused = classes is not None and torch.equal(*found)
    return Width(width, width - unused)
