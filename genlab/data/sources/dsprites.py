"""dSprites: white shapes on black, one for every combination of five factors."""

import hashlib
import zipfile
import zlib
from pathlib import Path
from typing import IO, Any, BinaryIO

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from genlab.data.dataset import Dataset, attribute, split_off
from genlab.data.files import cache
from genlab.data.files.offer import Offer, folder_with
from genlab.data.files.vision import torchvision
from genlab.data.sources.drawn.factors import COLUMNS
from genlab.registry import ConfigError

_FILE = "dsprites_ndarray_co1sh3sc6or40x32y32_64x64.npz"
_SOURCE = "https://github.com/google-deepmind/dsprites-dataset/raw/master/"
# Checked for a downloaded file; a file of the user only has to be readable.
_MD5 = "7da33b31b13a06f4b04a70402ce90c2e"
_SHAPES = ("square", "ellipse", "heart")
# Columns of the file; the first is the colour, which is always white.
_FACTORS = ("colour", "shape", "scale", "orientation", "x", "y")
_SIDE = 64
_CHUNK = 2**22
_DAMAGED = (zipfile.BadZipFile, zlib.error, ValueError, KeyError, EOFError)


def dsprites(*, root: str | None, validation: int, test: int) -> Dataset:
    """Return 737,280 shapes with their factors (Matthey et al. 2017), 64x64, unpacked once and mapped from disk."""
    path = DSPRITES.get(root) / _FILE
    try:
        factors = _factors(path)
        stored = _unpacked(path, len(factors))
    except _DAMAGED as error:
        raise ConfigError(f"{path} is not the published file or is damaged: {error}") from None
    splits = _splits(len(factors), validation, test)
    shapes = torch.from_numpy(factors[:, 1]).long() - 1
    numbers = {
        COLUMNS.get(name, name): attribute(torch.from_numpy(factors[:, column].astype(np.float32)))
        for column, name in enumerate(_FACTORS)
        if column >= 2
    }
    attributes = {"shape": attribute(shapes, _SHAPES), **numbers}
    pixels = cache.mapped(stored.file, len(factors), 1, _SIDE, _SIDE)
    return Dataset.of_images(
        pixels, splits, shapes, _SHAPES, attributes, file=stored.file, contents=stored.notes["contents"]
    )


def _factors(path: Path) -> NDArray[np.float64]:
    """Return the factors, one row an image. The file has a pickled entry too, which is never opened."""
    with np.load(path, allow_pickle=False) as archive:
        factors: NDArray[np.float64] = archive["latents_values"]
    if factors.ndim != 2 or factors.shape[1] != len(_FACTORS) or not len(factors):
        raise ValueError(f"latents_values has the shape {factors.shape}")
    if not np.isin(factors[:, 1], np.arange(len(_SHAPES)) + 1).all():
        raise ValueError("its shapes must be 1, 2 and 3")
    return factors


def _unpacked(path: Path, count: int) -> cache.Stored:
    """Return the pixels as bytes of 0 and 255 in a file of the cache: 3 GB, which are packed into 26 MB."""
    state = path.stat()
    family = hashlib.sha256(f"dsprites {path.resolve()}".encode("utf-8", "surrogateescape")).hexdigest()[:16]
    version = hashlib.sha256(f"{state.st_size} {state.st_mtime_ns}".encode()).hexdigest()[:16]

    def make(file: BinaryIO) -> dict[str, Any]:
        contents = hashlib.sha256()
        with zipfile.ZipFile(path) as archive, archive.open("imgs.npy") as packed:
            _check_header(packed, count)
            # A chunk at a time: numpy would hold the whole array in memory.
            while chunk := packed.read(_CHUNK):
                white = np.frombuffer(chunk, np.uint8)
                if white.max() > 1:
                    raise ValueError("its pixels must be 0 and 1")
                file.write((white * 255).data)
                contents.update(chunk)
        if file.tell() != count * _SIDE**2:
            raise ValueError(f"imgs holds {file.tell():,} bytes for {count:,} images")
        return {"contents": contents.hexdigest()}

    return cache.once(family, version, count * _SIDE**2, make)


def _check_header(packed: IO[bytes], count: int) -> None:
    np.lib.format.read_magic(packed)
    shape, by_column, kind = np.lib.format.read_array_header_1_0(packed)
    if (shape, by_column, kind) != ((count, _SIDE, _SIDE), False, np.dtype(np.uint8)):
        raise ValueError(f"imgs is {' x '.join(map(str, shape))} of {kind}, for {count} rows of factors")


def _splits(count: int, validation: int, test: int) -> dict[str, Tensor]:
    rest, tested = split_off(count, test, "test")
    left, held_out = split_off(len(rest), validation)
    return {"train": rest[left], "validation": rest[held_out], "test": tested}


DSPRITES = Offer(
    name="dSprites",
    source=f"{_SOURCE}{_FILE}",
    fetch=_FILE,
    place="dsprites",
    megabytes=26,
    licence="Apache 2.0",
    find=lambda folder: folder_with(folder, (_FILE,), "dsprites"),
    download=lambda folder: torchvision().datasets.utils.download_url(
        f"{_SOURCE}{_FILE}", folder / "dsprites", _FILE, _MD5
    ),
)
