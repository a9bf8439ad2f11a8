"""Likelihoods: convert the output of a decoder to nats for each item."""

import math
from collections.abc import Callable
from typing import Literal, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional

from genlab.registry import ConfigError

LikelihoodName = Literal["bernoulli", "gaussian", "laplace"]


class Likelihood(Protocol):
    """A distribution of items, given the output of a decoder."""

    def __call__(self, decoded: Tensor, items: Tensor) -> Tensor:
        """Return the negative log likelihood of each item."""
        ...

    def of_each(self, decoded: Tensor, items: Tensor) -> Tensor:
        """Return the negative log likelihood of each item by each of K outputs: N x K x ... and N x ... give N x K."""
        ...

    def mean(self, decoded: Tensor) -> Tensor:
        """Return the expected item."""
        ...


class Bernoulli(nn.Module):
    """Pixels as probabilities; the decoder returns logits."""

    def forward(self, decoded: Tensor, items: Tensor) -> Tensor:
        """Return the cross-entropy, summed over pixels."""
        entropy = functional.binary_cross_entropy_with_logits(decoded.float(), items, reduction="none")
        return entropy.flatten(1).sum(1)

    def of_each(self, decoded: Tensor, items: Tensor) -> Tensor:
        """Return the cross-entropy as softplus(logit) - pixel * logit, which does not copy the items."""
        decoded = decoded.float()
        entropy = functional.softplus(decoded).addcmul_(items.unsqueeze(1), decoded, value=-1)
        return entropy.flatten(2).sum(2)

    def mean(self, decoded: Tensor) -> Tensor:
        """Return the probabilities."""
        return decoded.float().sigmoid()


class LocationScale(nn.Module):
    """Numbers around a mean; the std of all is given, or learned if it is None (Rybkin et al. 2021).

    The mean is a sigmoid for pixels, which are bounded, and any number for points.
    """

    def __init__(self, std: float | None, bounded: bool) -> None:
        super().__init__()
        self.bounded = bounded
        start = torch.tensor(math.log(std or 1.0))
        self.log_std: Tensor
        if std is None:
            self.log_std = nn.Parameter(start)
        else:
            self.register_buffer("log_std", start)

    def mean(self, decoded: Tensor) -> Tensor:
        """Return the expected item; pixels are between 0 and 1."""
        return decoded.float().sigmoid() if self.bounded else decoded.float()

    def forward(self, decoded: Tensor, items: Tensor) -> Tensor:
        """Return the negative log density, summed over pixels."""
        return self._density(decoded, items).flatten(1).sum(1)

    def of_each(self, decoded: Tensor, items: Tensor) -> Tensor:
        """Return the negative log density of each item by each of its K outputs."""
        return self._density(decoded, items.unsqueeze(1)).flatten(2).sum(2)

    def _density(self, decoded: Tensor, items: Tensor) -> Tensor:
        distance = (items - self.mean(decoded)) * torch.exp(-self.log_std)
        return self.nats(distance) + self.log_std

    def nats(self, distance: Tensor) -> Tensor:
        """Return the nats of one pixel at a distance in stds, without the logarithm of the std."""
        raise NotImplementedError


class Gaussian(LocationScale):
    """Normal pixels."""

    def nats(self, distance: Tensor) -> Tensor:
        """Return half the square plus the constant."""
        return 0.5 * distance.square() + 0.5 * math.log(2 * math.pi)


class Laplace(LocationScale):
    """Laplace pixels; `std` is their scale parameter."""

    def nats(self, distance: Tensor) -> Tensor:
        """Return the distance plus the constant."""
        return distance.abs() + math.log(2)


_LOCATION_SCALE: dict[str, Callable[[float | None, bool], LocationScale]] = {"gaussian": Gaussian, "laplace": Laplace}


def build_likelihood(name: LikelihoodName, std: float | None, bounded: bool = True) -> Bernoulli | LocationScale:
    """Build the likelihood of this name; a Bernoulli takes no std, and pixels are bounded."""
    if std is not None and std <= 0:
        raise ConfigError(f"std must be above 0, got {std}; set model.std=null to learn it.")
    if name in _LOCATION_SCALE:
        return _LOCATION_SCALE[name](std, bounded)
    if std is not None:
        raise ConfigError(f"A bernoulli likelihood has no std, got {std}; set model.std=null.")
    return Bernoulli()
