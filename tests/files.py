"""A data set as the four files of MNIST have it, small enough to write in a test."""

from pathlib import Path

import torch
from torch import Tensor

from genlab.data import idx
from genlab.data.images import SPLITS, Images


def four_arrays(train: int = 12, test: int = 5, side: int = 2) -> dict[str, Tensor]:
    """A data set as the four files of MNIST have it, each image of a brightness of its own."""
    arrays = {}
    for part, first, count in (("train", 0, train), ("t10k", 100, test)):
        brightness = torch.arange(first, first + count, dtype=torch.uint8)
        arrays[f"{part}-images-idx3-ubyte"] = brightness.view(-1, 1, 1).expand(count, side, side).contiguous()
        arrays[f"{part}-labels-idx1-ubyte"] = brightness % 10
    return arrays


def four_files(folder: Path, **replaced: Tensor) -> dict[str, Path]:
    """The same as gzipped files in a folder, some of them replaced: `train_labels=...`."""
    folder.mkdir(parents=True, exist_ok=True)
    files = {}
    for part, array in four_arrays().items():
        files[part] = folder / f"{part}.gz"
        idx.write(files[part], replaced.get("_".join(part.split("-")[:2]), array))
    return files


def assert_splits_part(images: Images) -> None:
    """Every image is in exactly one split, and every split has some."""
    assert set(images.splits) == set(SPLITS)
    assert all(len(images.splits[name]) for name in SPLITS)
    assert torch.cat([images.splits[name] for name in SPLITS]).sort().values.tolist() == list(range(len(images.pixels)))
