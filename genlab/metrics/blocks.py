"""How much is worked on at once: on a CPU what its cache holds, elsewhere enough to keep the device busy."""

from torch import Tensor

_MORE_ELSEWHERE = 64


def at_once(images: Tensor, numbers: int) -> int:
    """How many of these images are a block of so many numbers, where that is what a CPU's cache holds; one at least."""
    numbers = numbers if images.device.type == "cpu" else _MORE_ELSEWHERE * numbers
    return max(1, numbers // images[0].numel())
