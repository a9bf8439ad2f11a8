"""Bicubic resizing as Pillow does it, and the brightness of images."""

import torch
from torch import Tensor
from torch.nn import functional

_TIE = 2.0**-14
"""Far above the error of a sum of floats, and below the least distance of other values from a half."""


def bicubic(images: Tensor, height: int, width: int) -> Tensor:
    """Resize images in [0, 1] as Pillow resizes bytes: antialiased, width before height, rounded after each pass."""
    for size in ((images.shape[2], width), (height, width)):
        if size != tuple(images.shape[2:]):
            images = _in_bytes(functional.interpolate(images, size, mode="bicubic", antialias=True))
    return images


def shrunk(images: Tensor, scale: int) -> Tensor:
    """Downscale images by `scale` each way."""
    return bicubic(images, images.shape[2] // scale, images.shape[3] // scale)


def enlarged(images: Tensor, scale: int) -> Tensor:
    """Upscale images by `scale` each way: the baseline of every upscaling network."""
    if torch.compiler.is_exporting():
        # The exporter to ONNX translates the antialiased filter wrongly at the edges.
        wide = _in_bytes(_widened(images, scale))
        return _in_bytes(_widened(wide.transpose(2, 3), scale).transpose(2, 3))
    return bicubic(images, images.shape[2] * scale, images.shape[3] * scale)


def luma(images: Tensor) -> Tensor:
    """Return the Y channel of ITU-R BT.601, from 16 to 235 of 255, on which the papers measure."""
    red, green, blue = (images[:, channel : channel + 1] for channel in (range(3) if images.shape[1] == 3 else [0] * 3))
    return (65.481 * red + 128.553 * green + 24.966 * blue + 16) / 255


def _in_bytes(images: Tensor) -> Tensor:
    """Round to bytes. Halves go up, as in Pillow, even if the sum before was slightly too small.

    Halves are common, because the weights of the filter are fractions of powers of two. So every library and device
    gives the same bytes.
    """
    return images.mul(255).add(0.5 + _TIE).floor().clamp(0, 255).div(255)


def _widened(images: Tensor, scale: int) -> Tensor:
    """Upscale the width by the bicubic filter, written as a convolution; at the edges the other weights count more."""
    count, channels, height, width = images.shape
    offsets = (torch.arange(scale) + 0.5) / scale - 0.5
    distances = (offsets.unsqueeze(1) - torch.arange(-2, 3)).abs()
    near = 1.5 * distances**3 - 2.5 * distances**2 + 1
    far = -0.5 * distances**3 + 2.5 * distances**2 - 4 * distances + 2
    weights = torch.where(distances <= 1, near, torch.where(distances < 2, far, 0.0)).view(scale, 1, 1, 5)
    weights = weights.to(images)
    rows = images.reshape(count * channels, 1, height, width)
    inside = functional.conv2d(torch.ones_like(rows[:1, :, :1]), weights, padding=(0, 2))
    wide = functional.conv2d(rows, weights, padding=(0, 2)) / inside
    return wide.permute(0, 2, 3, 1).reshape(count, channels, height, width * scale)
