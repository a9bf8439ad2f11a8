"""A script that writes the files of this folder: python -m genlab.data.sources.fashion_mini.make FULL_SET."""

import sys
from pathlib import Path

import torch

from genlab.data.files import idx
from genlab.registry import ConfigError

PER_CLASS = {"train": 1000, "t10k": 200}


def make(source: Path, target: Path) -> None:
    """Keep the first images of each class, in their order."""
    files = idx.find(source, "FashionMNIST", "FashionMNIST/raw")
    for part, count in PER_CLASS.items():
        names = [name for name in idx.PARTS if name.startswith(part)]
        images, labels = (idx.read(files[name]) for name in names)
        firsts = [torch.nonzero(labels == label).flatten()[:count] for label in range(10)]
        chosen = torch.cat(firsts).sort().values
        for name, array in zip(names, (images, labels), strict=True):
            idx.write(target / f"{name}.gz", array[chosen])


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("Usage: python -m genlab.data.sources.fashion_mini.make FOLDER_OF_THE_FULL_SET")
    try:
        make(Path(sys.argv[1]), Path(__file__).parent)
    except ConfigError as error:
        sys.exit(str(error))
