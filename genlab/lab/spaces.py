"""Items as rows of numbers, in which distances mean something."""

from functools import singledispatch

from torch import Tensor
from torch.nn import functional

from genlab.kinds import Image, Kind, Tokens


@singledispatch
def flat(kind: Kind, items: Tensor) -> Tensor:
    """Return the numbers of each item, N x numbers: of an image its pixels."""
    return items.flatten(1).float()


@flat.register
def _(kind: Tokens, items: Tensor) -> Tensor:
    # The distance between two symbols does not depend on their numbers.
    return functional.one_hot(items.long(), len(kind.vocabulary)).flatten(1).float()


def numbers_called(kind: Kind) -> str:
    """Return the word for the numbers of an item: pixels, coordinates or symbols."""
    return "pixels" if isinstance(kind, Image) else "symbols" if isinstance(kind, Tokens) else "coordinates"


def counted(count: int, noun: str) -> str:
    """Return `1 number` or `20 numbers`."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
