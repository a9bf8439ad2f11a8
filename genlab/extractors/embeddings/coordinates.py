"""Points of few coordinates are compared as they are."""

import torch
from torch import Tensor

from genlab.data.dataset import Images
from genlab.extractors.embeddings.embedding import Embedding, in_batches
from genlab.networks.extractor import digest_of
from genlab.registry import ConfigError


def coordinates(*, images: Images, device: torch.device | None = None) -> Embedding:
    """The points themselves; nothing is seen in pixels by themselves that is worth comparing."""
    if not images.shape.points:
        raise ConfigError("The features coordinates are of points, and this data is images; random takes them.")
    home = device or torch.device("cpu")
    says = f"the points themselves, in {images.shape.width} dimensions"
    return Embedding("coordinates", digest_of((), "coordinates"), says, home, in_batches(_as_they_are, home))


def _as_they_are(points: Tensor) -> Tensor:
    return points.flatten(1)
