"""The variational autoencoder and what beta makes of it."""

import torch
from torch import Tensor

from genlab.contract import Batch, Model, Shape, Terms
from genlab.models.likelihood import LikelihoodName, build_likelihood
from genlab.networks import Network
from genlab.registry import ConfigError


class VAE(Model):
    """An autoencoder whose code is a distribution (Kingma and Welling 2014); with beta above 1, Higgins et al. 2017."""

    def __init__(
        self,
        *,
        shape: Shape,
        network: Network,
        latent_dim: int,
        beta: float = 1.0,
        likelihood: LikelihoodName = "bernoulli",
        deviation: float | None = None,
    ) -> None:
        super().__init__()
        if latent_dim < 1:
            raise ConfigError(f"latent_dim must be at least 1, and {latent_dim} is not.")
        if beta < 0:
            raise ConfigError(f"beta must be at least 0, and {beta} is not.")
        if shape.points and likelihood == "bernoulli":
            raise ConfigError("bernoulli is a likelihood of pixels in [0, 1], and these are points; take gaussian.")
        self.latent_dim, self.beta = latent_dim, beta
        self.encoder = network.encoder(shape, 2 * latent_dim)
        self.decoder = network.decoder(latent_dim, shape)
        self.likelihood = build_likelihood(likelihood, deviation)
        self.continuous = likelihood != "bernoulli"

    def loss(self, batch: Batch) -> Terms:
        """The negative ELBO, where beta is 1."""
        reconstruction, kl = (nats.mean() for nats in self.nats(batch["image"]))
        return {"loss": reconstruction + self.beta * kl, "reconstruction": reconstruction, "kl": kl}

    def nats(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """The two parts of each image's negative ELBO, summed over pixels and over the code."""
        mean, log_variance = self.posterior(images)
        decoded = self.decoder(sample_gaussian(mean, log_variance))
        return self.likelihood(decoded, images), kl_to_standard_normal(mean, log_variance)

    def posterior(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """The mean and the logarithm of the variance of each image's code."""
        mean, log_variance = self.encoder(images).float().chunk(2, dim=1)
        return mean, log_variance

    def encode(self, images: Tensor) -> Tensor:
        """The mean of each image's code."""
        return self.posterior(images)[0]

    def decode(self, codes: Tensor) -> Tensor:
        """The image that is expected of each code."""
        return self.likelihood.mean(self.decoder(codes))

    def reconstruct(self, images: Tensor) -> Tensor:
        """Through the mean of the code and back."""
        return self.decode(self.encode(images))

    def sample(self, count: int, labels: Tensor | None = None, generator: torch.Generator | None = None) -> Tensor:
        """The images of codes that are drawn from the prior."""
        return self.decode(self.noise(count, self.latent_dim, generator=generator))

    def score(self, images: Tensor) -> Tensor:
        """The ELBO of each image, from one code that is drawn."""
        reconstruction, kl = self.nats(images)
        return -(reconstruction + kl)

    def log_likelihood(self, codes: Tensor, images: Tensor) -> Tensor:
        """What the decoder says of each image by each of its codes."""
        decoded = self.decoder(codes.flatten(0, 1)).unflatten(0, codes.shape[:2])
        return -self.likelihood.of_each(decoded, images)


def sample_gaussian(mean: Tensor, log_variance: Tensor) -> Tensor:
    """A draw through which the gradient flows: d/dmean is 1 and d/dsigma is the noise."""
    return mean + torch.exp(0.5 * log_variance) * torch.randn_like(mean)


def kl_to_standard_normal(mean: Tensor, log_variance: Tensor) -> Tensor:
    """KL(N(mean, variance) || N(0, I)) of each row, in nats."""
    return -0.5 * (1 + log_variance - mean.square() - log_variance.exp()).sum(1)
