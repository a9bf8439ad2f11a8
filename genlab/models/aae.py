"""The adversarial autoencoder: a discriminator of codes gives all codes together the distribution of a prior."""

import math
from typing import Literal

import torch
from torch import Tensor

from genlab.contract import Batch, Player, Result, Turn, home
from genlab.kinds import Classes, Image, MissingColumnError, Points
from genlab.models.autoencoder import Autoencoder
from genlab.models.losses.adversarial import LOSSES, LossName
from genlab.models.losses.gradient_penalty import squared_gradient
from genlab.models.losses.ring import Ring
from genlab.models.vae import log_standard_normal
from genlab.networks import Network
from genlab.networks.condition import drawn, with_class
from genlab.networks.mlp import Mlp
from genlab.networks.network import at_least
from genlab.registry import ConfigError


class AAE(Autoencoder):
    """Adversarial autoencoder (Makhzani et al. 2016): the encoder plays against a discriminator of codes.

    The discriminator distinguishes codes from draws of a prior. The prior is normal, or a mixture of Gaussians on a
    ring. With labels, the discriminator is told the class, and the codes of each class fill one Gaussian.
    """

    def __init__(
        self,
        *,
        x: Image | Points,
        label: Classes | None = None,
        network: Network,
        latent_dim: int,
        adversarial: float = 1.0,
        loss: LossName = "non-saturating",
        hidden: list[int],
        r1: float = 0.0,
        prior: Literal["normal", "mixture"] = "normal",
        components: int = 10,
        condition: Literal["none", "label"] = "none",
        output_activation: Literal["none", "sigmoid"] = "sigmoid",
    ) -> None:
        super().__init__(x=x, network=network, latent_dim=latent_dim, output_activation=output_activation)
        at_least(0, r1=r1)
        if adversarial <= 0:
            raise ConfigError(
                f"adversarial must be above 0, got {adversarial:g}. Without it, codes follow no prior; use model=ae."
            )
        if prior == "mixture":
            _check_mixture(latent_dim, components)
        if condition == "label":
            _check_condition(prior, components, label)
        self.told = {"label": label} if condition == "label" and label is not None else {}
        self.code_holds_class = bool(self.told)
        """True if decoder and encoder need no class."""
        self.classes = sum(len(kind) for kind in self.told.values())
        self.adversarial, self.game, self.r1 = adversarial, LOSSES[loss], r1
        self.ring = Ring(components) if prior == "mixture" else None
        # Fully connected layers, as in the paper: a code is a point to it.
        self.discriminator = Mlp(hidden=hidden, activation="leaky").encoder(Points(latent_dim + self.classes), 1)

    def players(self) -> dict[str, Player]:
        """Return the autoencoder, and the discriminator of codes."""
        return {"autoencoder": (self.encoder, self.decoder), "discriminator": self.discriminator}

    def turns(self, step: int) -> list[Turn]:
        """Return the turn of the autoencoder, which passes on its codes, then that of the discriminator."""
        return [
            Turn("autoencoder", self.autoencoder_loss),
            Turn("discriminator", self.discriminator_loss),
        ]

    def autoencoder_loss(self, batch: Batch) -> Result:
        """Return half the squared distance to each item, plus a loss that is low if codes look like draws."""
        codes = self.encode(batch)
        reconstruction = self._error(codes, batch["x"]).mean()
        adversarial = self.game.generator(self._scores(codes, batch))
        # Detached here, too: a compiled loss then has no gradient to compute for it.
        return Result(
            reconstruction + self.adversarial * adversarial,
            {"reconstruction": reconstruction, "adversarial": adversarial},
            handed_on={"codes": codes.detach()},
        )

    def discriminator_loss(self, batch: Batch) -> Result:
        """Return a loss that is low if draws of the prior score high and codes low."""
        codes = batch["codes"] if "codes" in batch else self.encode(batch)
        draws, gradients = self._draws_beside(batch), None
        if self.r1:
            gradients, real = squared_gradient(lambda items: self._scores(items, batch), draws)
        else:
            real = self._scores(draws, batch)
        generated = self._scores(codes, batch)
        loss, shown = self.game.real(real, 0.0) + self.game.generated(generated), self.game.shown(real, generated)
        if gradients is not None:
            # Half the squared gradient at draws (Mescheder et al. 2018).
            shown["r1"] = 0.5 * gradients.mean()
            loss = loss + self.r1 * shown["r1"]
        return Result(loss, shown)

    def validate(self, batch: Batch) -> Result:
        """Return the reconstruction error, and the moments of the codes: a prior has mean 0 and variance 1."""
        codes = self.encode(batch)
        shown = {"code_mean": codes.mean(0).square().mean()}
        if len(codes) > 1:
            # The variance over a single item is not defined.
            shown["code_variance"] = codes.var(0).mean()
        return Result(self._error(codes, batch["x"]).mean(), shown)

    def draw(
        self, count: int, condition: Batch | None = None, generator: torch.Generator | None = None
    ) -> tuple[Tensor, Batch]:
        """Draw codes from the prior; with labels, those of a class come from its own Gaussian."""
        device = home(self)
        if self.ring is None:
            return drawn(count, self.latent_dim, {}, None, device=device, generator=generator)
        numbers, chosen = drawn(
            count,
            self.latent_dim,
            self.told or {"label": self.ring.components},
            condition if self.told else None,
            device=device,
            generator=generator,
        )
        return self.ring.placed(numbers, chosen["label"]), chosen if self.told else {}

    def sample(self, count: int, condition: Batch | None = None, generator: torch.Generator | None = None) -> Tensor:
        """Decode codes drawn from the prior."""
        return self.decode(*self.draw(count, condition, generator))

    def log_prior(self, codes: Tensor) -> Tensor:
        """Return the log density of codes under the prior: N x K x D codes give N x K nats."""
        if self.ring is not None:
            return self.ring.log_density(codes).logsumexp(-1) - math.log(len(self.ring.components))
        return log_standard_normal(codes)

    def infer(self, batch: Batch) -> Batch:
        """Return the class of each item: that of the likeliest Gaussian at its code."""
        return {"label": self.classify(batch).argmax(1)}

    def classify(self, batch: Batch) -> Tensor:
        """Return the log probability of each class, from the density of its Gaussian at the code."""
        assert self.told, "Only a conditional model has classes."
        assert self.ring is not None
        return self.ring.log_density(self.encode(batch).float()).log_softmax(1)

    def _draws_beside(self, batch: Batch) -> Tensor:
        """Draw as many codes as there are items; with labels, from the Gaussian of each item's class."""
        condition = {"label": batch["label"]} if self.told else None
        return self.draw(len(batch["x"]), condition)[0]

    def _scores(self, codes: Tensor, batch: Batch) -> Tensor:
        if self.told:
            codes = with_class(codes, batch["label"], self.classes)
        scores: Tensor = self.discriminator(codes)
        return scores.squeeze(1).float()


def _check_mixture(latent_dim: int, components: int) -> None:
    if latent_dim < 2:
        raise ConfigError(
            f"A mixture prior is a ring in the first two numbers of the code, got latent_dim={latent_dim}; "
            "set model.latent_dim to at least 2, or model.prior=normal."
        )
    at_least(3, components=components)


def _check_condition(prior: str, components: int, label: Classes | None) -> None:
    if label is None:
        raise MissingColumnError("label", "Or set model.condition=none.")
    if prior != "mixture":
        raise ConfigError(
            f"condition=label gives each class its own Gaussian of a mixture prior, got prior={prior}; "
            "set model.prior=mixture or model.condition=none."
        )
    if len(label) < 3:
        raise ConfigError(
            f"condition=label needs at least 3 classes, because the Gaussians stand on a ring, got {len(label)}; "
            "set model.condition=none."
        )
    if components != len(label):
        raise ConfigError(
            f"condition=label needs one component for each of the {len(label)} classes, got {components}; "
            f"set model.components={len(label)}."
        )
