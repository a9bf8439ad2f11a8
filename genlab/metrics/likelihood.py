"""Likelihood in nats: the ELBO, the importance-weighted bound, and scores that a model computes itself."""

import math
from collections.abc import Iterable, Iterator
from typing import NamedTuple, Self

import torch
from torch import Tensor

from genlab.contract import Batch, Bounds, Infers, Scores, Weighs, conditions
from genlab.metrics.averages import Averages
from genlab.metrics.blocks import block_size
from genlab.randomness import normal_rows
from genlab.registry import ConfigError

# Decoded numbers that a cache of 1 MiB holds; twice as many take 1.3 times as long.
_AT_ONCE = 200_000

_UNIFORM = 0.1
"""Share of the codes whose class is drawn uniformly; no weight is more than ten times too large for its class."""


@torch.no_grad()
def bounds(model: Weighs, batches: Iterable[Batch], samples: int, seed: int) -> dict[str, float]:
    """Return upper bounds on the negative log-likelihood, in nats per item.

    - `negative_elbo` is `reconstruction`, by one code, plus `kl` in closed form (Kingma and Welling 2014).
    - `negative_bound-K` weights K codes of each item by p(x, z) / q(z | x) (Burda et al. 2016). For K = 1 its mean over
      draws is the ELBO, and with K it approaches the likelihood. The codes of a smaller K are the first of a larger.

    A conditional model is measured given the class if a batch has labels. Without labels the class of each code is
    drawn, too, so that the bounds are on p(x), the mean of p(x | class). The ELBO draws it from what the model infers,
    and its `kl` holds the KL of the class. The K codes draw theirs from that distribution and a tenth of a uniform one.
    """
    if samples < 1:
        raise ConfigError(f"The number of importance samples must be at least 1, got {samples}.")
    averages, first = Averages(), 0
    for batch in batches:
        proposal = _proposal(model, batch)
        for rows in _parts(batch["x"], samples):
            part = {name: values[rows] for name, values in batch.items()}
            found = _bounds(model, part, proposal.of(rows), samples, seed=seed, first=first + rows.start)
            parts = {"reconstruction": found.reconstruction, "kl": found.kl}
            averages.add({"negative_elbo": found.reconstruction + found.kl, **parts})
            averages.add({f"negative_bound-{samples}": -found.bound})
        first += len(batch["x"])
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


@torch.no_grad()
def inferred(model: Infers, batches: Iterable[Batch]) -> dict[str, float]:
    """Return the share of items whose class the model infers from the item alone, among items with labels."""
    averages = Averages()
    for batch in batches:
        found = model.classify({name: values for name, values in batch.items() if name != "label"}).argmax(1)
        averages.add({"accuracy-inferred": (found == batch["label"]).double()})
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


class _Proposal(NamedTuple):
    """The distribution from which the codes of each item are drawn: a class, and a normal code given the class.

    A model without classes, or with given ones, has a single class here.
    """

    mean: Tensor
    """N x classes x D."""
    log_variance: Tensor
    shares: Tensor
    """The probability of each class that the model infers, N x classes."""

    def of(self, rows: slice) -> Self:
        """Return the proposal of some items."""
        return type(self)(*(values[rows] for values in self))

    @property
    def classes(self) -> int:
        """The number of classes to choose from."""
        return self.shares.shape[1]

    def pick(self, values: Tensor, label: Tensor) -> Tensor:
        """Return the values of the class of each code: N x classes x D and N x K give N x K x D."""
        if self.classes == 1:
            return values
        return values.gather(1, label.unsqueeze(2).expand(-1, -1, values.shape[2]))


class _Bounds(NamedTuple):
    """The terms of the bounds of some items."""

    reconstruction: Tensor
    kl: Tensor
    bound: Tensor


def _proposal(model: Weighs, batch: Batch) -> _Proposal:
    count = len(batch["x"])
    if not (isinstance(model, Infers) and conditions(model)) or "label" in batch:
        mean, log_variance = model.posterior(batch)
        return _Proposal(mean.unsqueeze(1), log_variance.unsqueeze(1), mean.new_ones(count, 1))
    shares = model.classify(batch).exp()
    found = [
        model.posterior(batch | {"label": torch.full((count,), number, device=shares.device)})
        for number in range(shares.shape[1])
    ]
    mean, log_variance = (torch.stack(parts, 1) for parts in zip(*found, strict=True))
    return _Proposal(mean, log_variance, shares)


def _bounds(model: Weighs, batch: Batch, proposal: _Proposal, samples: int, *, seed: int, first: int) -> _Bounds:
    """Return the terms of the ELBO by the first code of each item, and log 1/K sum p(x, z, y) / q(z, y | x)."""
    items, mixed = batch["x"], proposal.shares
    numbers = proposal.mean.shape[2]
    # The last number of a code selects its class.
    size = numbers + (proposal.classes > 1)
    noise = normal_rows(seed, "bound", first, len(items), samples, size).to(items.device)
    reconstruction, kl = _elbo(model, batch, proposal, noise[:, :1])
    if proposal.classes > 1:
        # Without this a class that the model all but excludes would get weights without bound.
        mixed = (1 - _UNIFORM) * proposal.shares + _UNIFORM / proposal.classes
    weights = list[Tensor]()
    for some in torch.split(noise, max(1, block_size(items, _AT_ONCE) // len(items)), dim=1):
        label = _chosen(mixed, some[:, :, -1])
        some = some[:, :, :numbers]
        log_variance = proposal.pick(proposal.log_variance, label)
        codes = proposal.pick(proposal.mean, label) + (0.5 * log_variance).exp() * some
        likelihood = model.log_likelihood(codes, _with_label(batch, proposal, label)).double()
        posterior = -0.5 * (some.square() + log_variance + math.log(2 * math.pi)).sum(2, dtype=torch.float64)
        excess = mixed.double().log().gather(1, label) + math.log(proposal.classes)
        weights.append(likelihood + model.log_prior(codes).double() - posterior - excess)
    return _Bounds(reconstruction, kl, torch.cat(weights, 1).logsumexp(1) - math.log(samples))


def _elbo(model: Weighs, batch: Batch, proposal: _Proposal, noise: Tensor) -> tuple[Tensor, Tensor]:
    """Return the reconstruction error by the first code of each item, and the KL of the code and its class."""
    label = _chosen(proposal.shares, noise[:, :, -1])
    mean, log_variance = proposal.pick(proposal.mean, label), proposal.pick(proposal.log_variance, label)
    codes = mean + (0.5 * log_variance).exp() * noise[:, :, : mean.shape[2]]
    likelihood = model.log_likelihood(codes, _with_label(batch, proposal, label)).double()
    shares = proposal.shares.double()
    # The terms of all classes, weighted by their probability, instead of that of the drawn one.
    kl = (shares * _kl_to_standard_normal(proposal.mean, proposal.log_variance)).sum(1)
    kl = kl + (torch.special.xlogy(shares, shares) + shares * math.log(proposal.classes)).sum(1)
    # Zero for a standard normal prior; for any other one this corrects the KL, on average over codes.
    standard = -0.5 * (codes.square() + math.log(2 * math.pi)).sum(2)
    return -likelihood[:, 0], kl + (standard - model.log_prior(codes)).double()[:, 0]


def _chosen(shares: Tensor, normal: Tensor) -> Tensor:
    """Return the class of each code, N x K, that its normal number selects from N x classes probabilities."""
    if shares.shape[1] == 1:
        return torch.zeros_like(normal, dtype=torch.long)
    below = torch.special.ndtr(normal.double())
    edges = shares.double().cumsum(1)
    return torch.searchsorted(edges, below.contiguous()).clamp(max=shares.shape[1] - 1)


def _with_label(batch: Batch, proposal: _Proposal, label: Tensor) -> Batch:
    return batch if proposal.classes == 1 else batch | {"label": label}


def _parts(items: Tensor, samples: int) -> Iterator[slice]:
    """Yield slices of items that fit in a block together with all their codes, at least one item each."""
    size = max(1, block_size(items, _AT_ONCE) // samples)
    for start in range(0, len(items), size):
        yield slice(start, start + size)


def _kl_to_standard_normal(mean: Tensor, log_variance: Tensor) -> Tensor:
    return 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum(-1, dtype=torch.float64)
