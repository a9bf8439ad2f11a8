"""Fitted priors as modules: they turn standard normal numbers into codes, in operations that can be exported."""

from __future__ import annotations

import copy
import math

import torch
from torch import Tensor, nn

from genlab.lab.prior import Mixture, Prior, SecondStage


class Placing(nn.Module):
    """A prior that turns N x width standard normal numbers into codes."""

    width: int


class PlacedMixture(Placing):
    """A mixture of Gaussians: the last number of a row chooses the Gaussian."""

    bounds: Tensor
    means: Tensor
    factors: Tensor

    def __init__(self, mixture: Mixture, classes: int) -> None:
        super().__init__()
        self.width = mixture.size + 1
        label = None if mixture.classes is None else torch.arange(classes)
        bounds = mixture.within(label).cumsum(1)
        self.register_buffer("bounds", (bounds / bounds[:, -1:]).float())
        self.register_buffer("means", mixture.means.float())
        self.register_buffer("factors", mixture.factors.float())

    def forward(self, noise: Tensor, label: Tensor | None = None) -> Tensor:
        """Return the code of each row."""
        # The normal distribution function, which ONNX knows as an error function.
        shares = 0.5 * (1 + torch.erf(noise[:, -1:] / math.sqrt(2)))
        bounds = self.bounds if label is None or len(self.bounds) == 1 else self.bounds[label]
        component = (bounds[:, :-1] < shares).long().sum(1)
        placed = (self.factors[component] @ noise[:, :-1].unsqueeze(2)).squeeze(2)
        return self.means[component] + placed


class PlacedSecondStage(Placing):
    """A VAE of the codes: the first numbers of a row are its code, the others its noise."""

    mean: Tensor
    scale: Tensor
    std: Tensor

    def __init__(self, stage: SecondStage) -> None:
        super().__init__()
        self.hidden = stage.network.latent_dim
        self.width = self.hidden + stage.size
        self.decoder = copy.deepcopy(stage.network.decoder).float()
        self.register_buffer("mean", stage.mean.float())
        self.register_buffer("scale", stage.scale.float())
        self.register_buffer("std", stage.network.likelihood.get_parameter("log_std").exp().float())

    def forward(self, noise: Tensor, label: Tensor | None = None) -> Tensor:
        """Return the code of each row; the class makes no difference."""
        standard: Tensor = self.decoder(noise[:, : self.hidden]) + noise[:, self.hidden :] * self.std
        return self.mean + self.scale * standard


def placing(prior: Prior, classes: int) -> Placing:
    """Return a prior as a module in float32; `classes` is the number of classes of a conditional model."""
    return PlacedMixture(prior, classes) if isinstance(prior, Mixture) else PlacedSecondStage(prior)
