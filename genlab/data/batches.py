"""Endless batches, already on the device, in an order that (seed, epoch) fixes."""

from collections.abc import Iterator
from functools import lru_cache

import torch
from torch import Tensor

from genlab.contract import Batch
from genlab.data.dataset import Images
from genlab.data.mosaic import Mosaic, cut
from genlab.data.residence import Ahead, Residence, Resident, Streamed, choose
from genlab.kinds.augmentation import Augmentation
from genlab.randomness import generator
from genlab.registry import ConfigError


class Loader:
    """One split of a data set: the same batches wherever its pixels live."""

    def __init__(
        self,
        images: Images,
        split: str,
        batch_size: int,
        *,
        seed: int = 0,
        device: str | torch.device = "cpu",
        residence: Residence = "auto",
        keep_last: bool = False,
        augmentation: Augmentation | None = None,
    ) -> None:
        chosen = images.splits[split]
        if batch_size < 1:
            raise ConfigError(f"batch_size must be at least 1, and {batch_size} is not.")
        if split == "train" and batch_size > len(chosen):
            raise ConfigError(f"A batch of {batch_size} is larger than the data: {len(chosen)} images to train on.")
        self.count, self.batch_size, self.seed, self.keep_last = len(chosen), batch_size, seed, keep_last
        self.device, self.augmentation = torch.device(device), augmentation
        self.residence = choose(residence, images, self.device)
        self._split = (
            Resident(images, chosen, self.device)
            if self.residence == "device"
            else Streamed(images, chosen, self.device, from_disk=self.residence == "disk")
        )
        # Held-out images are looked at as they are, the same ones each time.
        grid = images.grid if split == "train" else None
        self._mosaic = None if grid is None else Mosaic(grid[chosen], *images.shape[1:])
        # A tensor, because CUDA multiplies by the reciprocal of a plain number, and that is a bit off.
        self._white = torch.tensor(255.0, device=self.device)
        self._order_of = lru_cache(maxsize=2)(self._order)
        self._ahead = Ahead(self._gather) if self.residence != "device" else None

    @property
    def batches_per_epoch(self) -> int:
        """The batches of one pass; images left over make a last, smaller one or are dropped, others in each epoch."""
        return -(-self.count // self.batch_size) if self.keep_last else self.count // self.batch_size

    def batch(self, number: int) -> Batch:
        """Batch `number` of the endless sequence, a function of nothing but the seed and the number."""
        batch = self._scaled(self._ahead.get(number) if self._ahead else self._gather(number))
        if self.augmentation:
            draws = generator(self.seed, "augmentation", number, device=self.device)
            batch["image"] = self.augmentation(batch["image"], draws)
        return batch

    def once(self) -> Iterator[Batch]:
        """Every image exactly once, in the order of the data, the last batch as short as it falls."""
        for start in range(0, self.count, self.batch_size):
            yield self._scaled(self._split.gather(self._split.rows[start : start + self.batch_size]))

    def _gather(self, number: int) -> Batch:
        epoch, position = divmod(number, self.batches_per_epoch)
        chosen = self._order_of(epoch)[position * self.batch_size :][: self.batch_size]
        return self._cropped(self._mosaic, chosen, number) if self._mosaic else self._split.gather(chosen)

    def _cropped(self, mosaic: Mosaic, chosen: Tensor, number: int) -> Batch:
        """Crops near the chosen cells; one has the label of the cell in which it begins."""
        # Drawn here and not on the device, which would have to be waited for to know what is to be read from disk.
        crops = mosaic.draw(chosen, generator(self.seed, "crops", number))
        rows = self._split.rows[crops.cells.flatten().to(self._split.rows.device)]
        batch = self._split.gather(rows)
        down, right = (offset.to(self.device, non_blocking=True) for offset in (crops.down, crops.right))
        return {name: cut(value, down, right) if name == "image" else value[::4] for name, value in batch.items()}

    def _order(self, epoch: int) -> Tensor:
        """The rows of the split in the order of an epoch; of cells, their positions in the split."""
        order = torch.randperm(self.count, generator=generator(self.seed, "order", epoch))
        return order if self._mosaic else self._split.rows[order.to(self._split.rows.device)]

    def _scaled(self, batch: Batch) -> Batch:
        """Bytes as floats in [0, 1]; points are taken as they are."""
        if batch["image"].dtype == torch.uint8:
            batch["image"] = batch["image"] / self._white
        return batch
