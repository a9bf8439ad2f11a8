"""How likely a model finds images, in nats: the ELBO, the importance-weighted bound, and scores that a model has."""

import math
from collections.abc import Iterable, Iterator

import torch
from torch import Tensor

from genlab.contract import Bounds, Scores
from genlab.metrics.averages import Averages
from genlab.metrics.blocks import at_once
from genlab.metrics.noise import noise_of_images
from genlab.registry import ConfigError

# Decoded numbers, of which a cache of 1 MiB holds these: twice as many take 1.3 times as long.
_AT_ONCE = 200_000


@torch.no_grad()
def bounds(model: Bounds, batches: Iterable[Tensor], samples: int, seed: int) -> dict[str, float]:
    """Bounds from above on the negative log-likelihood of images, in nats an image.

    - `negative_elbo` is `reconstruction`, by the first code alone, and `kl`, in closed form (Kingma and Welling 2014).
    - `negative_bound-K` weighs K codes of each image by p(x, z) / q(z | x) (Burda et al. 2016); of K = 1 the mean over
      draws is the ELBO, and it comes ever nearer to the likelihood. The codes of a smaller K are the first of a larger.
    - `bits_per_dimension` is that bound per colour of a pixel. A density over [0, 1] is counted as one of bytes, of
      which 256 make the interval. A Bernoulli gives the cross-entropy of grey values as if they were probabilities:
      no code length, never below the entropy of the grey values, and comparable with other Bernoullis alone.
    """
    if samples < 1:
        raise ConfigError(f"The samples of a bound must be at least 1, and {samples} is not.")
    averages, numbers = Averages(), 0
    for images in batches:
        dimensions, points = images[0].numel(), images.shape[2] == 1
        mean, log_variance = model.posterior(images)
        kl = _kl_to_standard_normal(mean, log_variance)
        for part in _parts(images, samples):
            first = numbers + part.start
            reconstruction, bound = _bound(
                model, images[part], mean[part], log_variance[part], samples, seed=seed, first=first
            )
            figures = {"negative_elbo": reconstruction + kl[part], "reconstruction": reconstruction, "kl": kl[part]}
            figures[f"negative_bound-{samples}"] = -bound
            if not points:
                figures["bits_per_dimension"] = -bound / (dimensions * math.log(2)) + (8 if model.continuous else 0)
            averages.add(figures)
        numbers += len(images)
    return averages.read()


@torch.no_grad()
def scores(model: Scores, batches: Iterable[Tensor]) -> dict[str, float]:
    """The mean of the scores that the model itself gives, in its own nats: of two models of one kind, higher is better.

    A model that draws codes for it draws them from the default generators, which the caller seeds.
    """
    averages = Averages()
    for images in batches:
        averages.add({"score": model.score(images)})
    return averages.read()


def _bound(
    model: Bounds, images: Tensor, mean: Tensor, log_variance: Tensor, samples: int, *, seed: int, first: int
) -> tuple[Tensor, Tensor]:
    """The reconstruction error by the first code of each image, and log 1/K sum p(x | z) p(z) / q(z | x) over all."""
    noise = noise_of_images(seed, "bound", first, len(images), samples, mean.shape[1]).to(images.device)
    mean, log_variance = mean.unsqueeze(1), log_variance.unsqueeze(1)
    deviation = (0.5 * log_variance).exp()
    reconstruction, weights = torch.empty(0), list[Tensor]()
    for some in torch.split(noise, max(1, at_once(images, _AT_ONCE) // len(images)), dim=1):
        codes = mean + deviation * some
        likelihood = model.log_likelihood(codes, images).double()
        if not weights:
            reconstruction = -likelihood[:, 0]
        # The constants of the two normal densities are the same.
        ratio = 0.5 * (some.square() + log_variance - codes.square()).sum(2, dtype=torch.float64)
        weights.append(likelihood + ratio)
    return reconstruction, torch.cat(weights, 1).logsumexp(1) - math.log(samples)


def _parts(images: Tensor, samples: int) -> Iterator[slice]:
    """So many images at once as fit with all their codes, and at least one."""
    size = max(1, at_once(images, _AT_ONCE) // samples)
    for start in range(0, len(images), size):
        yield slice(start, start + size)


def _kl_to_standard_normal(mean: Tensor, log_variance: Tensor) -> Tensor:
    return 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum(1, dtype=torch.float64)
