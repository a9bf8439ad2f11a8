"""Maps between the codes of a fitted prior and standard normal numbers, in which paths of likely codes are arcs."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Protocol

import torch
from torch import Tensor

from genlab.lab.prior import Mixture, Prior, SecondStage

_STEPS = 32
"""Steps of the integration; the way there and back changes a code by about 1e-5 of its std, at worst by 1e-2."""
_ROWS = 2000


class Normalised(Protocol):
    """A continuous map between codes and standard normal numbers, and back."""

    def numbers(self, codes: Tensor) -> Tensor:
        """Return the standard normal numbers of codes, a row each."""
        ...

    def codes(self, numbers: Tensor) -> Tensor:
        """Return the codes of standard normal numbers, a row each."""
        ...


def normalised(prior: Prior) -> Normalised:
    """Return the map for a fitted prior."""
    return Flow(prior) if isinstance(prior, Mixture) else Residuals(prior)


class Residuals:
    """The map of a second stage: the mean of its own code, and the noise that its decoder then needs."""

    def __init__(self, prior: SecondStage) -> None:
        self.prior, self.hidden = prior, prior.network.latent_dim
        self.std = prior.network.likelihood.get_parameter("log_std").exp()

    @torch.no_grad()
    def numbers(self, codes: Tensor) -> Tensor:
        """Return the numbers of codes, N x D: more than D."""
        standardised = (codes.double() - self.prior.mean) / self.prior.scale
        inner = self.prior.network.encode({"x": standardised}).double()
        noise = (standardised - self.prior.network.decoder(inner)) / self.std
        return torch.cat([inner, noise], 1)

    @torch.no_grad()
    def codes(self, numbers: Tensor) -> Tensor:
        """Return the codes of numbers; those of the numbers of codes are the codes again."""
        decoded = self.prior.network.decoder(numbers[:, : self.hidden]) + self.std * numbers[:, self.hidden :]
        codes: Tensor = (self.prior.mean + self.prior.scale * decoded).float()
        return codes


class Flow:
    """The probability flow of a mixture (Song et al. 2021): codes of the mixture become standard normal numbers.

    Codes are mixed with noise, cos(t) code + sin(t) noise, and every code moves along the mean velocity at its place.
    The velocity of a mixture of Gaussians has a closed form, so nothing is trained. The flow is one to one, and
    continuous: a path between normal numbers is a path between codes, and likely numbers are likely codes.
    """

    def __init__(self, mixture: Mixture) -> None:
        self.weights = mixture.weights.double()
        means, factors = mixture.means.double(), mixture.factors.double()
        self.centre = self.weights @ means
        spread = means - self.centre
        covariances = factors @ factors.mT
        whole = torch.einsum("k,kde->de", self.weights, covariances + spread.unsqueeze(2) * spread.unsqueeze(1))
        variances, directions = torch.linalg.eigh(whole)
        # Whitened codes: the flow then has the same length in every direction.
        scales = variances.clamp_min(variances.max() * 1e-12).sqrt()
        self.whiten, self.colour = directions / scales @ directions.T, directions * scales @ directions.T
        self.means = spread @ self.whiten
        self.variances, self.axes = torch.linalg.eigh(self.whiten.T @ covariances @ self.whiten)
        self.variances = self.variances.clamp_min(1e-12)

    def numbers(self, codes: Tensor) -> Tensor:
        """Return the standard normal numbers of codes, N x D."""
        return _in_parts(lambda part: self._moved((part - self.centre) @ self.whiten, _times()), codes)

    def codes(self, numbers: Tensor) -> Tensor:
        """Return the codes of standard normal numbers, N x D."""
        times = list(reversed(_times()))
        return _in_parts(lambda part: self._moved(part, times) @ self.colour + self.centre, numbers).float()

    def _moved(self, places: Tensor, times: list[float]) -> Tensor:
        """Move along the flow from the first to the last time, by the method of Runge and Kutta of order four."""
        for start, end in zip(times[:-1], times[1:], strict=True):
            step, half = end - start, (start + end) / 2
            first = self.velocity(places, start)
            second = self.velocity(places + step / 2 * first, half)
            third = self.velocity(places + step / 2 * second, half)
            last = self.velocity(places + step * third, end)
            places = places + step / 6 * (first + 2 * second + 2 * third + last)
        return places

    def velocity(self, places: Tensor, time: float) -> Tensor:
        """Return the mean of cos(t) noise - sin(t) code over all codes and noises that are mixed to these places."""
        cos, sin = math.cos(time), math.sin(time)
        count, size = self.means.shape
        variances = cos**2 * self.variances + sin**2
        centres = cos * torch.einsum("kd,kde->ke", self.means, self.axes)
        # One large product in place of one for each component.
        along = (places @ self.axes.permute(1, 0, 2).reshape(size, -1)).view(-1, count, size) - centres
        likelihoods = -0.5 * (along.square() / variances + variances.log()).sum(2)
        shares = (likelihoods + self.weights.log()).softmax(1)
        stretched = shares.unsqueeze(2) * along * (cos * sin * (1 - self.variances) / variances)
        back = self.axes.permute(0, 2, 1).reshape(-1, size)
        velocity: Tensor = stretched.flatten(1) @ back - sin * shares @ self.means
        return velocity


def _times() -> list[float]:
    """Return times from 0 to a quarter turn; near 0, where the narrow directions of a component matter, they crowd."""
    return [math.pi / 2 * (step / _STEPS) ** 2 for step in range(_STEPS + 1)]


def _in_parts(move: Callable[[Tensor], Tensor], rows: Tensor) -> Tensor:
    parts: Iterable[Tensor] = torch.split(rows.double(), _ROWS)
    return torch.cat([move(part) for part in parts])
