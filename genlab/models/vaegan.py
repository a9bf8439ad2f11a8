"""The VAE-GAN: an autoencoder whose reconstructions are compared in the features of a discriminator."""

import torch
from torch import Tensor

from genlab import randomness
from genlab.contract import Batch, Model, Player, Result, Turn, home
from genlab.kinds import Image, Points
from genlab.models.gan import diversity
from genlab.models.losses.adversarial import LOSSES, LossName
from genlab.models.losses.bounds import active_share
from genlab.models.vae import kl_to_standard_normal, sample_gaussian
from genlab.networks import Network
from genlab.networks.discriminator import Discriminator, DiscriminatorNormalization, remembering_nothing
from genlab.networks.network import at_least


class VAEGAN(Model):
    """VAE and GAN in one (Larsen et al. 2016): two items are alike if the discriminator sees them alike.

    An edge that moves by half a pixel has a large error in pixels, so an autoencoder of pixels blurs edges. The
    features of the discriminator, in the layer before the score, change less. The discriminator judges reconstructions
    and samples.
    """

    def __init__(
        self,
        *,
        x: Image | Points,
        network: Network,
        latent_dim: int,
        beta: float = 1.0,
        adversarial: float = 1.0,
        pixel_weight: float = 0.0,
        loss: LossName = "non-saturating",
        discriminator_normalization: DiscriminatorNormalization = "batch",
    ) -> None:
        super().__init__()
        at_least(1, latent_dim=latent_dim)
        at_least(0, beta=beta, adversarial=adversarial, pixel_weight=pixel_weight)
        # Decoder and discriminator see images in [-1, 1]; points have no range.
        self.bounded = isinstance(x, Image)
        self.latent_dim, self.beta = latent_dim, beta
        self.adversarial, self.pixel_weight, self.game = adversarial, pixel_weight, LOSSES[loss]
        self.encoder = network.encoder(x, 2 * latent_dim)
        self.decoder = network.decoder(latent_dim, x)
        self.discriminator = Discriminator(network, x, 0, "none", discriminator_normalization, False)

    def players(self) -> dict[str, Player]:
        """Return the autoencoder and the discriminator."""
        return {"autoencoder": (self.encoder, self.decoder), "discriminator": self.discriminator}

    def turns(self, step: int) -> list[Turn]:
        """Return the turn of the autoencoder, which passes on what it generated, then that of the discriminator."""
        return [Turn("autoencoder", self.autoencoder_loss), Turn("discriminator", self.discriminator_loss)]

    def autoencoder_loss(self, batch: Batch) -> Result:
        """Return the error in features, the cost of the codes, and a loss that is low if the discriminator is fooled.

        The discriminator's score teaches the decoder alone: its gradient ends at the codes.
        """
        mean, log_variance = self.posterior(batch)
        codes = sample_gaussian(mean, log_variance)
        kl = kl_to_standard_normal(mean, log_variance).mean()
        reconstructed, real = self._decoded(codes), self._inside(batch["x"])
        generated = self._generated(codes)
        # The discriminator's running statistics are those of its own turns.
        with remembering_nothing(self.discriminator):
            features = self._feature_error(reconstructed, real).mean()
            adversarial = self.game.generator(self.discriminator(generated, None))
        loss = features + self.beta * kl + self.adversarial * adversarial
        shown = {"features": features, "kl": kl, "adversarial": adversarial}
        if self.pixel_weight:
            shown["pixels"] = self._pixel_error(reconstructed, real).mean()
            loss = loss + self.pixel_weight * shown["pixels"]
        # Detached here, too: a compiled loss then has no gradient to compute for it.
        return Result(loss, shown, handed_on={"generated": generated.detach()})

    def discriminator_loss(self, batch: Batch) -> Result:
        """Return a loss that is low if real items score high, and reconstructions and samples low."""
        generated = batch["generated"] if "generated" in batch else self._generated(self._codes(batch))
        real_scores = self.discriminator(self._inside(batch["x"]), None)
        scores = self.discriminator(generated, None)
        loss = self.game.real(real_scores, 0.0) + self.game.generated(scores)
        return Result(loss, self.game.shown(real_scores, scores))

    def validate(self, batch: Batch) -> Result:
        """Return half the squared pixel error of the decoded mean codes, summed over pixels, as the loss.

        Also return the error in features, the KL, the share of active units, and the diversity of samples.
        """
        mean, log_variance = self.posterior(batch)
        reconstructed, real = self._decoded(mean), self._inside(batch["x"])
        shown = {
            "features": self._feature_error(reconstructed, real).mean(),
            "kl": kl_to_standard_normal(mean, log_variance).mean(),
        }
        if len(real) > 1:
            # Neither is defined for a single item.
            samples = self._decoded(self._noise(batch))
            shown |= {"active_share": active_share(mean), "diversity": diversity(samples, real)}
        return Result(self._pixel_error(reconstructed, real).mean(), shown)

    def posterior(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return the mean and the log variance of each item's code."""
        mean, log_variance = self.encoder(batch["x"]).float().chunk(2, dim=1)
        return mean, log_variance

    def encode(self, batch: Batch) -> Tensor:
        """Return the mean of each item's code."""
        return self.posterior(batch)[0]

    def decode(self, codes: Tensor, condition: Batch | None = None) -> Tensor:
        """Return the item of each code."""
        return self._outside(self._decoded(codes))

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

    def _generated(self, codes: Tensor) -> Tensor:
        """Return reconstructions, from which no gradient reaches the encoder, and as many samples."""
        noise = randomness.normal(*codes.shape, device=codes.device)
        return self._decoded(torch.cat([codes.detach(), noise]))

    def _codes(self, batch: Batch) -> Tensor:
        return sample_gaussian(*self.posterior(batch))

    def _noise(self, batch: Batch) -> Tensor:
        return randomness.normal(len(batch["x"]), self.latent_dim, device=batch["x"].device)

    def _feature_error(self, reconstructed: Tensor, real: Tensor) -> Tensor:
        """Return half the squared distance of the discriminator's features, summed over features."""
        with torch.no_grad():
            wanted = self.discriminator.features(real)
        return 0.5 * (self.discriminator.features(reconstructed) - wanted).flatten(1).square().sum(1)

    def _pixel_error(self, reconstructed: Tensor, real: Tensor) -> Tensor:
        """Return half the squared distance, where white is 1, summed over pixels."""
        difference = self._outside(reconstructed) - self._outside(real)
        return 0.5 * difference.square().flatten(1).sum(1)

    def _decoded(self, codes: Tensor) -> Tensor:
        """Return items in the range that the discriminator sees."""
        decoded: Tensor = self.decoder(codes).float()
        return decoded.tanh() if self.bounded else decoded

    def _inside(self, items: Tensor) -> Tensor:
        return 2 * items - 1 if self.bounded else items

    def _outside(self, items: Tensor) -> Tensor:
        return (items + 1) / 2 if self.bounded else items
