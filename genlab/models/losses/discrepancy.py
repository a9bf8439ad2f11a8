"""The maximum mean discrepancy: how far a batch of codes is from draws of a prior."""

import torch
from torch import Tensor

SCALES = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
"""Widths of the kernels, as in the code of Tolstikhin et al. 2018: together they see small and large distances."""


def discrepancy(codes: Tensor, draws: Tensor) -> Tensor:
    """Return the squared maximum mean discrepancy of N codes and N draws of N(0, I), without bias.

    It is 0 on average if both come from one distribution, so a single estimate can be below 0. The kernel is the sum of
    the inverse multiquadrics c / (c + squared distance), where c is a scale times 2 D: the mean squared distance of two
    draws (Tolstikhin et al. 2018).
    """
    count, size = codes.shape
    both = torch.cat([codes, draws])
    lengths = both.square().sum(1)
    # Through products: differences would need N x N x D numbers.
    squares = (lengths[:, None] + lengths - 2 * both @ both.T).clamp_min(0)
    widths = [2 * size * scale for scale in SCALES]
    kernel = torch.stack([width / (width + squares) for width in widths]).sum(0)
    # An item is not compared with itself: that would count as a cluster.
    within = kernel[:count, :count], kernel[count:, count:]
    pairs = max(count * (count - 1), 1)
    same = sum(((part.sum() - part.trace()) / pairs for part in within), start=kernel.new_zeros(()))
    return same - 2 * kernel[:count, count:].mean()
