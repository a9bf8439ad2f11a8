"""The Wasserstein autoencoder: an autoencoder whose codes have the distribution of a prior."""

from typing import Literal

import torch
from torch import Tensor

from genlab import distributed, randomness
from genlab.contract import Batch, home
from genlab.kinds import Image, Points
from genlab.models.autoencoder import Autoencoder
from genlab.models.losses.discrepancy import discrepancy
from genlab.networks import Network
from genlab.registry import ConfigError


class WAE(Autoencoder):
    """Wasserstein autoencoder (WAE-MMD, Tolstikhin et al. 2018): all codes together look like draws of N(0, I).

    A VAE presses the code of each item towards the prior, so that codes overlap. Here an item has one code, without
    noise, and only the distribution of all codes is compared with the prior.
    """

    def __init__(
        self,
        *,
        x: Image | Points,
        network: Network,
        latent_dim: int,
        mmd: float = 50.0,
        output_activation: Literal["none", "sigmoid"] = "sigmoid",
    ) -> None:
        super().__init__(x=x, network=network, latent_dim=latent_dim, output_activation=output_activation)
        if mmd <= 0:
            raise ConfigError(
                f"mmd must be above 0, got {mmd:g}. Without it, codes have no known distribution; use model=ae."
            )
        self.mmd = mmd

    def penalties(self, codes: Tensor) -> dict[str, tuple[float, Tensor]]:
        """Return the weight and the value of the discrepancy between codes and draws of the prior."""
        draws = randomness.normal(*codes.shape, device=codes.device)
        # Every code is compared with all others, so several processes need those of the whole batch.
        return {"mmd": (self.mmd, discrepancy(distributed.gathered(codes), distributed.gathered(draws)))}

    def draw(
        self, count: int, condition: Batch | None = None, generator: torch.Generator | None = None
    ) -> tuple[Tensor, Batch]:
        """Draw codes from the prior."""
        return randomness.normal(count, self.latent_dim, device=home(self), generator=generator), {}

    def sample(self, count: int, condition: Batch | None = None, generator: torch.Generator | None = None) -> Tensor:
        """Decode codes drawn from the prior."""
        return self.decode(*self.draw(count, condition, generator))
