"""The number of items that are processed together."""

from torch import Tensor

_MORE_ELSEWHERE = 64


def block_size(items: Tensor, numbers: int) -> int:
    """Return how many items make a block of about `numbers` numbers, and at least 1.

    `numbers` should fit the cache of a CPU; other devices get 64 times as many, to keep them busy.
    """
    numbers = numbers if items.device.type == "cpu" else _MORE_ELSEWHERE * numbers
    return max(1, numbers // items[0].numel())
