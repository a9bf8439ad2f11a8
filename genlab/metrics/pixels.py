"""Similarity of images to the true ones: PSNR, SSIM and MS-SSIM, in RGB and in brightness."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from genlab.data.files.vision import torchvision
from genlab.kinds.resampling import luma
from genlab.metrics.blocks import block_size
from genlab.registry import ConfigError

WINDOW = 11
# The paper's weights of the five scales, from fine to coarse.
SCALES = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
# SSIM keeps thirty numbers for each pixel of a colour image, so large images are measured in bands of rows.
_AT_ONCE = 2**18
# Numbers of small images in a block; with many times as many, SSIM takes twice as long.
_BLOCK = 2**16


def psnr(images: Tensor, truth: Tensor, border: int = 0) -> Tensor:
    """Return the peak signal-to-noise ratio of each image in decibels, infinite for equal images.

    `border` pixels at each side are left out.
    """
    _check(images, truth, border, smallest=1)
    first, second = inside(images, border), inside(truth, border)
    found: Tensor = _measures().peak_signal_noise_ratio(first, second, 1.0, reduction="none", dim=(1, 2, 3))
    return found


def ssim(images: Tensor, truth: Tensor, border: int = 0) -> Tensor:
    """Return the structural similarity of each image (Wang et al. 2004); `border` pixels at each side are left out.

    As in the paper, Gaussian windows of 11 x 11 have a std of 1.5, and only those wholly inside count. torchmetrics
    itself reflects the image at its sides and counts those windows, too. Channels are averaged.
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


def psnr_and_ssim(images: Tensor, truth: Tensor) -> dict[str, Tensor]:
    """Return `PSNR` and `SSIM` of each image; SSIM only for images that hold its window."""
    found = {"PSNR": psnr(images, truth)}
    if min(images.shape[2:]) >= WINDOW:
        found["SSIM"] = ssim(images, truth)
    return found


def scales(height: int, width: int) -> int:
    """Return at how many scales, each half the one before, a window fits; MS-SSIM has five."""
    sides = (min(height, width) // 2**scale for scale in range(len(SCALES)))
    return sum(side >= WINDOW for side in sides)


def ms_ssim(images: Tensor, truth: Tensor) -> Tensor:
    """Return the structural similarity of each image at several scales (Wang et al. 2003), as many as fit.

    The weights of the scales are divided by their sum, so images with different numbers of scales are not comparable.
    As for SSIM, only windows wholly inside count. An image whose similarity is negative at some scale gets 0.
    """
    _check(images, truth, border=0, smallest=2 * WINDOW)
    weights = SCALES[: scales(*images.shape[2:])]
    total = torch.ones(len(images), device=images.device)
    for weight in weights[:-1]:
        total *= _by_blocks(_contrast, images, truth).relu() ** (weight / sum(weights))
        images, truth = functional.avg_pool2d(images, 2), functional.avg_pool2d(truth, 2)
    return total * ssim(images, truth).relu() ** (weights[-1] / sum(weights))


def _contrast(first: Tensor, second: Tensor) -> Tensor:
    """Return SSIM without its brightness term; here torchmetrics counts only windows wholly inside."""
    _, contrast = _measures().structural_similarity_index_measure(
        first, second, data_range=1.0, reduction="none", return_contrast_sensitivity=True
    )
    found: Tensor = contrast
    return found


def _by_blocks(measure: Callable[[Tensor, Tensor], Tensor], images: Tensor, truth: Tensor) -> Tensor:
    size = block_size(images, _BLOCK)
    pairs = zip(torch.split(images, size), torch.split(truth, size), strict=True)
    return torch.cat([measure(*pair) for pair in pairs])


def rgb_and_luma(images: Tensor, truth: Tensor, border: int) -> dict[str, Tensor]:
    """Return PSNR and SSIM of each image in RGB and in brightness, which are the same for grey images."""
    rgb, brightness = (images, truth), (luma(images), luma(truth))
    return {
        "PSNR-RGB": psnr(*rgb, border),
        "SSIM-RGB": ssim(*rgb, border),
        "PSNR-Y": psnr(*brightness, border),
        "SSIM-Y": ssim(*brightness, border),
    }


def inside(images: Tensor, border: int) -> Tensor:
    """Crop `border` pixels from each side of the images."""
    height, width = images.shape[2:]
    return images[:, :, border : height - border, border : width - border]


def _check(images: Tensor, truth: Tensor, border: int, smallest: int) -> None:
    if images.shape != truth.shape:
        shapes = (" x ".join(map(str, these.shape)) for these in (images, truth))
        raise ConfigError(f"Images must have the same shape to be compared, got {' and '.join(shapes)}.")
    if min(images.shape[2:]) < smallest + 2 * border:
        found = " x ".join(map(str, images.shape[2:]))
        raise ConfigError(
            f"Images must have at least {smallest + 2 * border} pixels each way to be compared without {border} at "
            f"each side, got {found}."
        )


def _measures() -> Any:
    """Return torchmetrics' image metrics; they import torchvision, so it is prepared first."""
    torchvision()
    from torchmetrics.functional import image

    return image
