"""A small model that upscales, and pictures to upscale."""

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional

from genlab.game import Batch, Model, Shape, Terms
from genlab.resampling import enlarged, shrunk

# What somebody would write in a file of their own.
PLUGIN = """
from genlab.data.images import Images, split_off
from tests.enlarging import ToyUpscaler
import torch

def specks(*, channels: int) -> Images:
    pixels = torch.randint(256, (40, channels, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    left, held_out = split_off(40, 4)
    return Images(pixels, {"train": left, "validation": held_out[:2], "test": held_out[2:]})

MODELS = {"toy-upscaler": ToyUpscaler}
SOURCES = {"specks": specks}
"""
PLAYER = "players:\n  model: {optimizer: adam, rate: 1.0e-3}\n"


class ToyUpscaler(Model):
    """A filter, and what convolutions that see exactly `reach` pixels far learn to add."""

    def __init__(self, *, shape: Shape, scale: int = 2, reach: int = 3) -> None:
        super().__init__()
        self.scale, self.reach = scale, reach
        layers: list[nn.Module] = [nn.Conv2d(shape.channels, 8, 3, padding=1)]
        for _ in range(reach - 1):
            layers += [nn.Tanh(), nn.Conv2d(8, 8, 3, padding=1)]
        self.body = nn.Sequential(*layers)
        self.last = nn.Conv2d(8, shape.channels * scale**2, 1)
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias)

    def upscale(self, images: Tensor) -> Tensor:
        # Without rounding: what depends on a byte of the filter alone would hide what the convolutions do.
        large = functional.interpolate(images, scale_factor=self.scale, mode="bilinear")
        return (large + functional.pixel_shuffle(self.last(self.body(images)), self.scale)).clamp(0, 1)

    def loss(self, batch: Batch) -> Terms:
        truth = batch["image"]
        return {"loss": (self.upscale(shrunk(truth, self.scale)) - truth).square().mean()}


class Bicubic(Model):
    """What a network has to be better than, as a model."""

    def __init__(self, scale: int = 2, reach: int = 4) -> None:
        super().__init__()
        self.scale, self.reach = scale, reach

    def upscale(self, images: Tensor) -> Tensor:
        return enlarged(images, self.scale)


class Nearest(Bicubic):
    """Each pixel as a square of its like: exact to the byte."""

    def upscale(self, images: Tensor) -> Tensor:
        return functional.interpolate(images, scale_factor=self.scale, mode="nearest")


def toy(channels: int = 3, scale: int = 2, reach: int = 3) -> ToyUpscaler:
    """One whose weights change what it makes by far more than a rounding."""
    torch.manual_seed(0)
    model = ToyUpscaler(shape=Shape(channels, 8, 8), scale=scale, reach=reach)
    nn.init.normal_(model.last.weight)
    return model.requires_grad_(False)


def photo(height: int, width: int, channels: int = 3, seed: int = 0) -> NDArray[np.uint8]:
    """Soft shapes with some grain, as photographs have them."""
    numbers = np.random.default_rng(seed)
    small = numbers.integers(0, 256, (height // 6 + 2, width // 6 + 2, channels), dtype=np.uint8)
    planes = [
        np.asarray(Image.fromarray(small[:, :, plane]).resize((width, height), Image.Resampling.BICUBIC))
        for plane in range(channels)
    ]
    grain = numbers.normal(0, 4, (height, width, channels))
    pixels: NDArray[np.uint8] = (np.stack(planes, 2) + grain).clip(0, 255).astype(np.uint8)
    return pixels[:, :, 0] if channels == 1 else pixels


def write_plugin(folder: Path) -> Path:
    """The file, and the recipes beside it."""
    for kind in ("model", "data"):
        (folder / "configs" / kind).mkdir(parents=True)
    settings = "class: toy-upscaler\nscale: 2\nreach: 3\nbest: loss\n"
    (folder / "configs/model/toy-upscaler.yaml").write_text(settings + PLAYER)
    (folder / "configs/data/specks.yaml").write_text("class: specks\nchannels: 3\n")
    (folder / "own.py").write_text(PLUGIN)
    return folder / "own.py"
