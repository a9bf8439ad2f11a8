"""What a decoder's output says of the pixels, in nats per image."""

import math
from collections.abc import Callable
from typing import Literal, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional

from genlab.registry import ConfigError

LikelihoodName = Literal["bernoulli", "gaussian", "laplace"]


class Likelihood(Protocol):
    """Judges images by what was decoded."""

    def __call__(self, decoded: Tensor, images: Tensor) -> Tensor:
        """The negative logarithm of the likelihood of each image."""
        ...

    def of_each(self, decoded: Tensor, images: Tensor) -> Tensor:
        """The same by each of K images that were decoded for every one: N x K x C x H x W give N x K."""
        ...

    def mean(self, decoded: Tensor) -> Tensor:
        """The image that is expected."""
        ...


class Bernoulli(nn.Module):
    """Pixels are probabilities; the decoder gives logits."""

    def forward(self, decoded: Tensor, images: Tensor) -> Tensor:
        """The cross-entropy, summed over pixels."""
        entropy = functional.binary_cross_entropy_with_logits(decoded.float(), images, reduction="none")
        return entropy.flatten(1).sum(1)

    def of_each(self, decoded: Tensor, images: Tensor) -> Tensor:
        """The cross-entropy as softplus(logit) - image * logit, which reads the images where they lie."""
        decoded = decoded.float()
        entropy = functional.softplus(decoded).addcmul_(images.unsqueeze(1), decoded, value=-1)
        return entropy.flatten(2).sum(2)

    def mean(self, decoded: Tensor) -> Tensor:
        """The probabilities."""
        return decoded.float().sigmoid()


class Located(nn.Module):
    """Pixels lie around a sigmoid mean at a distance that is given, or learned where it is not (Rybkin et al. 2021)."""

    def __init__(self, deviation: float | None) -> None:
        super().__init__()
        start = torch.tensor(math.log(deviation or 1.0))
        self.log_deviation: Tensor
        if deviation is None:
            self.log_deviation = nn.Parameter(start)
        else:
            self.register_buffer("log_deviation", start)

    def mean(self, decoded: Tensor) -> Tensor:
        """The image between 0 and 1."""
        return decoded.float().sigmoid()

    def forward(self, decoded: Tensor, images: Tensor) -> Tensor:
        """The negative logarithm of the density, summed over pixels."""
        return self._density(decoded, images).flatten(1).sum(1)

    def of_each(self, decoded: Tensor, images: Tensor) -> Tensor:
        """The same, of K images beside each."""
        return self._density(decoded, images.unsqueeze(1)).flatten(2).sum(2)

    def _density(self, decoded: Tensor, images: Tensor) -> Tensor:
        distance = (images - self.mean(decoded)) * torch.exp(-self.log_deviation)
        return self.nats(distance) + self.log_deviation

    def nats(self, distance: Tensor) -> Tensor:
        """Of one pixel at so many deviations, less the logarithm of the deviation."""
        raise NotImplementedError


class Gaussian(Located):
    """Normal pixels; the deviation is the standard deviation."""

    def nats(self, distance: Tensor) -> Tensor:
        """Half the square, and the constant."""
        return 0.5 * distance.square() + 0.5 * math.log(2 * math.pi)


class Laplace(Located):
    """Laplace pixels; the deviation is the scale."""

    def nats(self, distance: Tensor) -> Tensor:
        """The distance, and the constant."""
        return distance.abs() + math.log(2)


_LOCATED: dict[str, Callable[[float | None], Located]] = {"gaussian": Gaussian, "laplace": Laplace}


def build_likelihood(name: LikelihoodName, deviation: float | None) -> Bernoulli | Located:
    """The likelihood of this name; a deviation means nothing to a Bernoulli."""
    if deviation is not None and deviation <= 0:
        raise ConfigError(f"deviation must be above 0, and {deviation} is not; null learns it.")
    if name in _LOCATED:
        return _LOCATED[name](deviation)
    if deviation is not None:
        raise ConfigError("a bernoulli likelihood has no deviation; set deviation to null.")
    return Bernoulli()
