"""Data sets that are downloaded once, or read from a folder that has them."""

import contextlib
import io
import tempfile
from http.client import HTTPException
from pathlib import Path
from typing import NamedTuple

from genlab.data import idx
from genlab.data.built_in import DIGITS, FASHION
from genlab.data.cache import cache_folder
from genlab.data.images import Images
from genlab.registry import ConfigError


class _Offer(NamedTuple):
    """A data set of torchvision's, and where a person finds its files."""

    name: str
    source: str


_MNIST = _Offer("MNIST", "https://ossci-datasets.s3.amazonaws.com/mnist/")
_FASHION_MNIST = _Offer(
    "FashionMNIST",
    "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/ "
    "(or install Debian's package dataset-fashion-mnist and say data.root=/usr/share/datasets/fashion-mnist)",
)


def mnist(*, root: str | None, validation: int) -> Images:
    """70,000 handwritten digits (LeCun et al. 1998), 28x28."""
    return idx.images(_files(_MNIST, root), DIGITS, validation)


def fashion_mnist(*, root: str | None, validation: int) -> Images:
    """70,000 pieces of clothing (Xiao et al. 2017), 28x28."""
    return idx.images(_files(_FASHION_MNIST, root), FASHION, validation)


def _files(offer: _Offer, root: str | None) -> dict[str, Path]:
    """The four files of a set, downloaded where nobody says that they are elsewhere and they are not there yet."""
    folder = Path(root).expanduser() if root is not None else cache_folder()
    below = (offer.name, f"{offer.name}/raw")
    if root is None and not idx.exists(folder, *below):
        _download(offer, folder)
    try:
        return idx.find(folder, *below)
    except ConfigError as error:
        raise ConfigError(f"{error} They are at {offer.source}") from None


def _download(offer: _Offer, folder: Path) -> None:
    from genlab.data.vision import torchvision

    target = folder / offer.name / "raw"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # Beside the place and then moved: whoever stops it leaves nothing half-made.
        with tempfile.TemporaryDirectory(prefix=".download-", dir=folder) as temporary:
            with contextlib.redirect_stdout(io.StringIO()):
                getattr(torchvision().datasets, offer.name)(temporary, download=True)
            target.mkdir(parents=True, exist_ok=True)
            for file in (Path(temporary) / offer.name / "raw").iterdir():
                file.replace(target / file.name)
    except (OSError, RuntimeError, HTTPException) as error:
        reason = str(error).strip().splitlines()[-1:] or [type(error).__name__]
        raise ConfigError(
            f"{offer.name} is not in {folder} and could not be downloaded: {reason[0]}\n"
            f"Fetch {', '.join(f'{part}.gz' for part in idx.PARTS)} from {offer.source}\n"
            f"and put them into {target}, or into any folder with data.root=FOLDER."
        ) from None
