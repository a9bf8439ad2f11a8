"""Images that lack something: colour, a box of pixels, or all but their edges. A model learns to give it back."""

import torch
from torch import Tensor
from torch.nn import functional

from genlab import randomness

GREY = 0.5
"""The brightness of a missing box."""


def without_colour(images: Tensor) -> Tensor:
    """Return the brightness of colour images, N x 1 x H x W, with the weights of ITU-R BT.601."""
    weights = images.new_tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)
    return (weights * images).sum(1, keepdim=True)


def without_a_box(images: Tensor) -> Tensor:
    """Return images in which a box is grey; each of its sides is between a quarter and a half of the image's side."""
    rows, columns = (_inside_of_box(images, dimension) for dimension in (2, 3))
    inside = rows.unsqueeze(2) & columns.unsqueeze(1)
    return torch.where(inside.unsqueeze(1), GREY, images)


def edges(images: Tensor) -> Tensor:
    """Return the edges of images, N x 1 x H x W: the length of Sobel's gradient, at most 1.

    Of the channels of a colour image the one with the strongest edge counts. The pixels of the border are repeated
    outside.
    """
    smooth, across = images.new_tensor([1.0, 2.0, 1.0]) / 4, images.new_tensor([-1.0, 0.0, 1.0])
    channels = images.flatten(0, 1).unsqueeze(1)
    padded = functional.pad(channels, (1, 1, 1, 1), mode="replicate")
    kernels = torch.stack([smooth.outer(across), across.outer(smooth)]).unsqueeze(1)
    strength = functional.conv2d(padded, kernels).square().sum(1).sqrt()
    return strength.view_as(images).amax(1, keepdim=True).clamp(max=1)


def _inside_of_box(images: Tensor, dimension: int) -> Tensor:
    """Draw a side of each image's box, and return True for each place in it, N x places."""
    count, side = len(images), images.shape[dimension]
    least, most = max(1, side // 4), max(1, side // 2)
    length = randomness.integers(least, most + 1, count, 1, device=images.device)
    # Drawn as a share, because the number of places that are left depends on the length.
    start = (randomness.uniform(count, 1, device=images.device) * (side - length + 1)).long()
    places = torch.arange(side, device=images.device)
    return (places >= start) & (places < start + length)
