"""Super-resolution from pixels: images are downscaled, and a network learns to upscale them."""

import torch
from torch import Tensor

from genlab import randomness
from genlab.contract import Batch, Model, Player, Result, Turn
from genlab.kinds import Image
from genlab.kinds.resampling import enlarged, luma, shrunk
from genlab.models.degradation import Compression, blurred, noisy
from genlab.networks.network import at_least
from genlab.networks.super_resolution import Base, Normalization, Scale, Upscaler
from genlab.registry import ConfigError


class SRResNet(Model):
    """Upscaling network that is trained on the squared error of pixels (Ledig et al. 2017)."""

    def __init__(
        self,
        *,
        x: Image,
        scale: Scale,
        blocks: int = 16,
        width: int = 64,
        normalization: Normalization = "batch",
        base: Base = "none",
        crop: int | None = None,
        blur: float = 0.0,
        noise: float = 0.0,
        quality: int | None = None,
    ) -> None:
        super().__init__()
        at_least(1, blocks=blocks, width=width)
        at_least(0, blur=blur, noise=noise)
        if quality is not None and not 1 <= quality <= 100:
            raise ConfigError(
                f"quality must be between 1 and 100, got {quality}; set model.quality=null for no compression."
            )
        self.scale, self.crop = scale, _crop_size(x, scale, crop)
        self.blur, self.noise, self.quality = blur, noise, quality
        self.generator = Upscaler(x.channels, scale, blocks, width, normalization, base)
        self.compression = Compression(x.channels)
        self.reach = self.generator.reach_before + self.generator.reach_after

    def players(self) -> dict[str, Player]:
        """Return the upscaling network, called generator as in an SRGAN that starts with its weights."""
        return {"generator": self.generator}

    def turns(self, step: int) -> list[Turn]:
        """Return the only turn."""
        return [Turn("generator", self.loss)]

    def loss(self, batch: Batch) -> Result:
        """Return the mean squared error of all pixels."""
        small, real = self.damage(batch)
        return Result((self.generator(small) - real).square().mean())

    def validate(self, batch: Batch) -> Result:
        """Return the squared error, the PSNR of the brightness in dB, and its difference to the bicubic filter."""
        small, real = self.damage(batch)
        return self._measured(self.generator(small).clamp(0, 1), small, real)

    def damage(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return downscaled images and their originals."""
        real = self._cropped(batch["x"])
        return self._small(real), real

    def upscale(self, images: Tensor) -> Tensor:
        """Upscale images of any size, in strips that fit into memory."""
        return self.generator.in_strips(images).clamp(0, 1)

    def _measured(self, generated: Tensor, small: Tensor, real: Tensor) -> Result:
        psnr, bicubic = (_psnr(luma(images), luma(real)) for images in (generated, enlarged(small, self.scale)))
        loss = (generated - real).square().mean()
        return Result(loss, {"psnr_y": psnr, "psnr_y_over_bicubic": psnr - bicubic})

    def _cropped(self, images: Tensor) -> Tensor:
        """Return a crop of each image: at a random place in training, else in the middle."""
        count, _, height, width = images.shape
        spare = (height - self.crop[0], width - self.crop[1])
        if spare == (0, 0):
            return images
        places = []
        for room, side in zip(spare, self.crop, strict=True):
            drawn = randomness.integers(0, room + 1, count, 1, device=images.device)
            first = drawn if self.training else torch.full_like(drawn, room // 2)
            places.append(first + torch.arange(side, device=images.device))
        rows, columns = places
        image, channel = (torch.arange(size, device=images.device) for size in images.shape[:2])
        return images[
            image.view(-1, 1, 1, 1), channel.view(-1, 1, 1), rows[:, None, :, None], columns[:, None, None, :]
        ]

    def _small(self, images: Tensor) -> Tensor:
        """Return downscaled images as files hold them: rounded to bytes and, if set, blurred, noisy or compressed."""
        # In full precision, because half precision is coarser than a byte.
        with torch.autocast(images.device.type, enabled=False):
            if self.blur:
                images = blurred(images, self.blur * _share_of_each(images))
            small = shrunk(images, self.scale)
            if self.noise:
                small = noisy(small, self.noise * _share_of_each(images))
            if self.quality:
                small = self.compression(small, self.quality + (100 - self.quality) * _share_of_each(images))
            return small.mul(255).round().clamp(0, 255).div(255)


def _share_of_each(images: Tensor) -> Tensor:
    """Draw a number between 0 and 1 for each image."""
    return randomness.uniform(len(images), device=images.device)


def _crop_size(kind: Image, scale: int, crop: int | None) -> tuple[int, int]:
    """Return height and width of a crop: the largest that the scale divides."""
    if crop is not None:
        at_least(1, crop=crop)
    if crop is not None and crop > min(kind.height, kind.width):
        raise ConfigError(
            f"crop must be at most {min(kind.height, kind.width)} for images of {kind.height} x {kind.width} pixels, "
            f"got {crop}; set a smaller model.crop."
        )
    height, width = (kind.height, kind.width) if crop is None else (crop, crop)
    if min(height, width) < 2 * scale:
        raise ConfigError(
            f"scale {scale} needs training images of at least {2 * scale} x {2 * scale} pixels, got {height} x {width}."
        )
    return height // scale * scale, width // scale * scale


def _psnr(images: Tensor, real: Tensor) -> Tensor:
    """Return the peak signal-to-noise ratio in dB, averaged over images; equal images count as 100."""
    return (-10 * (images - real).square().mean((1, 2, 3)).clamp_min(1e-10).log10()).mean()
