"""The variational autoencoder, and the beta-VAE."""

import math

import torch
from torch import Tensor

from genlab import randomness
from genlab.contract import Batch, Model, Result, home
from genlab.kinds import Image, Points
from genlab.models.losses.likelihood import LikelihoodName, build_likelihood
from genlab.networks import Network
from genlab.networks.network import at_least
from genlab.registry import ConfigError


class VAE(Model):
    """Variational autoencoder (Kingma and Welling 2014); with beta above 1, beta-VAE (Higgins et al. 2017)."""

    def __init__(
        self,
        *,
        x: Image | Points,
        network: Network,
        latent_dim: int,
        beta: float = 1.0,
        likelihood: LikelihoodName = "bernoulli",
        std: float | None = None,
    ) -> None:
        super().__init__()
        at_least(1, latent_dim=latent_dim)
        at_least(0, beta=beta)
        if isinstance(x, Points) and likelihood == "bernoulli":
            raise ConfigError(
                "A bernoulli likelihood takes pixels in [0, 1], got points; set model.likelihood=gaussian."
            )
        self.latent_dim, self.beta = latent_dim, beta
        self.encoder = network.encoder(x, 2 * latent_dim)
        self.decoder = network.decoder(latent_dim, x)
        self.likelihood = build_likelihood(likelihood, std, bounded=isinstance(x, Image))
        self.continuous = likelihood != "bernoulli"

    def loss(self, batch: Batch) -> Result:
        """Return the negative ELBO, with the KL term weighted by beta."""
        reconstruction, kl = (nats.mean() for nats in self.nats(batch))
        return Result(reconstruction + self.beta * kl, {"reconstruction": reconstruction, "kl": kl})

    def nats(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return the two parts of each item's negative ELBO, summed over pixels and over the code."""
        mean, log_variance = self.posterior(batch)
        decoded = self.decoder(sample_gaussian(mean, log_variance))
        # Summed, not averaged, over pixels: only then does beta = 1 give the ELBO.
        return self.likelihood(decoded, batch["x"]), kl_to_standard_normal(mean, log_variance)

    def posterior(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return the mean and the log variance of each item's code."""
        mean, log_variance = self.encoder(batch["x"]).float().chunk(2, dim=1)
        return mean, log_variance

    def encode(self, batch: Batch) -> Tensor:
        """Return the mean of each item's code."""
        return self.posterior(batch)[0]

    def decode(self, codes: Tensor, condition: Batch | None = None) -> Tensor:
        """Return the expected item of each code."""
        return self.likelihood.mean(self.decoder(codes))

    def reconstruct(self, batch: Batch) -> Tensor:
        """Decode the mean of each item's code."""
        return self.decode(self.encode(batch))

    def draw(
        self, count: int, condition: Batch | None = None, generator: torch.Generator | None = None
    ) -> tuple[Tensor, Batch]:
        """Draw codes from the prior."""
        return randomness.normal(count, self.latent_dim, device=home(self), generator=generator), {}

    def sample(self, count: int, condition: Batch | None = None, generator: torch.Generator | None = None) -> Tensor:
        """Decode codes drawn from the prior."""
        return self.decode(*self.draw(count, condition, generator))

    def score(self, batch: Batch) -> Tensor:
        """Return the ELBO of each item, estimated with one drawn code."""
        reconstruction, kl = self.nats(batch)
        return -(reconstruction + kl)

    def log_likelihood(self, codes: Tensor, batch: Batch) -> Tensor:
        """Return the log likelihood of each item given each of its codes."""
        decoded = self.decoder(codes.flatten(0, 1)).unflatten(0, codes.shape[:2])
        return -self.likelihood.of_each(decoded, batch["x"])

    def log_prior(self, codes: Tensor) -> Tensor:
        """Return the log density of codes under the prior."""
        return log_standard_normal(codes)


def log_standard_normal(codes: Tensor) -> Tensor:
    """Return the log density of N(0, I), summed over the last dimension."""
    return -0.5 * (codes.square() + math.log(2 * math.pi)).sum(-1)


def sample_gaussian(mean: Tensor, log_variance: Tensor) -> Tensor:
    """Draw from a Gaussian so that gradients flow (reparameterisation): d/dmean is 1 and d/dsigma is the noise."""
    return mean + torch.exp(0.5 * log_variance) * torch.randn_like(mean)


def kl_to_standard_normal(mean: Tensor, log_variance: Tensor) -> Tensor:
    """Return KL(N(mean, variance) || N(0, I)) of each row, in nats."""
    return -0.5 * (1 + log_variance - mean.square() - log_variance.exp()).sum(1)
