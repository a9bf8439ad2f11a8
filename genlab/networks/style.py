"""The networks of StyleGAN: a style scales the feature maps of each layer (Karras et al. 2019 and 2020)."""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from genlab import distributed, randomness
from genlab.kinds import Image
from genlab.networks.equalized import Equalized, EqualizedConv, EqualizedLinear, Resize, active
from genlab.networks.network import at_least
from genlab.registry import ConfigError

Outputs = Literal["skip", "residual"]

_GROUP = 4
"""Images whose spread a discriminator sees at once."""


class ModulatedConv(nn.Module):
    """A convolution whose weights the style of each item scales, one factor for each channel that comes in.

    Demodulation divides the weights of each channel that goes out by their norm, so that the style changes the
    balance of the channels and not their size. The factors are applied to the feature maps, not to the weights:
    y = conv(x s) / sqrt(sum (w s)^2) is the same, and needs no weights of its own for each item.
    """

    def __init__(
        self,
        before: int,
        after: int,
        style_dim: int,
        *,
        kernel: int = 3,
        demodulate: bool = True,
        up: Resize | None = None,
    ) -> None:
        super().__init__()
        self.affine = EqualizedLinear(style_dim, before, bias=1.0)
        self.weights = Equalized((after, before, kernel, kernel), bias=None)
        self.demodulate, self.up = demodulate, up

    def forward(self, maps: Tensor, style: Tensor) -> Tensor:
        """Convolve feature maps, N x before x H x W, by the style of each item, N x S."""
        factors, weight = self.affine(style), self.weights.scaled()
        maps = maps * factors[:, :, None, None]
        if self.up:
            maps = self.up.convolved_up(maps, weight)
        else:
            maps = functional.conv2d(maps, weight, padding=weight.shape[2] // 2)
        if self.demodulate:
            norms = factors.float().square() @ weight.float().square().sum((2, 3)).T
            maps = maps * torch.rsqrt(norms + 1e-8)[:, :, None, None]
        return maps


class StyledLayer(nn.Module):
    """A modulated convolution, noise for each pixel, a bias and an activation.

    The noise is drawn anew for each item in training. Otherwise it is always the same image of noise, a buffer, so
    that the result depends on the style only.
    """

    noise: Tensor

    def __init__(
        self, before: int, after: int, style_dim: int, side: int, *, noisy: bool, up: Resize | None = None
    ) -> None:
        super().__init__()
        self.conv = ModulatedConv(before, after, style_dim, up=up)
        self.bias = nn.Parameter(torch.zeros(after))
        self.strength = nn.Parameter(torch.zeros(())) if noisy else None
        if noisy:
            self.register_buffer("noise", torch.randn(1, 1, side, side))

    def forward(self, maps: Tensor, style: Tensor) -> Tensor:
        """Return N x after x H x W."""
        maps = self.conv(maps, style)
        if self.strength is not None:
            maps = maps + self.strength * (randomness.normal_like(maps[:, :1]) if self.training else self.noise)
        return active(maps + self.bias[:, None, None])


class ToImage(nn.Module):
    """A modulated 1 x 1 convolution from feature maps to the channels of an image."""

    def __init__(self, before: int, channels: int, style_dim: int) -> None:
        super().__init__()
        self.conv = ModulatedConv(before, channels, style_dim, kernel=1, demodulate=False)
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, maps: Tensor, style: Tensor) -> Tensor:
        """Return N x channels x H x W."""
        image: Tensor = self.conv(maps, style)
        return image + self.bias[:, None, None]


class Mapping(nn.Module):
    """The mapping network, from normalised noise, and from the class of a conditional model, to styles."""

    def __init__(self, latent_dim: int, depth: int, rate: float, classes: int = 0) -> None:
        super().__init__()
        self.told = EqualizedLinear(classes, latent_dim) if classes else None
        widths = [latent_dim * (2 if classes else 1), *[latent_dim] * depth]
        self.layers = nn.ModuleList(EqualizedLinear(before, after, rate=rate) for before, after in pairwise(widths))
        self.classes = classes

    def forward(self, codes: Tensor, label: Tensor | None) -> Tensor:
        """Return the style of each code, N x S."""
        style = _normalised(codes)
        if self.told is not None:
            assert label is not None
            named = functional.one_hot(label, self.classes).to(style.dtype)
            style = torch.cat([style, _normalised(self.told(named))], 1)
        for layer in self.layers:
            style = active(layer(style))
        return style


class Synthesis(nn.Module):
    """The synthesis network: a constant that grows to an image, with a style for each of its layers.

    With `skip`, each size adds its own image to the doubled one of the size before. With `residual`, each block adds
    to its doubled input, and only the last one becomes an image.
    """

    def __init__(
        self, kind: Image, style_dim: int, width: int, most: int, *, outputs: Outputs, blur: bool, noisy: bool
    ) -> None:
        super().__init__()
        widths, side = _widths(kind, width, most)[::-1], start_of(kind)
        self.resize, self.outputs = Resize(blur), outputs
        self.start = nn.Parameter(torch.randn(1, widths[0], side, side))
        self.layers = nn.ModuleList([StyledLayer(widths[0], widths[0], style_dim, side, noisy=noisy)])
        for before, after in pairwise(widths):
            side *= 2
            self.layers.append(StyledLayer(before, after, style_dim, side, noisy=noisy, up=self.resize))
            self.layers.append(StyledLayer(after, after, style_dim, side, noisy=noisy))
        shown = widths if outputs == "skip" else widths[-1:]
        self.to_image = nn.ModuleList(ToImage(channels, kind.channels, style_dim) for channels in shown)
        passed = list(pairwise(widths)) if outputs == "residual" else []
        self.passed = nn.ModuleList(EqualizedConv(before, after, 1, bias=None) for before, after in passed)
        self.count = len(self.layers) + 1

    def forward(self, styles: Tensor) -> Tensor:
        """Return images that are about in [-1, 1], from styles, N x layers x S."""
        maps = self.layers[0](self.start.expand(len(styles), -1, -1, -1), styles[:, 0])
        image = self.to_image[0](maps, styles[:, 1]) if self.outputs == "skip" else None
        for stage in range(len(self.layers) // 2):
            first, second = 2 * stage + 1, 2 * stage + 2
            before = maps
            maps = self.layers[second](self.layers[first](maps, styles[:, first]), styles[:, second])
            if image is not None:
                image = self.resize.doubled(image) + self.to_image[stage + 1](maps, styles[:, second + 1])
            else:
                maps = (maps + self.resize.doubled(self.passed[stage](before))) / math.sqrt(2)
        found: Tensor = self.to_image[0](maps, styles[:, -1]) if image is None else image
        return found

    def affine(self, layers: Sequence[int]) -> Tensor:
        """Return the weights that turn the styles of these layers into factors of channels, R x S."""
        skip = self.outputs == "skip"
        numbers = [*range(len(self.layers))]
        numbers += [2 * place + 1 if skip else self.count - 1 for place in range(len(self.to_image))]
        weights = list[Tensor]()
        for number, part in zip(numbers, [*self.layers, *self.to_image], strict=True):
            assert isinstance(part, StyledLayer | ToImage)
            weights += [part.conv.affine.scaled()] if number in layers else []
        return torch.cat(weights)


class StyleDiscriminator(nn.Module):
    """A residual network that scores images; the last layers also see how much the images of a group differ.

    A conditional one multiplies its features with a vector of the class (Miyato and Koyama 2018).
    """

    def __init__(self, kind: Image, width: int, most: int, *, blur: bool, classes: int = 0) -> None:
        super().__init__()
        widths, side = _widths(kind, width, most), start_of(kind)
        self.resize, last, self.classes = Resize(blur), widths[-1], classes
        pairs = list(pairwise(widths))
        self.enter = EqualizedConv(kind.channels, widths[0], 1)
        self.first = nn.ModuleList(EqualizedConv(before, before, 3) for before, _ in pairs)
        self.second = nn.ModuleList(EqualizedConv(before, after, 3, down=self.resize) for before, after in pairs)
        self.passed = nn.ModuleList(EqualizedConv(before, after, 1, bias=None) for before, after in pairs)
        self.last, self.dense = EqualizedConv(last + 1, last, 3), EqualizedLinear(last * side**2, last)
        self.score = EqualizedLinear(last, classes or 1)

    def forward(self, images: Tensor, label: Tensor | None = None) -> Tensor:
        """Return one score for each image."""
        maps = active(self.enter(images))
        for first, second, passed in zip(self.first, self.second, self.passed, strict=True):
            seen = active(second(active(first(maps))))
            maps = (seen + passed(self.resize.halved(maps))) / math.sqrt(2)
        maps = torch.cat([maps, spread(maps)], 1)
        maps = active(self.last(maps))
        scores: Tensor = self.score(active(self.dense(maps.flatten(1)))).float()
        if self.classes:
            assert label is not None
            return scores.gather(1, label.unsqueeze(1)).squeeze(1)
        return scores.squeeze(1)


def spread(maps: Tensor) -> Tensor:
    """Return the mean std over the items of a group as one more channel, N x 1 x H x W.

    A group has up to 4 items that follow each other. If several processes share a batch, groups are those of the whole
    batch, so that the number of processes changes nothing.
    """
    # A part of whole groups needs no message.
    whole = maps if len(maps) % _GROUP == 0 else distributed.gathered(maps)
    group = next(size for size in range(_GROUP, 0, -1) if len(whole) % size == 0)
    groups = whole.float().view(-1, group, *maps.shape[1:])
    means = groups.var(1, correction=0).add(1e-8).sqrt().flatten(1).mean(1)
    each = means.repeat_interleave(group)
    ours = each if len(each) == len(maps) else each[distributed.rows(len(each))]
    return ours.to(maps.dtype).view(-1, 1, 1, 1).expand(-1, 1, *maps.shape[2:])


def start_of(kind: Image) -> int:
    """Return the side of the smallest feature maps: 4 pixels, or 7 for sizes such as 28."""
    return kind.height >> _doublings(kind)


def check_size(kind: Image) -> None:
    """Raise a ConfigError if images have a size that cannot grow from 4 or 7 pixels."""
    _doublings(kind)


def _doublings(kind: Image) -> int:
    side = kind.height
    for start in (4, 7):
        times = side // start
        if kind.height == kind.width and side == start * times and times > 1 and times & (times - 1) == 0:
            return times.bit_length() - 1
    raise ConfigError(
        "StyleGAN generates square images whose size is 4 times a power of two (16, 32, 64, 128, 256), or 7 times a "
        f"power of two (28, 56, 112), got {kind.height} x {kind.width}. Set data.size to one of these, such as "
        f"data.size={nearest_size(side)}."
    )


def nearest_size(side: int) -> int:
    """Return the size of 16 to 256 that is 4 times a power of two and nearest to this one."""
    return min((16, 32, 64, 128, 256), key=lambda size: abs(size - side))


def _widths(kind: Image, width: int, most: int) -> list[int]:
    """Return the channels of each size, from the largest feature maps to the smallest."""
    at_least(1, width=width)
    at_least(width, most=most)
    return [min(most, width * 2**stage) for stage in range(_doublings(kind) + 1)]


def _normalised(values: Tensor) -> Tensor:
    return values * torch.rsqrt(values.square().mean(1, keepdim=True) + 1e-8)
