"""The generator of CycleGAN: residual blocks at a quarter of the size, from an image to an image (Zhu et al. 2017)."""

from typing import Literal

from torch import Tensor, nn

from genlab.kinds import Image
from genlab.networks.network import at_least
from genlab.networks.patch import start_small
from genlab.networks.unet import Normalization, normalization
from genlab.registry import ConfigError

Base = Literal["none", "input"]

_FIRST = 0.001
"""Std of the last weights, if the output is added to the image."""


class Translator(nn.Module):
    """A 7x7 convolution, two that halve, residual blocks, two that double, and a 7x7 convolution; all in [-1, 1]."""

    def __init__(self, kind: Image, width: int, blocks: int, norm: Normalization, base: Base) -> None:
        super().__init__()
        at_least(1, width=width, blocks=blocks)
        if kind.height % 4 or kind.width % 4 or min(kind.height, kind.width) < 8:
            raise ConfigError(
                f"the generator halves images twice, so their sides must be multiples of 4 from 8 on; got "
                f"{kind.height} x {kind.width}. Set data.size={max(8, min(kind.height, kind.width) // 4 * 4)}."
            )
        self.base = base
        leave = nn.Conv2d(width, kind.channels, 7, padding=3, padding_mode="reflect")
        self.layers = nn.Sequential(
            *_convolution(kind.channels, width, 7, 1, norm),
            *_convolution(width, 2 * width, 3, 2, norm),
            *_convolution(2 * width, 4 * width, 3, 2, norm),
            *(_Block(4 * width, norm) for _ in range(blocks)),
            *_doubling(4 * width, 2 * width, norm),
            *_doubling(2 * width, width, norm),
            leave,
        )
        start_small(self)
        if base == "input":
            # The first results are then nearly the images, and not noise that is added to them.
            nn.init.normal_(leave.weight, 0.0, _FIRST)

    def forward(self, images: Tensor) -> Tensor:
        """Return an image in [-1, 1] for each image in [-1, 1].

        With the base `input`, the network computes what changes: twice its result is added to the image, which is
        enough to turn black into white.
        """
        output: Tensor = self.layers(images).float().tanh()
        return output if self.base == "none" else (images + 2 * output).clamp(-1, 1)


class _Block(nn.Module):
    """Two convolutions whose result is added to their input."""

    def __init__(self, width: int, norm: Normalization) -> None:
        super().__init__()
        first = _convolution(width, width, 3, 1, norm)
        self.body = nn.Sequential(*first, *_convolution(width, width, 3, 1, norm)[:2])

    def forward(self, values: Tensor) -> Tensor:
        change: Tensor = self.body(values)
        return values + change


def _convolution(before: int, after: int, size: int, stride: int, norm: Normalization) -> list[nn.Module]:
    convolution = nn.Conv2d(before, after, size, stride, size // 2, padding_mode="reflect" if stride == 1 else "zeros")
    return [convolution, normalization(norm, after), nn.ReLU()]


def _doubling(before: int, after: int, norm: Normalization) -> list[nn.Module]:
    return [nn.ConvTranspose2d(before, after, 3, 2, 1, 1), normalization(norm, after), nn.ReLU()]
