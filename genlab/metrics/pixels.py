"""How near an image comes to the true one, pixel by pixel: PSNR, SSIM and MS-SSIM, in colour and in brightness."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from genlab.data.files.vision import torchvision
from genlab.kinds.resampling import luma
from genlab.metrics.blocks import at_once
from genlab.registry import ConfigError

WINDOW = 11
# What the paper found for the five scales, from fine to coarse.
SCALES = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
# SSIM keeps thirty numbers for each pixel of a colour image: large images are measured a band of rows at a time.
_AT_ONCE = 2**18
# Of small images, how many numbers: of many times as many SSIM takes twice as long.
_BLOCK = 2**16


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
    return _by_blocks(_ssim, inside(images, border), inside(truth, border))


def _ssim(first: Tensor, second: Tensor) -> Tensor:
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


def scales(height: int, width: int) -> int:
    """At how many scales, each half the one before, a window fits: the five of MS-SSIM at most."""
    sides = (min(height, width) // 2**scale for scale in range(len(SCALES)))
    return sum(side >= WINDOW for side in sides)


def ms_ssim(images: Tensor, truth: Tensor) -> Tensor:
    """Structural similarity of each image at several scales (Wang et al. 2003), as many as its size has room for.

    The weights of the scales that are used are made to sum to one, so figures of unlike sizes are not comparable. Only
    windows that lie wholly inside count, as for SSIM; an image whose likeness is below zero at some scale gets zero.
    """
    _check(images, truth, border=0, smallest=2 * WINDOW)
    weights = SCALES[: scales(*images.shape[2:])]
    total = torch.ones(len(images), device=images.device)
    for weight in weights[:-1]:
        total *= _by_blocks(_contrast, images, truth).relu() ** (weight / sum(weights))
        images, truth = functional.avg_pool2d(images, 2), functional.avg_pool2d(truth, 2)
    return total * ssim(images, truth).relu() ** (weights[-1] / sum(weights))


def _contrast(first: Tensor, second: Tensor) -> Tensor:
    """SSIM without its brightness term; torchmetrics counts windows that lie wholly inside for this one."""
    _, contrast = _measures().structural_similarity_index_measure(
        first, second, data_range=1.0, reduction="none", return_contrast_sensitivity=True
    )
    made: Tensor = contrast
    return made


def _by_blocks(measure: Callable[[Tensor, Tensor], Tensor], images: Tensor, truth: Tensor) -> Tensor:
    size = at_once(images, _BLOCK)
    pairs = zip(torch.split(images, size), torch.split(truth, size), strict=True)
    return torch.cat([measure(*pair) for pair in pairs])


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
