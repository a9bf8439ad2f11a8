"""Models small enough to check by hand, and images that they can learn."""

import torch

from genlab.game import Batch, Shape
from genlab.models.autoencoder import Autoencoder
from genlab.models.likelihood import LikelihoodName
from genlab.models.vae import VAE
from genlab.networks.mlp import Mlp

TINY = Shape(1, 2, 2)


def tiny_vae(likelihood: LikelihoodName = "bernoulli", latent_dim: int = 1, **settings: float) -> VAE:
    """A VAE whose posterior is far from its prior."""
    torch.manual_seed(5)
    network = Mlp(hidden=[3], activation="tanh")
    deviation = None if likelihood == "bernoulli" else 0.4
    model = VAE(
        shape=TINY, network=network, latent_dim=latent_dim, likelihood=likelihood, deviation=deviation, **settings
    )
    with torch.no_grad():
        for weight in model.parameters():
            weight.mul_(2)
    return model


def batch(shape: Shape = TINY, count: int = 8) -> Batch:
    """Images that can be learned: stripes of a phase of their own, and labels."""
    phases = torch.linspace(0, 3, count).view(count, 1, 1, 1)
    columns = torch.arange(shape.width).view(1, 1, 1, -1) / 3
    images = (0.5 + 0.5 * torch.sin(columns + phases)).expand(count, *shape).contiguous()
    return {"image": images, "label": torch.arange(count) % 10}


def denoiser(noise: float = 0.3) -> Autoencoder:
    """An autoencoder that takes noise away."""
    torch.manual_seed(2)
    return Autoencoder(shape=TINY, network=Mlp(hidden=[5]), latent_dim=2, noise=noise)
