"""The networks of DCGAN: transposed convolutions that double an image, and strided ones that mirror them."""

import math
from itertools import pairwise

from torch import nn

from genlab.kinds import Image
from genlab.networks.convolutional import plan
from genlab.networks.network import Size, at_least


class Dcgan:
    """4x4 convolutions of stride 2 with batch normalisation and N(0, 0.02) weights (Radford et al. 2016)."""

    def __init__(self, *, width: int = 128, most: int = 512) -> None:
        at_least(1, width=width)
        at_least(width, most=most)
        self.width, self.most = width, most

    def encoder(self, kind: Image, features: int) -> nn.Sequential:
        """Build stages that each halve the image, down to 4 or 7 pixels; the first stage has no normalisation."""
        sizes, layers = self._plan(kind), list[nn.Module]()
        for before, after in pairwise(sizes):
            first = before is sizes[0]
            norm = nn.Identity() if first else nn.BatchNorm2d(after[0])
            layers += [nn.Conv2d(before[0], after[0], 4, 2, 1, bias=first), norm, nn.LeakyReLU(0.2)]
        return _initialized(nn.Sequential(*layers, nn.Flatten(), nn.Linear(math.prod(sizes[-1]), features)))

    def decoder(self, features: int, kind: Image) -> nn.Sequential:
        """Build stages that each double the image, starting at 4 or 7 pixels."""
        sizes = self._plan(kind)[::-1]
        layers: list[nn.Module] = [nn.Linear(features, math.prod(sizes[0]), bias=False), nn.Unflatten(1, sizes[0])]
        for before, after in pairwise(sizes):
            last = after is sizes[-1]
            layers += [nn.BatchNorm2d(before[0]), nn.ReLU()]
            layers += [nn.ConvTranspose2d(before[0], after[0], 4, 2, 1, bias=last)]
        return _initialized(nn.Sequential(*layers))

    def _plan(self, kind: Image) -> list[Size]:
        sizes = plan(kind.shape, self.width, self.most)
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
