"""Mix the styles of samples: coarse features of one sample and fine features of another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from genlab.kinds import Kind, Row
from genlab.lab.results import Format, Results
from genlab.lab.run import Label, at_least
from genlab.lab.styles import decoded, layers_of, spread, styled
from genlab.registry import ConfigError

if TYPE_CHECKING:
    from genlab.lab.run import Run


@dataclass(frozen=True)
class Mix:
    """Samples, and what they become with some layers' styles of other samples."""

    kind: Kind
    rows: Tensor
    """R samples, which give all other layers their styles."""
    columns: Tensor
    """C samples, which give the mixed layers their styles."""
    items: Tensor
    """The mixed items, R x C x the shape of one item."""
    styles: Tensor
    """Their styles, R x C x layers x S."""
    layers: tuple[int, ...]
    """The layers whose styles the columns give."""

    @property
    def sentences(self) -> tuple[str, ...]:
        """The layers that rows and columns give."""
        others = [layer for layer in range(self.styles.shape[2]) if layer not in self.layers]
        return (f"Columns give the styles of layers {_numbers(self.layers)}, rows those of layers {_numbers(others)}.",)

    def write(self, results: Results, form: Format = "png") -> None:
        """Write a sheet with the samples of the columns on top and those of the rows on the left.

        With `npz` also write the mixed items and their styles as arrays, row by row.
        """
        blank, left = torch.ones_like(self.rows[:1]), "all other layers have the styles of the first column"
        top = f"layers {_numbers(self.layers)} have the styles of this row"
        rows = [Row(top, torch.cat([blank, self.columns]))]
        for number, (row, items) in enumerate(zip(self.rows, self.items, strict=True)):
            rows.append(Row("" if number else left, torch.cat([row[None], items])))
        results.sheet("mix", self.kind, rows)
        if form == "npz":
            styles = self.styles.flatten(0, 1)
            results.items("mix", [], self.kind, self.items.flatten(0, 1), "npz", styles=styles)


def mix(
    run: Run,
    *,
    rows: int = 5,
    columns: int = 6,
    layers: str | Sequence[int] | None = None,
    label: Label | None = None,
    truncation: float = 1.0,
    seed: int = 0,
) -> Mix:
    """Mix the styles of samples; see `Run.mix`."""
    count = styled(run).layers
    rows, columns = at_least(1, "rows", rows), at_least(1, "columns", columns)
    chosen = layers_of(range(count // 2, count) if layers is None else layers, count)
    if len(chosen) == count:
        raise ConfigError(f"The columns would give the styles of all {count} layers. Leave some of them to the rows.")
    codes, condition = run.draw(rows + columns, label=label, seed=seed)
    every = spread(run.styles(codes, label=condition.get("label"), truncation=truncation), count)
    mixed = every[:rows].unsqueeze(1).repeat(1, columns, 1, 1)
    mixed[:, :, list(chosen)] = every[rows:, list(chosen)]
    plain, items = decoded(run, every), decoded(run, mixed.flatten(0, 1))
    shape = items.shape[1:]
    return Mix(run.kinds["x"], plain[:rows], plain[rows:], items.view(rows, columns, *shape), mixed, chosen)


def _numbers(layers: Sequence[int]) -> str:
    """Return numbers in order, with ranges: `0-2, 5`."""
    ranges = list[list[int]]()
    for layer in layers:
        if ranges and layer == ranges[-1][-1] + 1:
            ranges[-1].append(layer)
        else:
            ranges.append([layer])
    return ", ".join(f"{found[0]}-{found[-1]}" if len(found) > 1 else str(found[0]) for found in ranges)
