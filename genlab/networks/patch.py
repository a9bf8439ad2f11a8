"""The patch discriminator: it scores many overlapping parts of an image (Isola et al. 2017)."""

from typing import Literal

from torch import Tensor, nn

from genlab.kinds import Image
from genlab.networks.network import at_least
from genlab.networks.unet import Normalization, normalization
from genlab.registry import ConfigError

Patch = Literal[16, 34, 70]

_HALVINGS: dict[int, int] = {16: 1, 34: 2, 70: 3}
"""The strided convolutions behind a score that sees this many pixels each way."""


class PatchDiscriminator(nn.Module):
    """4x4 convolutions from an image in [-1, 1] to a map of scores, each of which sees a patch of the image."""

    def __init__(self, kind: Image, width: int, patch: Patch, norm: Normalization) -> None:
        super().__init__()
        at_least(1, discriminator_width=width)
        halvings = _HALVINGS[patch]
        # Two convolutions of stride 1 follow, each of which makes the map smaller by one.
        smallest = 3 * 2**halvings
        if min(kind.height, kind.width) < smallest:
            fitting = [str(size) for size, stages in _HALVINGS.items() if 3 * 2**stages <= min(kind.height, kind.width)]
            advice = f" Set model.patch to {' or '.join(fitting)}." if fitting else " Set a larger data.size."
            raise ConfigError(
                f"patch {patch} needs images of at least {smallest} x {smallest} pixels, got "
                f"{kind.height} x {kind.width}.{advice}"
            )
        widths = [width * min(8, 2**stage) for stage in range(halvings + 1)]
        layers: list[nn.Module] = [nn.Conv2d(kind.channels, width, 4, 2, 1), nn.LeakyReLU(0.2)]
        for stage in range(1, halvings + 1):
            stride = 2 if stage < halvings else 1
            convolution = nn.Conv2d(widths[stage - 1], widths[stage], 4, stride, 1)
            layers += [convolution, normalization(norm, widths[stage]), nn.LeakyReLU(0.2)]
        self.layers = nn.Sequential(*layers, nn.Conv2d(widths[-1], 1, 4, 1, 1))

    def forward(self, images: Tensor) -> Tensor:
        """Return N x 1 x H x W scores, higher for real images."""
        scores: Tensor = self.layers(images)
        return scores.float()


def start_small(module: nn.Module) -> None:
    """Draw the weights of convolutions from N(0, 0.02), as pix2pix and CycleGAN do."""
    for part in module.modules():
        if isinstance(part, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.normal_(part.weight, 0.0, 0.02)
            if part.bias is not None:
                nn.init.zeros_(part.bias)
        elif isinstance(part, nn.BatchNorm2d):
            nn.init.normal_(part.weight, 1.0, 0.02)
