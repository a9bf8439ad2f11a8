"""Convolutional networks that halve the image in stages; the decoder doubles it in the same stages."""

import math
from collections.abc import Callable
from itertools import pairwise
from typing import Literal

from torch import Tensor, nn
from torch.nn import functional

from genlab.kinds import Image
from genlab.networks.network import Size, at_least

Normalization = Literal["batch", "group", "none"]

NORMALIZATIONS: dict[str, Callable[[int], nn.Module]] = {
    "batch": nn.BatchNorm2d,
    "group": lambda channels: nn.GroupNorm(math.gcd(8, channels), channels),
    "none": lambda channels: nn.Identity(),
}


def plan(shape: Size, width: int, most: int) -> list[Size]:
    """Return the sizes from the image to the last stage.

    Each stage halves the image until its smaller side is below 8, and doubles the channels up to `most`.
    """
    sizes, channels = [shape], width
    while min(sizes[-1][1:]) >= 8:
        _, height, wide = sizes[-1]
        sizes.append((channels, height // 2, wide // 2))
        channels = min(2 * channels, most)
    return sizes


class Conv:
    """Strided 4x4 convolutions with normalisation (after Radford et al. 2016); the decoder mirrors the encoder."""

    def __init__(self, *, width: int = 32, most: int = 256, normalization: Normalization = "batch") -> None:
        at_least(1, width=width)
        at_least(width, most=most)
        self.width, self.most, self.norm = width, most, NORMALIZATIONS[normalization]

    def encoder(self, kind: Image, features: int) -> nn.Sequential:
        """Build stages that each halve the image."""
        sizes, layers = plan(kind.shape, self.width, self.most), list[nn.Module]()
        for before, after in pairwise(sizes):
            layers += [nn.Conv2d(before[0], after[0], 4, 2, 1), self.norm(after[0]), nn.ReLU()]
        return nn.Sequential(*layers, nn.Flatten(), nn.Linear(math.prod(sizes[-1]), features))

    def decoder(self, features: int, kind: Image) -> nn.Sequential:
        """Build stages that each double the image; output padding restores odd sides."""
        sizes = plan(kind.shape, self.width, self.most)[::-1]
        layers: list[nn.Module] = [nn.Linear(features, math.prod(sizes[0])), nn.Unflatten(1, sizes[0])]
        for before, after in pairwise(sizes):
            odd = (after[1] % 2, after[2] % 2)
            layers += [self.norm(before[0]), nn.ReLU(), nn.ConvTranspose2d(before[0], after[0], 4, 2, 1, odd)]
        return nn.Sequential(*layers)


class Resnet:
    """Residual blocks (He et al. 2016) with average pooling or upsampling between the stages."""

    def __init__(
        self, *, width: int = 32, most: int = 256, blocks: int = 1, normalization: Normalization = "batch"
    ) -> None:
        at_least(1, width=width, blocks=blocks)
        at_least(width, most=most)
        self.width, self.most, self.blocks, self.norm = width, most, blocks, NORMALIZATIONS[normalization]

    def encoder(self, kind: Image, features: int) -> nn.Sequential:
        """Build a first convolution, then the blocks and a pooling for each stage."""
        sizes = plan(kind.shape, self.width, self.most)
        channels = [self.width, *(size[0] for size in sizes[1:])]
        layers: list[nn.Module] = [nn.Conv2d(kind.channels, self.width, 3, 1, 1)]
        for before, after in pairwise(channels):
            layers += [*self._blocks(before, after), nn.AvgPool2d(2)]
        last = math.prod((channels[-1], *sizes[-1][1:]))
        return nn.Sequential(*layers, self.norm(channels[-1]), nn.ReLU(), nn.Flatten(), nn.Linear(last, features))

    def decoder(self, features: int, kind: Image) -> nn.Sequential:
        """Build an upsampling and the blocks for each stage, then a convolution to the image."""
        sizes = plan(kind.shape, self.width, self.most)
        channels = [self.width, *(size[0] for size in sizes[1:])]
        first = (channels[-1], *sizes[-1][1:])
        layers: list[nn.Module] = [nn.Linear(features, math.prod(first)), nn.Unflatten(1, first)]
        for after, before, size in zip(channels[-2::-1], channels[::-1], sizes[-2::-1], strict=False):
            layers += [nn.Upsample(size[1:]), *self._blocks(before, after)]
        last = nn.Conv2d(channels[0], kind.channels, 3, 1, 1)
        return nn.Sequential(*layers, self.norm(channels[0]), nn.ReLU(), last)

    def _blocks(self, before: int, after: int) -> list[nn.Module]:
        first = Residual(before, after, self.norm)
        return [first, *(Residual(after, after, self.norm) for _ in range(self.blocks - 1))]


class Residual(nn.Module):
    """Two convolutions whose result is added to their input."""

    def __init__(self, before: int, after: int, norm: Callable[[int], nn.Module]) -> None:
        super().__init__()
        self.skip = nn.Identity() if before == after else nn.Conv2d(before, after, 1)
        self.first, self.second = nn.Conv2d(before, after, 3, 1, 1), nn.Conv2d(after, after, 3, 1, 1)
        self.norm_first, self.norm_second = norm(before), norm(after)

    def forward(self, images: Tensor) -> Tensor:
        """Normalise, rectify and convolve, twice; add the input."""
        inner = self.first(functional.relu(self.norm_first(images)))
        result: Tensor = self.skip(images) + self.second(functional.relu(self.norm_second(inner)))
        return result
