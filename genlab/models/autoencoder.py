"""Autoencoders, denoising ones included."""

from typing import Literal

import torch
from torch import Tensor, nn

from genlab.contract import Batch, Model, Shape, Terms
from genlab.networks import Network
from genlab.registry import ConfigError

_BOUNDS: dict[str, type[nn.Module]] = {"none": nn.Identity, "sigmoid": nn.Sigmoid, "tanh": nn.Tanh, "relu": nn.ReLU}


class Autoencoder(Model):
    """Squeezes an image through a short code (Hinton and Salakhutdinov 2006); with noise, Vincent et al. 2008."""

    def __init__(
        self,
        *,
        shape: Shape,
        network: Network,
        latent_dim: int,
        noise: float = 0.0,
        code_activation: Literal["none", "sigmoid", "tanh", "relu"] = "none",
        output_activation: Literal["none", "sigmoid"] = "sigmoid",
    ) -> None:
        super().__init__()
        if latent_dim < 1:
            raise ConfigError(f"latent_dim must be at least 1, and {latent_dim} is not.")
        if noise < 0:
            raise ConfigError(f"noise must be at least 0, and {noise} is not.")
        self.noise_level = noise
        self.encoder = nn.Sequential(network.encoder(shape, latent_dim), _BOUNDS[code_activation]())
        self.decoder = nn.Sequential(network.decoder(latent_dim, shape), _BOUNDS[output_activation]())

    def loss(self, batch: Batch) -> Terms:
        """Half the squared distance to the clean image, summed over pixels, averaged over images."""
        images = batch["image"]
        return {"loss": self._error(self._spoil(images), images).mean()}

    def show(self, batch: Batch) -> dict[str, Tensor]:
        """Where it takes noise away: the clean images, the noisy ones, and what it makes of them."""
        pictures = super().show(batch)
        if self.noise_level:
            images = batch["image"][:8]
            noisy = self._spoil(images)
            pictures["reconstructions"] = torch.stack([images, noisy.clamp(0, 1), self.reconstruct(noisy)])
        return pictures

    def encode(self, images: Tensor) -> Tensor:
        """The codes."""
        codes: Tensor = self.encoder(images)
        return codes.to(images.dtype)

    def decode(self, codes: Tensor) -> Tensor:
        """The images that these codes stand for."""
        images: Tensor = self.decoder(codes)
        return images.float().clamp(0, 1)

    def reconstruct(self, images: Tensor) -> Tensor:
        """Through the code and back."""
        return self.decode(self.encode(images))

    def score(self, images: Tensor) -> Tensor:
        """The negative error of each image: nothing likelier than what it knows how to rebuild."""
        return -self._error(images, images)

    def _spoil(self, images: Tensor) -> Tensor:
        # Not randn_like, whose order of draws follows the memory format.
        return images + self.noise_level * self.noise(*images.shape) if self.noise_level else images

    def _error(self, given: Tensor, wanted: Tensor) -> Tensor:
        difference = self.decoder(self.encoder(given)).float() - wanted
        error: Tensor = 0.5 * difference.square().flatten(1).sum(1)
        return error
