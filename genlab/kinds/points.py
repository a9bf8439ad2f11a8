"""Points: a few coordinates each, which may be any numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch

from genlab.kinds.kind import Exhibit, Kind, Row
from genlab.kinds.plot import plot


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
        """Draw the rows as histograms or densities with axes, all in the window of the first row."""
        return Exhibit(picture=plot(rows))
