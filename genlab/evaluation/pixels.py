"""How near an image comes to the true one, pixel by pixel: PSNR and SSIM, in colour and in brightness."""

from typing import Any

import torch
from torch import Tensor

from genlab.data.vision import torchvision
from genlab.registry import ConfigError
from genlab.resampling import luma

WINDOW = 11
# SSIM keeps thirty numbers for each pixel of a colour image: large images are measured a band of rows at a time.
_AT_ONCE = 2**18


def psnr(images: Tensor, truth: Tensor, border: int = 0) -> Tensor:
    """Peak signal to noise of each image in decibels, `border` pixels at each side left out; of equal ones infinite."""
    _check(images, truth, border, smallest=1)
    first, second = inside(images, border), inside(truth, border)
    made: Tensor = _measures().peak_signal_noise_ratio(first, second, 1.0, reduction="none", dim=(1, 2, 3))
    return made


def ssim(images: Tensor, truth: Tensor, border: int = 0) -> Tensor:
    """Structural similarity of each image (Wang et al. 2004), `border` pixels at each side left out.

    By gaussian windows of 11 x 11 with a deviation of 1.5, of which only those count that lie wholly inside, as in the
    paper; torchmetrics by itself reflects the image at its sides and counts those windows too. Channels are averaged.
    """
    _check(images, truth, border, smallest=WINDOW)
    first, second = inside(images, border), inside(truth, border)
    margin, (height, width) = WINDOW // 2, first.shape[2:]
    rows = max(1, _AT_ONCE // (len(first) * width))
    total = torch.zeros(len(first), dtype=torch.float64, device=first.device)
    for top in range(0, height - 2 * margin, rows):
        band = slice(top, min(height, top + rows + 2 * margin))
        _, similar = _measures().structural_similarity_index_measure(
            first[:, :, band], second[:, :, band], data_range=1.0, reduction="none", return_full_image=True
        )
        total += inside(similar, margin).double().mean(1).sum((1, 2))
    return (total / ((height - 2 * margin) * (width - 2 * margin))).float()


def compared(images: Tensor, truth: Tensor, border: int) -> dict[str, Tensor]:
    """Every measure of each image, by the name that it has in tables; of grey images both kinds are the same."""
    in_colour, in_brightness = (images, truth), (luma(images), luma(truth))
    return {
        "PSNR-RGB": psnr(*in_colour, border),
        "SSIM-RGB": ssim(*in_colour, border),
        "PSNR-Y": psnr(*in_brightness, border),
        "SSIM-Y": ssim(*in_brightness, border),
    }


def inside(images: Tensor, border: int) -> Tensor:
    """The images without so many pixels at each side."""
    height, width = images.shape[2:]
    return images[:, :, border : height - border, border : width - border]


def _check(images: Tensor, truth: Tensor, border: int, smallest: int) -> None:
    if images.shape != truth.shape:
        shapes = (" x ".join(map(str, these.shape)) for these in (images, truth))
        raise ConfigError(f"Only images of one shape can be compared; these are {' and '.join(shapes)}.")
    if min(images.shape[2:]) < smallest + 2 * border:
        found = " x ".join(map(str, images.shape[2:]))
        raise ConfigError(
            f"Images must have {smallest + 2 * border} pixels each way to be compared without {border} at each side; "
            f"these have {found}."
        )


def _measures() -> Any:
    """torchmetrics, which imports torchvision: where that has to be helped, it must be there before."""
    torchvision()
    from torchmetrics.functional import image

    return image
