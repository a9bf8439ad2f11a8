"""Layers with an equalised learning rate, and filters that resize feature maps (Karras et al. 2018 and 2020)."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

_SMOOTH, _BOX = (1.0, 3.0, 3.0, 1.0), (1.0, 1.0)


class Equalized(nn.Module):
    """Weights from N(0, 1) that are scaled when they are used, so that all layers learn at one rate.

    The weights of a layer with a learning-rate multiplier `rate` are larger, and scaled down as much: an optimizer
    whose steps have a fixed size then changes the layer by `rate` times as much (Karras et al. 2018 and 2019).
    """

    def __init__(self, size: Sequence[int], *, bias: float | None = 0.0, rate: float = 1.0) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(*size) / rate)
        self.bias = None if bias is None else nn.Parameter(torch.full((size[0],), bias / rate))
        self.scale, self.rate = rate / math.sqrt(math.prod(size[1:])), rate

    def scaled(self) -> Tensor:
        """Return the weights as they are used."""
        return self.weight * self.scale

    def shift(self) -> Tensor | None:
        """Return the bias as it is used."""
        return None if self.bias is None else self.bias * self.rate


class EqualizedLinear(Equalized):
    """A linear layer with an equalised learning rate."""

    def __init__(self, before: int, after: int, *, bias: float | None = 0.0, rate: float = 1.0) -> None:
        super().__init__((after, before), bias=bias, rate=rate)

    def forward(self, values: Tensor) -> Tensor:
        """Return N x after."""
        return functional.linear(values, self.scaled(), self.shift())


class Resize(nn.Module):
    """A fixed filter that doubles or halves feature maps.

    The filter is [1, 3, 3, 1] each way with `blur`, which removes frequencies that a smaller image cannot hold, or
    else [1, 1]: repeated pixels, and means of 2 x 2 pixels.
    """

    taps: Tensor

    def __init__(self, blur: bool) -> None:
        super().__init__()
        line = torch.tensor(_SMOOTH if blur else _BOX)
        self.register_buffer("taps", torch.outer(line, line) / line.sum().square(), persistent=False)
        self.size = len(line)

    def blurred(self, maps: Tensor, pad: int, gain: float = 1.0) -> Tensor:
        """Filter each channel, and leave its size as it is but for the padding."""
        return functional.conv2d(maps, self._kernel(maps, gain), padding=pad, groups=maps.shape[1])

    def doubled(self, maps: Tensor) -> Tensor:
        """Return maps of twice the size."""
        kernel, pad = self._kernel(maps, 4.0), self.size // 2 - 1
        return functional.conv_transpose2d(maps, kernel, stride=2, padding=pad, groups=maps.shape[1])

    def halved(self, maps: Tensor) -> Tensor:
        """Return maps of half the size."""
        kernel, pad = self._kernel(maps), self.size // 2 - 1
        return functional.conv2d(maps, kernel, stride=2, padding=pad, groups=maps.shape[1])

    def convolved_up(self, maps: Tensor, weight: Tensor) -> Tensor:
        """Double maps and convolve them by 3 x 3, in the order that needs fewest products."""
        large = functional.conv_transpose2d(maps, weight.transpose(0, 1), stride=2)
        return self.blurred(large, self.size // 2 - 1, 4.0)

    def convolved_down(self, maps: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """Filter maps, convolve them by 3 x 3 and halve them."""
        return functional.conv2d(self.blurred(maps, self.size // 2), weight, bias, stride=2)

    def _kernel(self, maps: Tensor, gain: float = 1.0) -> Tensor:
        return (gain * self.taps).to(maps.dtype).expand(maps.shape[1], 1, self.size, self.size)


class EqualizedConv(Equalized):
    """A convolution with an equalised learning rate, which can halve the feature maps."""

    def __init__(
        self, before: int, after: int, kernel: int, *, bias: float | None = 0.0, down: Resize | None = None
    ) -> None:
        super().__init__((after, before, kernel, kernel), bias=bias)
        self.pad, self.down = kernel // 2, down

    def forward(self, maps: Tensor) -> Tensor:
        """Return N x after x H x W, or half as large."""
        if self.down:
            return self.down.convolved_down(maps, self.scaled(), self.shift())
        return functional.conv2d(maps, self.scaled(), self.shift(), padding=self.pad)


def active(values: Tensor) -> Tensor:
    """Apply a leaky ReLU that leaves the mean square of normal numbers about as it is."""
    return functional.leaky_relu(values, 0.2) * math.sqrt(2)
