"""A table of attributes: a row for each image, with the name of its file in the first column."""

import csv
import math
import unicodedata
from array import array
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from genlab.data.dataset import MODELLED, Column, attribute
from genlab.data.files.listing import shown
from genlab.kinds import Classes
from genlab.registry import ConfigError, suggestion

_NO_OR_YES = ({"-1", "1"}, {"0", "1"})


@dataclass(frozen=True, eq=False)
class Table:
    """All columns but the first; each different text is stored once, and the cells hold its number."""

    path: Path
    columns: tuple[str, ...]
    rows: dict[str, int]
    texts: tuple[str, ...]
    cells: NDArray[np.int64]
    """Rows x columns: the number of the text in each cell."""

    def attributes(self, names: list[str]) -> dict[str, Column]:
        """Return each column for the files of these names, which the table lists by their path or their bare name.

        A column whose name is taken by the data set itself gets the suffix `_attribute`.
        """
        cells = self.cells[self._rows_of(names)]
        columns: dict[str, Column] = {}
        taken = {*MODELLED, *self.columns}
        for place, name in enumerate(self.columns):
            free = name
            while free in MODELLED or (free != name and free in taken):
                free += "_attribute"
            taken.add(free)
            columns[free] = self._column(name, cells[:, place])
        return columns

    def classes(self, names: list[str], column: str) -> tuple[Tensor, tuple[str, ...]]:
        """Return a column as labels: the class of each file, and the names of the classes."""
        known = self._column(column, self.cells[self._rows_of(names), self.columns.index(column)])
        if isinstance(known.kind, Classes):
            return known.rows, known.kind.names
        if not torch.equal(known.rows, known.rows.round()):
            raise ConfigError(f"label must name an attribute with choices or whole numbers, got {column!r}.")
        numbers, labels = np.unique(known.rows.numpy(), return_inverse=True)
        return torch.from_numpy(labels), tuple(str(int(number)) for number in numbers)

    def check_column(self, name: str) -> None:
        """Raise a ConfigError that names the nearest attribute if this one does not exist."""
        if name not in self.columns:
            near = suggestion(name, self.columns)
            raise ConfigError(f"{self.path} has no attribute {name!r}. {near}Available: {', '.join(self.columns)}")

    def _column(self, name: str, cells: NDArray[np.int64]) -> Column:
        """Return the values of a column.

        -1 and 1, or 0 and 1, become no and yes; other numbers stay numbers, and everything else is a choice.
        """
        numbers = np.flatnonzero(np.bincount(cells))
        texts = [self.texts[number] for number in numbers]
        known = set(texts)
        if "" in known:
            raise ConfigError(f"{self.path}: {name!r} has no value for an image.")
        choices: tuple[str, ...] = ()
        if any(known <= pair for pair in _NO_OR_YES):
            choices, values = ("no", "yes"), [int(text == "1") for text in texts]
        elif (found := _as_numbers(texts)) is None:
            choices = tuple(sorted(known))
            places = {choice: place for place, choice in enumerate(choices)}
            values = [places[text] for text in texts]
        elif all(map(math.isfinite, found)):
            return attribute(torch.from_numpy(np.array(found, np.float32)[np.searchsorted(numbers, cells)]))
        else:
            raise ConfigError(f"{self.path}: {name!r} must be finite numbers or choices, got nan or inf.")
        return attribute(torch.from_numpy(np.array(values, np.int64)[np.searchsorted(numbers, cells)]), choices)

    def _rows_of(self, names: list[str]) -> list[int]:
        paths = [_same(name) for name in names]
        bare = [path.rpartition("/")[2] for path in paths]
        found = [self.rows.get(path, self.rows.get(name)) for path, name in zip(paths, bare, strict=True)]
        lacking = [name for name, row in zip(names, found, strict=True) if row is None]
        if lacking:
            raise ConfigError(self._lacks(lacking, len(names)))
        count = Counter(bare)
        for path, name in zip(paths, bare, strict=True):
            if count[name] > 1 and path not in self.rows:
                raise ConfigError(
                    f"{self.path} has a row for {shown(name)}, and {count[name]} files have this name. "
                    f"Write their paths instead, such as {shown(path)}."
                )
        return [row for row in found if row is not None]

    def _lacks(self, lacking: list[str], count: int) -> str:
        first = ", ".join(map(shown, lacking[:3]))
        if len(lacking) == count:
            listed = ", ".join(list(self.rows)[:3])
            return f"The rows of {self.path} match no file: its rows are for {listed}, and the files are {first} ..."
        return f"{self.path} has no row for {len(lacking):,} of the {count:,} images, such as {first}."


def read(path: Path) -> Table:
    """Read a CSV file with a header line, or CelebA's own format, whose first line is a count."""
    try:
        return _parsed(path, _lines(path.read_text(encoding="utf-8-sig")))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        reason = "it is not UTF-8" if isinstance(error, UnicodeDecodeError) else getattr(error, "strerror", error)
        raise ConfigError(f"{path} cannot be read: {reason}") from None


def _parsed(path: Path, lines: Iterator[tuple[int, list[str]]]) -> Table:
    columns = [name.strip() for name in next(lines, (0, [""]))[1]]
    if len(set(columns)) < len(columns):
        raise ConfigError(f"{path} has two columns named {Counter(columns).most_common(1)[0][0]!r}.")
    rows: dict[str, int] = {}
    # A new text gets the next number. This is the quickest way to number millions of cells.
    texts: defaultdict[str, int] = defaultdict()
    texts.default_factory = texts.__len__
    cells = array("q")
    for number, row in lines:
        if len(row) != len(columns):
            raise ConfigError(f"{path}, line {number}: expected {len(columns)} values, got {len(row)}.")
        if rows.setdefault(_same(row[0]), place := len(rows)) != place:
            raise ConfigError(f"{path}, line {number}: {row[0]} has a row already.")
        cells.extend(map(texts.__getitem__, row[1:]))
    if not cells:
        raise ConfigError(f"{path} needs a line with the names of its columns, and then one line for each image.")
    shape = len(rows), len(columns) - 1
    return Table(path, tuple(columns[1:]), rows, tuple(map(str.strip, texts)), np.frombuffer(cells, "q").reshape(shape))


def _lines(text: str) -> Iterator[tuple[int, list[str]]]:
    """Yield the lines of a table that are not empty, each with its number."""
    lines = StringIO(text).readlines()
    if lines and lines[0].strip().isdigit():
        # CelebA's format: a count, the names of all columns but the first, then values between blanks.
        yield 2, ["image", *(lines[1] if len(lines) > 1 else "").split()]
        yield from ((number, line.split()) for number, line in enumerate(lines[2:], 3) if line.strip())
        return
    delimiter = max(",;\t", key=lines[0].count) if lines else ","
    reader = csv.reader(lines, delimiter=delimiter, skipinitialspace=True)
    yield from ((reader.line_num, row) for row in reader if len(row) > 1 or "".join(row).strip())


def _same(name: str) -> str:
    """Return a path in one spelling: some systems decompose letters with accents."""
    return unicodedata.normalize("NFC", name.strip().replace("\\", "/").removeprefix("./"))


def _as_numbers(texts: list[str]) -> list[float] | None:
    try:
        return [float(text) for text in texts]
    except ValueError:
        return None
