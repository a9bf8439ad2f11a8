"""The images of a split that a measure looks at: all of them, or as many as are wanted, the same ones each time."""

from collections.abc import Iterator
from dataclasses import replace

import torch
from torch import Tensor

from genlab.contract import Batch
from genlab.data.batches import Loader
from genlab.data.dataset import Images
from genlab.randomness import generator


def chosen(images: Images, split: str, count: int | None = None, seed: int = 0) -> Tensor:
    """The rows of so many images of a split, drawn without any twice and in the order of the data; None takes all."""
    rows = images.splits[split]
    if count is None or count >= len(rows):
        return rows
    return rows[torch.randperm(len(rows), generator=generator(seed, f"held out/{split}"))[:count].sort().values]


def batches(images: Images, rows: Tensor, device: torch.device, size: int = 500) -> Iterator[Batch]:
    """These rows as batches on the device: images as floats in [0, 1], and labels where there are some."""
    # Looked at as they are, and not as cells of which crops are made.
    part = replace(images, splits={"train": rows[:0], "validation": rows[:0], "test": rows}, grid=None)
    yield from Loader(part, "test", size, device=device).once()
