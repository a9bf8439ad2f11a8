"""CelebA: faces with forty yes-or-no attributes."""

import hashlib
from pathlib import Path

import torch
from torch import Tensor

from genlab.data.dataset import SPLITS, Dataset
from genlab.data.files import cache, table
from genlab.data.files.decode import Style
from genlab.data.files.first_pass import decoded
from genlab.data.files.listing import Listing, listed
from genlab.data.files.offer import Offer, folder_with
from genlab.data.files.vision import torchvision
from genlab.data.sources.folder import bad_files, check_numbers, family, usable
from genlab.registry import ConfigError

_IMAGES, _ATTRIBUTES, _PARTITION = "img_align_celeba", "list_attr_celeba.txt", "list_eval_partition.txt"


def celeba(*, root: str | None, size: int, label: str | None, tolerate: float) -> Dataset:
    """Return 202,599 faces with forty attributes (Liu et al. 2015), cropped to size x size, in the published splits."""
    check_numbers(size, 0, 0, tolerate)
    folder = CELEBA.get(root)
    known = table.read(folder / _ATTRIBUTES)
    if label is not None:
        known.check_column(label)
    parts = _partition(folder / _PARTITION)
    place = (folder / _IMAGES).resolve()
    files = _files(place, list(parts))
    style = Style(size, "center", 3, (255, 255, 255))
    found = decoded(files, family(place, style, 3), style, 3, tolerate)
    names = [files.names[number] for number in usable(files, found, tolerate)]
    splits = _splits([parts[name] for name in names])
    labels, classes = known.classes(names, label) if label is not None else (None, ())
    return Dataset.of_images(
        cache.mapped(found.file, len(names), 3, size, size),
        splits,
        labels,
        classes,
        known.attributes(names),
        file=found.file,
        contents=found.contents,
        bad_files=bad_files(files, found),
    )


def _partition(path: Path) -> dict[str, int]:
    """Return the number of each image's split, from lines of a name and a number."""
    try:
        words = path.read_text(encoding="utf-8").split()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be read: {getattr(error, 'strerror', None) or 'it is not UTF-8'}") from None
    wrong = set(words[1::2]) - {str(number) for number in range(len(SPLITS))}
    if not words or len(words) % 2 or wrong:
        raise ConfigError(f"{path} must have lines of an image's name and 0, 1 or 2 (train, validation or test).")
    return dict(zip(words[::2], map(int, words[1::2]), strict=True))


def _files(place: Path, names: list[str]) -> Listing:
    """Return the published files in their order; a missing one is found bad when it is opened."""
    there = listed(place)
    entries = dict(zip(there.names, there.entries, strict=True))
    state = f"{there.version} {' '.join(names)}"
    version = hashlib.sha256(state.encode()).hexdigest()[:16]
    return Listing(place, [entries.get(name, f"{name}\0") for name in names], version)


def _splits(numbers: list[int]) -> dict[str, Tensor]:
    part = torch.tensor(numbers)
    return {name: (part == number).nonzero().flatten() for number, name in enumerate(SPLITS)}


def _download(folder: Path) -> None:
    try:
        torchvision().datasets.CelebA(folder, download=True)
    except Exception as error:  # torchvision downloads with gdown, which raises errors of its own.
        raise RuntimeError(str(error)) from error


CELEBA = Offer(
    name="CelebA",
    source="http://mmlab.ie.cuhk.edu.hk/projects/CelebA.html (from its Google Drive or Baidu)",
    fetch=f"{_IMAGES}.zip (to be unpacked), {_ATTRIBUTES}, {_PARTITION}",
    place="celeba",
    megabytes=1443,
    licence="research only",
    find=lambda folder: folder_with(folder, (_IMAGES, _ATTRIBUTES, _PARTITION), "celeba"),
    download=_download,
)
