"""The residual networks of SNGAN and SAGAN: a generator with batch normalisation, and a discriminator without."""

import math
from itertools import pairwise
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from genlab.kinds import Image
from genlab.networks.attention import Attention
from genlab.networks.condition import ClassNorm
from genlab.networks.convolutional import plan
from genlab.networks.network import at_least
from genlab.networks.resampled import PooledConv, UpsampledConv

M = TypeVar("M", bound=nn.Module)


class ResnetGan:
    """Residual blocks of Miyato et al. (2018) with, if wanted, self-attention of Zhang et al. (2019).

    The generator normalises by batches. If it is told a class, each class has its own scale and shift there. The
    discriminator has no normalisation, and sums its last feature maps over the pixels.
    """

    def __init__(self, *, width: int = 32, most: int = 128, attention: int | None = None) -> None:
        at_least(1, width=width)
        at_least(width, most=most)
        self.width, self.most, self.attention = width, most, attention

    def encoder(self, kind: Image, features: int) -> nn.Sequential:
        """Build a block that halves the image for each stage, a last block, and a layer from the sums over pixels."""
        sides, channels = self._stages(kind)
        attended = self._attended(sides)
        before, layers = kind.channels, list[nn.Module]()
        for stage, after in enumerate(channels[:-1], start=1):
            layers.append(Shrinking(before, after, first=stage == 1, halves=True))
            layers += [Attention(after)] if stage == attended else []
            before = after
        last = channels[-1] if len(channels) == 1 else channels[-2]
        layers.append(Shrinking(before, last, first=len(channels) == 1, halves=False))
        layers += [Attention(last)] if attended == 0 else []
        return nn.Sequential(*layers, nn.ReLU(), Sum(), _initialized(nn.Linear(last, features)))

    def decoder(self, features: int, kind: Image) -> nn.Module:
        """Build a dense layer, a block that doubles the image for each stage, and a convolution to the image."""
        return self.class_decoder(features, kind, 0)

    def class_decoder(self, features: int, kind: Image, classes: int) -> nn.Module:
        """Build a decoder with conditional batch normalisation."""
        sides, channels = self._stages(kind)
        return Generator(features, classes, kind.channels, sides, channels, self._attended(sides))

    def _stages(self, kind: Image) -> tuple[list[tuple[int, int]], list[int]]:
        """Return sides and channels of the feature maps, from the image's size to the smallest."""
        sides = [size[1:] for size in plan(kind.shape, self.width, self.most)]
        return sides, [min(self.width * 2**stage, self.most) for stage in range(len(sides))]

    def _attended(self, sides: list[tuple[int, int]]) -> int | None:
        """Return the stage with the largest feature maps that are no larger than `attention`.

        The discriminator has no feature maps of the image's own size, unless they are the only ones.
        """
        if self.attention is None:
            return None
        stages = range(1, len(sides)) if len(sides) > 1 else range(1)
        for stage in stages:
            if max(sides[stage]) <= self.attention:
                return stage
        there = ", ".join(str(max(sides[stage])) for stage in stages)
        raise ValueError(
            f"attention={self.attention} is below the sides of all feature maps ({there}). Set model.network.attention "
            "to one of these, or to null for none."
        )


class Generator(nn.Module):
    """A dense layer, blocks that double, and a convolution to the image."""

    def __init__(
        self,
        features: int,
        classes: int,
        colours: int,
        sides: list[tuple[int, int]],
        channels: list[int],
        attended: int | None,
    ) -> None:
        super().__init__()
        self.features = features
        first = channels[-1], *sides[-1]
        self.dense = nn.Sequential(_initialized(nn.Linear(features, math.prod(first))), nn.Unflatten(1, first))
        blocks: list[nn.Module] = []
        for (before, after), side in zip(pairwise(channels[::-1]), sides[-2::-1], strict=True):
            blocks.append(Growing(before, after, side, classes))
        self.blocks = nn.ModuleList(blocks)
        # The feature maps at this place have gone through as many blocks.
        self.attended = None if attended is None else len(sides) - 1 - attended
        self.attention = nn.Identity() if attended is None else _initialized(Attention(channels[attended]))
        self.norm = ClassNorm(channels[0], classes)
        self.last = _initialized(nn.Conv2d(channels[0], colours, 3, 1, 1))

    def forward(self, codes: Tensor) -> Tensor:
        """Return the image of each code; behind the code stands the class, as 0s and a 1."""
        codes, told = codes[:, : self.features], codes[:, self.features :]
        images = self.dense(codes)
        if self.attended == 0:
            images = self.attention(images)
        for number, block in enumerate(self.blocks, start=1):
            images = block(images, told)
            if number == self.attended:
                images = self.attention(images)
        result: Tensor = self.last(torch.relu(self.norm(images, told)))
        return result


class Growing(nn.Module):
    """A residual block of the generator, which enlarges the feature maps to the given sides."""

    def __init__(self, before: int, after: int, sides: tuple[int, int], classes: int) -> None:
        super().__init__()
        self.sides = sides
        self.norm_first, self.norm_second = ClassNorm(before, classes), ClassNorm(after, classes)
        self.first = _initialized(UpsampledConv(before, after, sides), math.sqrt(2))
        self.second = _initialized(nn.Conv2d(after, after, 3, 1, 1), math.sqrt(2))
        self.skip = _initialized(nn.Conv2d(before, after, 1))

    def forward(self, images: Tensor, told: Tensor) -> Tensor:
        """Normalise, rectify and convolve, twice; add the enlarged input."""
        inner = self.first(torch.relu(self.norm_first(images, told)))
        inner = self.second(torch.relu(self.norm_second(inner, told)))
        # A 1x1 convolution gives the same before and after nearest neighbour, and costs a quarter before.
        result: Tensor = inner + functional.interpolate(self.skip(images), self.sides)
        return result


class Shrinking(nn.Module):
    """A residual block of the discriminator; the first one takes images, which it does not rectify."""

    def __init__(self, before: int, after: int, *, first: bool, halves: bool) -> None:
        super().__init__()
        self.rectifies, self.halves = not first, halves
        self.first = _initialized(nn.Conv2d(before, after, 3, 1, 1), math.sqrt(2))
        second = PooledConv(after, after) if halves else nn.Conv2d(after, after, 3, 1, 1)
        self.second = _initialized(second, math.sqrt(2))
        same = before == after and not halves
        self.skip = nn.Identity() if same else _initialized(nn.Conv2d(before, after, 1))

    def forward(self, images: Tensor) -> Tensor:
        """Rectify and convolve, twice; add the input; halve both."""
        inner = self.first(torch.relu(images) if self.rectifies else images)
        inner = self.second(torch.relu(inner))
        # As above: the mean of 2x2 pixels first.
        result: Tensor = inner + self.skip(functional.avg_pool2d(images, 2) if self.halves else images)
        return result


class Sum(nn.Module):
    """The sum of each feature map over its pixels."""

    def forward(self, images: Tensor) -> Tensor:
        """Return N x channels."""
        return images.sum((2, 3))


def _initialized(module: M, gain: float = 1.0) -> M:
    """Return the module with the initial weights of the paper: uniform, scaled by the layers' sizes."""
    for part in module.modules():
        if isinstance(part, nn.Conv2d | nn.Linear):
            nn.init.xavier_uniform_(part.weight, gain)
            if part.bias is not None:
                nn.init.zeros_(part.bias)
    return module
