"""Degradations of photographs: blur, noise and the quantisation of JPEG."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from genlab import randomness

# Divisors of the frequencies of an 8 x 8 block in JPEG at quality 50 (ITU-T T.81, annex K): brightness, colour.
_BRIGHTNESS = (
    (16, 11, 10, 16, 24, 40, 51, 61),
    (12, 12, 14, 19, 26, 58, 60, 55),
    (14, 13, 16, 24, 40, 57, 69, 56),
    (14, 17, 22, 29, 51, 87, 80, 62),
    (18, 22, 37, 56, 68, 109, 103, 77),
    (24, 35, 55, 64, 81, 104, 113, 92),
    (49, 64, 78, 87, 103, 121, 120, 101),
    (72, 92, 95, 98, 112, 100, 103, 99),
)
_COLOUR = (
    (17, 18, 24, 47, 99, 99, 99, 99),
    (18, 21, 26, 66, 99, 99, 99, 99),
    (24, 26, 56, 99, 99, 99, 99, 99),
    (47, 66, 99, 99, 99, 99, 99, 99),
    *(((99,) * 8,) * 4),
)
# From red, green and blue in [0, 255] to brightness, and two colour differences around 0.
_TO_COLOURS = ((0.299, 0.587, 0.114), (-0.168736, -0.331264, 0.5), (0.5, -0.418688, -0.081312))


def blurred(images: Tensor, stds: Tensor) -> Tensor:
    """Blur each image by a Gaussian with a std of its own, in pixels; 0 changes nothing."""
    count, channels, height, width = images.shape
    radius = min(12, height - 1, width - 1)
    places = torch.arange(-radius, radius + 1, device=images.device)
    weights = torch.exp(-0.5 * (places / stds.view(-1, 1).clamp_min(1e-3)).square())
    weights = (weights / weights.sum(1, keepdim=True)).repeat_interleave(channels, 0)
    flat = images.reshape(1, count * channels, height, width)
    for kernel, padding in (
        (weights[:, None, None, :], (radius, radius, 0, 0)),
        (weights[:, None, :, None], (0, 0, radius, radius)),
    ):
        flat = functional.conv2d(functional.pad(flat, padding, mode="reflect"), kernel, groups=count * channels)
    return flat.view_as(images)


def noisy(images: Tensor, stds: Tensor) -> Tensor:
    """Add normal noise to each image, with a std of its own as a fraction of white."""
    return images + stds.view(-1, 1, 1, 1) * randomness.normal_like(images)


class Compression(nn.Module):
    """The quantisation of JPEG, at a quality of its own from 1 to 100 for each image, with colours at full size.

    Its tables lie on the device: a number that is copied there in each step would make the loop wait.
    """

    tables: Tensor
    colours: Tensor
    plain: Tensor
    cosines: Tensor
    level: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        # One table for brightness, then one for each colour difference.
        tables = torch.tensor([_BRIGHTNESS, _COLOUR, _COLOUR][:channels]).float()
        colours = torch.tensor(_TO_COLOURS)
        level = 128.0 * (torch.arange(channels) == 0).view(1, -1, 1, 1)
        constants = {
            "tables": tables,
            "colours": colours,
            "plain": torch.linalg.inv(colours),
            "cosines": _cosines(),
            "level": level,
        }
        for name, values in constants.items():
            self.register_buffer(name, values, persistent=False)

    def forward(self, images: Tensor, qualities: Tensor) -> Tensor:
        """Return the images as they are after compression."""
        count, channels, height, width = images.shape
        padded = functional.pad(images * 255, (0, -width % 8, 0, -height % 8), mode="replicate")
        planes = padded if channels == 1 else torch.einsum("pc,nchw->nphw", self.colours, padded).round()
        planes = planes - self.level
        rows, columns = padded.shape[2] // 8, padded.shape[3] // 8
        blocks = planes.view(count, channels, rows, 8, columns, 8).transpose(3, 4)
        steps = self._steps(qualities).view(count, channels, 1, 1, 8, 8)
        frequencies = self.cosines @ blocks @ self.cosines.T / steps
        # Halves are rounded away from 0 as in JPEG; they are common, because pixels are whole numbers.
        kept = frequencies.sign() * (frequencies.abs() + 0.5).floor() * steps
        planes = (self.cosines.T @ kept @ self.cosines).transpose(3, 4).reshape_as(padded) + self.level
        plain = planes if channels == 1 else torch.einsum("cp,nphw->nchw", self.plain, planes)
        return plain[:, :, :height, :width].div(255)

    def _steps(self, qualities: Tensor) -> Tensor:
        """Return the divisor of each frequency by the rule of the Independent JPEG Group, N x C x 8 x 8."""
        percent = torch.where(qualities < 50, (5000 / qualities.clamp_min(1)).floor(), 200 - 2 * qualities)
        return ((self.tables * percent.view(-1, 1, 1, 1) + 50) / 100).floor().clamp(1, 255)


def _cosines() -> Tensor:
    """Return the orthonormal discrete cosine transform of eight numbers, one frequency a row."""
    frequency, place = torch.arange(8).view(8, 1), torch.arange(8).view(1, 8)
    waves = torch.cos(math.pi * (2 * place + 1) * frequency / 16) / 2
    return torch.cat([waves[:1] / math.sqrt(2), waves[1:]])
