"""Likelihood in nats: the ELBO, the importance-weighted bound, and scores that a model computes itself."""

import math
from collections.abc import Iterable, Iterator

import torch
from torch import Tensor

from genlab.contract import Batch, Bounds, Scores, Weighs
from genlab.metrics.averages import Averages
from genlab.metrics.blocks import block_size
from genlab.randomness import normal_rows
from genlab.registry import ConfigError

# Decoded numbers that a cache of 1 MiB holds; twice as many take 1.3 times as long.
_AT_ONCE = 200_000


@torch.no_grad()
def bounds(model: Weighs, batches: Iterable[Batch], samples: int, seed: int) -> dict[str, float]:
    """Return upper bounds on the negative log-likelihood, in nats per item.

    - `negative_elbo` is `reconstruction`, by one code, plus `kl` in closed form (Kingma and Welling 2014).
    - `negative_bound-K` weights K codes of each item by p(x, z) / q(z | x) (Burda et al. 2016). For K = 1 its mean over
      draws is the ELBO, and with K it approaches the likelihood. The codes of a smaller K are the first of a larger.
    """
    if samples < 1:
        raise ConfigError(f"The number of importance samples must be at least 1, got {samples}.")
    averages, first = Averages(), 0
    for batch in batches:
        mean, log_variance = model.posterior(batch)
        kl = _kl_to_standard_normal(mean, log_variance)
        for rows in _parts(batch["x"], samples):
            part = {name: values[rows] for name, values in batch.items()}
            reconstruction, bound = _bound(
                model, part, mean[rows], log_variance[rows], samples, seed=seed, first=first + rows.start
            )
            averages.add({"negative_elbo": reconstruction + kl[rows], "reconstruction": reconstruction, "kl": kl[rows]})
            averages.add({f"negative_bound-{samples}": -bound})
        first += len(mean)
    return averages.read()


@torch.no_grad()
def elbo(model: Bounds, batches: Iterable[Batch]) -> dict[str, float]:
    """Return the `negative_elbo` and its two parts, `reconstruction` and `kl`, in nats per item.

    A model that samples codes uses the default generators; the caller seeds them.
    """
    averages = Averages()
    for batch in batches:
        reconstruction, kl = model.nats(batch)
        averages.add({"negative_elbo": reconstruction + kl, "reconstruction": reconstruction, "kl": kl})
    return averages.read()


def bits_per_dimension(nats: float, dimensions: int, continuous: bool) -> float:
    """Convert a bound on images, in nats per image, to bits for each colour of a pixel.

    A density over [0, 1] is counted as one over bytes, of which 256 make the interval. A Bernoulli likelihood gives the
    cross-entropy of grey values taken as probabilities. That is no code length, and at least the entropy of the grey
    values; compare it with other Bernoulli likelihoods only.
    """
    return nats / (dimensions * math.log(2)) + (8 if continuous else 0)


@torch.no_grad()
def scores(model: Scores, batches: Iterable[Batch]) -> dict[str, float]:
    """Return the mean score that the model computes, in its own nats; higher is better among models of one kind.

    A model that samples codes for its score uses the default generators; the caller seeds them.
    """
    averages = Averages()
    for batch in batches:
        averages.add({"score": model.score(batch)})
    return averages.read()


def _bound(
    model: Weighs, batch: Batch, mean: Tensor, log_variance: Tensor, samples: int, *, seed: int, first: int
) -> tuple[Tensor, Tensor]:
    """Return the reconstruction error by the first code of each item, and log 1/K sum p(x | z) p(z) / q(z | x)."""
    items = batch["x"]
    noise = normal_rows(seed, "bound", first, len(items), samples, mean.shape[1]).to(items.device)
    mean, log_variance = mean.unsqueeze(1), log_variance.unsqueeze(1)
    std = (0.5 * log_variance).exp()
    reconstruction, weights = torch.empty(0), list[Tensor]()
    for some in torch.split(noise, max(1, block_size(items, _AT_ONCE) // len(items)), dim=1):
        codes = mean + std * some
        likelihood = model.log_likelihood(codes, batch).double()
        if not weights:
            reconstruction = -likelihood[:, 0]
        # The constants of the two normal densities cancel.
        ratio = 0.5 * (some.square() + log_variance - codes.square()).sum(2, dtype=torch.float64)
        weights.append(likelihood + ratio)
    return reconstruction, torch.cat(weights, 1).logsumexp(1) - math.log(samples)


def _parts(items: Tensor, samples: int) -> Iterator[slice]:
    """Yield slices of items that fit in a block together with all their codes, at least one item each."""
    size = max(1, block_size(items, _AT_ONCE) // samples)
    for start in range(0, len(items), size):
        yield slice(start, start + size)


def _kl_to_standard_normal(mean: Tensor, log_variance: Tensor) -> Tensor:
    return 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum(1, dtype=torch.float64)
