"""How well a model enlarges: photographs are made small, and what becomes of them is held against them."""

from collections.abc import Callable, Iterable
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from genlab.contract import Upscales
from genlab.evaluation.enlarger import Box, Enlarger
from genlab.kinds.resampling import enlarged, shrunk
from genlab.metrics.perceptual import distance, name_of
from genlab.metrics.pixels import WINDOW, compared, inside
from genlab.networks.extractor import Features
from genlab.registry import ConfigError

BICUBIC, MODEL, MEAN = "bicubic", "model", "mean"
Pixels = Tensor | NDArray[np.uint8]


class Row(NamedTuple):
    """One line of the table: which photograph, enlarged by what, and each measure by its name."""

    photograph: str
    by: str
    figures: dict[str, float]


class Trial(NamedTuple):
    """A photograph, 1 x C x H x W in [0, 1], and what the filter and the model make of it made small."""

    scale: int
    truth: Tensor
    made: dict[str, Tensor]


def measure(
    model: Upscales,
    photographs: Iterable[tuple[str, Pixels]],
    features: Features | None = None,
    channels: int = 3,
) -> list[Row]:
    """Each photograph's rows, bytes of H x W x C under a name, and last the means; the filter always beside the model.

    `channels` are those of the images that the model is for.
    """
    enlarger = Enlarger(model, channels)
    rows = [row for name, pixels in photographs for row in judged(name, tried(enlarger, pixels), features)]
    return with_means(rows)


def tried(enlarger: Enlarger, pixels: Pixels, advance: Callable[[], None] = lambda: None) -> Trial:
    """The photograph cut to a multiple of the scale, made small as the model's training did, and enlarged."""
    scale = enlarger.scale
    # A copy: an array that Pillow lends may not be written to, and torch warns of that.
    whole = pixels if isinstance(pixels, Tensor) else torch.from_numpy(np.array(pixels))
    whole = whole[..., None] if whole.dim() == 2 else whole
    height, width = (side // scale * scale for side in whole.shape[:2])
    if min(height, width) < smallest(scale):
        found = f"{whole.shape[1]} x {whole.shape[0]}"
        raise ConfigError(
            f"A photograph needs {smallest(scale)} pixels each way to be measured by {scale}, and one has {found}."
        )
    truth = whole[:height, :width].permute(2, 0, 1)[None].float().div(255)
    small = shrunk(truth, scale)
    by_model = as_tensor(enlarger.enlarge(as_image(small), advance))
    return Trial(scale, truth, {BICUBIC: enlarged(small, scale), MODEL: by_model})


def smallest(scale: int) -> int:
    """The shortest side that can be measured: within the border that is left out, one window of SSIM."""
    return -(-(WINDOW + 2 * scale) // scale) * scale


def judged(name: str, trial: Trial, features: Features | None = None) -> list[Row]:
    """The measures of each way to enlarge, `scale` pixels at each border left out, as in the literature."""
    rows = []
    for by, images in trial.made.items():
        figures = {key: float(value) for key, value in compared(images, trial.truth, trial.scale).items()}
        if features:
            home = next(features.buffers(), images).device
            both = (inside(each, trial.scale).to(home) for each in (images, trial.truth))
            figures[name_of(features)] = float(distance(features, *both))
        rows.append(Row(name, by, figures))
    return rows


def with_means(rows: list[Row]) -> list[Row]:
    """The rows, and below them for each way to enlarge the mean over the photographs."""
    means = []
    for by in dict.fromkeys(row.by for row in rows):
        figures = [row.figures for row in rows if row.by == by]
        means.append(Row(MEAN, by, {name: sum(each[name] for each in figures) / len(figures) for name in figures[0]}))
    return [*rows, *means]


def caption(scale: int) -> str:
    """What has to be known of the table's figures."""
    return (
        f"enlarged {scale} times; {scale} pixels at each border are left out; "
        f"Y is the brightness of BT.601, from 16 to 235; "
        f"SSIM by gaussian windows of {WINDOW} x {WINDOW} that lie wholly inside"
    )


def as_image(images: Tensor) -> Image.Image:
    """The first of some images in [0, 1] as a picture."""
    pixels = images[0].mul(255).round().clamp(0, 255).byte().permute(1, 2, 0).cpu().numpy()
    return Image.fromarray(np.ascontiguousarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels))


def as_tensor(image: Image.Image) -> Tensor:
    """A picture as one image in [0, 1]."""
    pixels = torch.from_numpy(np.array(image))
    pixels = pixels[..., None] if pixels.dim() == 2 else pixels
    return pixels.permute(2, 0, 1)[None].float().div(255)


def part_of(images: Tensor, box: Box) -> Tensor:
    """The part of each image that lies in the box."""
    return images[:, :, box.top : box.bottom, box.left : box.right]
