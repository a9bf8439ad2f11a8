"""Super-resolution against a discriminator, which gives sharper images than pixels alone."""

from dataclasses import replace

import torch
from torch import Tensor
from torch.nn import functional

from genlab.contract import Batch, Player, Result, Turn
from genlab.kinds import Image
from genlab.models.losses.adversarial import LOSSES, LossName
from genlab.models.srresnet import SRResNet
from genlab.networks.extractor import Extractor
from genlab.networks.network import at_least
from genlab.networks.super_resolution import Base, Normalization, Scale, SRDiscriminator


class SRGAN(SRResNet):
    """SRResNet that is then trained on features of an extractor and against a discriminator (Ledig et al. 2017)."""

    def __init__(
        self,
        *,
        x: Image,
        features: Extractor | None = None,
        scale: Scale,
        blocks: int = 16,
        width: int = 64,
        normalization: Normalization = "batch",
        base: Base = "none",
        crop: int | None = None,
        blur: float = 0.0,
        noise: float = 0.0,
        quality: int | None = None,
        pixel_steps: int = 10_000,
        pixels: float = 0.0,
        adversarial: float = 1e-3,
        loss: LossName = "non-saturating",
        discriminator_width: int = 64,
    ) -> None:
        super().__init__(
            x=x,
            scale=scale,
            blocks=blocks,
            width=width,
            normalization=normalization,
            base=base,
            crop=crop,
            blur=blur,
            noise=noise,
            quality=quality,
        )
        at_least(1, discriminator_width=discriminator_width)
        at_least(0, pixel_steps=pixel_steps, pixels=pixels, adversarial=adversarial)
        self.pixel_steps, self.pixels, self.adversarial = pixel_steps, pixels, adversarial
        self.adversarial_loss, self.features = LOSSES[loss], features
        height, width = self.crop
        self.discriminator = SRDiscriminator(replace(x, height=height, width=width), discriminator_width)

    def players(self) -> dict[str, Player]:
        """Return the generator and the discriminator."""
        return {"generator": self.generator, "discriminator": self.discriminator}

    def turns(self, step: int) -> list[Turn]:
        """Return the turn of the pixel loss for `pixel_steps` steps, then those of generator and discriminator."""
        if step < self.pixel_steps:
            return super().turns(step)
        return [Turn("generator", self.perceptual_loss), Turn("discriminator", self.discriminator_loss)]

    def perceptual_loss(self, batch: Batch) -> Result:
        """Return the distance in features, plus weighted losses of the discriminator's scores and of the pixels."""
        assert self.features is not None, "training against a discriminator needs features"
        small, real = self.damage(batch)
        generated = self.generator(small)
        content, pixels = self._content(generated, real), (generated - real).square().mean()
        adversarial = self.adversarial_loss.generator(self.discriminator(generated))
        loss = self.features.factor * content + self.adversarial * adversarial + self.pixels * pixels
        shown = {self._content_name: content, "adversarial": adversarial, "pixels": pixels}
        return Result(loss, shown, handed_on={"real": real, "generated": generated.detach()})

    def discriminator_loss(self, batch: Batch) -> Result:
        """Return a loss that is low if real crops score high and upscaled ones low."""
        real, generated = (batch["real"], batch["generated"]) if "generated" in batch else self._pair(batch)
        real_scores, generated_scores = self.discriminator(real), self.discriminator(generated)
        loss = self.adversarial_loss.real(real_scores, 0.0) + self.adversarial_loss.generated(generated_scores)
        return Result(loss, self.adversarial_loss.shown(real_scores, generated_scores))

    def _measured(self, generated: Tensor, small: Tensor, real: Tensor) -> Result:
        measured = super()._measured(generated, small, real)
        content = {self._content_name: self._content(generated, real)} if self.features is not None else {}
        return Result(measured.loss, {**measured.shown, **content})

    @property
    def _content_name(self) -> str:
        assert self.features is not None
        return f"content_{self.features.name}"

    def _content(self, generated: Tensor, real: Tensor) -> Tensor:
        """Return the mean squared distance of the contents that the extractor sees."""
        assert self.features is not None
        with torch.no_grad():
            wanted = self.features(real)
        return functional.mse_loss(self.features(generated), wanted)

    def _pair(self, batch: Batch) -> tuple[Tensor, Tensor]:
        small, real = self.damage(batch)
        return real, self.generator(small)
