"""Vectors of real items, cached in a folder because every evaluation needs them."""

import hashlib
import warnings
from contextlib import suppress
from io import BytesIO
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from genlab.data.dataset import Dataset
from genlab.data.files.cache import cache_folder, size
from genlab.data.held_out import batches, chosen
from genlab.data.progress import progress
from genlab.networks.extractor import Extractor
from genlab.registry import ConfigError
from genlab.training.checkpoint import write_atomically

_BATCH = 500


def reference(dataset: Dataset, split: str, extractor: Extractor, count: int | None = None, seed: int = 0) -> Tensor:
    """Return the vectors of `count` items of a split, N x F in the order of `chosen`, on the extractor's device."""
    rows = chosen(dataset, split, count, seed)
    if not len(rows):
        raise ConfigError(f"There are no {split} {dataset.kind.plural} to compare with.")
    folder = _folder() / dataset.fingerprint
    name = _name(dataset, split, extractor, rows)
    vectors = _found(folder, name)
    if vectors is None:
        vectors = _extracted(dataset, rows, extractor)
        _store(folder, name, vectors)
    return vectors.to(extractor.device)


def stored() -> list[Path]:
    """Return all files of vectors in the cache."""
    return sorted(_folder().glob("*/*-*-*-*-*.npy"))


def clean() -> int:
    """Remove all vectors from the cache; return the bytes that this frees."""
    files = stored()
    freed = size(files)
    for file in files:
        file.unlink(missing_ok=True)
    for folder in [*{file.parent for file in files}, _folder()]:
        with suppress(OSError):  # rmdir refuses a folder that is not empty
            folder.rmdir()
    return freed


def _folder() -> Path:
    return cache_folder() / "references"


def _name(dataset: Dataset, split: str, extractor: Extractor, rows: Tensor) -> str:
    """Return a name that depends on all that decides the vectors; the rows stand for count and seed."""
    # Types of processors differ in rounding, so each has its own file.
    parts = (dataset.fingerprint, split, extractor.name, extractor.digest, extractor.device.type)
    key = hashlib.sha256(repr(parts).encode() + rows.cpu().numpy().tobytes()).hexdigest()[:16]
    return f"{extractor.name}-{split}-{len(rows)}-{key}"


def _extracted(dataset: Dataset, rows: Tensor, extractor: Extractor) -> Tensor:
    found, parts, items = list[Tensor](), -(-len(rows) // _BATCH), dataset.kind.plural
    with progress(parts, f"extracting {extractor.name} features", "done", f"parts of {len(rows):,} {items}") as advance:
        for batch in batches(dataset, rows, extractor.device, _BATCH):
            found.append(extractor.vector(batch["x"]).cpu())
            advance()
    return torch.cat(found)


def _found(folder: Path, name: str) -> Tensor | None:
    """Read the first undamaged file with this name; remove damaged ones before it."""
    for path in sorted(folder.glob(f"{name}-*.npy")):
        try:
            data = path.read_bytes()
            if path.name == _file(name, data):
                return torch.from_numpy(np.load(BytesIO(data), allow_pickle=False))
            path.unlink()
        except OSError:
            # Another process removed it, or it cannot be read or removed; the vectors are computed again.
            continue
    return None


def _store(folder: Path, name: str, vectors: Tensor) -> None:
    buffer = BytesIO()
    np.save(buffer, vectors.numpy(), allow_pickle=False)
    data = buffer.getvalue()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_atomically(folder / _file(name, data), data)
    except OSError as error:
        reason = f"{error.strerror or error}. Set GENLAB_CACHE=FOLDER to use another folder."
        warnings.warn(f"Cannot store the features of real data in {folder}: {reason}", stacklevel=3)


def _file(name: str, data: bytes) -> str:
    return f"{name}-{hashlib.sha256(data).hexdigest()[:16]}.npy"
