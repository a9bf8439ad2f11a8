"""StyleGAN: a generator whose layers are each told a style, from the coarse features of an image to the fine ones."""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from genlab import distributed, randomness
from genlab.contract import Batch, Model, Player, Result, Turn, home
from genlab.kinds import Classes, Image
from genlab.models.differentiable_augmentation import Change, changed
from genlab.models.gan import diversity
from genlab.models.losses.adversarial import LOSSES, LossName
from genlab.models.losses.gradient_penalty import squared_gradient
from genlab.models.losses.path_length import path_lengths
from genlab.networks.condition import drawn, told
from genlab.networks.network import at_least
from genlab.networks.style import Mapping, Outputs, StyleDiscriminator, Synthesis, check_size
from genlab.registry import ConfigError

Condition = Literal["none", "projection"]

_STYLES = 4096
"""Noise of which the mean style is the mean."""
_MOVED = 0.01
"""Share by which the mean path length follows that of a batch."""


class StyleGAN(Model):
    """Style-based generative adversarial network (Karras et al. 2019 and 2020).

    A mapping network turns noise into a style, and the style scales the feature maps of each layer.
    """

    path_length: Tensor

    def __init__(
        self,
        *,
        x: Image,
        label: Classes | None = None,
        latent_dim: int,
        width: int,
        most: int,
        discriminator_width: int,
        mapping_layers: int = 8,
        mapping_rate: float = 0.01,
        outputs: Outputs = "skip",
        blur: bool = True,
        noise: bool = True,
        condition: Condition = "none",
        loss: LossName = "non-saturating",
        mixing: float = 0.9,
        r1: float = 0.1,
        r1_every: int = 16,
        path: float = 2.0,
        path_every: int = 8,
        augment: tuple[Change, ...] = (),
    ) -> None:
        super().__init__()
        at_least(1, latent_dim=latent_dim, mapping_layers=mapping_layers, r1_every=r1_every, path_every=path_every)
        at_least(0, mixing=mixing, r1=r1, path=path)
        if mixing > 1:
            raise ConfigError(f"mixing is a probability, from 0 to 1, got {mixing}.")
        if mapping_rate <= 0:
            raise ConfigError(f"mapping_rate must be above 0, got {mapping_rate}.")
        check_size(x)
        self.told = told(condition, label)
        classes = sum(len(kind) for kind in self.told.values())
        self.kind, self.latent_dim, self.classes = x, latent_dim, classes
        self.adversarial, self.mixing, self.augment = LOSSES[loss], mixing, augment
        self.r1, self.r1_every, self.path, self.path_every = r1, r1_every, path, path_every
        self.mapping = Mapping(latent_dim, mapping_layers, mapping_rate, classes)
        self.synthesis = Synthesis(x, latent_dim, width, most, outputs=outputs, blur=blur, noisy=noise)
        self.discriminator = StyleDiscriminator(
            x, discriminator_width, max(most, discriminator_width), blur=blur, classes=classes
        )
        self.register_buffer("path_length", torch.zeros(()))

    @property
    def layers(self) -> int:
        """The number of styles that an image takes, from coarse to fine."""
        return self.synthesis.count

    def players(self) -> dict[str, Player]:
        """Return the discriminator, and the generator: its mapping and its synthesis network."""
        return {"discriminator": self.discriminator, "generator": (self.mapping, self.synthesis)}

    def turns(self, step: int) -> list[Turn]:
        """Return the generator's turn, which passes on its images, and the discriminator's.

        The penalty of path lengths and R1 are added in every `path_every`-th and `r1_every`-th step.
        """
        straight = bool(self.path) and step % self.path_every == 0
        smooth = bool(self.r1) and step % self.r1_every == 0
        return [
            Turn("generator", self.straight_generator_loss if straight else self.generator_loss),
            Turn("discriminator", self.smooth_discriminator_loss if smooth else self.discriminator_loss),
        ]

    def generator_loss(self, batch: Batch) -> Result:
        """Return a loss that is low if the discriminator scores generated images high."""
        label = self._label(batch)
        generated = self.synthesis(self._mixed(len(batch["x"]), label, batch["x"].device)).float()
        # Detached here, too: a compiled loss then has no gradient to compute for it.
        return Result(self.adversarial.generator(self._scores(generated, label)), {}, {"generated": generated.detach()})

    def straight_generator_loss(self, batch: Batch) -> Result:
        """Return the generator's loss plus the penalty of path lengths, on styles of new noise.

        The penalty is the mean squared difference of the path lengths from their moving average (Karras et al. 2020).
        """
        result, label = self.generator_loss(batch), self._label(batch)
        count, device = len(batch["x"]), batch["x"].device
        styles = self._mixed(count, label, device)
        noise = randomness.normal(count, *self.kind.shape, device=device)
        lengths = path_lengths(self.synthesis, styles, noise)
        if self.training:
            # An infinite length would stay in the average for ever.
            mean = distributed.averaged(lengths.detach().mean())
            mean = torch.where(mean.isfinite(), mean, self.path_length)
            self.path_length.copy_(self.path_length.lerp(mean, _MOVED))
        penalty = (lengths - self.path_length).square().mean()
        # Weighted by `path_every`, the penalty has the same weight per step whether it is computed often or seldom.
        loss = result.loss + self.path * self.path_every * penalty
        return Result(loss, {**result.shown, "path": penalty, "path_length": lengths.mean()}, result.handed_on)

    def discriminator_loss(self, batch: Batch) -> Result:
        """Return a loss that is low if real images score high and generated ones low."""
        label = self._label(batch)
        return self._compared(self._scores(self._inside(batch["x"]), label), batch, label)

    def smooth_discriminator_loss(self, batch: Batch) -> Result:
        """Return the discriminator's loss plus R1, half the squared gradient at real images (Mescheder et al. 2018)."""
        label = self._label(batch)
        gradients, scores = squared_gradient(lambda images: self._scores(images, label), self._inside(batch["x"]))
        result, r1 = self._compared(scores, batch, label), 0.5 * gradients.mean()
        # Weighted like the penalty of path lengths.
        return Result(result.loss + self.r1 * self.r1_every * r1, {**result.shown, "r1": r1})

    def validate(self, batch: Batch) -> Result:
        """Return the loss of the discriminator on held-out images, without penalties, and the diversity of samples."""
        label, real = self._label(batch), batch["x"]
        generated = self._generated(len(real), label, real.device)
        result = self._compared(self._scores(self._inside(real), label), {**batch, "generated": generated}, label)
        # The diversity of a single image is not defined.
        shown = {"diversity": diversity(generated, self._inside(real), label)} if len(real) > 1 else {}
        return Result(result.loss, {**result.shown, **shown})

    def draw(
        self, count: int, condition: Batch | None = None, generator: torch.Generator | None = None
    ) -> tuple[Tensor, Batch]:
        """Draw noise; a conditional StyleGAN also draws classes if none are given."""
        return drawn(count, self.latent_dim, self.told, condition, device=home(self), generator=generator)

    def decode(self, codes: Tensor, condition: Batch | None = None) -> Tensor:
        """Generate an image from each row of noise; a conditional StyleGAN needs the classes."""
        return self.decode_styles(self.styles(codes, condition))

    def sample(self, count: int, condition: Batch | None = None, generator: torch.Generator | None = None) -> Tensor:
        """Generate images from new noise; a conditional StyleGAN draws classes if none are given."""
        return self.decode(*self.draw(count, condition, generator))

    def styles(self, codes: Tensor, condition: Batch | None = None) -> Tensor:
        """Return the style of each row of noise, N x S."""
        return self._style(codes, self._label(condition or {}))

    def mean_style(self, condition: Batch | None = None) -> Tensor:
        """Return the mean style, 1 x S, or that of the class of each item, N x S.

        It is the mean over the styles of 4,096 codes that are always the same, so it is a function of the weights.
        """
        device, label = home(self), self._label(condition or {})
        codes = randomness.normal(
            _STYLES, self.latent_dim, device=device, generator=randomness.generator(0, "mean style")
        )
        if label is None:
            return self._style(codes, None).mean(0, keepdim=True)
        means = [self._style(codes, label.new_full((_STYLES,), each)).mean(0) for each in range(self.classes)]
        return torch.stack(means)[label]

    def decode_styles(self, styles: Tensor) -> Tensor:
        """Generate an image from each style, N x S, or from a style for each layer, N x layers x S."""
        images: Tensor = self.synthesis(self._spread(styles) if styles.dim() == 2 else styles).float()
        return ((images + 1) / 2).clamp(0, 1)

    def style_weights(self, layers: Sequence[int]) -> Tensor:
        """Return the weights that turn the styles of these layers into factors of their channels, R x S."""
        return self.synthesis.affine(layers)

    def _compared(self, real: Tensor, batch: Batch, label: Tensor | None) -> Result:
        """Return the loss of the scores of real images, and of generated ones from an earlier turn or made here."""
        generated = batch["generated"] if "generated" in batch else self._generated(len(real), label, real.device)
        scores = self._scores(generated, label)
        loss = self.adversarial.real(real, 0.0) + self.adversarial.generated(scores)
        return Result(loss, self.adversarial.shown(real, scores))

    def _generated(self, count: int, label: Tensor | None, device: torch.device) -> Tensor:
        generated: Tensor = self.synthesis(self._mixed(count, label, device)).float()
        return generated

    def _mixed(self, count: int, label: Tensor | None, device: torch.device) -> Tensor:
        """Return a style for each layer, N x layers x S, of new noise.

        In training some items take the style of other noise from a random layer on.
        """
        styles = self._spread(self._style(randomness.normal(count, self.latent_dim, device=device), label))
        if not self.training or not self.mixing:
            return styles
        other = self._spread(self._style(randomness.normal(count, self.latent_dim, device=device), label))
        mixed = randomness.uniform(count, 1, 1, device=device) < self.mixing
        first = randomness.integers(1, self.layers, count, 1, 1, device=device)
        numbers = torch.arange(self.layers, device=device).view(1, -1, 1)
        return torch.where(mixed & (numbers >= first), other, styles)

    def _style(self, codes: Tensor, label: Tensor | None) -> Tensor:
        style: Tensor = self.mapping(codes, label)
        return style

    def _spread(self, styles: Tensor) -> Tensor:
        """Give every layer the same style."""
        return styles.unsqueeze(1).expand(-1, self.layers, -1)

    def _scores(self, images: Tensor, label: Tensor | None) -> Tensor:
        scores: Tensor = self.discriminator(changed(images, self.augment) if self.training else images, label)
        return scores

    def _label(self, batch: Batch) -> Tensor | None:
        return batch["label"] if self.told else None

    def _inside(self, images: Tensor) -> Tensor:
        return 2 * images - 1
