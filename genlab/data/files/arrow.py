"""Parquet files with images in their rows, as Hugging Face's hub has them: columns, class names and rows."""

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from genlab.data.files.decode import BadFileError
from genlab.data.files.draft import Keys
from genlab.data.files.listing import Listing, shown
from genlab.registry import ConfigError

IMAGES, CLASSES, TEXT, WHOLE, NUMBER, YES_OR_NO = "images", "classes", "text", "whole numbers", "numbers", "yes or no"
_AT_ONCE = 256
_SPREAD = np.uint64(0x9E3779B97F4A7C15)
_NOT_FETCHED = b"version https://git-lfs"


@dataclass(frozen=True)
class Field:
    """One column of a file: what it holds, and the names of its classes if the metadata has them."""

    name: str
    holds: str
    names: tuple[str, ...] = ()
    within: str = ""
    """The part of the column with the bytes of an image, if it has parts."""


@dataclass(frozen=True)
class File:
    """One Parquet file: its columns, and the number of rows in each of its groups of rows."""

    name: str
    fields: dict[str, Field]
    groups: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Files:
    """All Parquet files of a folder."""

    listing: Listing
    files: list[File]

    @classmethod
    def read(cls, listing: Listing) -> "Files":
        """Read the columns and the sizes of all files, without their rows."""
        return cls(listing, [_described(listing, number) for number in range(len(listing))])

    @cached_property
    def starts(self) -> NDArray[np.int64]:
        """The number of the first row of each file, and at the end the number of all rows."""
        return np.cumsum([0, *(sum(file.groups) for file in self.files)])

    @cached_property
    def fields(self) -> dict[str, Field]:
        """The columns that all files have alike."""
        first, *others = self.files
        return {
            name: field
            for name, field in first.fields.items()
            if all(file.fields.get(name) == field for file in others)
        }

    def described(self) -> str:
        """Return the columns that all files have alike and what they hold, as messages name them."""
        return ", ".join(f"{name} ({field.holds})" for name, field in self.fields.items()) or "none"

    def owners(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the number of the file that each row is in."""
        return np.searchsorted(self.starts, rows, "right") - 1

    def called(self, row: int) -> str:
        """Return the file of a row and its number there, as messages show them."""
        owner = int(self.owners(np.array([row]))[0])
        return f"{shown(self.files[owner].name)}, row {row - self.starts[owner]}"

    def column(self, name: str) -> Any:
        """Return a whole column as pyarrow has it."""
        import pyarrow as pa

        parts = []
        for number in range(len(self.files)):
            with _opened(self.listing, number) as file, _readable(self.listing, number):
                parts += file.read([name]).column(0).chunks
        return pa.chunked_array(parts, type=None if parts else pa.null())

    def sample(self, name: str) -> Any:
        """Return the first rows of a column."""
        with _opened(self.listing, 0) as file, _readable(self.listing, 0):
            return next(file.iter_batches(_AT_ONCE, columns=[name])).column(0)


@dataclass(frozen=True, eq=False)
class Rows:
    """The images of one column, as the items of a first pass."""

    files: Files
    field: Field

    unit = "rows"

    def __len__(self) -> int:
        """Return the number of rows."""
        return int(self.files.starts[-1])

    @property
    def place(self) -> str:
        """The folder, as messages name it."""
        return self.files.listing.place

    @property
    def version(self) -> str:
        """A text that changes with any file."""
        return self.files.listing.version

    def keys(self) -> Keys:
        """Return a key for each row, which changes when its file does."""
        rows = np.arange(len(self))
        owners = self.files.owners(rows)
        inside = (rows - self.files.starts[owners]).astype(np.uint64)
        # Each half of a key differs from row to row: the multiplier is odd.
        return self.files.listing.keys()[owners] + inside[:, None] * _SPREAD

    def called(self, number: int) -> str:
        """Return the file of a row and its number there."""
        return self.files.called(number)

    def opened(self, numbers: Iterable[int]) -> Iterator[bytes | BadFileError]:
        """Yield the bytes of these images; groups of rows that hold none of them are not read."""
        wanted = np.fromiter(numbers, np.int64)
        for number, file in enumerate(self.files.files):
            start = self.files.starts[number]
            inside = wanted[slice(*np.searchsorted(wanted, [start, self.files.starts[number + 1]]))] - start
            if len(inside):
                yield from self._of_file(number, file, inside)

    def _of_file(self, number: int, file: File, wanted: NDArray[np.int64]) -> Iterator[bytes | BadFileError]:
        ends = np.cumsum([0, *file.groups])
        with _opened(self.files.listing, number) as opened:
            for group, (start, end) in enumerate(zip(ends, ends[1:], strict=False)):
                inside = wanted[slice(*np.searchsorted(wanted, [start, end]))] - start
                if len(inside):
                    yield from self._of_group(opened, group, inside.tolist())

    def _of_group(self, file: Any, group: int, wanted: list[int]) -> Iterator[bytes | BadFileError]:
        """Yield these rows of a group; after damage in it, an error for each of those that follow."""
        import pyarrow as pa

        given, start = 0, 0
        column = f"{self.field.name}.{self.field.within}" if self.field.within else self.field.name
        try:
            for batch in file.iter_batches(_AT_ONCE, row_groups=[group], columns=[column], use_threads=False):
                images = batch.column(0).field(self.field.within) if self.field.within else batch.column(0)
                while given < len(wanted) and wanted[given] < start + len(batch):
                    yield images[wanted[given] - start].as_py() or BadFileError("it holds no bytes of an image")
                    given += 1
                start += len(batch)
        except (pa.ArrowException, OSError) as error:
            for _ in wanted[given:]:
                yield BadFileError(f"it cannot be read: {_first_line(error)}")


def _described(listing: Listing, number: int) -> File:
    """Read the columns of a file, and how many rows its groups have."""
    with _opened(listing, number) as file:
        schema, sizes = file.schema_arrow, file.metadata
        known = _features(schema.metadata or {})
        fields = {field.name: _field(field, known.get(field.name, {})) for field in schema}
        return File(
            listing.names[number],
            fields,
            tuple(sizes.row_group(group).num_rows for group in range(sizes.num_row_groups)),
        )


def _features(metadata: dict[bytes, bytes]) -> dict[str, dict[str, Any]]:
    """Return what the library `datasets` has noted about the columns."""
    try:
        features = json.loads(metadata[b"huggingface"])["info"]["features"]
        return {name: feature for name, feature in features.items() if isinstance(feature, dict)}
    except (KeyError, ValueError, TypeError, AttributeError):
        return {}


def _field(field: Any, feature: dict[str, Any]) -> Field:
    """Describe a column by its type, and by what `datasets` has noted about it."""
    import pyarrow.types as types

    noted, names = feature.get("_type", "Value"), feature.get("names")
    within = "bytes" if types.is_struct(field.type) and "bytes" in {part.name for part in field.type} else ""
    stored = field.type.field("bytes").type if within else field.type
    if noted in ("Image", "Value") and (types.is_binary(stored) or types.is_large_binary(stored)):
        return Field(field.name, IMAGES, within=within)
    if noted == "ClassLabel" and types.is_integer(field.type) and isinstance(names, list):
        return Field(field.name, CLASSES, tuple(map(str, names)))
    plain = {
        TEXT: lambda kind: types.is_string(kind) or types.is_large_string(kind),
        WHOLE: types.is_integer,
        NUMBER: types.is_floating,
        YES_OR_NO: types.is_boolean,
    }
    kind = field.type.value_type if types.is_dictionary(field.type) else field.type
    return Field(field.name, next((holds for holds, fits in plain.items() if fits(kind)), str(field.type)))


@contextmanager
def _opened(listing: Listing, number: int) -> Iterator[Any]:
    """Open a file; a file that is no Parquet file is a ConfigError."""
    parquet = _parquet()
    path = listing.folder / listing.names[number]
    with _readable(listing, number):
        file = parquet.ParquetFile(path, memory_map=True)
    with file:
        yield file


@contextmanager
def _readable(listing: Listing, number: int) -> Iterator[None]:
    """Turn errors of pyarrow into a ConfigError that names the file."""
    import pyarrow as pa

    path = listing.folder / listing.names[number]
    try:
        yield
    except (pa.ArrowException, OSError) as error:
        if _starts_with(path, _NOT_FETCHED):
            raise ConfigError(
                f"{path} holds only a pointer of Git LFS, not the data. Run git lfs pull in its folder."
            ) from None
        raise ConfigError(f"{path} is no Parquet file or is damaged: {_first_line(error)}") from None


def _starts_with(path: Path, start: bytes) -> bool:
    try:
        with open(path, "rb") as file:
            return file.read(len(start)) == start
    except OSError:
        return False


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")


def _parquet() -> Any:
    """Return pyarrow's module for Parquet files."""
    try:
        import pyarrow.parquet
    except ImportError:
        raise ConfigError("A package is not installed: pyarrow. Run pip install 'genlab[parquet]'.") from None
    return pyarrow.parquet
