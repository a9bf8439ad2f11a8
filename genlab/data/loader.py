"""Endless batches, already on the device, in an order that (seed, epoch) fixes."""

from collections.abc import Iterator

import torch
from torch import Tensor

from genlab.data.images import Images
from genlab.game import Batch
from genlab.randomness import generator
from genlab.registry import ConfigError


class Loader:
    """One split of a data set, resident on the device as bytes: a batch is one gather."""

    def __init__(
        self, images: Images, split: str, batch_size: int, *, seed: int = 0, device: str | torch.device = "cpu"
    ) -> None:
        chosen = images.splits[split]
        if batch_size < 1:
            raise ConfigError(f"batch_size must be at least 1, and {batch_size} is not.")
        if split == "train" and batch_size > len(chosen):
            raise ConfigError(f"A batch of {batch_size} is larger than the data: {len(chosen)} images to train on.")
        self.count, self.batch_size, self.seed = len(chosen), batch_size, seed
        self.device = torch.device(device)
        # Where the images lie already, all loaders read the same ones; elsewhere each keeps its own split.
        here = images.pixels.device == self.device
        self._rows = chosen if here else torch.arange(len(chosen))
        self._pixels = images.pixels if here else images.pixels[chosen].to(self.device)
        labels = images.labels if here or images.labels is None else images.labels[chosen]
        self._labels = None if labels is None else labels.to(self.device)
        # A tensor, because CUDA multiplies by the reciprocal of a plain number, and that is a bit off.
        self._white = torch.tensor(255.0, device=self.device)
        self._epoch: int | None = None
        self._order = self._rows

    @property
    def batches_per_epoch(self) -> int:
        """Whole batches in one pass; the images that are left over are dropped, others in each epoch."""
        return self.count // self.batch_size

    def batch(self, number: int) -> Batch:
        """Batch `number` of the endless sequence, a function of nothing but the seed and the number."""
        epoch, position = divmod(number, self.batches_per_epoch)
        start = position * self.batch_size
        return self._gather(self._order_of(epoch)[start : start + self.batch_size])

    def once(self) -> Iterator[Batch]:
        """Every image exactly once, in the order of the data, the last batch as short as it falls."""
        rows = self._rows.to(self.device)
        for start in range(0, self.count, self.batch_size):
            yield self._gather(rows[start : start + self.batch_size])

    def _order_of(self, epoch: int) -> Tensor:
        if epoch != self._epoch:
            order = torch.randperm(self.count, generator=generator(self.seed, "order", epoch))
            self._epoch, self._order = epoch, self._rows[order].to(self.device)
        return self._order

    def _gather(self, rows: Tensor) -> Batch:
        batch = {"image": self._pixels.index_select(0, rows) / self._white}
        if self._labels is not None:
            batch["label"] = self._labels.index_select(0, rows)
        return batch
