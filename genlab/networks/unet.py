"""The U-Net: an encoder and a decoder with skip connections, from an image to an image of the same size."""

import itertools
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from genlab.kinds import Image
from genlab.networks.dropout import Dropout
from genlab.networks.network import at_least
from genlab.registry import ConfigError

Normalization = Literal["batch", "instance", "none"]

_MOST, _SMALLEST, _LEFT = 7, 8, 3
"""The most halvings, as of 256 pixels down to 2; the smallest side of an image, and the most places that are left."""
_DROPPED = 3
"""The innermost stages of the decoder that drop numbers, as in pix2pix."""

NORMALIZATIONS: dict[str, type[nn.Module]] = {"batch": nn.BatchNorm2d, "instance": nn.InstanceNorm2d}


def normalization(name: Normalization, channels: int) -> nn.Module:
    """Build the normalisation of this many channels."""
    return NORMALIZATIONS[name](channels) if name in NORMALIZATIONS else nn.Identity()


class UNet(nn.Module):
    """Strided 4x4 convolutions down, and transposed ones up, which also see the result of their own size on the way.

    It is the generator of pix2pix (Isola et al. 2017). An image is halved until 2 or 3 places are left. If its
    sides cannot be halved that often, the edge is repeated at the right and at the bottom, and cut off in the end.
    """

    def __init__(
        self,
        source: Image,
        target: Image,
        width: int,
        most: int,
        depth: int | None = None,
        norm: Normalization = "batch",
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        at_least(1, width=width)
        at_least(width, most=most)
        if not 0 <= dropout < 1:
            raise ConfigError(f"dropout must be at least 0 and below 1, got {dropout:g}.")
        depth = depth_of(source, depth)
        self.multiple = 2**depth
        widths = [min(most, width * 2**stage) for stage in range(depth)]
        self.down = nn.ModuleList(
            _down(before, after, norm, first=not stage, last=stage == depth - 1)
            for stage, (before, after) in enumerate(zip([source.channels, *widths], widths, strict=False))
        )
        # From the inside out; all but the innermost also take the result of the way down.
        up = list[nn.Module]()
        for stage in reversed(range(1, depth)):
            before = widths[stage] if stage == depth - 1 else 2 * widths[stage]
            drop = dropout if depth - 1 - stage < _DROPPED else 0.0
            up.append(_up(before, widths[stage - 1], norm, drop))
        self.up = nn.ModuleList(up)
        self.leave = nn.Sequential(
            nn.ReLU(), nn.ConvTranspose2d(2 * widths[0] if depth > 1 else widths[0], target.channels, 4, 2, 1)
        )

    def forward(self, images: Tensor) -> Tensor:
        """Return an image for each image; the result is not bounded."""
        height, width = images.shape[2:]
        spare = (-width % self.multiple, -height % self.multiple)
        values = functional.pad(images, (0, spare[0], 0, spare[1]), mode="replicate") if any(spare) else images
        passed: list[Tensor] = []
        for stage in self.down:
            values = stage(values)
            passed.append(values)
        values = passed.pop()
        for stage in self.up:
            values = torch.cat([stage(values), passed.pop()], 1)
        result: Tensor = self.leave(values)
        return result[:, :, :height, :width]


def depth_of(kind: Image, depth: int | None = None) -> int:
    """Return the number of halvings: the given one if the image is large enough, else until 2 or 3 pixels are left."""
    side = min(kind.height, kind.width)
    if side < _SMALLEST:
        raise ConfigError(
            f"a U-Net needs images of at least {_SMALLEST} x {_SMALLEST} pixels, got {kind.height} x {kind.width}."
        )
    deepest = next(depth for depth in itertools.count(1) if -(-side // 2**depth) <= _LEFT)
    if depth is None:
        return min(_MOST, deepest)
    if not 1 <= depth <= deepest:
        raise ConfigError(
            f"depth must be between 1 and {deepest}, because a U-Net can halve images of {kind.height} x {kind.width} "
            f"pixels {deepest} times; got {depth}."
        )
    return depth


def _down(before: int, after: int, norm: Normalization, *, first: bool, last: bool) -> nn.Sequential:
    """Build a stage that halves; the first sees pixels, and the last has too few places to normalise."""
    layers: list[nn.Module] = [] if first else [nn.LeakyReLU(0.2)]
    layers.append(nn.Conv2d(before, after, 4, 2, 1))
    return nn.Sequential(*layers, *([] if first or last else [normalization(norm, after)]))


def _up(before: int, after: int, norm: Normalization, dropout: float) -> nn.Sequential:
    layers = [nn.ReLU(), nn.ConvTranspose2d(before, after, 4, 2, 1), normalization(norm, after)]
    return nn.Sequential(*layers, *([Dropout(dropout, whole_maps=False)] if dropout else []))
