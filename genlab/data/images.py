"""A data set in memory: pixels, labels, names, splits, fingerprint."""

import hashlib
from dataclasses import dataclass, field

import torch
from torch import Tensor

from genlab.game import Shape
from genlab.randomness import generator
from genlab.registry import ConfigError

SPLITS = ("train", "validation", "test")


@dataclass(frozen=True)
class Images:
    """Images as bytes, N x C x H x W, and which of them are trained on, chosen by and tested on."""

    pixels: Tensor
    splits: dict[str, Tensor]
    """The indices of `train`, `validation` and `test`; they share none."""
    labels: Tensor | None = None
    names: tuple[str, ...] = ()
    """The name of each class."""
    fingerprint: str = field(default="", compare=False)

    def __post_init__(self) -> None:
        if not self.fingerprint:
            object.__setattr__(self, "fingerprint", _fingerprint(self))

    @property
    def shape(self) -> Shape:
        """The shape of one image."""
        return Shape(*self.pixels.shape[1:])

    @property
    def classes(self) -> int:
        """How many classes the labels tell apart; 0 without labels."""
        return len(self.names)


def split_off(count: int, part: int, what: str = "validation") -> tuple[Tensor, Tensor]:
    """The indices of `count` images in two: what is left, and `part` of them set aside, the same ones in every run."""
    if not 0 < part < count:
        raise ConfigError(f"{what} must be between 1 and {count - 1}, and {part} is not.")
    order = torch.randperm(count, generator=generator(0, f"split/{what}", count))
    return order[part:].sort().values, order[:part].sort().values


def _fingerprint(images: Images) -> str:
    """16 hex digits that change when any pixel, label or split does."""
    digest = hashlib.sha256(repr(tuple(images.pixels.shape)).encode())
    parts = [images.pixels, *(images.splits[name] for name in SPLITS)]
    for tensor in [*parts, images.labels] if images.labels is not None else parts:
        digest.update(tensor.contiguous().view(torch.uint8).numpy().data)
    return digest.hexdigest()[:16]
