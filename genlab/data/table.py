"""A table of attributes: a row for each image, its file's name in the first column."""

import csv
import math
import unicodedata
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
import torch

from genlab.data.images import Attribute
from genlab.data.listing import shown
from genlab.registry import ConfigError, unknown

_SAYS_NO_OR_YES = ({"-1", "1"}, {"0", "1"})


@dataclass(frozen=True)
class Table:
    """The names of the columns but the first, and the row of each file."""

    path: Path
    columns: tuple[str, ...]
    rows: dict[str, list[str]]

    def attributes(self, names: list[str]) -> dict[str, Attribute]:
        """Each column for the files of these names, which are all in the table by their path or their bare name."""
        rows = self._rows_of(names)
        return {
            column: _attribute([row[number] for row in rows], f"{self.path}: {column!r}")
            for number, column in enumerate(self.columns, 1)
        }

    def check_column(self, name: str) -> None:
        """An attribute that does not exist, with the nearest one that does."""
        if name not in self.columns:
            raise unknown(f"attribute in {self.path}", name, self.columns)

    def _rows_of(self, names: list[str]) -> list[list[str]]:
        paths = [_same(name) for name in names]
        bare = [PurePosixPath(path).name for path in paths]
        count = Counter(bare)
        found = [self.rows.get(path) or self.rows.get(name) for path, name in zip(paths, bare, strict=True)]
        lacking = [name for name, row in zip(names, found, strict=True) if row is None]
        if lacking:
            raise ConfigError(self._lacks(lacking, len(names)))
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
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else f"it is not UTF-8 ({error.reason})"
        raise ConfigError(f"{path} cannot be read: {reason}") from None
    lines = list(_lines(text))
    if len(lines) < 2:
        raise ConfigError(f"{path} needs a line with the names of its columns, and then one for each image.")
    columns = [name.strip() for name in lines[0][1]]
    if len(set(columns)) < len(columns):
        raise ConfigError(f"{path} has two columns called {Counter(columns).most_common(1)[0][0]!r}.")
    rows: dict[str, list[str]] = {}
    for number, row in lines[1:]:
        if len(row) != len(columns):
            raise ConfigError(f"{path}, line {number}, has {len(row)} values, and there are {len(columns)} columns.")
        if rows.setdefault(_same(row[0]), row) is not row:
            raise ConfigError(f"{path}, line {number}, is the second row for {row[0]}.")
    return Table(path, tuple(columns[1:]), rows)


def classes(attribute: Attribute, name: str) -> tuple[torch.Tensor, tuple[str, ...]]:
    """An attribute as labels: the class of each image, and the names of the classes."""
    if attribute.choices:
        return attribute.values, attribute.choices
    if not torch.equal(attribute.values, attribute.values.round()):
        raise ConfigError(f"label must be an attribute with choices, and the values of {name!r} are any numbers.")
    numbers, labels = np.unique(attribute.values.numpy(), return_inverse=True)
    return torch.from_numpy(labels), tuple(str(int(number)) for number in numbers)


def _lines(text: str) -> Iterator[tuple[int, list[str]]]:
    """The filled lines of a table, each with its number."""
    lines = text.splitlines(keepends=True)
    if lines and lines[0].strip().isdigit():
        # CelebA's: a count, the names without one for the files, then values between blanks.
        yield 2, ["image", *(lines[1] if len(lines) > 1 else "").split()]
        yield from ((number, line.split()) for number, line in enumerate(lines[2:], 3) if line.strip())
        return
    delimiter = max(",;\t", key=lines[0].count) if lines else ","
    reader = csv.reader(lines, delimiter=delimiter, skipinitialspace=True)
    yield from ((reader.line_num, row) for row in reader if any(row))


def _same(name: str) -> str:
    """A path as others may have written it: some systems take letters with accents apart."""
    return unicodedata.normalize("NFC", name.strip().replace("\\", "/").removeprefix("./"))


def _attribute(values: list[str], where: str) -> Attribute:
    """-1 or 0 and 1 are no and yes, other numbers are numbers, and all else is a choice."""
    values = [value.strip() for value in values]
    known = set(values)
    if "" in known:
        raise ConfigError(f"{where} has no value for an image.")
    for pair in _SAYS_NO_OR_YES:
        if known <= pair:
            return Attribute(torch.tensor([value == "1" for value in values]).long(), ("no", "yes"))
    try:
        numbers = {value: float(value) for value in known}
    except ValueError:
        choices = sorted(known)
        places = {choice: place for place, choice in enumerate(choices)}
        return Attribute(torch.tensor([places[value] for value in values]), tuple(choices))
    if odd := [value for value, number in numbers.items() if not math.isfinite(number)]:
        raise ConfigError(f"{where} must be numbers or choices, and {odd[0]!r} is no number to reckon with.")
    return Attribute(torch.tensor([numbers[value] for value in values]))
