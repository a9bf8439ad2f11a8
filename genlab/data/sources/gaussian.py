"""Points of a mixture of Gaussians, in one dimension or two: data whose truth is a formula."""

import torch
from torch import Tensor

from genlab.data.dataset import Images
from genlab.data.sources.drawn.factors import BLOCK, Choice, draw_factors, split
from genlab.randomness import generator
from genlab.registry import ConfigError


def gaussian(
    *, count: int, means: list[list[float]], deviation: float, seed: int, validation: int, test: int
) -> Images:
    """Points around `means`, all equally likely and equally wide; the labels say which one a point belongs to."""
    dimensions = _dimensions(means)
    if deviation <= 0:
        raise ConfigError(f"deviation must be above 0, and {deviation} is not.")
    splits = split(count, validation, test)
    names = tuple(str(tuple(mean)) if dimensions > 1 else str(mean[0]) for mean in means)
    labels = draw_factors({"component": Choice(names)}, count, seed, "gaussian")["component"]
    points = torch.tensor(means, dtype=torch.float32)[labels] + deviation * _normal(count, dimensions, seed)
    return Images(points.view(count, 1, 1, dimensions), splits, labels, names)


def _dimensions(means: list[list[float]]) -> int:
    if not means:
        raise ConfigError("means must have at least one point, and there is none.")
    lengths = sorted({len(mean) for mean in means})
    if len(lengths) > 1:
        raise ConfigError(f"means must all have as many numbers, and there are {' and '.join(map(str, lengths))}.")
    if lengths[0] not in (1, 2):
        raise ConfigError(f"means must have 1 or 2 numbers each, and {lengths[0]} is neither.")
    return lengths[0]


def _normal(count: int, dimensions: int, seed: int) -> Tensor:
    """Standard normal numbers, of which the first are the same whatever the count."""
    blocks = range(-(-count // BLOCK))
    drawn = [torch.randn(BLOCK, dimensions, generator=generator(seed, "gaussian/noise", block)) for block in blocks]
    return torch.cat(drawn)[:count]
