"""Images in Parquet files, as Hugging Face's hub has them."""

import os
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from genlab.data.dataset import SPLITS, Dataset
from genlab.data.files import arrow, arrow_columns, cache
from genlab.data.files.arrow import Field, Files, Rows
from genlab.data.files.decode import Crop, Style
from genlab.data.files.first_pass import Channels, Decoded, decoded
from genlab.data.files.listing import PARQUET, Listing, listed, shown, single
from genlab.data.sources.folder import bad_files, check_classes, check_numbers, colour, family, split_by, usable
from genlab.registry import ConfigError, suggestion

AUTO = "auto"
_IMAGE_NAMES = ("image", "img", "picture", "photo", "images", "jpg", "png")
_LABEL_NAMES = ("label", "labels", "class", "classes", "target", "category")
_WORDS = {
    "train": {"train", "training"},
    "validation": {"validation", "valid", "val", "dev"},
    "test": {"test", "testing", "eval", "evaluation"},
}
"""The words in a file's name that say its split, as on the hub."""


def parquet(
    *,
    path: str | None,
    size: int,
    crop: Crop,
    channels: Channels,
    background: str,
    image: str,
    label: str | None,
    validation: float,
    test: float,
    tolerate: float,
) -> Dataset:
    """Return the images in all rows of Parquet files, decoded once and then mapped from disk."""
    check_numbers(size, validation, test, tolerate)
    style = Style(size, crop, 3, colour(background))
    place, listing = _listing(path)
    files = Files.read(listing)
    rows = Rows(files, _image(files, image))
    if not len(rows):
        raise ConfigError(f"There are no rows in the Parquet files of {rows.place}.")
    known = _label(files, label)
    named = _named(listing)
    found = decoded(rows, family(place, style, channels, rows.field), style, channels, tolerate)
    good = np.array(usable(rows, found, tolerate))
    numbers, classes = arrow_columns.labels(files, known, good) if known else (None, ())
    check_classes(numbers, classes)
    return Dataset.of_images(
        cache.mapped(found.file, len(good), found.channels, size, size),
        _splits(found, named[files.owners(good)], validation, test),
        numbers,
        classes,
        arrow_columns.attributes(files, {field.name for field in (rows.field, known) if field}, good),
        file=found.file,
        contents=found.contents,
        bad_files=bad_files(rows, found),
    )


def _listing(path: str | None) -> tuple[Path, Listing]:
    """Return the folder or the file that the user names, and the Parquet files there."""
    if path is None:
        raise ConfigError(
            "path is not set. Set data.path=FOLDER to the folder with your Parquet files, or to one file."
        )
    place = Path(os.path.expanduser(path))
    if place.is_file():
        return place.resolve(), single(place.resolve())
    if not place.is_dir():
        raise ConfigError(f"path must name a folder or a Parquet file, and {path} does not exist.{_download(path)}")
    files = listed(place.resolve(), PARQUET)
    if not len(files):
        raise ConfigError(
            f"There is no Parquet file in {files.place} ({', '.join(PARQUET)}). "
            f"For files of images, set data=folder data.path={shown(path)}."
        )
    return place.resolve(), files


def _download(path: str) -> str:
    """Return the command that downloads a data set of the hub, if this could be the name of one."""
    name = re.sub(r"^(https://huggingface\.co/datasets/|hf://datasets/|datasets/)", "", path).rstrip("/")
    if not re.fullmatch(r"\w[\w.-]*/[\w.-]+", name, re.ASCII):
        return ""
    return (
        " If it is a data set on the Hugging Face hub, download it:\n"
        f"hf download {name} --repo-type dataset --include '*.parquet' --local-dir {name}\n"
        f"Then set data.path={name}. The program hf comes with pip install 'genlab[hub]'."
    )


def _image(files: Files, wanted: str) -> Field:
    """Return the column of the images: the one of this name, or with `auto` the only one that holds images."""
    fields = {name: field for name, field in files.fields.items() if field.holds == arrow.IMAGES}
    if wanted != AUTO:
        if wanted not in fields:
            raise ConfigError(_no_column(files, "image", wanted, fields))
        return fields[wanted]
    name = _only(fields, _IMAGE_NAMES)
    if name:
        return fields[name]
    if fields:
        raise ConfigError(f"Several columns hold images: {', '.join(fields)}. Set data.image=COLUMN to one of them.")
    raise ConfigError(
        f"No column of {files.listing.place} holds the bytes of images. "
        f"{'Its columns are' if len(files.files) == 1 else 'The columns that all of its files have are'}: "
        f"{files.described()}."
    )


def _label(files: Files, wanted: str | None) -> Field | None:
    """Return the column of the classes: the one of this name, or with `auto` the only one that looks like labels."""
    if wanted is None:
        return None
    if wanted != AUTO:
        if wanted not in files.fields:
            raise ConfigError(_no_column(files, "label", wanted, files.fields))
        return files.fields[wanted]
    kinds = (arrow.CLASSES, arrow.TEXT, arrow.WHOLE, arrow.YES_OR_NO)
    usual = [name for name in files.fields if name.lower() in _LABEL_NAMES and files.fields[name].holds in kinds]
    classes = [name for name, field in files.fields.items() if field.holds == arrow.CLASSES]
    name = _only(classes or usual, _LABEL_NAMES)
    if not name and classes:
        raise ConfigError(
            f"Several columns hold classes: {', '.join(classes)}. Set data.label=COLUMN to one of them, or "
            "data.label=null to use none."
        )
    return files.fields[name] if name else None


def _only(names: Iterable[str], usual: tuple[str, ...]) -> str | None:
    """Return the only name, or else the first of the usual names that is among them."""
    found = list(names)
    if len(found) == 1:
        return found[0]
    return next((name for known in usual for name in found if name.lower() == known), None)


def _no_column(files: Files, setting: str, wanted: str, fields: Mapping[str, Field]) -> str:
    if wanted in files.fields:
        return f"data.{setting} must name a column with images, and {wanted!r} holds {files.fields[wanted].holds}."
    near = suggestion(wanted, fields)
    return f"{files.listing.place} has no column {wanted!r} for data.{setting}. {near}Available: {files.described()}."


def _named(listing: Listing) -> NDArray[np.int64]:
    """Return for each file the place in SPLITS of the split that its name says, or -1; one file alone has none."""
    splits = [_split_of(name) if len(listing) > 1 else None for name in listing.names]
    parts = Counter(PurePosixPath(name).name for name in listing.names if re.search(r"-\d+-of-\d+\.\w+$", name))
    if twice := next((name for name, count in parts.items() if count > 1), None):
        folders = [str(PurePosixPath(name).parent) for name in listing.names if PurePosixPath(name).name == twice]
        raise ConfigError(
            f"{listing.place} holds several data sets: {shown(twice)} is in {', '.join(map(shown, folders))}. "
            "Set data.path to one of these folders."
        )
    if splits and not {"train", None} & set(splits):
        raise ConfigError(
            f"No file in {listing.place} is for training: their names say {', '.join(sorted(set(map(str, splits))))}. "
            "Add the files of the training split, or set data.path to one file, which is then split."
        )
    return np.array([-1 if split is None else SPLITS.index(split) for split in splits])


def _split_of(name: str) -> str | None:
    """Return the split that the name of a file says, or of the nearest folder that says one."""
    path = PurePosixPath(name)
    for part in (path.stem, *(folder.name for folder in path.parents)):
        words = set(re.split(r"[^a-z]+", part.lower()))
        if found := [split for split, known in _WORDS.items() if words & known]:
            return found[0] if len(found) == 1 else None
    return None


def _splits(found: Decoded, named: NDArray[np.int64], validation: float, test: float) -> dict[str, Tensor]:
    """Return the splits: as the files name them; what no file is named for is taken from the rest by content."""
    held_out = {name: np.flatnonzero(named == SPLITS.index(name)) for name in ("validation", "test")}
    rest = np.flatnonzero(named <= 0)
    parts = {"validation": validation, "test": test}
    wanted = {name: 0.0 if len(rows) else parts[name] for name, rows in held_out.items()}
    inside = split_by(found.index.places[rest], wanted["validation"], wanted["test"])
    splits = {name: torch.from_numpy(rest)[rows] for name, rows in inside.items()}
    return splits | {name: torch.from_numpy(rows) for name, rows in held_out.items() if len(rows)}
