"""Two folders of the user's own images, as two classes."""

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from genlab.data.dataset import Dataset
from genlab.data.files import cache
from genlab.data.files.decode import Crop, Style
from genlab.data.files.first_pass import Channels, Decoded, decoded, found_channels
from genlab.data.files.listing import Listing, joined, shown
from genlab.data.sources.folder import (
    bad_files,
    check_classes,
    check_numbers,
    colour,
    family,
    files_in,
    places_of,
    split_by,
    usable,
)
from genlab.registry import ConfigError


def domains(
    *,
    path: str | None,
    other: str | None,
    size: int,
    crop: Crop,
    channels: Channels,
    background: str,
    validation: float,
    test: float,
    tolerate: float,
) -> Dataset:
    """Return all images below two folders; the folder is the class of an image."""
    check_numbers(size, validation, test, tolerate)
    style = Style(size, crop, 3, colour(background))
    if path is None or other is None:
        missing = "path" if path is None else "other"
        raise ConfigError(f"{missing} is not set. Set data.path=FOLDER and data.other=FOLDER to two folders of images.")
    places = places_of(path, other, "other")
    folders = [files_in(place) for place in places]
    files = joined(folders)
    name = family(files.folder, style, channels, *map(str, places))
    found = Decoded.found(name, files.version)
    if found is None:
        depth = _channels(folders) if channels == "auto" else channels
        found = decoded(files, name, style, depth, tolerate)
    good = np.array(usable(files, found, tolerate))
    labels = torch.from_numpy((good >= len(folders[0])).astype(np.int64))
    names = tuple(_names(places))
    check_classes(labels, names)
    return Dataset.of_images(
        cache.mapped(found.file, len(good), found.channels, size, size),
        split_by(found.index.places, validation, test),
        labels,
        names,
        file=found.file,
        contents=found.contents,
        bad_files=bad_files(files, found),
    )


def _channels(folders: list[Listing]) -> int:
    """Return the channels of all images; raise a ConfigError if one folder is grey and the other in colour."""
    first, second = (found_channels(files.opened(range(len(files)))) for files in folders)
    if first != second:
        grey, coloured = folders if first == 1 else folders[::-1]
        raise ConfigError(
            f"The images in {grey.place} are grey and those in {coloured.place} are in colour, which alone tells the "
            "domains apart. Set data.channels=1 to make all of them grey, or data.channels=3 to use them as they are."
        )
    return first


def _names(places: tuple[Path, Path]) -> Iterator[str]:
    """Yield a name for each folder: its own, with as many of the folders above it as tell the two apart."""
    above = os.path.commonpath(places)
    own = [place.name for place in places]
    for place in places:
        yield shown(place.name if own[0] != own[1] else str(place.relative_to(above)))
