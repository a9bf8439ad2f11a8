"""Attributes: a class or a number that describes an item."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from genlab.kinds.kind import Exhibit, Kind, Row
from genlab.registry import ConfigError, unknown


@dataclass(frozen=True)
class Classes(Kind):
    """One of several named classes; stored and seen as the number of the name."""

    names: tuple[str, ...]

    plural: ClassVar[str] = "classes"
    dtype: ClassVar[torch.dtype] = torch.int64

    def __len__(self) -> int:
        return len(self.names)

    @property
    def shape(self) -> tuple[()]:
        """A single number."""
        return ()

    def number(self, label: object) -> int:
        """Return the number of a class that is given by its name, in upper or lower case, or by its number."""
        if isinstance(label, str):
            numbers = {name.casefold(): number for number, name in enumerate(self.names)}
            if label.casefold() in numbers:
                return numbers[label.casefold()]
            if not label.isdecimal():
                raise unknown("class", label, self.names)
            label = int(label)
        if not isinstance(label, int | np.integer) or isinstance(label, bool) or not 0 <= label < len(self):
            raise ConfigError(f"A class must be a number from 0 to {len(self) - 1} or a name, got {label!r}.")
        return int(label)

    def describe(self) -> str:
        """Return `classes (10 names)`."""
        return f"{self.plural} ({len(self.names)} names)"

    def exhibit(self, rows: Sequence[Row]) -> Exhibit:
        """List the names."""
        lines = [f"{row.caption}: {', '.join(self.names[number] for number in row.items.tolist())}" for row in rows]
        return Exhibit(text="\n".join(lines) + "\n")

    def check(self, rows: Tensor, name: str) -> None:
        """Raise a ConfigError if a number has no name."""
        super().check(rows, name)
        if len(rows) and not 0 <= int(rows.min()) <= int(rows.max()) < len(self.names):
            raise ConfigError(
                f"Column {name!r} holds numbers from {int(rows.min())} to {int(rows.max())}, "
                f"and {len(self.names)} classes are named."
            )


@dataclass(frozen=True)
class Number(Kind):
    """Any number."""

    plural: ClassVar[str] = "numbers"
    dtype: ClassVar[torch.dtype] = torch.float32

    @property
    def shape(self) -> tuple[()]:
        """A single number."""
        return ()

    def describe(self) -> str:
        """Return `numbers`."""
        return self.plural

    def exhibit(self, rows: Sequence[Row]) -> Exhibit:
        """List the numbers."""
        lines = [f"{row.caption}: {', '.join(f'{value:.4g}' for value in row.items.tolist())}" for row in rows]
        return Exhibit(text="\n".join(lines) + "\n")
