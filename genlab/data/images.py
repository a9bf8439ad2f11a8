"""A data set in memory: pixels, labels, names, splits, fingerprint."""

import hashlib
from dataclasses import dataclass, field

import torch
from torch import Tensor

from genlab.game import Shape
from genlab.randomness import generator
from genlab.registry import ConfigError

SPLITS = ("train", "validation", "test")


@dataclass(frozen=True, eq=False)
class Images:
    """Images as bytes, N x C x H x W, and which of them are trained on, chosen by and tested on."""

    pixels: Tensor
    splits: dict[str, Tensor]
    """The indices of `train`, `validation` and `test`; they share none, and the two others may be empty."""
    labels: Tensor | None = None
    """One row an image; where it is a single number, the index of its class in `names`."""
    names: tuple[str, ...] = ()
    """The name of each class."""
    fingerprint: str = field(default="")
    """Tells this data from any other; taken from the contents unless a source knows a cheaper one."""

    def __post_init__(self) -> None:
        _check_pixels(self.pixels)
        _check_splits(self.splits, len(self.pixels))
        _check_labels(self.labels, len(self.pixels), len(self.names))
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


def _check_pixels(pixels: Tensor) -> None:
    if pixels.dtype != torch.uint8 or pixels.dim() != 4:
        found = f"{' x '.join(map(str, pixels.shape))} of {pixels.dtype}"
        raise ConfigError(f"Pixels must be torch.uint8 of N x C x H x W, and {found} is not.")


def _check_splits(splits: dict[str, Tensor], count: int) -> None:
    if set(splits) != set(SPLITS):
        raise ConfigError(f"The splits must be {', '.join(SPLITS)}; they are {', '.join(splits) or 'none'}.")
    for name, indices in splits.items():
        if indices.dtype != torch.int64 or indices.dim() != 1:
            raise ConfigError(f"The split {name!r} must be a row of torch.int64, and {indices.dtype} is not.")
    indices = torch.cat([splits[name] for name in SPLITS])
    if len(indices) and not 0 <= int(indices.min()) <= int(indices.max()) < count:
        raise ConfigError(f"The splits name image {int(indices.max())}, and there are {count}, counted from 0.")
    if len(indices) and int(indices.bincount().max()) > 1:
        raise ConfigError(f"The splits must share no image; image {int(indices.bincount().argmax())} is there twice.")


def _check_labels(labels: Tensor | None, count: int, classes: int) -> None:
    if labels is None:
        return
    if len(labels) != count:
        raise ConfigError(f"There are {count} images and {len(labels)} labels; there must be one for each.")
    if labels.dim() == 1 and count and not 0 <= int(labels.min()) <= int(labels.max()) < classes:
        lowest, highest = int(labels.min()), int(labels.max())
        raise ConfigError(f"The labels go from {lowest} to {highest}, and {classes} classes are named, from 0 on.")


def _fingerprint(images: Images) -> str:
    """16 hex digits that change when any pixel, label or split does."""
    digest = hashlib.sha256()
    parts = [images.pixels, *(images.splits[name] for name in SPLITS)]
    for tensor in [*parts, images.labels] if images.labels is not None else parts:
        # With the shapes, an image that moves from one split to the next cannot go unnoticed.
        digest.update(repr((tuple(tensor.shape), tensor.dtype)).encode())
        digest.update(tensor.contiguous().view(torch.uint8).numpy().data)
    return digest.hexdigest()[:16]
