"""The parts of a bound on the likelihood: the cost of a code, its weight in training, and importance weights."""

import math
from dataclasses import dataclass

from torch import Tensor

from genlab import distributed
from genlab.networks.network import at_least
from genlab.registry import ConfigError


@dataclass(frozen=True, kw_only=True)
class CodeCost:
    """The cost of the codes in a training loss: the KL term of the ELBO, changed by the settings of VAE."""

    beta: float
    correlation: float
    free_bits: float
    kl_warmup: int
    capacity: float | None
    capacity_steps: int
    capacity_weight: float

    def __post_init__(self) -> None:
        at_least(0, beta=self.beta, correlation=self.correlation, free_bits=self.free_bits, kl_warmup=self.kl_warmup)
        at_least(0, capacity_steps=self.capacity_steps, capacity_weight=self.capacity_weight)
        if self.capacity is None:
            return
        at_least(0, capacity=self.capacity)
        self.refuse(f"capacity={self.capacity:g}", beta=1.0, correlation=1.0, free_bits=0.0, kl_warmup=0)

    def refuse(self, setting: str, **neutral: float | None) -> None:
        """Raise a ConfigError unless these settings have the given values, with which they change nothing."""
        for name, value in neutral.items():
            if (given := getattr(self, name)) != value:
                wanted = "null" if value is None else f"{value:g}"
                raise ConfigError(f"{setting} does not work together with {name}={given:g}; set model.{name}={wanted}.")

    def warmth(self, step: Tensor | None) -> Tensor | float:
        """Return the weight of the KL term at a step of the warm-up; 1 without a step."""
        return _risen(step, self.kl_warmup)

    def __call__(self, units: Tensor, correlation: Tensor | None, step: Tensor | None) -> Tensor:
        """Return the cost, averaged over items, given the KL of each unit, N x D, and the total correlation."""
        if self.capacity is not None:
            excess = distributed.averaged(units.sum(1).mean()) - self.capacity * _risen(step, self.capacity_steps)
            return self.capacity_weight * excess.abs()
        # A unit is free in the mean over the batch, not for each item: that is smoother (Kingma et al. 2016).
        free = self.free_bits
        kl = distributed.averaged(units.mean(0)).clamp(min=free).sum() if free else units.sum(1).mean()
        cost = self.beta * kl if correlation is None else self.beta * kl + (self.correlation - 1) * correlation
        return cost * self.warmth(step) if self.kl_warmup else cost


def _risen(step: Tensor | None, steps: int) -> Tensor | float:
    """Return a weight that rises from 0 to 1 in so many steps."""
    return 1.0 if step is None or not steps else (step / steps).clamp(max=1)


def kl_by_unit(mean: Tensor, log_variance: Tensor) -> Tensor:
    """Return KL(N(mean, variance) || N(0, 1)) of each unit of each row, in nats."""
    return -0.5 * (1 + log_variance - mean.square() - log_variance.exp())


def log_normal(codes: Tensor, mean: Tensor, log_variance: Tensor) -> Tensor:
    """Return the log density of each number under its own normal distribution."""
    return -0.5 * ((codes - mean).square() * (-log_variance).exp() + log_variance + math.log(2 * math.pi))


def log_mean(log_weights: Tensor) -> Tensor:
    """Return the logarithm of the mean weight of each row: the bound by N x K weights (Burda et al. 2016)."""
    return log_weights.logsumexp(1) - math.log(log_weights.shape[1])


def log_aggregate(codes: Tensor, mean: Tensor, log_variance: Tensor) -> tuple[Tensor, Tensor]:
    """Return log q(z) and log prod q(z_d) of each code, where q is the mean of the posteriors of the batch.

    This is the minibatch-weighted estimate of Chen et al. (2018). They divide by the number of items in the data
    as well, which only adds a constant, and no gradient.
    """
    mean, log_variance = distributed.gathered(mean), distributed.gathered(log_variance)
    densities = log_normal(codes.unsqueeze(1), mean, log_variance)
    return log_mean(densities.sum(2)), log_mean(densities).sum(1)


def total_correlation(codes: Tensor, mean: Tensor, log_variance: Tensor) -> Tensor:
    """Estimate the KL of the distribution of all codes from the product of its units, by one code of each item."""
    joint, independent = log_aggregate(codes, mean, log_variance)
    return (joint - independent).mean()


def active_share(mean: Tensor) -> Tensor:
    """Return the share of units whose mean has a variance above 0.01 over items (Burda et al. 2016)."""
    return (mean.var(0, correction=0) > 0.01).float().mean()
