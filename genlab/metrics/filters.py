"""Denoising filters that are not trained: the median, and non-local means."""

import math

import torch
from torch import Tensor
from torch.nn import functional

from genlab.metrics.blocks import block_size

PATCH, DISTANCE, STRENGTH = 5, 6, 0.8
"""Settings of non-local means: side of a patch, largest distance of two patches, and h relative to the noise std."""

METHODS = (
    f"median of 3 x 3; non-local means with patches of {PATCH} x {PATCH} at most {DISTANCE} pixels apart, "
    f"h = {STRENGTH} times the std of the noise, which the filter is given"
)
"""The filters, as the protocol of an evaluation states them."""

# 170 images of 28 x 28 pixels. With fewer images, the innermost rows are too short: one number per image.
_AT_ONCE = 2**17


def median(images: Tensor) -> Tensor:
    """Replace each pixel by the median of its 3 x 3 neighbourhood, channel by channel; the border is replicated."""
    height, width = images.shape[2:]
    padded = functional.pad(images, (1, 1, 1, 1), mode="replicate")
    low, middle, high = _in_order(*(padded[:, :, down : down + height] for down in range(3)))
    # The median of nine numbers in sorted columns is the median of three: the largest low, the median of the middle
    # and the smallest high number.
    low, middle, high = (torch.stack([row[..., at : at + width] for at in range(3)]) for row in (low, middle, high))
    return _in_order(low.amax(0), _in_order(*middle)[1], high.amin(0))[1]


def non_local_means(noisy: Tensor, std: float) -> Tensor:
    """Replace each pixel by the mean of nearby pixels whose patches look alike (Buades et al. 2005).

    Squared differences of patches are weighted by a normal window with a std of (PATCH - 1) / 4 and averaged over the
    channels. The part that noise of this std adds is subtracted, and the weight of a pixel is exp(-distance / h^2). The
    image is reflected at its border for patches; only pixels inside it are averaged.
    """
    return torch.cat([_averaged(part, std) for part in torch.split(noisy, block_size(noisy, _AT_ONCE))])


def _averaged(noisy: Tensor, std: float) -> Tensor:
    """Average one block of images; each pair of pixels is compared once and counts for both."""
    margin, (height, width) = PATCH // 2, noisy.shape[2:]
    # With the images innermost, every shift reads memory in long rows.
    padded = functional.pad(noisy, (margin,) * 4, mode="reflect").permute(1, 2, 3, 0).contiguous()
    images = padded[:, margin:-margin, margin:-margin]
    total, weights = images.clone(), torch.ones_like(images[0])
    shifts = [(down, right) for down in range(DISTANCE + 1) for right in range(-DISTANCE, DISTANCE + 1)]
    for down, right in shifts[DISTANCE + 1 :]:
        if down >= height or abs(right) >= width:
            continue
        here, there = _overlap(down, right, height, width, 0)
        patches_here, patches_there = _overlap(down, right, height, width, 2 * margin)
        squares = (padded[:, *patches_here] - padded[:, *patches_there]).square_().mean(0)
        distance = _smooth(squares).sub_(2 * std**2).clamp_(min=0)
        weight = distance.mul_(-1 / (STRENGTH * std) ** 2).exp_()
        for one, other in ((here, there), (there, here)):
            total[:, *one].addcmul_(weight, images[:, *other])
            weights[one].add_(weight)
    return (total / weights).permute(3, 0, 1, 2).contiguous()


Window = tuple[slice, slice]


def _overlap(down: int, right: int, height: int, width: int, more: int) -> tuple[Window, Window]:
    """Return the rows and columns that have a partner at this shift, and those of the partners; `more` at the end."""
    tops, lefts = slice(0, height - down + more), slice(max(0, -right), width - max(0, right) + more)
    bottoms = slice(down, height + more)
    return (tops, lefts), (bottoms, slice(lefts.start + right, lefts.stop + right))


def _smooth(planes: Tensor) -> Tensor:
    """Average the first two dimensions by a normal window, where it lies wholly inside."""
    std = (PATCH - 1) / 4
    window = [math.exp(-(((place - PATCH // 2) / std) ** 2) / 2) for place in range(PATCH)]
    for dimension in (0, 1):
        size = planes.shape[dimension] - PATCH + 1
        rows = [planes.narrow(dimension, place, size) for place in range(PATCH)]
        planes = rows[0] * (window[0] / sum(window))
        for row, share in zip(rows[1:], window[1:], strict=True):
            planes.add_(row, alpha=share / sum(window))
    return planes


def _in_order(first: Tensor, second: Tensor, third: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    low, high = torch.minimum(first, second), torch.maximum(first, second)
    return torch.minimum(low, third), torch.maximum(low, torch.minimum(high, third)), torch.maximum(high, third)
