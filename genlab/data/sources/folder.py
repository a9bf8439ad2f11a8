"""A folder of the user's own images."""

import hashlib
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import ImageColor
from PIL import __version__ as pillow
from torch import Tensor

from genlab.data.dataset import Dataset
from genlab.data.files import cache, table
from genlab.data.files.decode import Crop, Style
from genlab.data.files.first_pass import Channels, Decoded, Items, check_bad, decoded
from genlab.data.files.listing import SUFFIXES, Listing, listed, shown
from genlab.registry import ConfigError, suggestion

SMALLEST, LARGEST = 8, 1024
_EDITION = 1
"""Increased when the same files would give other bytes."""


def folder(
    *,
    path: str | None,
    size: int,
    crop: Crop,
    channels: Channels,
    background: str,
    labels: str | None,
    label: str | None,
    validation: float,
    test: float,
    tolerate: float,
) -> Dataset:
    """Return all images below a folder, at any depth, decoded once and then mapped from disk."""
    place = place_of(path)
    check_numbers(size, validation, test, tolerate)
    known = _table(place, labels, label)
    files = files_in(place)
    style = Style(size, crop, 3, colour(background))
    found = decoded(files, family(place, style, channels), style, channels, tolerate)
    names = [files.names[number] for number in usable(files, found, tolerate)]
    splits = split_by(found.index.places, validation, test)
    numbers, classes = _labels(place, names, known, labels, label)
    return Dataset.of_images(
        cache.mapped(found.file, len(names), found.channels, size, size),
        splits,
        numbers,
        classes,
        known.attributes(names) if known else {},
        file=found.file,
        contents=found.contents,
        bad_files=bad_files(files, found),
    )


def place_of(path: str | None, setting: str = "path") -> Path:
    """Return the folder that the user names by a setting."""
    if path is None:
        raise ConfigError(f"{setting} is not set. Set data.{setting}=FOLDER to the folder with your images.")
    place = Path(os.path.expanduser(path))  # Path.expanduser raises if there is no such user
    if not place.is_dir():
        raise ConfigError(
            f"{setting} must name a folder, and {path} {'is a file' if place.is_file() else 'does not exist'}."
        )
    return place.resolve()


def places_of(path: str | None, other: str | None, setting: str) -> tuple[Path, Path]:
    """Return the folders of `path` and of another setting, neither of which may be in the other."""
    first, second = place_of(path), place_of(other, setting)
    if first.is_relative_to(second) or second.is_relative_to(first):
        raise ConfigError(
            f"path and {setting} must be two folders, neither of them in the other; got {shown(str(first))} and "
            f"{shown(str(second))}."
        )
    return first, second


def files_in(place: Path) -> Listing:
    """List the image files of a folder; there must be at least one."""
    files = listed(place)
    if not files.names:
        raise ConfigError(f"There is no image in {shown(str(place))} ({', '.join(SUFFIXES)}).")
    return files


def usable(items: Items, found: Decoded, tolerate: float) -> list[int]:
    """Return the numbers of the items that could be decoded, if they are enough."""
    check_bad(items, found.index.reasons, tolerate)
    left: list[int] = found.index.good.tolist()
    if not left:
        raise ConfigError(f"None of the {len(items):,} {items.unit} in {items.place} can be used as an image.")
    return left


def bad_files(items: Items, found: Decoded) -> tuple[str, ...]:
    """Return the items that could not be decoded, each with the reason."""
    return tuple(f"{items.called(number)}: {reason}" for number, reason in found.index.reasons.items())


def check_numbers(size: int, validation: float, test: float, tolerate: float) -> None:
    """Raise a ConfigError for a size or a part that is out of range."""
    if not SMALLEST <= size <= LARGEST:
        raise ConfigError(f"size must be between {SMALLEST} and {LARGEST}, got {size}.")
    check_parts(validation, test, tolerate)


def check_parts(validation: float, test: float, tolerate: float) -> None:
    """Raise a ConfigError for a part that is out of range, or that leaves no training images."""
    for name, part in (("validation", validation), ("test", test), ("tolerate", tolerate)):
        if not 0 <= part <= 1:
            raise ConfigError(f"{name} must be a part between 0 and 1, such as 0.1, got {part:g}.")
    if validation + test >= 1:
        raise ConfigError(
            f"validation + test must be below 1, got {validation:g} + {test:g}: that leaves no training images."
        )


def colour(name: str) -> tuple[int, int, int]:
    """Return red, green and blue of a named colour."""
    try:
        red, green, blue = ImageColor.getrgb(name)[:3]
    except ValueError:
        near = suggestion(name, ImageColor.colormap)
        raise ConfigError(f"background must be a colour such as white or #ff8000, got {name!r}. {near}") from None
    return red, green, blue


def _table(place: Path, labels: str | None, label: str | None) -> table.Table | None:
    """Return the table that `labels` names, in the folder of the images or in the current one."""
    if labels is None or labels == "folder":
        if label is not None:
            raise ConfigError(
                f"label={label} needs a table of attributes. Set data.labels=TABLE, such as attributes.csv."
            )
        return None
    for file in (place / Path(labels).expanduser(), Path(labels).expanduser()):
        if file.is_file():
            known = table.read(file)
            if label is not None:
                known.check_column(label)
            return known
    near = suggestion(labels, ["folder"])
    searched = f"no file {labels} in {shown(str(place))} or in the current folder. {near}"
    raise ConfigError(f"labels must be null, folder or a table; found {searched.rstrip()}")


def family(place: Path, style: Style, *settings: object) -> str:
    """Return the name in the cache of everything that is decoded of a folder with these settings."""
    text = repr((_EDITION, pillow, str(place), replace(style, channels=0), *settings))
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:16]


def split_by(digests: NDArray[np.int64], validation: float, test: float) -> dict[str, Tensor]:
    """Return the splits: a hash of each image's decoded pixels decides, whatever other images there are.

    So an image stays in its split when others are added, and its copies are in the same split. A rule by name could
    not do both. If no image falls into a wanted split, because there are few, the nearest one is taken for it.
    """
    places = digests / 2**48
    part = np.where(places < test, "test", np.where(places < test + validation, "validation", "train"))
    for name, wanted in (("test", test), ("validation", validation)):
        if wanted and not (part == name).any() and (train := places[part == "train"]).size:
            part[places == train.min()] = name
    if not (part == "train").any():
        different = len(np.unique(places))
        found = "1 image leaves" if len(places) == 1 else f"{len(places)} images ({different} different) leave"
        raise ConfigError(
            f"{found} no training images beside validation and test. Set data.validation=0 data.test=0, or add images."
        )
    return {name: torch.from_numpy(np.flatnonzero(part == name)) for name in ("train", "validation", "test")}


def _labels(
    place: Path, names: list[str], known: table.Table | None, labels: str | None, label: str | None
) -> tuple[Tensor | None, tuple[str, ...]]:
    """Return labels and the names of the classes, from the sub-folders or from a column of the table."""
    classes: tuple[Tensor | None, tuple[str, ...]] = (None, ())
    if known and label is not None:
        classes = known.classes(names, label)
    elif labels == "folder":
        classes = _folders_as_classes(place, names)
    check_classes(*classes)
    return classes


def _folders_as_classes(place: Path, names: list[str]) -> tuple[Tensor, tuple[str, ...]]:
    """Return the first sub-folder that each image is in as its class."""
    if loose := [name for name in names if "/" not in name]:
        first = ", ".join(map(shown, loose[:3]))
        raise ConfigError(
            f"labels=folder takes the sub-folders of {shown(str(place))} as classes, and {len(loose):,} images "
            f"are in none, such as {first}. Move them into sub-folders, or set data.labels=null."
        )
    folders = [name.partition("/")[0] for name in names]
    classes = sorted(set(folders))
    number = {name: index for index, name in enumerate(classes)}
    return torch.tensor([number[name] for name in folders]), tuple(map(shown, classes))


def check_classes(labels: Tensor | None, names: tuple[str, ...]) -> None:
    """Raise a ConfigError for classes of fewer than two images."""
    counts = [] if labels is None else labels.bincount(minlength=len(names)).tolist()
    if small := [f"{name} ({count})" for name, count in zip(names, counts, strict=True) if count < 2]:
        raise ConfigError(f"Every class needs at least two images; these have fewer: {', '.join(small)}.")
