"""The networks of super-resolution: a generator that upscales, and a discriminator (Ledig et al. 2017)."""

import math
from collections.abc import Iterator
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn

from genlab.kinds import Image
from genlab.kinds.resampling import enlarged

Scale = Literal[2, 4, 8]
Normalization = Literal["batch", "none"]
Base = Literal["none", "bicubic"]

# Input pixels that are upscaled at once: at full size the channels of a large picture would take gigabytes.
_STRIP = 2**14


class Block(nn.Module):
    """A residual block without an activation after the sum."""

    def __init__(self, width: int, normalization: Normalization) -> None:
        super().__init__()
        self.body = nn.Sequential(
            *_convolution(width, width, normalization), nn.PReLU(width), *_convolution(width, width, normalization)
        )

    def forward(self, values: Tensor) -> Tensor:
        """Return the values plus the output of two convolutions."""
        change: Tensor = self.body(values)
        return values + change


class Upscaler(nn.Module):
    """Residual blocks at the small size, then pixel shuffles to the large one; input and output are in [0, 1]."""

    def __init__(
        self, channels: int, scale: Scale, blocks: int, width: int, normalization: Normalization, base: Base
    ) -> None:
        super().__init__()
        self.scale, self.base = scale, base
        stages = int(math.log2(scale))
        self.enter = nn.Sequential(nn.Conv2d(channels, width, 9, padding=4), nn.PReLU(width))
        self.blocks = nn.Sequential(
            *(Block(width, normalization) for _ in range(blocks)), *_convolution(width, width, normalization)
        )
        stage = [
            (nn.Conv2d(width, 4 * width, 3, padding=1), nn.PixelShuffle(2), nn.PReLU(width)) for _ in range(stages)
        ]
        leave = nn.Conv2d(width, channels, 9, padding=4)
        self.enlarge = nn.Sequential(*(layer for layers in stage for layer in layers), leave)
        # A convolution at twice the size reaches half as far, in input pixels.
        self.reach_before = 4 + 2 * blocks + 1
        self.reach_after = math.ceil(sum(0.5**number for number in range(stages)) + 4 / scale)

    def forward(self, images: Tensor) -> Tensor:
        """Upscale images; the result is not clamped to [0, 1], so that gradients reach every pixel."""
        return self._add_base(images, self.enlarge(self._features(images)))

    def in_strips(self, images: Tensor) -> Tensor:
        """Upscale images strip by strip, which takes less memory and gives the same result."""
        if torch.compiler.is_exporting():
            # The number of strips would be that of the example, and the exported model wrong at other sizes.
            return self.forward(images)
        features = self._features(images)
        height, margin = features.shape[2], self.reach_after
        rows = max(1, _STRIP // (len(images) * features.shape[3]))
        strips = []
        for top in range(0, height, rows):
            first, last = max(0, top - margin), min(height, top + rows + margin)
            strip = self.enlarge(features[:, :, first:last])
            strips.append(strip[:, :, (top - first) * self.scale :][:, :, : min(rows, height - top) * self.scale])
        return self._add_base(images, torch.cat(strips, dim=2))

    def _features(self, images: Tensor) -> Tensor:
        entered = self.enter(2 * images - 1)
        features: Tensor = entered + self.blocks(entered)
        return features

    def _add_base(self, images: Tensor, output: Tensor) -> Tensor:
        """Convert the output of the network from [-1, 1] to [0, 1], or add it to the bicubic result."""
        output = output.to(images.dtype)
        return (output + 1) / 2 if self.base == "none" else output / 2 + enlarged(images, self.scale)


class SRDiscriminator(nn.Module):
    """Eight convolutions, of which every second one halves the image, and two dense layers."""

    def __init__(self, kind: Image, width: int) -> None:
        super().__init__()
        widths = [factor * width for factor in (1, 1, 2, 2, 4, 4, 8, 8)]
        layers: list[nn.Module] = [nn.Conv2d(kind.channels, width, 3, padding=1), nn.LeakyReLU(0.2)]
        height, breadth = kind.height, kind.width
        for before, after in pairwise(widths):
            # Convolutions that halve the image alternate with convolutions that double the channels.
            stride = 2 if before == after else 1
            layers += [nn.Conv2d(before, after, 3, stride, 1, bias=False), nn.BatchNorm2d(after), nn.LeakyReLU(0.2)]
            height, breadth = -(-height // stride), -(-breadth // stride)
        # Crops larger than the 96 x 96 of the paper are pooled to the 6 x 6 places that it has there.
        places = (min(height, 6), min(breadth, 6))
        dense = nn.Linear(8 * width * places[0] * places[1], 16 * width)
        self.layers = nn.Sequential(
            *layers, nn.AdaptiveAvgPool2d(places), nn.Flatten(), dense, nn.LeakyReLU(0.2), nn.Linear(16 * width, 1)
        )

    def forward(self, images: Tensor) -> Tensor:
        """Return one score for each image in [0, 1]."""
        scores: Tensor = self.layers(2 * images - 1)
        return scores.squeeze(1).float()


def _convolution(before: int, after: int, normalization: Normalization) -> Iterator[nn.Module]:
    yield nn.Conv2d(before, after, 3, padding=1, bias=normalization == "none")
    if normalization == "batch":
        yield nn.BatchNorm2d(after)
