"""Data sets in the formats that they are published in, small enough to write in a test."""

import hashlib
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.io
from numpy.typing import NDArray
from PIL import Image

from genlab.data.vision import torchvision

Bytes = NDArray[np.uint8]
FORTY = tuple(f"Attribute_{number}" for number in range(38)) + ("Smiling", "Young")
DSPRITES = "dsprites_ndarray_co1sh3sc6or40x32y32_64x64.npz"


def noise(seed: int, *shape: int) -> Bytes:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def md5(path: Path) -> str:
    return hashlib.md5(path.read_bytes()).hexdigest()


def cifar(root: Path, patch: pytest.MonkeyPatch, name: str, key: str, classes: int) -> tuple[Bytes, list[int]]:
    """CIFAR's pickles, six images a file, which torchvision's class expects from now on; all images, the test last."""
    kind = getattr(torchvision().datasets, name)
    folder = root / kind.base_folder
    folder.mkdir(parents=True)
    images, labels = [], []
    lists: dict[str, list[list[str]]] = {"train_list": [], "test_list": []}
    for which, entries in lists.items():
        for file, _ in getattr(kind, which):
            rows = noise(len(images), 6, 3 * 32 * 32)
            numbers = [(len(images) + place) % classes for place in range(6)]
            # Python 2 wrote them: protocol 2 is the newest that it knew.
            (folder / file).write_bytes(pickle.dumps({"data": rows, key: numbers}, protocol=2))
            entries.append([file, md5(folder / file)])
            images.append(rows.reshape(6, 3, 32, 32))
            labels += numbers
        patch.setattr(kind, which, entries)
    meta = folder / kind.meta["filename"]
    meta.write_bytes(pickle.dumps({kind.meta["key"]: [f"thing {number}" for number in range(classes)]}, protocol=2))
    patch.setattr(kind, "meta", kind.meta | {"md5": md5(meta)})
    return np.concatenate(images), labels


def svhn(folder: Path, patch: pytest.MonkeyPatch) -> dict[str, tuple[Bytes, Bytes]]:
    """Matlab's files: 32 x 32 x 3 x N, the digit 0 called 10."""
    folder.mkdir(parents=True, exist_ok=True)
    kind = torchvision().datasets.SVHN
    arrays, known = {}, {}
    for number, (part, (url, file, _)) in enumerate(kind.split_list.items()):
        pixels = noise(number, 32, 32, 3, 12 + number)
        labels = (np.arange(12 + number, dtype=np.uint8) % 10 + 1)[:, None]
        scipy.io.savemat(folder / file, {"X": pixels, "y": labels})
        arrays[part] = pixels, labels
        known[part] = [url, file, md5(folder / file)]
    patch.setattr(kind, "split_list", known)
    return arrays


def stl10(root: Path, patch: pytest.MonkeyPatch) -> dict[str, Bytes]:
    """Plain bytes, each image column by column, the labels counted from 1; and a file of images without labels."""
    kind = torchvision().datasets.STL10
    folder = root / kind.base_folder
    folder.mkdir(parents=True)
    arrays = {"train_X": noise(0, 11, 3, 96, 96), "train_y": np.arange(11, dtype=np.uint8) % 10 + 1}
    arrays |= {"test_X": noise(1, 4, 3, 96, 96), "test_y": np.arange(4, dtype=np.uint8) + 7}
    for name, array in arrays.items():
        (array.transpose(0, 1, 3, 2) if array.ndim == 4 else array).tofile(folder / f"{name}.bin")
    (folder / "unlabeled_X.bin").write_bytes(b"much")
    for which in ("train_list", "test_list"):
        patch.setattr(kind, which, [[file, md5(folder / file)] for file, _ in getattr(kind, which)])
    return arrays


def celeba(root: Path) -> tuple[dict[str, int], NDArray[np.int64]]:
    """Thirty plain JPEGs of 178 x 218 with a border above and below that a crop to the middle loses; three splits."""
    folder = root / "celeba" / "img_align_celeba"
    folder.mkdir(parents=True)
    names = [f"{number:06}.jpg" for number in range(1, 31)]
    parts = {name: (0 if number < 20 else 1 if number < 25 else 2) for number, name in enumerate(names)}
    for number, name in enumerate(names):
        pixels = np.zeros((218, 178, 3), np.uint8)
        pixels[20:198] = (8 * number, 250 - 8 * number, 128)
        Image.fromarray(pixels).save(folder / name, quality=100, subsampling=0)
    signs = np.random.default_rng(0).integers(0, 2, (30, 40)) * 2 - 1
    rows = [f"{name} {' '.join(f'{sign:2}' for sign in row)}" for name, row in zip(names, signs, strict=True)]
    (folder.parent / "list_attr_celeba.txt").write_text("\n".join(["30", " ".join(FORTY) + " ", *rows, ""]))
    partition = "".join(f"{name} {part}\n" for name, part in parts.items())
    (folder.parent / "list_eval_partition.txt").write_text(partition)
    return parts, signs


def dsprites(folder: Path, count: int = 24, **replaced: Any) -> tuple[Bytes, NDArray[np.float64]]:
    """The archive with its pickled entry, which must never be opened."""
    folder.mkdir(parents=True, exist_ok=True)
    generator = np.random.default_rng(0)
    images = generator.integers(0, 2, (count, 64, 64), dtype=np.uint8)
    factors = np.stack([np.ones(count), np.arange(count) % 3 + 1.0, *generator.random((4, count))], axis=1)
    arrays = {"imgs": images, "latents_values": factors} | replaced
    np.savez_compressed(folder / DSPRITES, metadata=np.array(Bomb(), dtype=object), **arrays)
    return images, factors


class Bomb:
    """What fails the test that unpickles it."""

    def __reduce__(self) -> tuple[Any, ...]:
        return pytest.fail, ("an entry was unpickled that nobody had checked",)
