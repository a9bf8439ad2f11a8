"""CelebA: faces, and forty things that are so or not so of each."""

import hashlib
from pathlib import Path

import torch
from torch import Tensor

from genlab.data.dataset import SPLITS, Images
from genlab.data.files import cache, table
from genlab.data.files.first_pass import check_bad
from genlab.data.files.listing import Listing, listed, shown
from genlab.data.files.offer import Offer, folder_with
from genlab.data.files.vision import torchvision
from genlab.data.sources.folder import Said, check_numbers, decoded, fingerprint
from genlab.registry import ConfigError

_IMAGES, _ATTRIBUTES, _PARTITION = "img_align_celeba", "list_attr_celeba.txt", "list_eval_partition.txt"


def celeba(*, root: str | None, size: int, label: str | None, tolerate: float) -> Images:
    """202,599 faces with forty attributes (Liu et al. 2015), their middle at size x size, split as published."""
    check_numbers(size, 0, 0, tolerate)
    folder = CELEBA.get(root)
    known = table.read(folder / _ATTRIBUTES)
    if label is not None:
        known.check_column(label)
    parts = _partition(folder / _PARTITION)
    place = (folder / _IMAGES).resolve()
    files = _files(place, list(parts))
    stored = decoded(place, files, size, "center", 3, (255, 255, 255), tolerate)
    bad: dict[str, str] = stored.notes["bad"]
    check_bad(place, bad, len(files.names), tolerate)
    names = [name for name in files.names if name not in bad]
    splits = _splits([parts[name] for name in names])
    attributes = known.attributes(names)
    labels, classes = table.classes(attributes[label], label) if label is not None else (None, ())
    said = Said(labels, classes, attributes)
    return Images(
        cache.mapped(stored.file, len(names), 3, size, size),
        splits,
        *said,
        fingerprint(stored.notes["contents"], splits, said),
        file=stored.file,
        bad_files=tuple(f"{shown(name)}: {reason}" for name, reason in bad.items()),
    )


def _partition(path: Path) -> dict[str, int]:
    """The number of each image's split, from lines of a name and a number."""
    try:
        words = path.read_text(encoding="utf-8").split()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be read: {getattr(error, 'strerror', None) or 'it is not UTF-8'}") from None
    wrong = set(words[1::2]) - {str(number) for number in range(len(SPLITS))}
    if not words or len(words) % 2 or wrong:
        raise ConfigError(f"{path} must have lines of an image's name and 0, 1 or 2 (train, validation or test).")
    return dict(zip(words[::2], map(int, words[1::2]), strict=True))


def _files(place: Path, names: list[str]) -> Listing:
    """The published files, in their order; one that is not there is found bad when it is opened."""
    state = f"{listed(place).version} {' '.join(names)}"
    return Listing(names, hashlib.sha256(state.encode()).hexdigest()[:16])


def _splits(numbers: list[int]) -> dict[str, Tensor]:
    part = torch.tensor(numbers)
    return {name: (part == number).nonzero().flatten() for number, name in enumerate(SPLITS)}


def _download(folder: Path) -> None:
    try:
        torchvision().datasets.CelebA(folder, download=True)
    except Exception as error:  # gdown, which torchvision asks to fetch from Google Drive, raises kinds of its own.
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
