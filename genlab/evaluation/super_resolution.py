"""Measure how well a model upscales: held-out photographs are downscaled, upscaled and compared with the originals."""

import math
from collections.abc import Callable, Iterable
from statistics import fmean
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from genlab.contract import Upscales
from genlab.evaluation.tiles import TiledUpscaler
from genlab.kinds.resampling import enlarged, shrunk
from genlab.metrics.perceptual import distance, name_of
from genlab.metrics.pixels import WINDOW, inside, rgb_and_luma
from genlab.networks.extractor import Extractor
from genlab.registry import ConfigError

BICUBIC, MODEL, MEAN = "bicubic", "model", "mean"
Pixels = Tensor | NDArray[np.uint8]


class Row(NamedTuple):
    """One line of the table: the metrics of one photograph, upscaled in one way."""

    photograph: str
    by: str
    """BICUBIC or MODEL."""
    metrics: dict[str, float]


class Trial(NamedTuple):
    """A photograph, 1 x C x H x W in [0, 1], and its small version upscaled by the filter and by the model."""

    scale: int
    truth: Tensor
    upscaled: dict[str, Tensor]


def measure(
    model: Upscales,
    photographs: Iterable[tuple[str, Pixels]],
    extractor: Extractor | None = None,
    channels: int = 3,
) -> list[Row]:
    """Measure a model, and bicubic as the baseline, on photographs: a name and bytes, H x W x C, each.

    The means over all photographs come last. `channels` are those of the images that the model is for.
    """
    upscaler = TiledUpscaler(model, channels)
    rows = [row for name, pixels in photographs for row in score(name, attempt(upscaler, pixels), extractor)]
    return with_means(rows)


def attempt(upscaler: TiledUpscaler, pixels: Pixels, advance: Callable[[], None] = lambda: None) -> Trial:
    """Cut a photograph to a multiple of the scale, downscale it as in training, and upscale it in both ways."""
    scale = upscaler.scale
    # A copy: arrays that Pillow lends are read-only, and torch warns about that.
    whole = pixels if isinstance(pixels, Tensor) else torch.from_numpy(np.array(pixels))
    whole = whole[..., None] if whole.dim() == 2 else whole
    height, width = (side // scale * scale for side in whole.shape[:2])
    if min(height, width) < smallest(scale):
        raise ConfigError(
            f"A photograph must have at least {smallest(scale)} pixels each way to measure upscaling by {scale}, "
            f"got {whole.shape[1]} x {whole.shape[0]}."
        )
    truth = whole[:height, :width].permute(2, 0, 1)[None].float().div(255)
    small = shrunk(truth, scale)
    by_model = as_tensor(upscaler.upscale(as_picture(small), advance))
    return Trial(scale, truth, {BICUBIC: enlarged(small, scale), MODEL: by_model})


def smallest(scale: int) -> int:
    """Return the shortest side that can be measured: one SSIM window and a border of `scale` pixels on both sides."""
    return -(-(WINDOW + 2 * scale) // scale) * scale


def score(name: str, trial: Trial, extractor: Extractor | None = None) -> list[Row]:
    """Compute the metrics of each way to upscale, without `scale` pixels at each border, as in the literature."""
    rows = []
    for by, images in trial.upscaled.items():
        metrics = {key: float(value) for key, value in rgb_and_luma(images, trial.truth, trial.scale).items()}
        if extractor:
            both = (inside(each, trial.scale).to(extractor.device) for each in (images, trial.truth))
            metrics[name_of(extractor)] = float(distance(extractor, *both))
        rows.append(Row(name, by, metrics))
    return rows


def with_means(rows: list[Row]) -> list[Row]:
    """Append the mean over the photographs for each way to upscale.

    Infinite values do not count: the PSNR of two equal photographs is infinite. A mean is infinite if all values are.
    """
    means = []
    for by in dict.fromkeys(row.by for row in rows):
        metrics = [row.metrics for row in rows if row.by == by]
        finite = {name: [each[name] for each in metrics if math.isfinite(each[name])] for name in metrics[0]}
        means.append(Row(MEAN, by, {name: fmean(found) if found else math.inf for name, found in finite.items()}))
    return [*rows, *means]


def caption(scale: int) -> str:
    """Return the protocol of the table in words."""
    return (
        f"upscaled {scale} times; {scale} pixels at each border are left out; "
        f"Y is the brightness of BT.601, from 16 to 235; "
        f"SSIM with gaussian windows of {WINDOW} x {WINDOW} that lie wholly inside"
    )


def as_picture(images: Tensor) -> Image.Image:
    """Convert the first of some images in [0, 1] to a picture."""
    pixels = images[0].mul(255).round().clamp(0, 255).byte().permute(1, 2, 0).cpu().numpy()
    return Image.fromarray(np.ascontiguousarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels))


def as_tensor(picture: Image.Image) -> Tensor:
    """Convert a picture to one image in [0, 1], 1 x C x H x W."""
    pixels = torch.from_numpy(np.array(picture))
    pixels = pixels[..., None] if pixels.dim() == 2 else pixels
    return pixels.permute(2, 0, 1)[None].float().div(255)
