"""A data set: pixels, labels, names, splits, fingerprint."""

import hashlib
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from genlab.contract import Shape
from genlab.data.mosaic import check_grid
from genlab.randomness import generator
from genlab.registry import ConfigError

SPLITS = ("train", "validation", "test")


@dataclass(frozen=True, eq=False)
class Attribute:
    """What is known of each image: a number, or which of some choices."""

    values: Tensor
    """One an image: numbers, or where there are choices, their indices."""
    choices: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Images:
    """Images, N x C x H x W, and which of them are trained on, chosen by and tested on."""

    pixels: Tensor
    """Bytes; or, for points that are no images, float32 of N x 1 x 1 x D, which are taken as they are."""
    splits: dict[str, Tensor]
    """The indices of `train`, `validation` and `test`; they share none, and the two others may be empty."""
    labels: Tensor | None = None
    """The index of each image's class in `names`."""
    names: tuple[str, ...] = ()
    """The name of each class."""
    attributes: dict[str, Attribute] = field(default_factory=dict)
    """What else is known of every image, by its name."""
    fingerprint: str = field(default="")
    """Tells this data from any other; taken from the contents unless a source knows a cheaper one."""
    file: Path | None = None
    """Where the pixels lie on disk, row after row from its beginning, when they do not lie in memory."""
    bad_files: tuple[str, ...] = ()
    """The files that could not be used and were left out: `name: reason`."""
    grid: Tensor | None = None
    """Of images that are cells of larger pictures: row and column in its picture, and how many that has of both.

    The cells of a picture follow each other in one split, row by row; what is trained on are crops anywhere in it.
    """

    def __post_init__(self) -> None:
        _check_pixels(self.pixels)
        _check_splits(self.splits, len(self.pixels))
        _check_labels(self.labels, len(self.pixels), len(self.names))
        for name, attribute in self.attributes.items():
            _check_attribute(name, attribute, len(self.pixels))
        if self.grid is not None:
            check_grid(self.grid, self.splits, len(self.pixels))
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


def published(
    train: tuple[Tensor, Tensor], test: tuple[Tensor, Tensor], names: tuple[str, ...], validation: int
) -> Images:
    """Pixels and labels to train on and to test on, as somebody chose them; the validation images are set aside."""
    left, held_out = split_off(len(train[0]), validation)
    splits = {"train": left, "validation": held_out, "test": torch.arange(len(test[0])) + len(train[0])}
    return Images(torch.cat([train[0], test[0]]), splits, torch.cat([train[1], test[1]]), names)


def _check_pixels(pixels: Tensor) -> None:
    points = pixels.dtype == torch.float32 and tuple(pixels.shape[1:3]) == (1, 1)
    if pixels.dim() != 4 or not (pixels.dtype == torch.uint8 or points):
        found = f"{' x '.join(map(str, pixels.shape))} of {pixels.dtype}"
        wanted = "torch.uint8 of N x C x H x W, or points, torch.float32 of N x 1 x 1 x D"
        raise ConfigError(f"Pixels must be {wanted}, and {found} is not.")


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
    if labels.dim() != 1 or len(labels) != count:
        found = " x ".join(map(str, labels.shape))
        raise ConfigError(f"There are {count} images and {found} labels; there must be one for each.")
    if count and not 0 <= int(labels.min()) <= int(labels.max()) < classes:
        lowest, highest = int(labels.min()), int(labels.max())
        raise ConfigError(f"The labels go from {lowest} to {highest}, and {classes} classes are named, from 0 on.")


def _check_attribute(name: str, attribute: Attribute, count: int) -> None:
    values, choices = attribute.values, attribute.choices
    if tuple(values.shape) != (count,):
        found = " x ".join(map(str, values.shape))
        raise ConfigError(f"There are {count} images and {found} values of {name!r}; there must be one for each.")
    if choices and count and not 0 <= int(values.min()) <= int(values.max()) < len(choices):
        lowest, highest = int(values.min()), int(values.max())
        raise ConfigError(f"The values of {name!r} go from {lowest} to {highest}, and it has {len(choices)} choices.")


def _fingerprint(images: Images) -> str:
    """16 hex digits that change when any pixel, split, label, attribute or place in a grid does."""
    digest = hashlib.sha256()
    parts = [images.pixels, *(images.splits[name] for name in SPLITS)]
    parts += [images.labels] if images.labels is not None else []
    parts += [attribute.values for attribute in images.attributes.values()]
    parts += [images.grid] if images.grid is not None else []
    for tensor in parts:
        # With the shapes, an image that moves from one split to the next cannot go unnoticed.
        digest.update(repr((tuple(tensor.shape), tensor.dtype)).encode())
        digest.update(tensor.contiguous().view(torch.uint8).numpy().data)
    return digest.hexdigest()[:16]
