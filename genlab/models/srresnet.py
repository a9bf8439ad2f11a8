"""The networks of super-resolution: one enlarges images, one tells its work from photographs (Ledig et al. 2017)."""

import math
from collections.abc import Iterator
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn

from genlab.contract import Shape
from genlab.kinds.resampling import enlarged

Scale = Literal[2, 4, 8]
Normalization = Literal["batch", "none"]
Base = Literal["none", "bicubic"]

# The small pixels that are enlarged at once: at full size the channels of a large picture would take gigabytes.
_STRIP = 2**14


class Block(nn.Module):
    """A residual block without an activation behind its sum."""

    def __init__(self, width: int, normalization: Normalization) -> None:
        super().__init__()
        self.body = nn.Sequential(
            *_convolution(width, width, normalization), nn.PReLU(width), *_convolution(width, width, normalization)
        )

    def forward(self, values: Tensor) -> Tensor:
        """The values and what is added to them."""
        changed: Tensor = self.body(values)
        return values + changed


class SRResNet(nn.Module):
    """Residual blocks at the small size, then pixel shuffles to the large one; what goes in and out is in [0, 1]."""

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
        # How far each half looks: a convolution at twice the size looks half as far.
        self.reach_before = 4 + 2 * blocks + 1
        self.reach_after = math.ceil(sum(0.5**number for number in range(stages)) + 4 / scale)

    def forward(self, images: Tensor) -> Tensor:
        """The images enlarged: not held to [0, 1], so that a gradient leads back to it from anywhere."""
        return self._based(images, self.enlarge(self._seen(images)))

    def in_strips(self, images: Tensor) -> Tensor:
        """The same in less memory."""
        seen = self._seen(images)
        height, margin = seen.shape[2], self.reach_after
        rows = max(1, _STRIP // (len(images) * seen.shape[3]))
        strips = []
        for top in range(0, height, rows):
            first, last = max(0, top - margin), min(height, top + rows + margin)
            strip = self.enlarge(seen[:, :, first:last])
            strips.append(strip[:, :, (top - first) * self.scale :][:, :, : min(rows, height - top) * self.scale])
        return self._based(images, torch.cat(strips, dim=2))

    def _seen(self, images: Tensor) -> Tensor:
        entered = self.enter(2 * images - 1)
        seen: Tensor = entered + self.blocks(entered)
        return seen

    def _based(self, images: Tensor, made: Tensor) -> Tensor:
        """What the network makes is in [-1, 1], as it sees it; or what it adds to the filter's work."""
        made = made.to(images.dtype)
        return (made + 1) / 2 if self.base == "none" else made / 2 + enlarged(images, self.scale)


class Judge(nn.Module):
    """The critic: eight convolutions, each second one halving the image, and two dense layers."""

    def __init__(self, shape: Shape, width: int) -> None:
        super().__init__()
        widths = [factor * width for factor in (1, 1, 2, 2, 4, 4, 8, 8)]
        layers: list[nn.Module] = [nn.Conv2d(shape.channels, width, 3, padding=1), nn.LeakyReLU(0.2)]
        height, breadth = shape.height, shape.width
        for before, after in pairwise(widths):
            # By turns half the size and more channels.
            stride = 2 if before == after else 1
            layers += [nn.Conv2d(before, after, 3, stride, 1, bias=False), nn.BatchNorm2d(after), nn.LeakyReLU(0.2)]
            height, breadth = -(-height // stride), -(-breadth // stride)
        # Of crops larger than the paper's 96 x 96 the places are averaged down to as many as it has there.
        places = (min(height, 6), min(breadth, 6))
        dense = nn.Linear(8 * width * places[0] * places[1], 16 * width)
        self.layers = nn.Sequential(
            *layers, nn.AdaptiveAvgPool2d(places), nn.Flatten(), dense, nn.LeakyReLU(0.2), nn.Linear(16 * width, 1)
        )

    def forward(self, images: Tensor) -> Tensor:
        """One score an image, of images in [0, 1]."""
        scores: Tensor = self.layers(2 * images - 1)
        return scores.squeeze(1).float()


def _convolution(before: int, after: int, normalization: Normalization) -> Iterator[nn.Module]:
    yield nn.Conv2d(before, after, 3, padding=1, bias=normalization == "none")
    if normalization == "batch":
        yield nn.BatchNorm2d(after)
