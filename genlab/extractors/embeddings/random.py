"""A fixed network that nobody has trained: what is left where images have no labels and nothing is to be fetched."""

import inspect

import torch
from torch import Tensor
from torch.nn import functional

from genlab.data.dataset import Images
from genlab.extractors.embeddings.embedding import Embedding, in_batches, refuse_points
from genlab.networks.extractor import digest_of
from genlab.randomness import generator

SEED = 0
# Of each stage: how many channels it sees, and the stride at which it looks. The first keeps the size, where noise is.
STAGES = ((16, 1), (32, 2), (48, 2))
KERNEL, POOLED = 3, 2


def random(*, images: Images, device: torch.device | None = None) -> Embedding:
    """The same network for all images of so many channels; untrained ones tell sets apart too (Naeem et al. 2020)."""
    refuse_points("random", images)
    home, channels = device or torch.device("cpu"), images.shape.channels
    weights = [stage.to(home) for stage in drawn(channels)]
    return Embedding(
        name="random",
        digest=digest_of(((str(depth), stage) for depth, stage in enumerate(weights)), LAYERS),
        says=f"a fixed random network of {len(STAGES)} convolutions over {channels} channels",
        device=home,
        embed=in_batches(lambda part: seen(part, weights), home),
    )


def drawn(channels: int) -> list[Tensor]:
    """The weights of each stage, as He et al. 2015 scale them."""
    draws, weights = generator(SEED, "random features", channels), list[Tensor]()
    for width, _ in STAGES:
        # Uniform and not normal, for which each kind of processor takes logarithms and cosines of its own.
        stage = 2 * torch.rand(width, channels, KERNEL, KERNEL, generator=draws) - 1
        weights.append(stage * (6 / stage[0].numel()) ** 0.5)
        channels = width
    return weights


def seen(images: Tensor, weights: list[Tensor]) -> Tensor:
    """Of each stage the means over the quarters of the image, and how much each channel varies over its places."""
    found, layer = list[Tensor](), 2 * images - 1
    for (_, stride), stage in zip(STAGES, weights, strict=True):
        margin = [KERNEL // 2] * 4
        layer = functional.conv2d(functional.pad(layer, margin, mode="replicate"), stage, stride=stride).relu()
        found += [functional.adaptive_avg_pool2d(layer, POOLED).flatten(1), layer.flatten(2).std(2, correction=0)]
    return torch.cat(found, dim=1)


# What the weights mean, as it stood when it was imported: a change to it is another network.
LAYERS = "".join([inspect.getsource(seen), repr((STAGES, KERNEL, POOLED))])
