"""The networks of DCGAN: transposed convolutions that double an image, and strided ones that mirror them."""

import math
from itertools import pairwise
from typing import Literal

from torch import nn

from genlab.kinds import Image
from genlab.networks.convolutional import plan
from genlab.networks.dropout import Dropout
from genlab.networks.network import Size, at_least
from genlab.networks.resampled import UpsampledConv

Upsampling = Literal["transposed", "nearest"]


class Dcgan:
    """4x4 convolutions of stride 2 with batch normalisation and N(0, 0.02) weights (Radford et al. 2016).

    With `nearest`, the decoder repeats pixels and convolves by 3x3, as many later scripts do (Odena et al. 2016). It
    then has feature maps of the image's own size. Dropout is that of the encoder, which is the discriminator of a GAN.
    """

    def __init__(
        self,
        *,
        width: int = 128,
        most: int = 512,
        upsampling: Upsampling = "transposed",
        encoder_width: int | None = None,
        dropout: float = 0.0,
    ) -> None:
        at_least(1, width=width)
        at_least(width, most=most)
        self.width, self.most, self.upsampling = width, most, upsampling
        self.encoder_width, self.dropout = width if encoder_width is None else encoder_width, dropout
        at_least(1, encoder_width=self.encoder_width)
        at_least(self.encoder_width, most=most)

    def encoder(self, kind: Image, features: int) -> nn.Sequential:
        """Build stages that each halve the image, down to 4 or 7 pixels; the first stage has no normalisation."""
        sizes, layers = self._plan(kind, self.encoder_width), list[nn.Module]()
        for before, after in pairwise(sizes):
            first = before is sizes[0]
            norm = nn.Identity() if first else nn.BatchNorm2d(after[0])
            layers += [nn.Conv2d(before[0], after[0], 4, 2, 1, bias=first), norm, nn.LeakyReLU(0.2)]
            # Left out rather than set to 0: the layers' names in older checkpoints have no place for it.
            layers += [Dropout(self.dropout, whole_maps=True)] if self.dropout else []
        return _initialized(nn.Sequential(*layers, nn.Flatten(), nn.Linear(math.prod(sizes[-1]), features)))

    def decoder(self, features: int, kind: Image) -> nn.Sequential:
        """Build stages that each double the image, starting at 4 or 7 pixels."""
        sizes = self._plan(kind, self.width)[::-1]
        if self.upsampling == "nearest":
            return _initialized(self._repeating(features, sizes))
        layers: list[nn.Module] = [nn.Linear(features, math.prod(sizes[0]), bias=False), nn.Unflatten(1, sizes[0])]
        for before, after in pairwise(sizes):
            last = after is sizes[-1]
            layers += [nn.BatchNorm2d(before[0]), nn.ReLU()]
            layers += [nn.ConvTranspose2d(before[0], after[0], 4, 2, 1, bias=last)]
        return _initialized(nn.Sequential(*layers))

    def _repeating(self, features: int, sizes: list[Size]) -> nn.Sequential:
        """Build a decoder whose stages repeat pixels; the stage with `width` channels has the size of the image."""
        stages = len(sizes) - 1
        channels = [min(self.width * 2**stage, self.most) for stage in range(stages, -1, -1)]
        first = channels[0], *sizes[0][1:]
        layers: list[nn.Module] = [nn.Linear(features, math.prod(first), bias=False), nn.Unflatten(1, first)]
        for before, after, size in zip(channels, channels[1:], sizes[1:], strict=False):
            layers += [nn.BatchNorm2d(before), nn.ReLU(), UpsampledConv(before, after, size[1:], bias=False)]
        last = nn.Conv2d(self.width, sizes[-1][0], 3, 1, 1)
        return nn.Sequential(*layers, nn.BatchNorm2d(self.width), nn.ReLU(), last)

    def _plan(self, kind: Image, width: int) -> list[Size]:
        sizes = plan(kind.shape, width, self.most)
        halvings, height, width = len(sizes) - 1, kind.height, kind.width
        exact = height % 2**halvings == 0 and width % 2**halvings == 0
        if not halvings or not exact or min(sizes[-1][1:]) not in (4, 7):
            raise ValueError(
                f"dcgan halves images until a side is 4 or 7 pixels, which is not possible with {height}x{width}. "
                "Choose a size such as 16, 28, 32, 64 or 128 pixels, or set model/network=resnet, which takes any size."
            )
        return sizes


def _initialized(module: nn.Sequential) -> nn.Sequential:
    """Return the module with the initial weights of the paper."""
    for part in module.modules():
        if isinstance(part, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            nn.init.normal_(part.weight, 0.0, 0.02)
            if part.bias is not None:
                nn.init.zeros_(part.bias)
        elif isinstance(part, nn.BatchNorm2d):
            nn.init.normal_(part.weight, 1.0, 0.02)
    return module
