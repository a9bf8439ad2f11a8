"""Training batches in which a fixed share of the items comes from a second data set, such as generated images."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import torch

from genlab.contract import Batch
from genlab.data.batches import Table
from genlab.data.dataset import Column, Dataset, fingerprint_of
from genlab.kinds import Number
from genlab.registry import ConfigError


@dataclass(frozen=True, eq=False)
class Mixed(Dataset):
    """A data set whose training batches hold a share of items from another one; all other splits are its own."""

    more: Dataset = field(kw_only=True)
    """The other data; the items of its split `train` are mixed in."""
    share: float = field(kw_only=True)
    """Share of each batch that comes from the other data, above 0; at 1 all of it."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.share <= 1:
            raise ConfigError(f"share must be above 0 and at most 1, got {self.share:g}.")
        for name, kind in self.kinds.items():
            if name in ("x", "label") and self.more.kinds.get(name) != kind:
                raise ConfigError(f"Data can be mixed only if column {name!r} is of the same kind in both.")

    def digest(self, *names: str) -> str:
        """Return 16 hex digits that change with the splits, these columns, the other data and the share."""
        share = {"share": Column(Number(), torch.tensor([self.share]))}
        return fingerprint_of(share, self.splits, super().digest(*names) + self.more.fingerprint)

    def batches(self, split: str, batch_size: int, **settings: Any) -> Table:
        """Return mixed batches for training, and items of this data alone for all other splits."""
        if split != "train":
            return Table(self, split, batch_size, **settings)
        if self.share == 1:
            return Table(self.more, split, batch_size, **settings)
        return Mixture(self, split, batch_size, **settings)


class Mixture(Table):
    """Batches of two data sets, each in an order of its own; an epoch is one pass over the items of the first."""

    def __init__(self, mixed: Mixed, split: str, batch_size: int, **settings: Any) -> None:
        if batch_size < 2:
            raise ConfigError(f"A mixture needs batches of at least 2 items, got {batch_size}.")
        # Each data set has at least one item in every batch.
        extra = min(batch_size - 1, max(1, round(mixed.share * batch_size)))
        super().__init__(mixed, split, batch_size - extra, **settings)
        self.more = Table(mixed.more, "train", extra, **settings)

    def batch(self, number: int) -> Batch:
        """Return batch `number` of the endless sequence: the items of the first data set come first."""
        own, other = super().batch(number), self.more.batch(number)
        return {name: torch.cat([rows, other[name]]) for name, rows in own.items()}

    def once(self, first: int = 0, every: int = 1) -> Iterator[Batch]:
        """Yield every item of both data sets exactly once, or this part of the batches of each."""
        yield from super().once(first, every)
        yield from self.more.once(first, every)
