"""What takes noise away without having learnt anything: the median, and non-local means."""

import math

import torch
from torch import Tensor
from torch.nn import functional

from genlab.metrics.blocks import at_once

PATCH, DISTANCE, STRENGTH = 5, 6, 0.8
"""Of non-local means: the side of a patch, how far off others are looked for, and h by the noise's deviation."""

METHODS = (
    f"median of 3 x 3; non-local means of patches of {PATCH} x {PATCH} at most {DISTANCE} pixels off, with h = "
    f"{STRENGTH} of the noise's deviation, which it is told"
)
"""What the filters are, for whoever compares with them."""

# Of 28 x 28 pixels, 170 images: fewer make the rows too short, which have one number an image.
_AT_ONCE = 2**17


def median(images: Tensor) -> Tensor:
    """The median of each 3 x 3 neighbourhood, channel by channel; outside an image its border goes on."""
    height, width = images.shape[2:]
    padded = functional.pad(images, (1, 1, 1, 1), mode="replicate")
    low, middle, high = _in_order(*(padded[:, :, down : down + height] for down in range(3)))
    # Of nine numbers in sorted columns: the median of the largest low, the middle middle and the smallest high one.
    low, middle, high = (torch.stack([row[..., at : at + width] for at in range(3)]) for row in (low, middle, high))
    return _in_order(low.amax(0), _in_order(*middle)[1], high.amin(0))[1]


def non_local_means(noisy: Tensor, deviation: float) -> Tensor:
    """Each pixel as the mean of those around it whose neighbourhoods look alike (Buades et al. 2005).

    The squares of the differences are weighed by a normal window of deviation (PATCH - 1) / 4 and averaged over the
    channels, what noise of this deviation adds to them is taken off, and likeness falls as exp(-distance / h^2). An
    image is reflected at its border for patches, and looked at only inside it.
    """
    return torch.cat([_averaged(part, deviation) for part in torch.split(noisy, at_once(noisy, _AT_ONCE))])


def _averaged(noisy: Tensor, deviation: float) -> Tensor:
    """Each pair of pixels is compared once and counts for both."""
    margin, (height, width) = PATCH // 2, noisy.shape[2:]
    # Images innermost: every shift then goes through memory in long rows.
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
        distance = _smooth(squares).sub_(2 * deviation**2).clamp_(min=0)
        weight = distance.mul_(-1 / (STRENGTH * deviation) ** 2).exp_()
        for one, other in ((here, there), (there, here)):
            total[:, *one].addcmul_(weight, images[:, *other])
            weights[one].add_(weight)
    return (total / weights).permute(3, 0, 1, 2).contiguous()


Window = tuple[slice, slice]


def _overlap(down: int, right: int, height: int, width: int, more: int) -> tuple[Window, Window]:
    """The rows and columns that have a partner so far down and right, and the partners; `more` of them at the end."""
    tops, lefts = slice(0, height - down + more), slice(max(0, -right), width - max(0, right) + more)
    bottoms = slice(down, height + more)
    return (tops, lefts), (bottoms, slice(lefts.start + right, lefts.stop + right))


def _smooth(planes: Tensor) -> Tensor:
    """The means by a normal window of the first two dimensions, where it lies wholly inside."""
    spread = (PATCH - 1) / 4
    window = [math.exp(-(((place - PATCH // 2) / spread) ** 2) / 2) for place in range(PATCH)]
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
