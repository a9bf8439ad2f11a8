"""Translation of images that is learned from pairs: a U-Net against a discriminator of patches."""

from dataclasses import replace
from typing import Literal

import torch
from torch import Tensor

from genlab.contract import Batch, Model, Player, Result, Turn
from genlab.kinds import Image, MissingColumnError
from genlab.models.losses.adversarial import LOSSES, LossName
from genlab.models.spoiling import edges, without_a_box, without_colour
from genlab.networks.network import at_least
from genlab.networks.patch import Patch, PatchDiscriminator, start_small
from genlab.networks.unet import Normalization, UNet
from genlab.registry import ConfigError

Task = Literal["colorize", "inpaint", "edges", "pairs"]


class Pix2Pix(Model):
    """Translator of images (Isola et al. 2017) that is trained on pairs of an input and a target.

    The target is `x`. The tasks colorize, inpaint and edges make the input from it: its brightness, the image with a
    missing box, or its edges. With the task pairs, the input is `y`.
    """

    def __init__(
        self,
        *,
        x: Image,
        y: Image | None = None,
        task: Task = "edges",
        width: int = 64,
        most: int = 512,
        depth: int | None = None,
        normalization: Normalization = "batch",
        dropout: float = 0.5,
        discriminator_width: int = 64,
        patch: Patch = 70,
        loss: LossName = "non-saturating",
        adversarial: float = 1.0,
        pixels: float = 100.0,
    ) -> None:
        super().__init__()
        at_least(0, adversarial=adversarial, pixels=pixels)
        self.task, self.source = task, _source(x, y, task)
        self.domains: tuple[int, ...] = ()
        self.adversarial_loss, self.adversarial, self.pixels = LOSSES[loss], adversarial, pixels
        self.generator = UNet(self.source, x, width, most, depth, normalization, dropout)
        both = replace(x, channels=self.source.channels + x.channels)
        self.discriminator = PatchDiscriminator(both, discriminator_width, patch, normalization)
        start_small(self)

    def players(self) -> dict[str, Player]:
        """Return the generator and the discriminator."""
        return {"generator": self.generator, "discriminator": self.discriminator}

    def turns(self, step: int) -> list[Turn]:
        """Return the generator's turn, which passes on its images, and the discriminator's."""
        return [Turn("generator", self.generator_loss), Turn("discriminator", self.discriminator_loss)]

    def generator_loss(self, batch: Batch) -> Result:
        """Return the absolute error of the pixels, plus a loss that is low if the discriminator is deceived."""
        source, target = (2 * images - 1 for images in self.damage(batch))
        generated = self._generate(source)
        adversarial = self.adversarial_loss.generator(self._scores(source, generated))
        error = (generated - target).abs().mean()
        loss = self.adversarial * adversarial + self.pixels * error
        # The input is passed on, too: a missing box would be another one if it were drawn again.
        handed_on = {"source": source, "generated": generated.detach()}
        return Result(loss, {"adversarial": adversarial, "absolute_error": error / 2}, handed_on)

    def discriminator_loss(self, batch: Batch) -> Result:
        """Return half the loss that is low if targets score high and generated images low, each beside its input."""
        if "generated" in batch:
            source, generated = batch["source"], batch["generated"]
        else:
            source = 2 * self.damage(batch)[0] - 1
            generated = self._generate(source)
        real_scores, scores = self._scores(source, 2 * batch["x"] - 1), self._scores(source, generated)
        loss = 0.5 * (self.adversarial_loss.real(real_scores, 0.0) + self.adversarial_loss.generated(scores))
        return Result(loss, self.adversarial_loss.shown(real_scores, scores))

    def validate(self, batch: Batch) -> Result:
        """Return the absolute error of translations of held-out images, where white is 1, and their PSNR in dB."""
        source, target = self.damage(batch)
        found = self.translate(source)
        errors = (found - target).square().mean((1, 2, 3)).clamp_min(1e-10)
        return Result((found - target).abs().mean(), {"psnr": (-10 * errors.log10()).mean()})

    def damage(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return the inputs and the targets of a batch."""
        target = batch["x"]
        if self.task == "pairs":
            return batch["y"], target
        return self.spoil(target), target

    def spoil(self, images: Tensor) -> Tensor:
        """Make the inputs of images; with the task pairs, nothing is known that could make them."""
        assert self.task != "pairs"
        # In full precision, because half precision is coarser than a byte.
        with torch.autocast(images.device.type, enabled=False):
            if self.task == "colorize":
                return without_colour(images)
            return without_a_box(images) if self.task == "inpaint" else edges(images)

    def translate(self, images: Tensor, to: Tensor | None = None) -> Tensor:
        """Translate inputs in [0, 1]; there is one direction, so `to` changes nothing."""
        return (self._generate(2 * images - 1) + 1) / 2

    def _generate(self, source: Tensor) -> Tensor:
        """Return images in [-1, 1]."""
        output: Tensor = self.generator(source)
        return output.float().tanh()

    def _scores(self, source: Tensor, images: Tensor) -> Tensor:
        scores: Tensor = self.discriminator(torch.cat([source, images], 1))
        return scores


def _source(x: Image, y: Image | None, task: Task) -> Image:
    """Return the kind of the inputs; raise a ConfigError if the task does not suit the data."""
    if task == "pairs":
        if y is None:
            raise MissingColumnError("y", "Choose data=pairs, or another model.task: colorize, inpaint or edges.")
        if (y.height, y.width) != (x.height, x.width):
            sizes = f"{y.height} x {y.width} and {x.height} x {x.width}"
            raise ConfigError(f"both images of a pair must have the same size, got {sizes} pixels.")
        return y
    if task == "colorize" and x.channels != 3:
        raise ConfigError(f"task colorize needs colour images, got {x.describe()}. Set model.task=inpaint or edges.")
    return x if task == "inpaint" else replace(x, channels=1)
