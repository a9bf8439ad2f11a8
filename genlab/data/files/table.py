"""A table of attributes: a row for each image, its file's name in the first column."""

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

from genlab.data.dataset import Attribute
from genlab.data.files.listing import shown
from genlab.registry import ConfigError, unknown

_SAYS_NO_OR_YES = ({"-1", "1"}, {"0", "1"})


@dataclass(frozen=True, eq=False)
class Table:
    """The columns but the first, each different text in them kept once and called by its number."""

    path: Path
    columns: tuple[str, ...]
    rows: dict[str, int]
    texts: tuple[str, ...]
    cells: NDArray[np.int64]
    """Rows x columns of numbers of texts."""

    def attributes(self, names: list[str]) -> dict[str, Attribute]:
        """Each column for the files of these names, which are all in the table by their path or their bare name."""
        cells = self.cells[self._rows_of(names)]
        return {name: self._attribute(name, cells[:, place]) for place, name in enumerate(self.columns)}

    def check_column(self, name: str) -> None:
        """An attribute that does not exist, with the nearest one that does."""
        if name not in self.columns:
            raise unknown(f"attribute in {self.path}", name, self.columns)

    def _attribute(self, name: str, cells: NDArray[np.int64]) -> Attribute:
        """-1 or 0 and 1 are no and yes, other numbers are numbers, and all else is a choice."""
        numbers = np.flatnonzero(np.bincount(cells))
        texts = [self.texts[number] for number in numbers]
        known = set(texts)
        if "" in known:
            raise ConfigError(f"{self.path}: {name!r} has no value for an image.")
        choices: tuple[str, ...] = ()
        if any(known <= pair for pair in _SAYS_NO_OR_YES):
            choices, values = ("no", "yes"), [int(text == "1") for text in texts]
        elif (found := _as_numbers(texts)) is None:
            choices = tuple(sorted(known))
            places = {choice: place for place, choice in enumerate(choices)}
            values = [places[text] for text in texts]
        elif all(map(math.isfinite, found)):
            return Attribute(torch.from_numpy(np.array(found, np.float32)[np.searchsorted(numbers, cells)]))
        else:
            raise ConfigError(f"{self.path}: {name!r} must be finite numbers or choices; it has nan or inf.")
        return Attribute(torch.from_numpy(np.array(values, np.int64)[np.searchsorted(numbers, cells)]), choices)

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
                    f"{self.path} has a row for {shown(name)}, and {count[name]} files are called that; "
                    f"write their paths, such as {shown(path)}."
                )
        return [row for row in found if row is not None]

    def _lacks(self, lacking: list[str], count: int) -> str:
        first = ", ".join(map(shown, lacking[:3]))
        if len(lacking) == count:
            theirs = ", ".join(list(self.rows)[:3])
            return f"The rows of {self.path} match no file: it has rows for {theirs}, and the files are {first} ..."
        return f"{self.path} has no row for {len(lacking):,} of the {count:,} images, such as {first}."


def read(path: Path) -> Table:
    """A CSV with a line of names, or CelebA's own text, whose first line is a count."""
    try:
        return _parsed(path, _lines(path.read_text(encoding="utf-8-sig")))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        reason = "it is not UTF-8" if isinstance(error, UnicodeDecodeError) else getattr(error, "strerror", error)
        raise ConfigError(f"{path} cannot be read: {reason}") from None


def _parsed(path: Path, lines: Iterator[tuple[int, list[str]]]) -> Table:
    columns = [name.strip() for name in next(lines, (0, [""]))[1]]
    if len(set(columns)) < len(columns):
        raise ConfigError(f"{path} has two columns called {Counter(columns).most_common(1)[0][0]!r}.")
    rows: dict[str, int] = {}
    # A text that is new is called by the number of those before it; the quickest way to number millions.
    texts: defaultdict[str, int] = defaultdict()
    texts.default_factory = texts.__len__
    cells = array("q")
    for number, row in lines:
        if len(row) != len(columns):
            raise ConfigError(f"{path}, line {number}, has {len(row)} values, and there are {len(columns)} columns.")
        if rows.setdefault(_same(row[0]), place := len(rows)) != place:
            raise ConfigError(f"{path}, line {number}, is the second row for {row[0]}.")
        cells.extend(map(texts.__getitem__, row[1:]))
    if not cells:
        raise ConfigError(f"{path} needs a line with the names of its columns, and then one for each image.")
    shape = len(rows), len(columns) - 1
    return Table(path, tuple(columns[1:]), rows, tuple(map(str.strip, texts)), np.frombuffer(cells, "q").reshape(shape))


def classes(attribute: Attribute, name: str) -> tuple[Tensor, tuple[str, ...]]:
    """An attribute as labels: the class of each image, and the names of the classes."""
    if attribute.choices:
        return attribute.values, attribute.choices
    if not torch.equal(attribute.values, attribute.values.round()):
        raise ConfigError(f"label must be an attribute with choices, and the values of {name!r} are any numbers.")
    numbers, labels = np.unique(attribute.values.numpy(), return_inverse=True)
    return torch.from_numpy(labels), tuple(str(int(number)) for number in numbers)


def _lines(text: str) -> Iterator[tuple[int, list[str]]]:
    """The filled lines of a table, each with its number."""
    lines = StringIO(text).readlines()
    if lines and lines[0].strip().isdigit():
        # CelebA's: a count, the names without one for the files, then values between blanks.
        yield 2, ["image", *(lines[1] if len(lines) > 1 else "").split()]
        yield from ((number, line.split()) for number, line in enumerate(lines[2:], 3) if line.strip())
        return
    delimiter = max(",;\t", key=lines[0].count) if lines else ","
    reader = csv.reader(lines, delimiter=delimiter, skipinitialspace=True)
    yield from ((reader.line_num, row) for row in reader if len(row) > 1 or "".join(row).strip())


def _same(name: str) -> str:
    """A path as others may have written it: some systems take letters with accents apart."""
    return unicodedata.normalize("NFC", name.strip().replace("\\", "/").removeprefix("./"))


def _as_numbers(texts: list[str]) -> list[float] | None:
    try:
        return [float(text) for text in texts]
    except ValueError:
        return None
