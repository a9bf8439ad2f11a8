"""The networks that an ordinary public script calls DCGAN, as a plugin.

genlab train --plugin benchmarks/ordinary.py model=dcgan model/network=ordinary data=faces data.size=32
"""

from itertools import pairwise

from torch import nn

from genlab.kinds import Image
from genlab.networks.network import at_least


class Ordinary:
    """A generator of upsampling and convolutions, and a discriminator of strided convolutions with dropout."""

    def __init__(self, *, width: int = 128, dropout: float = 0.25) -> None:
        at_least(8, width=width)
        at_least(0, dropout=dropout)
        self.width, self.dropout = width, dropout

    def encoder(self, kind: Image, features: int) -> nn.Module:
        """Build the discriminator: four stages that halve the image; the first one has no normalisation."""
        channels, height, width = kind.shape
        widths, layers = [channels, *(self.width // part for part in (8, 4, 2, 1))], list[nn.Module]()
        for number, (before, after) in enumerate(pairwise(widths)):
            layers += [nn.Conv2d(before, after, 3, 2, 1), nn.LeakyReLU(0.2), nn.Dropout2d(self.dropout)]
            if number:
                layers.append(nn.BatchNorm2d(after))
            height, width = (height + 1) // 2, (width + 1) // 2
        return initialized(nn.Sequential(*layers, nn.Flatten(), nn.Linear(self.width * height * width, features)))

    def decoder(self, features: int, kind: Image) -> nn.Module:
        """Build the generator: from a quarter of the image's side, doubled twice; the model adds the tanh."""
        channels, height, width = kind.shape
        if height % 4 or width % 4:
            raise ValueError(
                f"ordinary doubles the image twice, so its sides must be multiples of 4, got {height}x{width}."
            )
        small = (self.width, height // 4, width // 4)
        layers: list[nn.Module] = [nn.Linear(features, self.width * small[1] * small[2]), nn.Unflatten(1, small)]
        layers.append(nn.BatchNorm2d(self.width))
        for before, after in ((self.width, self.width), (self.width, self.width // 2)):
            layers += [nn.Upsample(scale_factor=2), nn.Conv2d(before, after, 3, 1, 1)]
            layers += [nn.BatchNorm2d(after), nn.LeakyReLU(0.2)]
        return initialized(nn.Sequential(*layers, nn.Conv2d(self.width // 2, channels, 3, 1, 1)))


def initialized(module: nn.Module) -> nn.Module:
    """Return the module with the initial weights of Radford et al. 2016, as such scripts set them."""
    for part in module.modules():
        if isinstance(part, nn.Conv2d | nn.Linear):
            nn.init.normal_(part.weight, 0.0, 0.02)
        elif isinstance(part, nn.BatchNorm2d):
            nn.init.normal_(part.weight, 1.0, 0.02)
    return module


NETWORKS = {"ordinary": Ordinary}
