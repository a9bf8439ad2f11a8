"""Randomness without hidden state: every random number is a function of (seed, purpose, numbers)."""

import hashlib
import math
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from genlab import distributed


def key(seed: int, purpose: str, *numbers: int) -> int:
    """Return 63 bits that any two different (seed, purpose, numbers) share only by chance."""
    text = f"{seed}/{purpose}/" + "/".join(map(str, numbers))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def generator(seed: int, purpose: str, *numbers: int, device: str | torch.device = "cpu") -> torch.Generator:
    """Return a generator for one purpose, which no other draw can shift."""
    return torch.Generator(device).manual_seed(key(seed, purpose, *numbers))


def reseed(device: torch.device, seed: int, purpose: str, *numbers: int) -> None:
    """Set the default generators that code on this device draws from; `torch.manual_seed` is 180 times as slow."""
    number = key(seed, purpose, *numbers)
    torch.default_generator.manual_seed(number)
    if device.type == "cuda":
        index = device.index if device.index is not None else torch.cuda.current_device()
        torch.cuda.default_generators[index].manual_seed(number)
    elif device.type != "cpu":
        torch.get_device_module(device).manual_seed(number)


def normal(count: int, *size: int, device: torch.device, generator: torch.Generator | None = None) -> Tensor:
    """Draw standard normal numbers, `size` for each of `count` rows, on the generator's device, then move them.

    n rows and then m rows are the same as n + m rows at once.
    """
    width = math.prod(size)
    # On a CPU torch draws in blocks of 16, so each row is drawn in whole blocks.
    blocks = math.ceil(width / 16)
    rows = _drawn(torch.randn, count, 16 * blocks, device=device, generator=generator)
    return rows[:, :width].reshape(count, *size).to(device)


def normal_like(values: Tensor) -> Tensor:
    """Draw a standard normal number for each number of a batch, which must have all of its rows or an equal part.

    This is faster than `normal`, but n rows and then m rows are not the same as n + m rows at once.
    """
    return _drawn(torch.randn, values.shape[0], *values.shape[1:], device=values.device)


def uniform(count: int, *size: int, device: torch.device, generator: torch.Generator | None = None) -> Tensor:
    """Draw numbers in [0, 1), `size` for each of `count` rows."""
    return _drawn(torch.rand, count, *size, device=device, generator=generator)


def integers(
    low: int, high: int, count: int, *size: int, device: torch.device, generator: torch.Generator | None = None
) -> Tensor:
    """Draw integers from `low` to `high - 1`, `size` for each of `count` rows."""
    return _drawn(partial(torch.randint, low, high), count, *size, device=device, generator=generator)


def _drawn(
    draw: Callable[..., Tensor],
    count: int,
    *size: int,
    device: torch.device,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Draw `count` rows; if several processes share a batch, draw those of the whole batch and return our part."""
    parts = distributed.parts()
    place = generator.device if generator else device
    found = draw((count * parts, *size), generator=generator, device=place)
    return found if parts == 1 else found[distributed.rows(count * parts)]


def normal_rows(seed: int, purpose: str, first: int, count: int, *size: int) -> Tensor:
    """Draw standard normal numbers that belong to items, numbered from `first`, in whatever batch an item comes."""
    width = math.prod(size)
    # As above: whole blocks, so that the first numbers are the same whatever the width.
    whole = 16 * math.ceil(width / 16)
    numbers = range(first, first + count)
    rows = [torch.randn(whole, generator=generator(seed, purpose, number))[:width] for number in numbers]
    return torch.stack(rows).view(count, *size)
