"""MNIST, and data sets in its format: Fashion-MNIST, KMNIST and EMNIST."""

import functools
import string
from pathlib import Path
from typing import Any, Literal

from genlab.data.dataset import Dataset
from genlab.data.files import idx
from genlab.data.files.offer import Offer
from genlab.data.files.vision import torchvision
from genlab.data.sources.built_in import DIGITS, FASHION

Split = Literal["balanced", "byclass", "bymerge", "digits", "letters", "mnist"]

_HIRAGANA = ("o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo")
_ALL = (*DIGITS, *string.ascii_uppercase, *string.ascii_lowercase)
# The small letters that do not look like their capitals.
_MERGED = (*DIGITS, *string.ascii_uppercase, *"abdefghnqrt")
_EMNIST_NAMES: dict[Split, tuple[str, ...]] = {
    "balanced": _MERGED,
    "byclass": _ALL,
    "bymerge": _MERGED,
    "digits": DIGITS,
    "letters": tuple(string.ascii_lowercase),
    "mnist": DIGITS,
}
# Letters are counted from 1; there is no class 0.
_EMNIST_FIRST: dict[Split, int] = {"letters": 1}


def mnist(*, root: str | None, validation: int) -> Dataset:
    """Return 70,000 handwritten digits (LeCun et al. 1998), 28x28."""
    return idx.images(MNIST.get(root), DIGITS, validation)


def fashion_mnist(*, root: str | None, validation: int) -> Dataset:
    """Return 70,000 pieces of clothing (Xiao et al. 2017), 28x28."""
    return idx.images(FASHION_MNIST.get(root), FASHION, validation)


def kmnist(*, root: str | None, validation: int) -> Dataset:
    """Return 70,000 cursive hiragana of ten classes (Clanuwat et al. 2018), 28x28."""
    return idx.images(KMNIST.get(root), _HIRAGANA, validation)


def emnist(*, root: str | None, split: Split, validation: int) -> Dataset:
    """Return handwritten digits and letters in one of six selections (Cohen et al. 2017), 28x28, turned upright."""
    # The files store each image column by column.
    return idx.images(
        _emnist(split).get(root),
        _EMNIST_NAMES[split],
        validation,
        first=_EMNIST_FIRST.get(split, 0),
        transposed=True,
    )


def _offer(name: str, source: str, megabytes: int, licence: str) -> Offer[dict[str, Path]]:
    """Return the offer of a data set in the four files of MNIST, in the folder that torchvision gives it."""
    return Offer(
        name=name,
        source=source,
        fetch=", ".join(f"{part}.gz" for part in idx.PARTS),
        place=f"{name}/raw",
        megabytes=megabytes,
        licence=licence,
        find=lambda folder: idx.find(folder, name, f"{name}/raw"),
        download=lambda folder: _download(folder, name),
    )


def _emnist(split: Split) -> Offer[dict[str, Path]]:
    """Return the offer of one of six selections, which all come in one archive."""
    names = [part.replace("t10k", "test") for part in idx.PARTS]
    parts = tuple(f"emnist-{split}-{name}" for name in names)
    return Offer(
        name="EMNIST",
        source="https://biometrics.nist.gov/cs_links/EMNIST/gzip.zip",
        fetch="gzip.zip",
        place="EMNIST/raw",
        megabytes=562,
        licence="none stated",
        find=lambda folder: idx.find(folder, "gzip", "EMNIST", "EMNIST/raw", "EMNIST/raw/gzip", parts=parts),
        download=functools.partial(_download, name="EMNIST", split=split),
        packed=True,
    )


def _download(folder: Path, name: str, **options: Any) -> object:
    return getattr(torchvision().datasets, name)(folder, download=True, **options)


MNIST = _offer("MNIST", "https://ossci-datasets.s3.amazonaws.com/mnist/", 12, "CC BY-SA 3.0")
FASHION_MNIST = _offer(
    "FashionMNIST",
    "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/ "
    "(or install Debian's package dataset-fashion-mnist and set data.root=/usr/share/datasets/fashion-mnist)",
    31,
    "MIT",
)
KMNIST = _offer("KMNIST", "http://codh.rois.ac.jp/kmnist/dataset/kmnist/", 21, "CC BY-SA 4.0")
EMNIST = _emnist("balanced")
