"""Tokens: a sequence of symbols from a vocabulary, such as a word or a SMILES string."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from genlab.kinds.kind import Exhibit, Kind, Row
from genlab.registry import ConfigError


@dataclass(frozen=True)
class Tokens(Kind):
    """One sequence: N x length numbers as a batch; the first symbol of the vocabulary is padding."""

    vocabulary: tuple[str, ...]
    length: int

    plural: ClassVar[str] = "token sequences"
    dtype: ClassVar[torch.dtype] = torch.int16

    @property
    def shape(self) -> tuple[int]:
        """The length of a sequence."""
        return (self.length,)

    def describe(self) -> str:
        """Return `token sequences (12 of 5 symbols)`."""
        return f"{self.plural} ({self.length} of {len(self.vocabulary)} symbols)"

    def load(self, stored: Tensor) -> Tensor:
        """Convert stored numbers to int64, which embeddings and losses take."""
        return stored.long()

    def encode(self, texts: Sequence[str]) -> Tensor:
        """Convert texts of one character a symbol to stored rows, padded at the end."""
        numbers = {symbol: number for number, symbol in enumerate(self.vocabulary)}
        rows = torch.zeros(len(texts), self.length, dtype=self.dtype)
        for row, text in zip(rows, texts, strict=True):
            if unknown := sorted(set(text) - set(self.vocabulary[1:])):
                raise ConfigError(f"{text!r} holds {unknown[0]!r}, which is not in the vocabulary.")
            if len(text) > self.length:
                raise ConfigError(f"{text!r} has {len(text)} symbols; at most {self.length} fit.")
            row[: len(text)] = torch.tensor([numbers[symbol] for symbol in text], dtype=self.dtype)
        return rows

    def decode(self, items: Tensor) -> list[str]:
        """Convert sequences to texts; padding and what follows it is left out."""
        texts = []
        for row in items.tolist():
            end = row.index(0) if 0 in row else len(row)
            texts.append("".join(self.vocabulary[number] for number in row[:end]))
        return texts

    def exhibit(self, rows: Sequence[Row]) -> Exhibit:
        """Write one sequence a line, below the caption of its row."""
        blocks = ["\n".join([*([f"{row.caption}:"] if row.caption else []), *self.decode(row.items)]) for row in rows]
        return Exhibit(text="\n\n".join(blocks) + "\n")

    def check(self, rows: Tensor, name: str) -> None:
        """Raise a ConfigError if a number is outside the vocabulary."""
        super().check(rows, name)
        if len(rows) and not 0 <= int(rows.min()) <= int(rows.max()) < len(self.vocabulary):
            raise ConfigError(
                f"Column {name!r} holds numbers from {int(rows.min())} to {int(rows.max())}, "
                f"and its vocabulary has {len(self.vocabulary)} symbols."
            )
