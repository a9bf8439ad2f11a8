"""The image files of a folder, and a version that changes whenever one of them does."""

import hashlib
import os
import re
import stat
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from genlab.data.files.draft import Keys, keys_of
from genlab.registry import ConfigError

SUFFIXES = (".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".bmp", ".dib", ".tif", ".tiff", ".gif")

PARQUET = (".parquet", ".pq")


@dataclass(frozen=True, eq=False)
class Listing:
    """Files of a folder, sorted by name, as the items of a first pass."""

    folder: Path
    entries: list[str]
    """The name of each file with forward slashes, a zero byte, and what changes with the file."""
    version: str
    """Changes when a file is added, removed, renamed or written to."""

    unit = "files"

    def __len__(self) -> int:
        """Return the number of files."""
        return len(self.entries)

    @cached_property
    def names(self) -> list[str]:
        """Paths of the files in the folder, with forward slashes."""
        return [entry.partition("\0")[0] for entry in self.entries]

    @property
    def place(self) -> str:
        """The folder, as messages name it."""
        return shown(str(self.folder))

    def keys(self) -> Keys:
        """Return a key for each file, which changes when it is renamed or written to."""
        return keys_of(self.entries)

    def called(self, number: int) -> str:
        """Return the name of a file, as messages show it."""
        return shown(self.names[number])

    def opened(self, numbers: Iterable[int]) -> Iterator[Path]:
        """Yield the paths of these files."""
        return (self.folder / self.names[number] for number in numbers)


def listed(folder: Path, suffixes: tuple[str, ...] = SUFFIXES) -> Listing:
    """List all image files at any depth, without hidden ones (.name)."""
    found: list[str] = []
    seen: set[tuple[int, int]] = set()
    waiting = [""]
    while waiting:
        below = waiting.pop()
        try:
            place = os.stat(folder / below)
            # A link to a folder above would lead into an endless loop.
            if (place.st_dev, place.st_ino) not in seen:
                seen.add((place.st_dev, place.st_ino))
                files, folders = _entries(folder / below, below, suffixes)
                found += files
                # In alphabetical order, so that of two links to one folder always the same one counts.
                waiting += sorted(folders, reverse=True)
        except OSError as error:
            raise ConfigError(f"{shown(str(folder / below))} cannot be read: {error.strerror}") from None
    found.sort()
    return Listing(folder, found, _version(found))


def joined(listings: Sequence[Listing]) -> Listing:
    """List the files of several folders, one folder after the other, with names that begin below what they share."""
    above = Path(os.path.commonpath([files.folder for files in listings]))
    entries = [f"{files.folder.relative_to(above).as_posix()}/{entry}" for files in listings for entry in files.entries]
    return Listing(above, entries, _version(entries))


def single(file: Path) -> Listing:
    """List one file, as if it were alone in its folder."""
    state = file.stat()
    entry = f"{file.name}\0{state.st_size}\0{state.st_mtime_ns}\0{state.st_mode}"
    return Listing(file.parent, [entry], _version([entry]))


def source_of(place: Path) -> str:
    """Return the name of the data source for a file or a folder: by the first image or Parquet file in it."""
    if place.is_file():
        return "parquet" if place.name.lower().endswith(PARQUET) else "folder"
    for _, folders, files in os.walk(place):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            if not name.startswith(".") and name.lower().endswith((*SUFFIXES, *PARQUET)):
                return "parquet" if name.lower().endswith(PARQUET) else "folder"
    return "folder"


def shown(name: str) -> str:
    """Return a name that can be printed on one line; the name of a file may be any bytes."""
    text = name.encode("utf-8", "backslashreplace").decode()
    return re.sub(r"[\x00-\x1f\x7f]", lambda found: repr(found[0])[1:-1], text)


def _version(entries: list[str]) -> str:
    return hashlib.sha256("\n".join(entries).encode("utf-8", "surrogateescape")).hexdigest()[:16]


def _entries(folder: Path, below: str, suffixes: tuple[str, ...]) -> tuple[list[str], list[str]]:
    """Return the image files of one folder with their state, and the folders in it."""
    files, folders = [], []
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith("."):
                continue
            if entry.is_dir():
                folders.append(f"{below}{entry.name}/")
            elif entry.name.lower().endswith(suffixes) and (file := _file(entry, below)):
                files.append(file)
    return files, folders


def _file(entry: os.DirEntry[str], below: str) -> str | None:
    """Return a name and what changes with the file as one text: the quickest form to make and to sort 100,000 of."""
    try:
        state = entry.stat()
    except OSError:  # A dangling link is listed, and found bad when it is opened.
        return f"{below}{entry.name}\0"
    # Opening a pipe or a device could wait for ever.
    regular = stat.S_ISREG(state.st_mode)
    return f"{below}{entry.name}\0{state.st_size}\0{state.st_mtime_ns}\0{state.st_mode}" if regular else None
