"""The networks of DCGAN: transposed convolutions that double, and strided ones that mirror them."""

from itertools import pairwise

from torch import nn

from genlab.networks.convolutional import flat, plan
from genlab.networks.network import Size, at_least


class Dcgan:
    """4x4 convolutions of stride 2 with batch normalisation and N(0, 0.02) weights (Radford et al. 2016)."""

    def __init__(self, *, width: int = 128, most: int = 512) -> None:
        at_least(1, width=width)
        at_least(width, most=most)
        self.width, self.most = width, most

    def encoder(self, shape: Size, features: int) -> nn.Module:
        """Each stage halves the image, down to 4 or 7 pixels; the first has no normalisation."""
        sizes, layers = self._plan(shape), list[nn.Module]()
        for before, after in pairwise(sizes):
            first = before is sizes[0]
            norm = nn.Identity() if first else nn.BatchNorm2d(after[0])
            layers += [nn.Conv2d(before[0], after[0], 4, 2, 1, bias=first), norm, nn.LeakyReLU(0.2)]
        return _drawn(nn.Sequential(*layers, nn.Flatten(), nn.Linear(flat(sizes[-1]), features)))

    def decoder(self, features: int, shape: Size) -> nn.Module:
        """Each stage doubles the image, from 4 or 7 pixels on."""
        sizes = self._plan(shape)[::-1]
        layers: list[nn.Module] = [nn.Linear(features, flat(sizes[0]), bias=False), nn.Unflatten(1, sizes[0])]
        for before, after in pairwise(sizes):
            last = after is sizes[-1]
            layers += [nn.BatchNorm2d(before[0]), nn.ReLU()]
            layers += [nn.ConvTranspose2d(before[0], after[0], 4, 2, 1, bias=last)]
        return _drawn(nn.Sequential(*layers))

    def _plan(self, shape: Size) -> list[Size]:
        sizes = plan(shape, self.width, self.most)
        halvings, (_, height, width) = len(sizes) - 1, shape
        exact = height % 2**halvings == 0 and width % 2**halvings == 0
        if not halvings or not exact or min(sizes[-1][1:]) not in (4, 7):
            raise ValueError(
                f"dcgan halves images until they are 4 or 7 pixels a side, and {height}x{width} cannot be; "
                "take such as 16, 28, 32, 64 or 128 pixels, or model/network=resnet for others, mlp-deep for points."
            )
        return sizes


def _drawn(module: nn.Module) -> nn.Module:
    """The same module with the paper's first weights."""
    for part in module.modules():
        if isinstance(part, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            nn.init.normal_(part.weight, 0.0, 0.02)
            if part.bias is not None:
                nn.init.zeros_(part.bias)
        elif isinstance(part, nn.BatchNorm2d):
            nn.init.normal_(part.weight, 1.0, 0.02)
    return module
