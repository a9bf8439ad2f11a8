"""The order in which the items of a split are dealt: a function of the seed and the epoch."""

import torch
from torch import Tensor

from genlab.randomness import generator

_BLOCK = 4096
"""Numbers that are drawn together where many short permutations are needed."""


def shuffled(count: int, seed: int, epoch: int) -> Tensor:
    """Return the positions of `count` items in the order of an epoch, each position once."""
    return torch.randperm(count, generator=generator(seed, "order", epoch))


class Balanced:
    """An endless order in which all classes are equally frequent.

    The order consists of rounds: each round deals one item of each class, the classes in a random order. A class is
    dealt in random order too, and starts again when all of its items were dealt.
    """

    def __init__(self, labels: Tensor, seed: int) -> None:
        self.seed = seed
        counts = labels.bincount()
        # A class of which the split has no item takes no part.
        self.members = torch.split(labels.argsort(stable=True), counts[counts > 0].tolist())

    def positions(self, start: int, count: int) -> Tensor:
        """Return `count` positions in the split, beginning at place `start` of the endless order."""
        classes = len(self.members)
        first, last = start // classes, (start + count - 1) // classes
        turns = _permutations(first, last, classes, self.seed, "balance/rounds")
        items = torch.stack([self._dealt(number, first, last) for number in range(classes)], 1)
        return items.gather(1, turns).flatten()[start - first * classes :][:count]

    def _dealt(self, number: int, first: int, last: int) -> Tensor:
        """Return the item that a class deals in each of these rounds."""
        size = len(self.members[number])
        passes = _permutations(first // size, last // size, size, self.seed, "balance/class", number)
        return self.members[number][passes.flatten()[first % size :][: last - first + 1]]


def _permutations(first: int, last: int, size: int, seed: int, purpose: str, *numbers: int) -> Tensor:
    """Return the permutations `first` to `last` of an endless row of them, one a row."""
    rows = max(1, _BLOCK // size)
    blocks = range(first // rows, last // rows + 1)
    draws = torch.cat([torch.rand(rows, size, generator=generator(seed, purpose, *numbers, block)) for block in blocks])
    return draws[first - blocks[0] * rows :][: last - first + 1].argsort(dim=1, stable=True)
