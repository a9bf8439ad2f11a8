"""Images: bytes on disk, floats in [0, 1] in a model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from genlab.kinds.augmentation import Augmentation
from genlab.kinds.kind import Exhibit, Kind, Row
from genlab.kinds.sheet import sheet


@dataclass(frozen=True)
class Image(Kind):
    """One image: N x C x H x W as a batch."""

    channels: int
    height: int
    width: int

    plural: ClassVar[str] = "images"
    dtype: ClassVar[torch.dtype] = torch.uint8

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, height, width."""
        return self.channels, self.height, self.width

    def describe(self) -> str:
        """Return `images (1x28x28)`."""
        return f"{self.plural} ({self.channels}x{self.height}x{self.width})"

    def load(self, stored: Tensor) -> Tensor:
        """Convert bytes to floats in [0, 1]."""
        # A tensor, not the number 255: CUDA multiplies by the reciprocal of a number, which is slightly off.
        return stored / torch.full((), 255.0, device=stored.device)

    def augment(self, items: Tensor, augmentation: Augmentation, generator: torch.Generator) -> Tensor:
        """Flip, shift, zoom, jitter or binarize each image at random."""
        return augmentation(items, generator)

    def exhibit(self, rows: Sequence[Row]) -> Exhibit:
        """Draw the images in captioned rows."""
        return Exhibit(picture=sheet(rows))
