"""The idx format of MNIST and its likes, gzipped or not."""

import gzip
import zlib
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from genlab.data.images import Images, split_off
from genlab.registry import ConfigError

PARTS = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")
_BYTES = 0x08


def read(path: Path) -> Tensor:
    """The array of bytes that a file holds."""
    try:
        with gzip.open(path) if path.suffix == ".gz" else open(path, "rb") as file:
            data = file.read()
    except (OSError, EOFError, zlib.error) as error:
        raise ConfigError(f"{path} cannot be read: {error}") from None
    if len(data) < 4 or data[:3] != bytes([0, 0, _BYTES]):
        raise ConfigError(f"{path} is no idx file of bytes: it begins with {data[:4].hex(' ') or 'nothing'}.")
    dimensions = data[3]
    start = 4 + 4 * dimensions
    sizes = np.frombuffer(data[4:start], ">u4").tolist()
    values = np.frombuffer(data, np.uint8, offset=min(start, len(data)))
    if len(sizes) != dimensions or values.size != np.prod(sizes):
        raise ConfigError(f"{path} is cut short: it says {' x '.join(map(str, sizes))} and holds {values.size} bytes.")
    return torch.from_numpy(values.reshape(sizes).copy())


def find(root: Path, *below: str) -> dict[str, Path]:
    """Those of the four files that are there: in the folder, in raw/ or further below, gzipped or not."""
    folders = [root, root / "raw", *(root / name for name in below)]
    found = {}
    for part in PARTS:
        candidates = [folder / f"{part}{suffix}" for folder in folders for suffix in ("", ".gz")]
        if there := [path for path in candidates if path.is_file()]:
            found[part] = there[0]
    return found


def images(files: dict[str, Path], names: tuple[str, ...], validation: int) -> Images:
    """The four files as one data set; the validation images are set aside from the training images."""
    train, train_labels, test, test_labels = (read(files[part]) for part in PARTS)
    for part, pixels, labels in ((PARTS[0], train, train_labels), (PARTS[2], test, test_labels)):
        if pixels.dim() != 3 or labels.dim() != 1 or len(pixels) != len(labels):
            shapes = f"{tuple(pixels.shape)} and {tuple(labels.shape)}"
            raise ConfigError(f"{files[part]} and its labels do not fit each other: {shapes}.")
    labels = torch.cat([train_labels, test_labels]).long()
    if int(labels.max()) >= len(names):
        raise ConfigError(f"{files[PARTS[1]]} has the label {int(labels.max())}; {len(names) - 1} is the largest.")
    left, held_out = split_off(len(train), validation)
    splits = {"train": left, "validation": held_out, "test": torch.arange(len(train), len(labels))}
    return Images(torch.cat([train, test]).unsqueeze(1), splits, labels, names)


def write(path: Path, array: Tensor) -> None:
    """The same array as a gzipped file, byte for byte the same each time."""
    header = bytes([0, 0, _BYTES, array.dim()]) + np.array(array.shape, ">u4").tobytes()
    path.write_bytes(gzip.compress(header + array.numpy().tobytes(), 9, mtime=0))
