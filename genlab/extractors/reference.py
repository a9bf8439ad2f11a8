"""What an embedding sees in real images, kept in the cache folder: it is asked for at every evaluation."""

import hashlib
import warnings
from io import BytesIO
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from genlab.data.dataset import Images
from genlab.data.files.cache import cache_folder
from genlab.data.held_out import batches, chosen
from genlab.data.progress import progress
from genlab.extractors.embeddings import Embedding
from genlab.registry import ConfigError
from genlab.training.checkpoint import write_atomically

_BATCH = 500


def reference(images: Images, split: str, embedding: Embedding, count: int | None = None, seed: int = 0) -> Tensor:
    """The N x F features of so many images of a split, in the order of `chosen`, on the embedding's device."""
    rows = chosen(images, split, count, seed)
    if not len(rows):
        raise ConfigError(f"There are no {split} images to compare with.")
    folder = cache_folder() / "references" / images.fingerprint
    name = _name(images, split, embedding, rows)
    features = _found(folder, name)
    if features is None:
        features = _embedded(images, rows, embedding)
        _keep(folder, name, features)
    return features.to(embedding.device)


def _name(images: Images, split: str, embedding: Embedding, rows: Tensor) -> str:
    """Of all that decides the features: the rows themselves stand for count and seed, and all of a split for any."""
    # Between kinds of processors features differ in the digits that are rounded away.
    parts = (images.fingerprint, split, embedding.name, embedding.digest, embedding.device.type)
    key = hashlib.sha256(repr(parts).encode() + rows.cpu().numpy().tobytes()).hexdigest()[:16]
    return f"{embedding.name}-{split}-{len(rows)}-{key}"


def _embedded(images: Images, rows: Tensor, embedding: Embedding) -> Tensor:
    found, parts = list[Tensor](), -(-len(rows) // _BATCH)
    with progress(parts, f"seeing {embedding.name} features", "seen", f"parts of {len(rows):,} images") as advance:
        for batch in batches(images, rows, embedding.device, _BATCH):
            found.append(embedding.embed(batch["image"]).cpu())
            advance()
    return torch.cat(found)


def _found(folder: Path, name: str) -> Tensor | None:
    """What the first whole file of this name holds; damaged ones before it are removed."""
    for path in sorted(folder.glob(f"{name}-*.npy")):
        try:
            data = path.read_bytes()
            if path.name == _file(name, data):
                return torch.from_numpy(np.load(BytesIO(data), allow_pickle=False))
            path.unlink()
        except OSError:
            # Another process removed it, or it lies where nobody may read or write: it is made again all the same.
            continue
    return None


def _keep(folder: Path, name: str, features: Tensor) -> None:
    buffer = BytesIO()
    np.save(buffer, features.numpy(), allow_pickle=False)
    data = buffer.getvalue()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_atomically(folder / _file(name, data), data)
    except OSError as error:
        reason = f"{error.strerror or error}. GENLAB_CACHE=FOLDER names another place."
        warnings.warn(f"The features of real images cannot be kept in {folder}: {reason}", stacklevel=3)


def _file(name: str, data: bytes) -> str:
    return f"{name}-{hashlib.sha256(data).hexdigest()[:16]}.npy"
