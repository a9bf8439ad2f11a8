"""VGG19 trained on ImageNet (Simonyan and Zisserman 2015), the features of the papers on super-resolution."""

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn

from genlab.data.files.vision import torchvision
from genlab.extractors.weights import fetched, read, ways_on
from genlab.kinds import Image
from genlab.networks.extractor import Extractor, check_channels, colour, freeze
from genlab.registry import ConfigError
from genlab.training.console import Console

Layer = Literal["before", "after"]
FILE, DIGEST, MEGABYTES = "vgg19-dcbb9e9d.pth", "dcbb9e9d", 548
# The last convolution before each pooling, after its activation; the fifth also before it.
ENDS, BEFORE = (3, 8, 17, 26, 35), 34
_LEAST = 16


class Vgg19(Extractor):
    """The convolutions of VGG19; the content is the last one, before or after its activation (Ledig et al. 2017)."""

    has_maps = True
    body: nn.Sequential
    mean: Tensor
    std: Tensor

    def __init__(self, weights: Mapping[str, Tensor], *, layer: Layer, factor: float) -> None:
        description = f"VGG19 trained on ImageNet (weights {DIGEST}), last convolution of each block"
        super().__init__("vgg19" if layer == "after" else "vgg19-before", factor=factor, description=description)
        # The meta device takes no memory for the layers that decide the class, nine tenths of the network.
        with torch.device("meta"):
            body: nn.Sequential = torchvision().models.vgg19(weights=None).features
        own = {name: weights[f"features.{name}"] for name in body.state_dict()}
        body.load_state_dict(own, assign=True)
        self.ends = (*ENDS[:-1], ENDS[-1] if layer == "after" else BEFORE)
        self.body = nn.Sequential(*list(body)[: self.ends[-1] + 1])
        self.register_buffer("mean", torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1))
        freeze(self)

    def forward(self, images: Tensor) -> Tensor:
        """Return the last convolution of the fifth block, which needs images of at least 16 pixels a side."""
        if min(images.shape[2:]) < _LEAST:
            sides = " x ".join(map(str, images.shape[2:]))
            raise ConfigError(f"The content of VGG19 needs images of at least {_LEAST} x {_LEAST}, got {sides}.")
        return self.maps(images)[-1]

    def maps(self, images: Tensor) -> list[Tensor]:
        """Return the last convolution of each block; small images have only the first blocks."""
        layer, found = (colour(images) - self.mean) / self.std, list[Tensor]()
        for place, part in enumerate(self.body):
            if isinstance(part, nn.MaxPool2d) and min(layer.shape[2:]) < 2:
                break
            layer = part(layer)
            if place in self.ends:
                found.append(layer)
        return found


def vgg19(
    *,
    weights: str | None = None,
    layer: Layer = "after",
    # The paper divides the features by 12.75; 0.006 is 1 / 12.75 squared, so that nothing is divided here.
    factor: float = 0.006,
    x: Image | None = None,
    console: Console | None = None,
) -> Vgg19:
    """Create the extractor with torchvision's weights: from a file, from torch's folder, or downloaded now."""
    check_channels(x)
    path = _fetched(console or Console()) if weights is None else Path(weights).expanduser()
    return Vgg19(read(path, DIGEST), layer=layer, factor=factor)


def _fetched(console: Console) -> Path:
    return fetched(
        "VGG19",
        FILE,
        DIGEST,
        MEGABYTES,
        url=lambda: str(torchvision().models.VGG19_Weights.IMAGENET1K_V1.url),
        ways=lambda file: ways_on(f"model.features.weights=FILE, where {file}"),
        console=console,
    )
