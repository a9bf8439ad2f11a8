"""By what sets of images are compared, by name; and what is taken where none is named."""

import inspect
from collections.abc import Callable
from typing import Any

import torch

from genlab.data.dataset import Images
from genlab.extractors.classifier import classes_to_learn
from genlab.extractors.embeddings import classifier, coordinates, inception, lite0, random
from genlab.extractors.embeddings.embedding import Embedding
from genlab.registry import ConfigError, pick
from genlab.training.console import Console

__all__ = ["EMBEDDINGS", "Embedding", "embedding_of"]

EMBEDDINGS: dict[str, Callable[..., Embedding]] = {
    "inception": inception.inception,
    "classifier": classifier.classifier,
    "random": random.random,
    "lite0": lite0.lite0,
    "coordinates": coordinates.coordinates,
}


def embedding_of(
    name: str | None, *, images: Images, device: torch.device | None = None, console: Console | None = None
) -> Embedding:
    """The embedding of this name, or `name=FILE` with weights of one's own; None takes what fits the data."""
    name, _, weights = (name or _default(images)).partition("=")
    factory = pick("features", name, EMBEDDINGS)
    takes = inspect.signature(factory).parameters
    if weights and "weights" not in takes:
        raise ConfigError(f"The features {name} take no file of weights.")
    facts: dict[str, Any] = {"images": images, "device": device, "console": console, "weights": weights or None}
    return factory(**{fact: value for fact, value in facts.items() if fact in takes})


def _default(images: Images) -> str:
    if images.shape.points:
        return "coordinates"
    return "classifier" if classes_to_learn(images) > 1 else "random"
