"""Points: a few coordinates each, which may be any numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from genlab.kinds.kind import Exhibit, Kind, Row
from genlab.kinds.sheet import beside, sheet

_SIDE = 192


@dataclass(frozen=True)
class Points(Kind):
    """One point: N x D as a batch."""

    dimensions: int

    plural: ClassVar[str] = "points"
    dtype: ClassVar[torch.dtype] = torch.float32

    @property
    def shape(self) -> tuple[int]:
        """The number of coordinates."""
        return (self.dimensions,)

    def describe(self) -> str:
        """Return `points (2 numbers each)`."""
        return f"points ({self.dimensions} number{'s' if self.dimensions != 1 else ''} each)"

    def exhibit(self, rows: Sequence[Row]) -> Exhibit:
        """Draw a density panel for each row side by side, all in the window of the first row."""
        first = rows[0].items
        low, high = first.min(), first.max()
        margin = (high - low) / 4
        panels = [density(row.items, low - margin, high + margin, _SIDE).view(1, 1, _SIDE, _SIDE) for row in rows]
        return Exhibit(
            picture=beside([sheet([Row(row.caption, panel)]) for row, panel in zip(rows, panels, strict=True)])
        )


def density(points: Tensor, low: Tensor, high: Tensor, side: int) -> Tensor:
    """Draw points of one or two coordinates between `low` and `high` as side x side grey values in [0, 1].

    One coordinate gives a bar chart, two give a plane that is darker where there are more points. Points outside the
    window are left out. Of longer points, the first two coordinates are drawn.
    """
    places = ((points.float() - low) / (high - low).clamp_min(1e-9) * (side - 1)).round()
    places = places[((places >= 0) & (places < side)).all(1)].long()
    if points.shape[1] == 1:
        heights = places[:, 0].bincount(minlength=side).double()
        levels = torch.arange(side, device=points.device).flip(0).view(-1, 1)
        return (levels >= heights / heights.max().clamp_min(1) * side).float()
    counts = ((side - 1 - places[:, 1]) * side + places[:, 0]).bincount(minlength=side * side).view(side, side)
    return (1 - counts.double().log1p() / counts.max().clamp_min(1).double().log1p()).float()
