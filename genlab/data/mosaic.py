"""Large pictures, stored as square cells, and batches of crops that are cut out of them at any place."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from torch import Tensor

from genlab import distributed
from genlab.contract import Batch
from genlab.data.batches import Table
from genlab.data.dataset import Column, Dataset, fingerprint_of
from genlab.kinds import Number
from genlab.randomness import generator
from genlab.registry import ConfigError

_PLACE = ("row", "column", "rows", "columns")
"""Entries of a cell in the grid: its place in its picture, and how many rows and columns of cells the picture has."""


@dataclass(frozen=True, eq=False)
class Pictures(Dataset):
    """A data set whose images are cells of larger pictures; training batches are crops at any place in them.

    All cells of a picture belong to one split and follow each other in it, row by row.
    """

    grid: Tensor = field(kw_only=True)
    """N x 4: row and column of each cell in its picture, and how many rows and columns of cells the picture has."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_grid(self.grid, self.splits, len(self))

    def with_splits(self, splits: dict[str, Tensor]) -> Dataset:
        """Return the cells as a plain data set, and the same fingerprint, with other splits."""
        return Dataset(self.columns, splits, self.fingerprint, self.bad_files, self.contents)

    def digest(self, *names: str) -> str:
        """Return 16 hex digits that change with the splits, these columns and the grid."""
        grid = {"grid": Column(Number(), self.grid)}
        return fingerprint_of(grid, self.splits, super().digest(*names))

    def describe_items(self) -> str:
        """Return the number of cells, and how they lie."""
        return f"{super().describe_items()} crops side by side"

    def describe_split(self, name: str) -> str:
        """Return the size of a split in cells and in pictures."""
        pictures = int((self.grid[self.splits[name], :2] == 0).all(1).sum())
        return f"{super().describe_split(name)} (of {pictures:,} picture{'s' if pictures != 1 else ''})"

    def batches(self, split: str, batch_size: int, **settings: Any) -> Table:
        """Return batches of crops for training, and of cells as they are for all other splits."""
        # Held-out images must be the same ones each time.
        return (
            Mosaic(self, split, batch_size, **settings)
            if split == "train"
            else Table(self, split, batch_size, **settings)
        )


class Mosaic(Table):
    """Batches of crops, each near a cell that the epoch's order chooses."""

    def __init__(self, pictures: Pictures, split: str, batch_size: int, **settings: Any) -> None:
        super().__init__(pictures, split, batch_size, **settings)
        height, width = pictures.columns["x"].rows.shape[2:]
        self._cells = Cells(pictures.grid[pictures.splits[split]], height, width)

    def _gather(self, number: int) -> Batch:
        """Return crops near the chosen cells; a crop has the label of the cell in which it begins."""
        # Drawn on the CPU: which rows are read from disk must be known without waiting for the device.
        chosen = self._chosen(number)
        drawn = self._cells.draw(chosen, generator(self.seed, "crops", number))
        ours = distributed.rows(len(chosen), self._part)
        crops = Crops(*(values[ours] for values in drawn))
        rows = self._split.rows[crops.cells.flatten().to(self._split.rows.device)]
        batch = self._split.gather(rows)
        down, right = (offset.to(self.device, non_blocking=True) for offset in (crops.down, crops.right))
        return {name: cut(value, down, right) if name == "x" else value[::4] for name, value in batch.items()}

    def _order(self, epoch: int) -> Tensor:
        """Return positions in the split, not rows, because the grid is read by position."""
        return self._positions(epoch)


class Crops(NamedTuple):
    """The four cells that each crop lies in, and its offset from the corner of the first one."""

    cells: Tensor
    """Count x 2 x 2: above and below, left and right."""
    down: Tensor
    right: Tensor


@dataclass(frozen=True, eq=False)
class Cells:
    """The cells of a split, named by their positions in it."""

    grid: Tensor
    height: int
    width: int

    def draw(self, chosen: Tensor, generator: torch.Generator) -> Crops:
        """Draw a crop near each chosen cell; over an epoch all places of a picture are equally likely."""
        row, column, rows, columns = self.grid[chosen].unbind(1)
        down, right = (_draws(len(chosen), generator) for _ in range(2))
        down, right = place(row, rows, self.height, down), place(column, columns, self.width, right)
        above, left = down // self.height, right // self.width
        # A crop that ends with its cell shows no pixel of the next one, and at the border there is none.
        vertically = torch.stack([above, torch.minimum(above + 1, rows - 1)], 1).unsqueeze(2)
        across = torch.stack([left, torch.minimum(left + 1, columns - 1)], 1).unsqueeze(1)
        first = (chosen - row * columns - column).view(-1, 1, 1)
        return Crops(first + vertically * columns.view(-1, 1, 1) + across, down % self.height, right % self.width)


def _draws(count: int, generator: torch.Generator) -> Tensor:
    return torch.randint(2**62, (count,), generator=generator)


def place(cell: Tensor, cells: Tensor, side: int, draw: Tensor) -> Tensor:
    """Return where a crop begins along one side of a picture; each cell deals an equal share of the places."""
    places = (cells - 1) * side + 1
    return (cell * places + draw % places) // cells


def cut(cells: Tensor, down: Tensor, right: Tensor) -> Tensor:
    """Cut crops as large as a cell, each out of four cells that follow each other."""
    channels, height, width = cells.shape[1:]
    joined = cells.view(-1, 2, 2, channels, height, width).permute(0, 3, 1, 4, 2, 5)
    joined = joined.reshape(-1, channels, 2 * height, 2 * width)
    places = joined.unfold(2, height, 1).unfold(3, width, 1)
    return places[torch.arange(len(joined), device=joined.device), :, down, right]


def grid_of(sizes: Tensor) -> Tensor:
    """Return the grid of pictures that have these rows and columns of cells, one picture a row."""
    counts = sizes.prod(1)
    number = torch.arange(int(counts.sum())) - (counts.cumsum(0) - counts).repeat_interleave(counts)
    rows, columns = sizes.repeat_interleave(counts, 0).unbind(1)
    return torch.stack([number // columns, number % columns, rows, columns], 1)


def check_grid(grid: Tensor, splits: dict[str, Tensor], count: int) -> None:
    """Raise a ConfigError unless all cells of a picture follow each other in one split, row by row."""
    if tuple(grid.shape) != (count, len(_PLACE)) or grid.dtype != torch.int64:
        found = f"{' x '.join(map(str, grid.shape))} of {grid.dtype}"
        raise ConfigError(f"The grid must be {count} x {len(_PLACE)} of torch.int64, got {found}.")
    for name, chosen in splits.items():
        cells = grid[chosen]
        sizes = cells[(cells[:, :2] == 0).all(1)][:, 2:]
        whole = bool((sizes > 0).all()) and int(sizes.prod(1).sum()) == len(cells)
        if not whole or not torch.equal(grid_of(sizes), cells):
            raise ConfigError(f"Split {name!r} must hold whole pictures, with their cells row by row.")
