"""Batches of a split, already on the device, in an endless sequence that the seed fixes."""

from collections.abc import Iterator
from contextlib import closing
from functools import lru_cache
from typing import Protocol

import torch
from torch import Tensor

from genlab import distributed
from genlab.contract import Batch
from genlab.data.dataset import MODELLED, Dataset
from genlab.data.order import Balanced, shuffled
from genlab.data.residence import Ahead, Residence, Resident, Streamed, choose, in_turn
from genlab.kinds import Augmentation, Image, Kinds, missing
from genlab.randomness import generator
from genlab.registry import ConfigError


class Batches(Protocol):
    """Source of the batches of a training."""

    @property
    def kinds(self) -> Kinds:
        """The kind of each entry of a batch."""
        ...

    @property
    def count(self) -> int:
        """Number of items in the split."""
        ...

    @property
    def batch_size(self) -> int:
        """Items per batch."""
        ...

    @property
    def batches_per_epoch(self) -> int:
        """Number of batches in one pass over the items."""
        ...

    def batch(self, number: int) -> Batch:
        """Return batch `number` of the endless sequence."""
        ...

    def once(self, first: int = 0, every: int = 1) -> Iterator[Batch]:
        """Yield every item exactly once, in the order of the data, or batch `first` and each `every`-th after it."""
        ...


class Table:
    """Batches of one split of a data set: the same ones wherever the rows are stored."""

    def __init__(
        self,
        dataset: Dataset,
        split: str,
        batch_size: int,
        *,
        seed: int = 0,
        device: str | torch.device = "cpu",
        residence: Residence = "auto",
        keep_last: bool = False,
        augmentation: Augmentation | None = None,
        balance: bool = False,
    ) -> None:
        rows = dataset.splits[split]
        columns = {name: dataset.columns[name] for name in MODELLED if name in dataset.columns}
        self.kinds: Kinds = {name: column.kind for name, column in columns.items()}
        self.count, self.batch_size, self.seed, self.keep_last = len(rows), batch_size, seed, keep_last
        _check_size(batch_size, len(rows) if split == "train" else None, self.kinds["x"].plural)
        self.device, self.augmentation = torch.device(device), augmentation
        pairs = isinstance(self.kinds.get("y"), Image)
        self._changed = () if not augmentation else ("x", "y") if pairs else ("x",)
        if augmentation:
            # A kind that cannot be augmented says so here, not at the first batch.
            trial = torch.zeros(1, *self.kinds["x"].shape)
            self.kinds["x"].augment(trial, augmentation, torch.Generator())
        if balance and dataset.labels is None:
            raise missing("data.balance=true", "label", advice="Or set data.balance=false.")
        self._balanced = Balanced(dataset.labels[rows], seed) if balance and dataset.labels is not None else None
        self.residence = choose(residence, columns, self.device)
        self._split = (
            Resident(columns, rows, self.device)
            if self.residence == "device"
            else Streamed(columns, rows, self.device, from_disk=self.residence == "disk")
        )
        self._part = (0, 1)
        self._order_of = lru_cache(maxsize=2)(self._order)
        self._ahead = Ahead(self._gather, self.device) if self.residence != "device" else None

    @property
    def batches_per_epoch(self) -> int:
        """Number of batches in one pass; items left over make a smaller last batch, or are dropped.

        Without `keep_last` each epoch drops other items.
        """
        return -(-self.count // self.batch_size) if self.keep_last else self.count // self.batch_size

    def take_part(self, rank: int, processes: int) -> None:
        """Let `batch` return only the rows of one of several processes, each of which has as many rows.

        This is said before the first batch, because batches are prepared ahead.
        """
        self._part = (rank, processes)

    def batch(self, number: int) -> Batch:
        """Return batch `number` of the endless sequence, a function of the seed and the number alone."""
        batch = self._loaded(self._ahead.get(number) if self._ahead else self._gather(number))
        for name in self._changed:
            assert self.augmentation
            # The same draws for both images of a pair, so that they still fit each other.
            draws = generator(self.seed, "augmentation", number, device=self.device)
            batch[name] = self.kinds[name].augment(batch[name], self.augmentation, draws)
        return batch

    def once(self, first: int = 0, every: int = 1) -> Iterator[Batch]:
        """Yield every item exactly once, in the order of the data; the last batch may be smaller.

        Several processes can share the batches: each takes batch `first` and each `every`-th after it.
        """
        starts = range(first * self.batch_size, self.count, every * self.batch_size)
        if self._ahead is None or len(starts) < 2:
            yield from (self._loaded(self._from(start)) for start in starts)
            return
        with closing(in_turn(self._from, starts, self.device)) as batches:
            yield from map(self._loaded, batches)

    def _from(self, start: int) -> Batch:
        """Return the stored rows of the batch that begins at this item of the split."""
        return self._split.gather(self._split.rows[start : start + self.batch_size])

    def _gather(self, number: int) -> Batch:
        """Return the stored rows of a batch, or of our part of it."""
        chosen = self._chosen(number)
        return self._split.gather(chosen[distributed.rows(len(chosen), self._part)])

    def _chosen(self, number: int) -> Tensor:
        epoch, position = divmod(number, self.batches_per_epoch)
        return self._order_of(epoch)[position * self.batch_size :][: self.batch_size]

    def _order(self, epoch: int) -> Tensor:
        """Return the rows of the split in the order of an epoch."""
        return self._split.rows[self._positions(epoch).to(self._split.rows.device)]

    def _positions(self, epoch: int) -> Tensor:
        """Return positions in the split in the order of an epoch."""
        if self._balanced is None:
            return shuffled(self.count, self.seed, epoch)
        # Items beyond the last full batch are not dealt: if they were, some classes would lose more than others.
        length = min(self.count, self.batches_per_epoch * self.batch_size)
        return self._balanced.positions(epoch * length, length)

    def _loaded(self, batch: Batch) -> Batch:
        return {name: self.kinds[name].load(rows) for name, rows in batch.items()}


def _check_size(batch_size: int, count: int | None, plural: str) -> None:
    """Raise a ConfigError for a batch that no epoch could fill; `count` is the number of training items."""
    if batch_size < 1:
        raise ConfigError(f"batch_size must be at least 1, got {batch_size}.")
    if count == 0:
        raise ConfigError(f"The data has no training {plural}.")
    if count is not None and batch_size > count:
        fitting = 2 ** (count.bit_length() - 1)
        raise ConfigError(
            f"trainer.batch_size is {batch_size}, and the data has {count} training {plural}. "
            f"Set trainer.batch_size={fitting}{' or lower' if fitting > 1 else ''}."
        )
