"""Rows of decoded images with an index, from which a later pass takes over the rows of unchanged files."""

import hashlib
import json
import os
import struct
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from genlab.data.files.decode import Bytes, Style

Keys = NDArray[np.uint64]
"""Count x 2: 128 bits for each item, which change when its file does."""

_HEAD = 16
_RECORD = np.dtype([("key", "<u8", (2,)), ("digest", "u1", (16,)), ("rows", "<u4"), ("columns", "<u4")])
_PACKED = struct.Struct("<16s16sII")
_SECONDS_BETWEEN_SAVES = 1.0


class Row(NamedTuple):
    """The decoded bytes of one item."""

    data: Any
    digest: bytes
    grid: tuple[int, int]
    """Rows and columns of cells; 1 and 1 if the item is not cut into cells."""

    @classmethod
    def of(cls, pixels: Bytes) -> Self:
        """Make a row of decoded pixels."""
        rows, columns = pixels.shape[:-3] or (1, 1)
        return cls(pixels.data, digest_of(pixels.data), (rows, columns))


def keys_of(texts: list[str]) -> Keys:
    """Return a key for each text."""
    encoded = (text.encode("utf-8", "surrogateescape") for text in texts)
    digests = b"".join(hashlib.blake2b(text, digest_size=16).digest() for text in encoded)
    return np.frombuffer(digests, "<u8").reshape(-1, 2)


def digest_of(row: Any) -> bytes:
    """Return the digest of the pixels of one item."""
    return hashlib.blake2b(row, digest_size=16).digest()


@dataclass(frozen=True, eq=False)
class Index:
    """One record for each item, in order: its key, the digest of its pixels, and its rows and columns of cells."""

    records: NDArray[np.void]
    reasons: dict[int, str]
    """The reason for each item that could not be decoded, by its number; such an item has no rows."""

    @classmethod
    def read(cls, file: Path, style: Style | None = None) -> Self | None:
        """Read the index beside a file of rows, complete or not; None if there is none, or none of this style."""
        try:
            data = file.with_suffix(".index").read_bytes()
        except OSError:
            return None
        if len(data) < _HEAD or (style and data[:_HEAD] != _head(style)):
            return None
        records = np.frombuffer(data, _RECORD, (len(data) - _HEAD) // _RECORD.itemsize, _HEAD)
        return cls(records, _reasons(file.with_suffix(".bad")))

    @property
    def cells(self) -> NDArray[np.int64]:
        """The number of rows that each item has: 1, or 0 for a bad one, or its cells if it is cut into cells."""
        cells: NDArray[np.int64] = self.records["rows"].astype(np.int64) * self.records["columns"]
        return cells

    @property
    def good(self) -> NDArray[np.int64]:
        """The numbers of the items that were decoded."""
        return np.flatnonzero(self.records["rows"])

    @property
    def digests(self) -> NDArray[np.uint8]:
        """The digests of the items that were decoded."""
        found: NDArray[np.uint8] = self.records["digest"][self.good]
        return found

    @property
    def grids(self) -> NDArray[np.int64]:
        """Rows and columns of cells of each item that was decoded."""
        chosen = self.records[self.good]
        return np.stack([chosen["rows"], chosen["columns"]], 1).astype(np.int64)

    @property
    def places(self) -> NDArray[np.int64]:
        """The first 48 bits of each digest, as a number."""
        first = np.ascontiguousarray(self.digests[:, :8]).view(">u8").reshape(-1)
        return (first >> np.uint64(16)).astype(np.int64)


class Draft:
    """A file of rows that is being written; an interrupted one is continued where it ended."""

    def __init__(self, file: BinaryIO, style: Style, keys: Keys) -> None:
        """`keys` name the items in their order."""
        self._file, self._style, self._keys = file, style, keys.astype("<u8").tobytes()
        path = Path(file.name)
        self._reasons_path = path.with_suffix(".bad")
        self.bad: dict[int, str] = {}
        kept, end = self._kept(path, keys)
        self.count = kept
        """Number of items that are written."""
        self._index = open(path.with_suffix(".index"), "r+b" if kept else "wb")  # noqa: SIM115
        if not kept:
            self._index.write(_head(style))
        self._index.seek(_HEAD + kept * _RECORD.itemsize)
        self._index.truncate()
        self._file.seek(end)
        _write_reasons(self._reasons_path, self.bad)
        self._pending, self._unsaved, self._saved = bytearray(), dict[int, str](), time.monotonic()

    def add(self, item: Row | str) -> None:
        """Write the next item, or note why it cannot be used."""
        if isinstance(item, str):
            self.bad[self.count] = self._unsaved[self.count] = item
            item = Row(b"", bytes(16), (0, 0))
        self._file.write(item.data)
        self._pending += _PACKED.pack(self._keys[16 * self.count : 16 * self.count + 16], item.digest, *item.grid)
        self.count += 1
        if time.monotonic() - self._saved > _SECONDS_BETWEEN_SAVES:
            self.save()

    def save(self) -> None:
        """Write the index of all rows so far. What it names is in the file, or is found damaged by its digest."""
        self._file.flush()
        with open(self._reasons_path, "a", encoding="utf-8") as lines:
            lines.writelines(f"{json.dumps(entry)}\n" for entry in self._unsaved.items())
        self._index.write(self._pending)
        self._index.flush()
        self._pending, self._unsaved, self._saved = bytearray(), {}, time.monotonic()

    def close(self) -> None:
        """Save, and cut off what was reserved and is not used, also after an interruption."""
        self.save()
        self._file.truncate()
        self._index.close()

    def _kept(self, path: Path, keys: Keys) -> tuple[int, int]:
        """Return the number of items of an interrupted pass that are the first of ours and undamaged, and their end."""
        index = Index.read(path, self._style)
        if index is None:
            return 0, 0
        count = min(len(keys), len(index.records))
        same = (index.records["key"][:count] == keys[:count]).all(1)
        count = count if same.all() else int(same.argmin())
        end, sizes = 0, (index.cells[:count] * row_bytes(self._style)).tolist()
        for number, size in enumerate(sizes):
            if not size and number in index.reasons:
                self.bad[number] = index.reasons[number]
            elif not size or not self._holds(end, size, index.records["digest"][number].tobytes()):
                return number, end
            end += size
        return count, end

    def _holds(self, start: int, size: int, digest: bytes) -> bool:
        return digest_of(os.pread(self._file.fileno(), size, start)) == digest


class Earlier:
    """Rows of the same items in other files: earlier versions, and passes that were interrupted."""

    def __init__(self, files: list[Path], style: Style) -> None:
        self._style = style
        self._opened: list[BinaryIO] = []
        self._reasons: dict[int, str] = {}
        self._keys: Keys = np.empty((0, 2), np.uint64)
        self._file, self._start = (np.empty(0, np.int64) for _ in range(2))
        self._grids = np.empty((0, 2), np.int64)
        self._digests = np.empty((0, 16), np.uint8)
        for file in files:
            if index := Index.read(file, style):
                self._add(file, index)
        self._order = np.argsort(self._keys[:, 0], kind="stable")

    def find(self, keys: Keys) -> NDArray[np.int64]:
        """Return the place of each item, or -1 for an item that is new or has changed."""
        if not len(self._keys):
            return np.full(len(keys), -1)
        near = np.searchsorted(self._keys[self._order, 0], keys[:, 0]).clip(max=len(self._keys) - 1)
        found = self._order[near]
        return np.where((self._keys[found] == keys).all(1), found, -1)

    def take(self, place: int) -> Row | str | None:
        """Return an item, or the reason why it is bad; None if its bytes are damaged or gone."""
        rows, columns = self._grids[place].tolist()
        size = rows * columns * row_bytes(self._style)
        if not size:
            return self._reasons.get(place)
        digest = self._digests[place].tobytes()
        row = os.pread(self._opened[self._file[place]].fileno(), size, int(self._start[place]))
        return Row(row, digest, (rows, columns)) if digest_of(row) == digest else None

    def close(self) -> None:
        """Close the files."""
        for file in self._opened:
            file.close()

    def _add(self, file: Path, index: Index) -> None:
        try:
            self._opened.append(open(file, "rb", buffering=0))  # noqa: SIM115
        except OSError:  # Another process has just removed it.
            return
        self._reasons |= {len(self._keys) + number: reason for number, reason in index.reasons.items()}
        sizes = index.cells * row_bytes(self._style)
        self._file = np.concatenate([self._file, np.full(len(sizes), len(self._opened) - 1)])
        self._start = np.concatenate([self._start, sizes.cumsum() - sizes])
        self._grids = np.concatenate([self._grids, np.stack([index.records["rows"], index.records["columns"]], 1)])
        self._keys = np.concatenate([self._keys, index.records["key"]])
        self._digests = np.concatenate([self._digests, index.records["digest"]])


def row_bytes(style: Style) -> int:
    """Return the bytes of one decoded image, or of one cell."""
    return style.channels * style.size**2


def _head(style: Style) -> bytes:
    return hashlib.blake2b(repr(style).encode(), digest_size=_HEAD).digest()


def _reasons(file: Path) -> dict[int, str]:
    """Read the reasons; a line that was not written to its end is left out."""
    found: dict[int, str] = {}
    try:
        lines = file.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return found
    for line in lines:
        try:
            number, reason = json.loads(line)
            found[int(number)] = str(reason)
        except (ValueError, TypeError):
            continue
    return found


def _write_reasons(file: Path, reasons: dict[int, str]) -> None:
    file.write_text("".join(f"{json.dumps(entry)}\n" for entry in reasons.items()), encoding="utf-8")
