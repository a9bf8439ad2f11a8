"""Data sets that are downloaded once, or read from a folder that has them."""

import os
from pathlib import Path

from genlab.data import idx
from genlab.data.built_in import DIGITS, FASHION
from genlab.data.images import Images
from genlab.registry import ConfigError


def cache_folder() -> Path:
    """Where downloads are kept: GENLAB_CACHE, or the cache folder of the user."""
    if own := os.environ.get("GENLAB_CACHE"):
        return Path(own).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "genlab"


def mnist(*, root: str | None, validation: int) -> Images:
    """70,000 handwritten digits (LeCun et al. 1998), 28x28."""
    return idx.images(_fetched("MNIST", root), DIGITS, validation)


def fashion_mnist(*, root: str | None, validation: int) -> Images:
    """70,000 pieces of clothing (Xiao et al. 2017), 28x28."""
    return idx.images(_fetched("FashionMNIST", root), FASHION, validation)


def _fetched(name: str, root: str | None) -> dict[str, Path]:
    """The four idx files of a set, downloaded by torchvision where they are not there yet."""
    folder = Path(root).expanduser() if root else cache_folder()
    below = (name, f"{name}/raw")
    found = idx.find(folder, *below)
    if len(found) < len(idx.PARTS) and root is None:
        _download(name, folder)
        found = idx.find(folder, *below)
    if missing := [part for part in idx.PARTS if part not in found]:
        raise ConfigError(f"data.root={folder} lacks {', '.join(missing)} (with or without .gz).")
    return found


def _download(name: str, folder: Path) -> None:
    from genlab.data.vision import torchvision

    try:
        folder.mkdir(parents=True, exist_ok=True)
        getattr(torchvision().datasets, name)(str(folder), download=True)
    except (OSError, RuntimeError) as error:
        wanted = ", ".join(f"{part}.gz" for part in idx.PARTS)
        raise ConfigError(
            f"{name} could not be downloaded to {folder}: {str(error).strip()}\n"
            f"Fetch its four files elsewhere ({wanted}) and say where they are: data.root=FOLDER"
        ) from None
