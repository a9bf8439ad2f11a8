"""Points of a mixture of Gaussians, in one dimension or two: data with a known density."""

import torch
from torch import Tensor

from genlab.data.dataset import Dataset
from genlab.data.sources.drawn.factors import BLOCK, Choice, draw_factors, split
from genlab.randomness import generator
from genlab.registry import ConfigError


def gaussian(*, count: int, means: list[list[float]], std: float, seed: int, validation: int, test: int) -> Dataset:
    """Return points around `means`, all equally likely and equally wide; the label of a point names its mean."""
    dimensions = _dimensions(means)
    if std <= 0:
        raise ConfigError(f"std must be above 0, got {std}.")
    splits = split(count, validation, test)
    names = tuple(str(tuple(mean)) if dimensions > 1 else str(mean[0]) for mean in means)
    labels = draw_factors({"component": Choice(names)}, count, seed, "gaussian")["component"]
    points = torch.tensor(means, dtype=torch.float32)[labels] + std * _normal(count, dimensions, seed)
    return Dataset.of_points(points, splits, labels, names)


def _dimensions(means: list[list[float]]) -> int:
    if not means:
        raise ConfigError("means must have at least one point, got none.")
    lengths = sorted({len(mean) for mean in means})
    if len(lengths) > 1:
        raise ConfigError(f"means must all have the same number of coordinates, got {' and '.join(map(str, lengths))}.")
    if lengths[0] not in (1, 2):
        raise ConfigError(f"means must have 1 or 2 coordinates each, got {lengths[0]}.")
    return lengths[0]


def _normal(count: int, dimensions: int, seed: int) -> Tensor:
    """Draw standard normal numbers; the first ones are the same whatever the count."""
    blocks = range(-(-count // BLOCK))
    drawn = [torch.randn(BLOCK, dimensions, generator=generator(seed, "gaussian/noise", block)) for block in blocks]
    return torch.cat(drawn)[:count]
