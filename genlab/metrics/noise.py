"""Normal noise that belongs to an image, in whatever batch it comes."""

import math

import torch
from torch import Tensor

from genlab.randomness import generator


def noise_of_images(seed: int, purpose: str, first: int, count: int, *size: int) -> Tensor:
    """Standard normal numbers, `size` for each of `count` images that are numbered from `first` on; on the CPU."""
    width = math.prod(size)
    # On a CPU torch draws by blocks of 16: of whole blocks the first numbers are the same, however many there are.
    whole = 16 * math.ceil(width / 16)
    numbers = range(first, first + count)
    return torch.stack([_row(seed, purpose, number, whole)[:width] for number in numbers]).view(count, *size)


def _row(seed: int, purpose: str, number: int, width: int) -> Tensor:
    return torch.randn(width, generator=generator(seed, purpose, number))
