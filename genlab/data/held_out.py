"""Items for metrics, previews and summaries: without augmentation, and the same ones each time."""

from collections import Counter
from collections.abc import Iterator

import torch
from torch import Tensor

from genlab.contract import Batch
from genlab.data.dataset import Dataset
from genlab.data.mosaic import Pictures
from genlab.randomness import generator


def chosen(dataset: Dataset, split: str, count: int | None = None, seed: int = 0) -> Tensor:
    """Draw the rows of `count` different items of a split, in the order of the data; None takes all items."""
    rows = dataset.splits[split]
    if count is None or count >= len(rows):
        return rows
    return rows[torch.randperm(len(rows), generator=generator(seed, f"held out/{split}"))[:count].sort().values]


def spread(dataset: Dataset, split: str, count: int) -> Tensor:
    """Return the rows of at most `count` items that represent a split: evenly spaced, and of all classes in turn.

    Crops without labels are taken from all pictures in turn, and from the middle of each.
    """
    rows = dataset.splits[split]
    groups = _groups(dataset, rows)
    if groups is None or not len(rows):
        return _evenly(rows, count)
    numbers = _evenly(groups.bincount().nonzero().flatten(), count)
    members = [rows[groups == number] for number in numbers]
    turns = sorted((turn, number) for number, of_one in enumerate(members) for turn in range(min(count, len(of_one))))
    quotas = Counter(number for _, number in turns[:count])
    middle = dataset.labels is None
    picked = [_evenly(of_one, quotas[number], middle=middle) for number, of_one in enumerate(members)]
    return torch.stack([picked[number][turn] for turn, number in turns[:count]])


def _groups(dataset: Dataset, rows: Tensor) -> Tensor | None:
    """Return for each row the number of its class, or of the picture that it was cut from; None if there is neither."""
    if dataset.labels is not None:
        return dataset.labels[rows]
    if isinstance(dataset, Pictures):
        return (dataset.grid[rows, :2] == 0).all(1).cumsum(0) - 1
    return None


def batches(dataset: Dataset, rows: Tensor, device: torch.device, size: int = 500) -> Iterator[Batch]:
    """Yield these rows once, as batches on the device."""
    part = dataset.with_splits({"train": rows[:0], "validation": rows[:0], "test": rows})
    yield from part.batches("test", size, device=device).once()


def _evenly(rows: Tensor, count: int, *, middle: bool = False) -> Tensor:
    """Return `count` of these rows at equal distances, or all of them if there are not more.

    The first is the first row, or with `middle` the one in the middle of its part.
    """
    count = min(count, len(rows))
    places = 2 * torch.arange(count) + int(middle)
    return rows[places * len(rows) // max(2 * count, 1)]
