"""Randomness without hidden state: every random number is a function of (seed, purpose, numbers)."""

import hashlib
import math

import torch
from torch import Tensor


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
    rows = torch.randn(count, 16 * blocks, generator=generator, device=generator.device if generator else device)
    return rows[:, :width].reshape(count, *size).to(device)


def normal_rows(seed: int, purpose: str, first: int, count: int, *size: int) -> Tensor:
    """Draw standard normal numbers that belong to items, numbered from `first`, in whatever batch an item comes."""
    width = math.prod(size)
    # As above: whole blocks, so that the first numbers are the same whatever the width.
    whole = 16 * math.ceil(width / 16)
    numbers = range(first, first + count)
    rows = [torch.randn(whole, generator=generator(seed, purpose, number))[:width] for number in numbers]
    return torch.stack(rows).view(count, *size)
