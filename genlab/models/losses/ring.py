"""A prior of Gaussians on a ring."""

import math

import torch
from torch import Tensor, nn

from genlab.kinds import Classes


class Ring(nn.Module):
    """Equally likely Gaussians on a ring in the first two numbers of a code; the others are standard normal.

    Each number has mean 0 and variance 1: radius^2 / 2 + std^2 = 1. Half the distance between neighbours is two std.
    """

    centres: Tensor

    def __init__(self, components: int) -> None:
        super().__init__()
        self.components = Classes(tuple(str(number) for number in range(components)))
        half = math.sin(math.pi / components) ** 2
        self.std = math.sqrt(half / (2 + half))
        self.radius = math.sqrt(2 * (1 - self.std**2))
        angles = 2 * math.pi * torch.arange(components) / components
        centres = self.radius * torch.stack([angles.cos(), angles.sin()], 1)
        # A function of the number of components, so that checkpoints need not hold it.
        self.register_buffer("centres", centres, persistent=False)

    def placed(self, numbers: Tensor, component: Tensor) -> Tensor:
        """Turn standard normal numbers into codes of the given components."""
        return torch.cat([self.centres[component] + self.std * numbers[:, :2], numbers[:, 2:]], dim=1)

    def log_density(self, codes: Tensor) -> Tensor:
        """Return the log density of codes, ... x D, under each component: ... x components."""
        rest = -0.5 * (codes[..., 2:].square() + math.log(2 * math.pi)).sum(-1, keepdim=True)
        squares = (codes[..., None, :2] - self.centres).square().sum(-1) / self.std**2
        return rest - 0.5 * squares - math.log(2 * math.pi * self.std**2)
