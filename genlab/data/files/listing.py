"""The image files of a folder, and what tells one state of it from the next."""

import hashlib
import os
import re
import stat
from pathlib import Path
from typing import NamedTuple

from genlab.registry import ConfigError

SUFFIXES = (".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".bmp", ".dib", ".tif", ".tiff", ".gif")


class Listing(NamedTuple):
    """The files' paths in the folder, with forward slashes and in order."""

    names: list[str]
    version: str
    """Changes when a file is added, removed, renamed or written to."""


def listed(folder: Path) -> Listing:
    """All image files at any depth, without hidden ones (.name)."""
    found: list[str] = []
    seen: set[tuple[int, int]] = set()
    waiting = [""]
    while waiting:
        below = waiting.pop()
        try:
            place = os.stat(folder / below)
            # A link to a folder above would go round for ever.
            if (place.st_dev, place.st_ino) not in seen:
                seen.add((place.st_dev, place.st_ino))
                files, folders = _entries(folder / below, below)
                found += files
                # The first in the alphabet first, so that of two links to one folder always the same one counts.
                waiting += sorted(folders, reverse=True)
        except OSError as error:
            raise ConfigError(f"{shown(str(folder / below))} cannot be read: {error.strerror}") from None
    found.sort()
    version = hashlib.sha256("\n".join(found).encode("utf-8", "surrogateescape")).hexdigest()[:16]
    return Listing([entry.partition("\0")[0] for entry in found], version)


def shown(name: str) -> str:
    """A name that can be printed on a line, though a file's may be any bytes."""
    text = name.encode("utf-8", "backslashreplace").decode()
    return re.sub(r"[\x00-\x1f\x7f]", lambda found: repr(found[0])[1:-1], text)


def _entries(folder: Path, below: str) -> tuple[list[str], list[str]]:
    """The image files of one folder with their state, and the folders in it."""
    files, folders = [], []
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith("."):
                continue
            if entry.is_dir():
                folders.append(f"{below}{entry.name}/")
            elif entry.name.lower().endswith(SUFFIXES) and (file := _file(entry, below)):
                files.append(file)
    return files, folders


def _file(entry: os.DirEntry[str], below: str) -> str | None:
    """A name and what changes with the file, as one text: of 100,000 that is the quickest to make and to sort."""
    try:
        state = entry.stat()
    except OSError:  # A link to nothing: it is there, so it is counted, and found bad when it is opened.
        return f"{below}{entry.name}\0"
    # Opening a pipe or a device would wait for ever.
    regular = stat.S_ISREG(state.st_mode)
    return f"{below}{entry.name}\0{state.st_size}\0{state.st_mtime_ns}\0{state.st_mode}" if regular else None
