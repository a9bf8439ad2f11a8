"""A folder of somebody's own images."""

import hashlib
import os
from pathlib import Path
from typing import BinaryIO, Literal, NamedTuple

import numpy as np
import torch
from PIL import ImageColor
from PIL import __version__ as pillow
from torch import Tensor

from genlab.data.dataset import Attribute, Images
from genlab.data.files import cache, table
from genlab.data.files.decode import Crop, Style
from genlab.data.files.first_pass import check_bad, first_pass, found_channels
from genlab.data.files.listing import SUFFIXES, Listing, listed, shown
from genlab.registry import ConfigError, suggestion

Channels = Literal["auto", 1, 3]
SMALLEST, LARGEST = 8, 1024
# Raised when the same files would give other bytes.
_EDITION = 1


class Said(NamedTuple):
    """What is known of the images besides their pixels."""

    labels: Tensor | None
    names: tuple[str, ...]
    attributes: dict[str, Attribute]


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
) -> Images:
    """All images below a folder, at any depth, decoded once and then mapped from the disk."""
    place = place_of(path)
    check_numbers(size, validation, test, tolerate)
    known = _table(place, labels, label)
    files = files_in(place)
    stored = decoded(place, files, size, crop, channels, colour(background), tolerate)
    names = usable(place, files.names, stored, tolerate)
    splits = split_by(stored.notes["places"], validation, test)
    said = _said(place, names, known, labels, label)
    return Images(
        cache.mapped(stored.file, len(names), stored.notes["channels"], size, size),
        splits,
        *said,
        fingerprint(stored.notes["contents"], splits, said),
        file=stored.file,
        bad_files=bad_files(stored),
    )


def place_of(path: str | None) -> Path:
    """The folder that a user names."""
    if path is None:
        raise ConfigError("path names the folder with your images: data.path=FOLDER.")
    place = Path(os.path.expanduser(path))  # Path's own raises where there is no such user
    if not place.is_dir():
        raise ConfigError(f"{path} is {'a file' if place.is_file() else 'not there'}; path must name a folder.")
    return place.resolve()


def files_in(place: Path) -> Listing:
    """The image files in it, of which there must be some."""
    files = listed(place)
    if not files.names:
        raise ConfigError(f"There is no image in {shown(str(place))} ({', '.join(SUFFIXES)}).")
    return files


def usable(place: Path, names: list[str], stored: cache.Stored, tolerate: float) -> list[str]:
    """Those that could be decoded, if they are enough."""
    bad: dict[str, str] = stored.notes["bad"]
    check_bad(place, bad, len(names), tolerate)
    left = [name for name in names if name not in bad]
    if not left:
        raise ConfigError(f"None of the {len(names):,} files in {shown(str(place))} is an image that can be used.")
    return left


def bad_files(stored: cache.Stored) -> tuple[str, ...]:
    """Those that could not be decoded, each with the reason."""
    bad: dict[str, str] = stored.notes["bad"]
    return tuple(f"{shown(name)}: {reason}" for name, reason in bad.items())


def check_numbers(size: int, validation: float, test: float, tolerate: float) -> None:
    """What can be wrong with the numbers of the settings."""
    if not SMALLEST <= size <= LARGEST:
        raise ConfigError(f"size must be between {SMALLEST} and {LARGEST}, and {size} is not.")
    check_parts(validation, test, tolerate)


def check_parts(validation: float, test: float, tolerate: float) -> None:
    """What can be wrong with the parts that are set aside or skipped."""
    for name, part in (("validation", validation), ("test", test), ("tolerate", tolerate)):
        if not 0 <= part <= 1:
            raise ConfigError(f"{name} must be a part between 0 and 1, such as 0.1, and {part:g} is not.")
    if validation + test >= 1:
        raise ConfigError(f"validation and test are {validation:g} and {test:g}; that leaves nothing to train on.")


def colour(name: str) -> tuple[int, int, int]:
    """Red, green and blue of a colour by its name."""
    try:
        red, green, blue = ImageColor.getrgb(name)[:3]
    except ValueError:
        near = suggestion(name, ImageColor.colormap)
        raise ConfigError(
            f"background must be a colour such as white or #ff8000, and {name!r} is not. {near}"
        ) from None
    return red, green, blue


def _table(place: Path, labels: str | None, label: str | None) -> table.Table | None:
    """The table that `labels` names, beside the images or where the user stands."""
    if labels is None or labels == "folder":
        if label is not None:
            raise ConfigError(f"label={label} names a column of a table, and labels names no table.")
        return None
    for file in (place / Path(labels).expanduser(), Path(labels).expanduser()):
        if file.is_file():
            known = table.read(file)
            if label is not None:
                known.check_column(label)
            return known
    near = suggestion(labels, ["folder"])
    there = f"there is no file {labels} in {shown(str(place))} nor here. {near}"
    raise ConfigError(f"labels must be null, folder or a table; {there.rstrip()}")


def decoded(
    place: Path,
    files: Listing,
    size: int,
    crop: Crop,
    channels: Channels,
    background: tuple[int, int, int],
    tolerate: float,
) -> cache.Stored:
    """The bytes of all images: those in the cache, where neither the files nor the settings have changed."""

    def make(file: BinaryIO) -> dict[str, object]:
        depth = found_channels(place, files.names) if channels == "auto" else channels
        return first_pass(place, files.names, Style(size, crop, depth, background), tolerate, file)

    room = len(files.names) * size * size * (1 if channels == 1 else 3)
    return cache.once(family(place, size, crop, channels, background), files.version, room, make)


def family(place: Path, *settings: object) -> str:
    """The name of all that is ever decoded of a folder with these settings."""
    said = repr((_EDITION, pillow, str(place), *settings))
    return hashlib.sha256(said.encode("utf-8", "surrogateescape")).hexdigest()[:16]


def split_by(digests: list[int], validation: float, test: float) -> dict[str, Tensor]:
    """Each image falls where a hash of its own decoded pixels says, whatever other images there are.

    So an image stays in its split when others are added, and its copies come to the same side as it does; by its name
    no rule could do both, for nothing tells which of two copies was there first. In a folder so small that no image
    falls into a split, the one that falls nearest to it is lent.
    """
    places = np.array(digests) / 2**48
    part = np.where(places < test, "test", np.where(places < test + validation, "validation", "train"))
    for name, wanted in (("test", test), ("validation", validation)):
        if wanted and not (part == name).any() and (train := places[part == "train"]).size:
            part[places == train.min()] = name
    if not (part == "train").any():
        different = len(np.unique(places))
        raise ConfigError(
            f"{len(places)} images ({different} different) leave none to train on beside validation and test; "
            "set validation and test to 0, or add images."
        )
    return {name: torch.from_numpy(np.flatnonzero(part == name)) for name in ("train", "validation", "test")}


def _said(place: Path, names: list[str], known: table.Table | None, labels: str | None, label: str | None) -> Said:
    """The labels, from the sub-folders or a column, and the attributes."""
    attributes = known.attributes(names) if known else {}
    classes: tuple[Tensor | None, tuple[str, ...]] = (None, ())
    if label is not None:
        classes = table.classes(attributes[label], label)
    elif labels == "folder":
        classes = _folders_as_classes(place, names)
    _check_classes(*classes)
    return Said(*classes, attributes)


def _folders_as_classes(place: Path, names: list[str]) -> tuple[Tensor, tuple[str, ...]]:
    """The sub-folder that each image lies in, at any depth, is its class."""
    if loose := [name for name in names if "/" not in name]:
        first = ", ".join(map(shown, loose[:3]))
        raise ConfigError(
            f"labels=folder takes the sub-folders of {shown(str(place))} as classes, and {len(loose):,} images "
            f"lie in none, such as {first}."
        )
    theirs = [name.partition("/")[0] for name in names]
    classes = sorted(set(theirs))
    number = {name: index for index, name in enumerate(classes)}
    return torch.tensor([number[name] for name in theirs]), tuple(map(shown, classes))


def _check_classes(labels: Tensor | None, names: tuple[str, ...]) -> None:
    counts = [] if labels is None else labels.bincount(minlength=len(names)).tolist()
    if small := [f"{name} ({count})" for name, count in zip(names, counts, strict=True) if count < 2]:
        raise ConfigError(f"Every class needs two images or more; these have fewer: {', '.join(small)}.")


def fingerprint(contents: str, splits: dict[str, Tensor], said: Said) -> str:
    """16 hex digits of what the images are, not of when their files were touched."""
    choices = [(name, known.choices) for name, known in said.attributes.items()]
    digest = hashlib.sha256(repr((contents, said.names, choices)).encode())
    labels = [] if said.labels is None else [said.labels]
    for tensor in [*splits.values(), *labels, *(known.values for known in said.attributes.values())]:
        digest.update(repr((tuple(tensor.shape), tensor.dtype)).encode())
        digest.update(tensor.numpy().data)
    return digest.hexdigest()[:16]
