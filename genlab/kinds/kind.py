"""The base of all kinds: a kind describes one data item and has all functions that depend on it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, NamedTuple

import torch
from torch import Tensor

from genlab.kinds.augmentation import Augmentation
from genlab.registry import ConfigError

if TYPE_CHECKING:
    from PIL.Image import Image as Picture


class Row(NamedTuple):
    """Items that are shown side by side, and a caption for them."""

    caption: str
    items: Tensor


class Sound(NamedTuple):
    """Samples in [-1, 1], and their number per second."""

    samples: Tensor
    rate: int


@dataclass(frozen=True)
class Exhibit:
    """Items as a picture, a text or a sound."""

    picture: Picture | None = None
    text: str | None = None
    sound: Sound | None = None


class Kind(ABC):
    """One data item: its shape, how it is stored, loaded, augmented and shown."""

    plural: ClassVar[str]
    """The word for several items, as messages use it: images, points."""
    dtype: ClassVar[torch.dtype]
    """The type of the stored rows."""

    @property
    @abstractmethod
    def shape(self) -> tuple[int, ...]:
        """The shape of one item as a model sees it."""

    @abstractmethod
    def describe(self) -> str:
        """Return the kind with its sizes, as messages use it: `images (1x28x28)`."""

    def load(self, stored: Tensor) -> Tensor:
        """Convert stored rows to what a model sees."""
        return stored

    def augment(self, items: Tensor, augmentation: Augmentation, generator: torch.Generator) -> Tensor:
        """Change each item at random; only images can be augmented."""
        if augmentation:
            raise ConfigError(
                f"flip, shift, zoom, jitter and binarize change images, and this data holds {self.describe()}."
            )
        return items

    @abstractmethod
    def exhibit(self, rows: Sequence[Row]) -> Exhibit:
        """Show rows of items to a person."""

    def check(self, rows: Tensor, name: str) -> None:
        """Raise a ConfigError if the rows of the column `name` cannot be items of this kind."""
        if tuple(rows.shape[1:]) != self.shape or rows.dtype != self.dtype:
            found = f"{tuple(rows.shape)} of {rows.dtype}"
            raise ConfigError(f"Column {name!r} must be {('N', *self.shape)} of {self.dtype}, got {found}.")
