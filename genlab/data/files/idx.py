"""The idx format of MNIST and similar data sets, gzipped or not."""

import gzip
import math
import zlib
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from genlab.data.dataset import Dataset, published
from genlab.registry import ConfigError

PARTS = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")
_BEGINNING = bytes([0, 0, 8])  # 8 says that the values are bytes
_GZIP = b"\x1f\x8b"
_CHUNK = 2**20


def read(path: Path) -> Tensor:
    """Return the array of bytes that a file holds."""
    data = _unzipped(path)
    if len(data) < 4 or data[:3] != _BEGINNING:
        begins = data[:4].hex(" ") or "nothing"
        raise ConfigError(
            f"{path} is not an idx file of bytes: it must begin with {_BEGINNING.hex(' ')}, got {begins}."
        )
    start = 4 + 4 * data[3]
    if len(data) < start:
        raise ConfigError(f"{path} is truncated: its header must have {start} bytes, and the file has {len(data)}.")
    sizes = np.frombuffer(data[4:start], ">u4").tolist()
    values = np.frombuffer(data, np.uint8, offset=start)
    if values.size != math.prod(sizes):
        wrong = "is truncated" if values.size < math.prod(sizes) else "is too long"
        expected = f"{' x '.join(map(str, sizes))} = {math.prod(sizes)}"
        raise ConfigError(f"{path} {wrong}: its header says {expected} values, and it holds {values.size}.")
    return torch.from_numpy(values.reshape(sizes))


def write(path: Path, array: Tensor) -> None:
    """Write an array as a gzipped file, byte for byte the same each time."""
    header = _BEGINNING + bytes([array.dim()]) + np.array(array.shape, ">u4").tobytes()
    # zlib writes the gzip header too: that of the gzip module differs between versions of Python.
    path.write_bytes(zlib.compress(header + array.numpy().tobytes(), 9, wbits=31))


def exists(root: Path, *below: str) -> bool:
    """Return True if the four files of a data set are there."""
    return len(_best_folder(root, below, PARTS)) == len(PARTS)


def find(root: Path, *below: str, parts: tuple[str, ...] = PARTS) -> dict[str, Path]:
    """Find the four files of a data set: in the folder, in raw/ or in one of the folders `below`, gzipped or not."""
    if not root.is_dir():
        raise ConfigError(f"There is no folder {root}.")
    found = _best_folder(root, below, parts)
    if missing := [part for part in parts if part not in found]:
        looked = ", ".join(f"{name}/" for name in ("raw", *below))
        raise ConfigError(f"{root} lacks {', '.join(missing)} (with or without .gz, in it or in its {looked}).")
    return found


def images(
    files: dict[str, Path], names: tuple[str, ...], validation: int, *, first: int = 0, transposed: bool = False
) -> Dataset:
    """Read the four files as one data set; labels count from `first`, and validation images are set aside."""
    paths = list(files.values())
    train, train_labels = _read_pair(paths[0], paths[1], len(names), first)
    test, test_labels = _read_pair(paths[2], paths[3], len(names), first)
    if train.shape[1:] != test.shape[1:]:
        sizes = " and ".join(" x ".join(map(str, pixels.shape[1:])) for pixels in (train, test))
        raise ConfigError(f"{paths[0]} and {paths[2]} must have images of one size, got {sizes}.")
    if transposed:
        train, test = train.transpose(1, 2), test.transpose(1, 2)
    return published((train.unsqueeze(1), train_labels), (test.unsqueeze(1), test_labels), names, validation)


def _unzipped(path: Path) -> bytearray:
    """Return the bytes of a file, unzipped if they are gzipped, whatever its name says."""
    data = bytearray()
    try:
        with open(path, "rb") as plain:
            file = gzip.GzipFile(fileobj=plain) if plain.peek(2)[:2] == _GZIP else plain
            # A chunk at a time: reading all at once holds everything twice in memory.
            while chunk := file.read(_CHUNK):
                data += chunk
    except (OSError, EOFError, zlib.error) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise ConfigError(f"{path} cannot be read: {reason}") from None
    return data


def _best_folder(root: Path, below: tuple[str, ...], parts: tuple[str, ...]) -> dict[str, Path]:
    """Return the files of the folder that has the most of them; two folders are never mixed."""
    folders = [root / name for name in ("", "raw", *below)]
    return max((_files_in(folder, parts) for folder in folders), key=len)


def _files_in(folder: Path, parts: tuple[str, ...]) -> dict[str, Path]:
    candidates = [(part, folder / f"{part}{suffix}") for part in parts for suffix in (".gz", "")]
    return {part: path for part, path in candidates if path.is_file()}


def _read_pair(images_path: Path, labels_path: Path, classes: int, first: int) -> tuple[Tensor, Tensor]:
    """Read images and their labels, and check that they fit each other."""
    pixels, labels = read(images_path), read(labels_path)
    for path, array, kind, dimensions in ((images_path, pixels, "images", 3), (labels_path, labels, "labels", 1)):
        if array.dim() != dimensions:
            raise ConfigError(f"{path} must have {dimensions} dimensions, as a file of {kind} has, got {array.dim()}.")
    if not len(pixels) or len(pixels) != len(labels):
        counts = f"{len(pixels)} images and {len(labels)} labels"
        raise ConfigError(f"{images_path} and {labels_path} must hold one label per image, got {counts}.")
    lowest, highest, last = int(labels.min()), int(labels.max()), first + classes - 1
    if highest > last:
        raise ConfigError(f"{labels_path}: labels must be at most {last}, got {highest}.")
    if lowest < first:
        raise ConfigError(f"{labels_path}: labels must be at least {first}, got {lowest}.")
    return pixels, labels.long() - first
