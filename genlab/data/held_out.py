"""Items for metrics, previews and summaries: without augmentation, and the same ones each time."""

from collections import Counter
from collections.abc import Iterator

import torch
from torch import Tensor

from genlab.contract import Batch
from genlab.data.dataset import Dataset
from genlab.randomness import generator


def chosen(dataset: Dataset, split: str, count: int | None = None, seed: int = 0) -> Tensor:
    """Draw the rows of `count` different items of a split, in the order of the data; None takes all items."""
    rows = dataset.splits[split]
    if count is None or count >= len(rows):
        return rows
    return rows[torch.randperm(len(rows), generator=generator(seed, f"held out/{split}"))[:count].sort().values]


def spread(dataset: Dataset, split: str, count: int) -> Tensor:
    """Return the rows of at most `count` items that represent a split: evenly spaced, and of all classes in turn."""
    rows = dataset.splits[split]
    if dataset.labels is None or not len(rows):
        return _evenly(rows, count)
    labels = dataset.labels[rows]
    numbers = _evenly(labels.bincount().nonzero().flatten(), count)
    members = [rows[labels == number] for number in numbers]
    turns = sorted((turn, number) for number, of_one in enumerate(members) for turn in range(min(count, len(of_one))))
    quotas = Counter(number for _, number in turns[:count])
    picked = [_evenly(of_one, quotas[number]) for number, of_one in enumerate(members)]
    return torch.stack([picked[number][turn] for turn, number in turns[:count]])


def batches(dataset: Dataset, rows: Tensor, device: torch.device, size: int = 500) -> Iterator[Batch]:
    """Yield these rows once, as batches on the device."""
    part = dataset.with_splits({"train": rows[:0], "validation": rows[:0], "test": rows})
    yield from part.batches("test", size, device=device).once()


def _evenly(rows: Tensor, count: int) -> Tensor:
    """Return `count` of these rows at equal distances, or all of them if there are not more."""
    count = min(count, len(rows))
    return rows[torch.arange(count) * len(rows) // max(count, 1)]
