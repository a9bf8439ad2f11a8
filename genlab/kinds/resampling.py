"""Bicubic resizing as Pillow does it, and the brightness of images."""

from torch import Tensor
from torch.nn import functional


def bicubic(images: Tensor, height: int, width: int) -> Tensor:
    """Resize images in [0, 1] as Pillow resizes bytes: antialiased, width before height, rounded after each pass."""
    for size in ((images.shape[2], width), (height, width)):
        if size != tuple(images.shape[2:]):
            images = functional.interpolate(images, size, mode="bicubic", antialias=True)
            images = images.mul(255).round().clamp(0, 255).div(255)
    return images


def shrunk(images: Tensor, scale: int) -> Tensor:
    """Downscale images by `scale` each way."""
    return bicubic(images, images.shape[2] // scale, images.shape[3] // scale)


def enlarged(images: Tensor, scale: int) -> Tensor:
    """Upscale images by `scale` each way: the baseline of every upscaling network."""
    return bicubic(images, images.shape[2] * scale, images.shape[3] * scale)


def luma(images: Tensor) -> Tensor:
    """Return the Y channel of ITU-R BT.601, from 16 to 235 of 255, on which the papers measure."""
    red, green, blue = (images[:, channel : channel + 1] for channel in (range(3) if images.shape[1] == 3 else [0] * 3))
    return (65.481 * red + 128.553 * green + 24.966 * blue + 16) / 255
