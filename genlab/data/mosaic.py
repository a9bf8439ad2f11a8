"""Pictures kept as square cells, one after the other, out of which crops are cut at any place."""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from genlab.registry import ConfigError

# What a row of the table of cells says of one cell.
COLUMNS = ("row", "column", "rows", "columns")


class Crops(NamedTuple):
    """The four cells that each crop lies in, and how far below and right of the first one's corner it begins."""

    cells: Tensor
    """Count x 2 x 2: above and below, left and right."""
    down: Tensor
    right: Tensor


@dataclass(frozen=True, eq=False)
class Mosaic:
    """The cells of a split, called by their positions in it."""

    grid: Tensor
    height: int
    width: int

    def draw(self, chosen: Tensor, generator: torch.Generator) -> Crops:
        """A crop for each chosen cell, near it; in an epoch, all places of a picture are equally likely."""
        row, column, rows, columns = self.grid[chosen].unbind(1)
        down, right = (_draws(len(chosen), generator) for _ in range(2))
        down, right = place(row, rows, self.height, down), place(column, columns, self.width, right)
        above, left = down // self.height, right // self.width
        # Where a crop ends with its cell, no pixel of the next one is seen, and at the border there is none.
        vertically = torch.stack([above, torch.minimum(above + 1, rows - 1)], 1).unsqueeze(2)
        across = torch.stack([left, torch.minimum(left + 1, columns - 1)], 1).unsqueeze(1)
        first = (chosen - row * columns - column).view(-1, 1, 1)
        return Crops(first + vertically * columns.view(-1, 1, 1) + across, down % self.height, right % self.width)


def _draws(count: int, generator: torch.Generator) -> Tensor:
    return torch.randint(2**62, (count,), generator=generator)


def place(cell: Tensor, cells: Tensor, side: int, draw: Tensor) -> Tensor:
    """Where on one side of a picture a crop begins: the places are dealt out to the cells in equal parts."""
    places = (cells - 1) * side + 1
    return (cell * places + draw % places) // cells


def cut(cells: Tensor, down: Tensor, right: Tensor) -> Tensor:
    """Crops as large as a cell out of four cells each, which lie one after the other."""
    channels, height, width = cells.shape[1:]
    joined = cells.view(-1, 2, 2, channels, height, width).permute(0, 3, 1, 4, 2, 5)
    joined = joined.reshape(-1, channels, 2 * height, 2 * width)
    places = joined.unfold(2, height, 1).unfold(3, width, 1)
    return places[torch.arange(len(joined), device=joined.device), :, down, right]


def grid_of(sizes: Tensor) -> Tensor:
    """The table of the cells of pictures, of which each has so many rows and columns."""
    counts = sizes.prod(1)
    number = torch.arange(int(counts.sum())) - (counts.cumsum(0) - counts).repeat_interleave(counts)
    rows, columns = sizes.repeat_interleave(counts, 0).unbind(1)
    return torch.stack([number // columns, number % columns, rows, columns], 1)


def check_grid(grid: Tensor, splits: dict[str, Tensor], count: int) -> None:
    """The cells of a picture must be in one split, all of them, one after the other and row by row."""
    if tuple(grid.shape) != (count, len(COLUMNS)) or grid.dtype != torch.int64:
        found = f"{' x '.join(map(str, grid.shape))} of {grid.dtype}"
        raise ConfigError(f"The grid must be {count} x {len(COLUMNS)} of torch.int64, and {found} is not.")
    for name, chosen in splits.items():
        theirs = grid[chosen]
        sizes = theirs[(theirs[:, :2] == 0).all(1)][:, 2:]
        whole = bool((sizes > 0).all()) and int(sizes.prod(1).sum()) == len(theirs)
        if not whole or not torch.equal(grid_of(sizes), theirs):
            raise ConfigError(f"The split {name!r} must have whole pictures, their cells row by row.")
