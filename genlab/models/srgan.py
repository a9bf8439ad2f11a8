"""Super-resolution: images are made small, and a network learns to enlarge them again."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from genlab.contract import Batch, Model, Shape, Terms, Turn
from genlab.kinds.resampling import enlarged, luma, shrunk
from genlab.models.adversarial import LOSSES, LossName
from genlab.models.degradation import blurred, compressed, noisy
from genlab.models.srresnet import Base, Judge, Normalization, Scale, SRResNet
from genlab.networks.extractor import Features
from genlab.networks.network import at_least
from genlab.registry import ConfigError


class SRGAN(Model):
    """First pixels alone teach the generator, then what features see of them and a critic (Ledig et al. 2017)."""

    def __init__(
        self,
        *,
        shape: Shape,
        features: Features | None = None,
        scale: Scale,
        blocks: int = 16,
        width: int = 64,
        normalization: Normalization = "batch",
        base: Base = "none",
        crop: int | None = None,
        blur: float = 0.0,
        noise: float = 0.0,
        quality: int | None = None,
        pixel_steps: int | None = None,
        pixels: float = 0.0,
        adversarial: float = 1e-3,
        loss: LossName = "non-saturating",
        critic_width: int = 64,
    ) -> None:
        super().__init__()
        at_least(1, blocks=blocks, width=width, critic_width=critic_width)
        at_least(0, blur=blur, noise=noise, pixels=pixels, adversarial=adversarial)
        if pixel_steps is not None:
            at_least(0, pixel_steps=pixel_steps)
        if quality is not None and not 1 <= quality <= 100:
            raise ConfigError(f"quality must be between 1 and 100, and {quality} is not; null compresses nothing.")
        self.scale, self.side = scale, _sides(shape, scale, crop)
        self.blur, self.noise_deviation, self.quality = blur, noise, quality
        self.pixel_steps, self.pixels, self.adversarial = pixel_steps, pixels, adversarial
        self.game, self.features = LOSSES[loss], features
        self.generator = SRResNet(shape.channels, scale, blocks, width, normalization, base)
        self.reach = self.generator.reach_before + self.generator.reach_after
        self.critic = None if pixel_steps is None else Judge(Shape(shape.channels, *self.side), critic_width)

    def players(self) -> dict[str, nn.Module]:
        """The generator; and the critic, where it is ever asked."""
        return {"generator": self.generator} | ({"critic": self.critic} if self.critic else {})

    def averaged(self) -> nn.Module:
        """What enlarges."""
        return self.generator

    def turns(self, step: int) -> list[Turn]:
        """Pixels alone for so many steps, or for good; then the generator against features and the critic."""
        if self.pixel_steps is None or step < self.pixel_steps:
            return [Turn("generator", self.pixel_loss)]
        return [Turn("generator", self.perceptual_loss), Turn("critic", self.critic_loss)]

    def pixel_loss(self, batch: Batch) -> Terms:
        """The squared error of every pixel."""
        real, made = self._pair(batch)
        return {"loss": (made - real).square().mean()}

    def perceptual_loss(self, batch: Batch) -> Terms:
        """What the features see shall be the same, and the critic shall take it for a photograph."""
        assert self.features, "a model that is trained against a critic is given features"
        assert self.critic
        real, made = self._pair(batch)
        batch["real"], batch["made"] = real, made.detach()
        content, squared = self._content(made, real), (made - real).square().mean()
        adversarial = self.game.generator(self.critic(made))
        loss = self.features.factor * content + self.adversarial * adversarial + self.pixels * squared
        return {"loss": loss, self._content_name: content, "adversarial": adversarial, "pixels": squared}

    def critic_loss(self, batch: Batch) -> Terms:
        """Photographs shall score high, what was enlarged for this step low."""
        assert self.critic
        photographs, made = (batch.pop("real"), batch.pop("made")) if "made" in batch else self._pair(batch)
        real, fake = self.critic(photographs), self.critic(made)
        real_accuracy, fake_accuracy = self.game.accuracy(real, fake)
        loss = self.game.real(real, 0.0) + self.game.fake(fake)
        return {"loss": loss, "real_accuracy": real_accuracy, "fake_accuracy": fake_accuracy}

    def validate(self, batch: Batch) -> Terms:
        """The squared error, and how much closer in brightness this comes than the bicubic filter, in decibels."""
        real = self._cropped(batch["image"])
        small = self._small(real)
        made = self.generator(small).clamp(0, 1)
        ours, filtered = (_decibels(luma(images), luma(real)) for images in (made, enlarged(small, self.scale)))
        terms = {"loss": (made - real).square().mean(), "psnr_y": ours, "psnr_y_over_bicubic": ours - filtered}
        return terms | ({self._content_name: self._content(made, real)} if self.features else {})

    def upscale(self, images: Tensor) -> Tensor:
        """The images `scale` times larger each way."""
        return self.generator.in_strips(images).clamp(0, 1)

    def show(self, batch: Batch) -> dict[str, Tensor]:
        """A small image enlarged by the bicubic filter, below it by the generator, below that the real one."""
        real = self._cropped(batch["image"][:8])
        small = self._small(real)
        return {"enlargements": torch.stack([enlarged(small, self.scale), self.upscale(small), real])}

    def given(self) -> dict[str, str]:
        """The features, where they teach it."""
        return {"features": f"{self.features.name} {self.features.digest}"} if self.features and self.critic else {}

    @property
    def _content_name(self) -> str:
        assert self.features
        return f"content_{self.features.name}"

    def _content(self, made: Tensor, real: Tensor) -> Tensor:
        assert self.features
        with torch.no_grad():
            wanted = self.features(real)
        return functional.mse_loss(self.features(made), wanted)

    def _pair(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Parts of the images, and the generator's work on them made small."""
        real = self._cropped(batch["image"])
        return real, self.generator(self._small(real))

    def _cropped(self, images: Tensor) -> Tensor:
        """Of each image a part that the scale divides: anywhere while it trains, else the middle."""
        count, _, height, width = images.shape
        spare = (height - self.side[0], width - self.side[1])
        if spare == (0, 0):
            return images
        places = []
        for room, side in zip(spare, self.side, strict=True):
            drawn = torch.randint(0, room + 1, (count, 1), device=images.device)
            first = drawn if self.training else torch.full_like(drawn, room // 2)
            places.append(first + torch.arange(side, device=images.device))
        rows, columns = places
        image, channel = (torch.arange(size, device=images.device) for size in images.shape[:2])
        return images[
            image.view(-1, 1, 1, 1), channel.view(-1, 1, 1), rows[:, None, :, None], columns[:, None, None, :]
        ]

    def _small(self, images: Tensor) -> Tensor:
        """The images as somebody has them who wants them larger: in bytes, perhaps blurred, noisy or compressed."""
        # In full precision, whatever the networks have: a byte is finer than half of it.
        with torch.autocast(images.device.type, enabled=False):
            if self.blur:
                images = blurred(images, self.blur * self._each(images))
            small = shrunk(images, self.scale)
            if self.noise_deviation:
                small = noisy(small, self.noise_deviation * self._each(images))
            if self.quality:
                small = compressed(small, self.quality + (100 - self.quality) * self._each(images))
            return small.mul(255).round().clamp(0, 255).div(255)

    def _each(self, images: Tensor) -> Tensor:
        """A number between 0 and 1 for each image."""
        return torch.rand(len(images), device=images.device)


def _sides(shape: Shape, scale: int, crop: int | None) -> tuple[int, int]:
    """The height and width of what is learnt from."""
    if shape.points:
        raise ConfigError("these are points, and only images can be enlarged.")
    least = min(shape.height, shape.width)
    if crop is not None:
        at_least(1, crop=crop)
    if crop is not None and crop > least:
        raise ConfigError(
            f"the images are {shape.height} x {shape.width}, smaller than the crop of {crop}; set a smaller model.crop."
        )
    whole = (shape.height, shape.width) if crop is None else (crop, crop)
    if min(whole) < 2 * scale:
        raise ConfigError(f"{whole[0]} x {whole[1]} pixels are too few to learn from how to enlarge {scale} times.")
    return whole[0] // scale * scale, whole[1] // scale * scale


def _decibels(images: Tensor, real: Tensor) -> Tensor:
    """The peak signal-to-noise ratio of each image, averaged over them; equal ones count as 100."""
    return (-10 * (images - real).square().mean((1, 2, 3)).clamp_min(1e-10).log10()).mean()
