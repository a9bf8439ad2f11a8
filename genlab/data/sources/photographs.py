"""Photographs that torchvision reads: CIFAR, SVHN and STL-10."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from genlab.data.dataset import Dataset, published
from genlab.data.files.offer import Offer, folder_with
from genlab.data.files.vision import torchvision
from genlab.data.sources.built_in import DIGITS
from genlab.registry import ConfigError

_BATCHES = tuple(f"data_batch_{number}" for number in range(1, 6))
_STL10_NAMES = ("airplane", "bird", "car", "cat", "deer", "dog", "horse", "monkey", "ship", "truck")


def cifar10(*, root: str | None, validation: int) -> Dataset:
    """Return 60,000 photographs of ten classes (Krizhevsky 2009), 32x32."""
    return _cifar(CIFAR10, torchvision().datasets.CIFAR10, root, validation)


def cifar100(*, root: str | None, validation: int) -> Dataset:
    """Return 60,000 photographs of a hundred classes (Krizhevsky 2009), 32x32."""
    return _cifar(CIFAR100, torchvision().datasets.CIFAR100, root, validation)


def svhn(*, root: str | None, extra: bool, validation: int) -> Dataset:
    """Return 99,289 digits of house numbers (Netzer et al. 2011), 32x32; `extra` adds 531,131 easier ones."""
    offer = _svhn(extra)
    folder = offer.get(root)
    kind = torchvision().datasets.SVHN
    parts = ["train", "extra", "test"] if extra else ["train", "test"]
    *train, test = [_read(offer, kind, folder, split=part) for part in parts]
    pixels = torch.cat([_bytes(part.data) for part in train])
    labels = torch.cat([torch.as_tensor(part.labels) for part in train])
    return published((pixels, labels), (_bytes(test.data), torch.as_tensor(test.labels)), DIGITS, validation)


def stl10(*, root: str | None, validation: int) -> Dataset:
    """Return the 13,000 photographs of ten classes that have labels (Coates et al. 2011), 96x96."""
    folder = STL10.get(root)
    train, test = (_read(STL10, _labelled_stl10(), folder, split=part) for part in ("train", "test"))
    pairs = [(_bytes(part.data), torch.as_tensor(part.labels).long()) for part in (train, test)]
    return published(pairs[0], pairs[1], _STL10_NAMES, validation)


def _cifar(offer: Offer[Path], kind: Any, root: str | None, validation: int) -> Dataset:
    folder = offer.get(root)
    train, test = (_read(offer, kind, folder, train=part) for part in (True, False))
    pairs = [(_bytes(part.data.transpose(0, 3, 1, 2)), torch.as_tensor(part.targets)) for part in (train, test)]
    return published(pairs[0], pairs[1], tuple(train.classes), validation)


def _read(offer: Offer[Path], kind: Any, folder: Path, **options: Any) -> Any:
    """Read files with torchvision, which checks their md5."""
    try:
        # The files of CIFAR are pickles, which could run any code: torchvision checks the md5 before it opens one.
        return kind(folder, download=False, **options)
    except RuntimeError:
        raise ConfigError(
            f"A file of {offer.name} in {folder} is not the published one: its md5 differs. "
            f"Remove it and fetch {offer.fetch} again from {offer.source}"
        ) from None


def _bytes(array: NDArray[np.uint8]) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(array))


def _labelled_stl10() -> Any:
    """Return torchvision's class without the file of unlabelled images, which it would read whole to check it."""
    whole = torchvision().datasets.STL10
    return type("STL10", (whole,), {"train_list": whole.train_list[:2]})


def _download_stl10(folder: Path) -> None:
    _labelled_stl10()(folder, download=True)
    # Unused, and 2.8 of the 3.1 GB.
    (folder / "stl10_binary" / "unlabeled_X.bin").unlink(missing_ok=True)


def _svhn(extra: bool) -> Offer[Path]:
    """Return the offer of SVHN; its files have no folder of their own, and get one in the cache."""
    parts = ("train", "extra", "test") if extra else ("train", "test")
    files = tuple(f"{part}_32x32.mat" for part in parts)

    def download(folder: Path) -> None:
        for part in parts:
            torchvision().datasets.SVHN(folder / "SVHN", split=part, download=True)

    return Offer(
        name="SVHN",
        source="http://ufldl.stanford.edu/housenumbers/",
        fetch=", ".join(files),
        place="SVHN",
        megabytes=1576 if extra else 246,
        licence="non-commercial",
        find=lambda folder: folder_with(folder, files, "SVHN"),
        download=download,
    )


def _packed(
    name: str, archive: str, files: tuple[str, ...], megabytes: int, download: Callable[[Path], object]
) -> Offer[Path]:
    return Offer(
        name=name,
        source=archive,
        fetch=archive.rpartition("/")[2],
        place="",
        megabytes=megabytes,
        licence="none stated",
        find=lambda folder: folder_with(folder, files, name),
        download=download,
        packed=True,
    )


CIFAR10 = _packed(
    "CIFAR10",
    "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz",
    tuple(f"cifar-10-batches-py/{part}" for part in (*_BATCHES, "test_batch", "batches.meta")),
    170,
    lambda folder: torchvision().datasets.CIFAR10(folder, download=True),
)
CIFAR100 = _packed(
    "CIFAR100",
    "https://www.cs.toronto.edu/~kriz/cifar-100-python.tar.gz",
    tuple(f"cifar-100-python/{part}" for part in ("train", "test", "meta")),
    169,
    lambda folder: torchvision().datasets.CIFAR100(folder, download=True),
)
SVHN = _svhn(extra=False)
STL10 = _packed(
    "STL10",
    "http://ai.stanford.edu/~acoates/stl10/stl10_binary.tar.gz",
    tuple(f"stl10_binary/{part}.bin" for part in ("train_X", "train_y", "test_X", "test_y")),
    2640,
    _download_stl10,
)
