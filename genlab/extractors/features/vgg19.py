"""VGG19 as it learnt ImageNet (Simonyan and Zisserman 2015), by which the papers on super-resolution judge."""

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn

from genlab.data.dataset import Images
from genlab.data.files.vision import torchvision
from genlab.extractors.features.layers import check, colour
from genlab.extractors.features.weights import fetched, read, ways_on
from genlab.networks.extractor import Features, freeze
from genlab.registry import ConfigError
from genlab.training.console import Console

Layer = Literal["before", "after"]
FILE, DIGEST, MEGABYTES = "vgg19-dcbb9e9d.pth", "dcbb9e9d", 548
# The last convolution before each pooling, behind its activation; the fifth also before it.
ENDS, BEFORE = (3, 8, 17, 26, 35), 34
_LEAST = 16


class Vgg19(Features):
    """The convolutions of VGG19; the content is the last one, before or behind its activation (Ledig et al. 2017)."""

    body: nn.Sequential
    mean: Tensor
    deviation: Tensor

    def __init__(self, weights: Mapping[str, Tensor], *, layer: Layer, factor: float) -> None:
        super().__init__("vgg19" if layer == "after" else "vgg19-before", factor)
        # Without memory: the layers that decide the class, nine tenths of the network, are not wanted.
        with torch.device("meta"):
            body: nn.Sequential = torchvision().models.vgg19(weights=None).features
        own = {name: weights[f"features.{name}"] for name in body.state_dict()}
        body.load_state_dict(own, assign=True)
        self.ends = (*ENDS[:-1], ENDS[-1] if layer == "after" else BEFORE)
        self.body = nn.Sequential(*list(body)[: self.ends[-1] + 1])
        self.register_buffer("mean", torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1))
        self.register_buffer("deviation", torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1))
        freeze(self)

    def forward(self, images: Tensor) -> Tensor:
        """The fifth block's last convolution, which images of fewer than 16 pixels a side do not come to."""
        if min(images.shape[2:]) < _LEAST:
            sides = " x ".join(map(str, images.shape[2:]))
            raise ConfigError(
                f"The content by VGG19 takes images of {_LEAST} x {_LEAST} at least, and {sides} is less."
            )
        return self.layers(images)[-1]

    def layers(self, images: Tensor) -> list[Tensor]:
        """The last convolution of each block, of the last as it was chosen; of small images, as far as they come."""
        seen, found = (colour(images) - self.mean) / self.deviation, list[Tensor]()
        for place, part in enumerate(self.body):
            if isinstance(part, nn.MaxPool2d) and min(seen.shape[2:]) < 2:
                break
            seen = part(seen)
            if place in self.ends:
                found.append(seen)
        return found


def vgg19(
    *,
    weights: str | None = None,
    layer: Layer = "after",
    # The paper divides the features by 12.75; 0.006 is 1 / 12.75 squared, so that nothing is divided here.
    factor: float = 0.006,
    images: Images | None = None,
    device: torch.device | None = None,
    console: Console | None = None,
) -> Features:
    """The weights that torchvision publishes, from a file, from where torch keeps what it fetched, or fetched now."""
    check(images)
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
