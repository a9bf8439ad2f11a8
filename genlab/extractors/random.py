"""A fixed random network: features for images without labels that need no download."""

import torch
from torch import Tensor
from torch.nn import functional

from genlab.kinds import Image
from genlab.networks.extractor import Extractor, code_of
from genlab.randomness import generator

SEED = 0
# Channels and stride of each stage. The first stage keeps the size, because noise shows there.
STAGES = ((16, 1), (32, 2), (48, 2))
KERNEL, POOLED = 3, 2


class Random(Extractor):
    """The same network for all images of these channels; random networks, too, separate sets (Naeem et al. 2020).

    Its vectors hold, for each stage, the means over the quarters of the image and the std over its positions.
    """

    has_maps = has_vectors = True

    def __init__(self, *, channels: int) -> None:
        description = f"a fixed random network of {len(STAGES)} convolutions over {channels} channels"
        super().__init__("random", description=description, code=CODE)
        for depth, stage in enumerate(drawn(channels)):
            self.register_buffer(str(depth), stage, persistent=False)

    @property
    def stages(self) -> list[Tensor]:
        """The weights of each stage."""
        return [self.get_buffer(str(depth)) for depth in range(len(STAGES))]

    def maps(self, images: Tensor) -> list[Tensor]:
        """Return the output of each stage."""
        return outputs(images, self.stages)

    def rows(self, items: Tensor) -> Tensor:
        """Return the means and the std of each channel of each stage."""
        return summary(self.maps(items))


def random(*, x: Image) -> Random:
    """Create the network; its weights are the same on every machine."""
    return Random(channels=x.channels)


def drawn(channels: int) -> list[Tensor]:
    """Draw the weights of each stage with the scale of He et al. 2015."""
    draws, weights = generator(SEED, "random features", channels), list[Tensor]()
    for width, _ in STAGES:
        # Uniform, because each type of processor has its own logarithm and cosine for normal numbers.
        stage = 2 * torch.rand(width, channels, KERNEL, KERNEL, generator=draws) - 1
        weights.append(stage * (6 / stage[0].numel()) ** 0.5)
        channels = width
    return weights


def outputs(images: Tensor, weights: list[Tensor]) -> list[Tensor]:
    """Return the rectified output of each stage."""
    found, layer = list[Tensor](), 2 * images - 1
    for (_, stride), stage in zip(STAGES, weights, strict=True):
        margin = [KERNEL // 2] * 4
        layer = functional.conv2d(functional.pad(layer, margin, mode="replicate"), stage, stride=stride).relu()
        found.append(layer)
    return found


def summary(maps: list[Tensor]) -> Tensor:
    """Return for each map the means over the quarters of the image, and the std of each channel over its positions."""
    found = list[Tensor]()
    for layer in maps:
        found += [functional.adaptive_avg_pool2d(layer, POOLED).flatten(1), layer.flatten(2).std(2, correction=0)]
    return torch.cat(found, dim=1)


CODE = code_of(outputs, summary) + repr((STAGES, KERNEL, POOLED))
"""The code at the time of import, for the digest: other code with the same weights is another network."""
