"""The image files of a folder, and a version that changes whenever one of them does."""

import hashlib
import os
import re
import stat
from pathlib import Path
from typing import NamedTuple

from genlab.registry import ConfigError

SUFFIXES = (".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".bmp", ".dib", ".tif", ".tiff", ".gif")


class Listing(NamedTuple):
    """Paths of the files in the folder, with forward slashes, sorted."""

    names: list[str]
    version: str
    """Changes when a file is added, removed, renamed or written to."""


def listed(folder: Path) -> Listing:
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
                files, folders = _entries(folder / below, below)
                found += files
                # In alphabetical order, so that of two links to one folder always the same one counts.
                waiting += sorted(folders, reverse=True)
        except OSError as error:
            raise ConfigError(f"{shown(str(folder / below))} cannot be read: {error.strerror}") from None
    found.sort()
    version = hashlib.sha256("\n".join(found).encode("utf-8", "surrogateescape")).hexdigest()[:16]
    return Listing([entry.partition("\0")[0] for entry in found], version)


def shown(name: str) -> str:
    """Return a name that can be printed on one line; the name of a file may be any bytes."""
    text = name.encode("utf-8", "backslashreplace").decode()
    return re.sub(r"[\x00-\x1f\x7f]", lambda found: repr(found[0])[1:-1], text)


def _entries(folder: Path, below: str) -> tuple[list[str], list[str]]:
    """Return the image files of one folder with their state, and the folders in it."""
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
    """Return a name and what changes with the file as one text: the quickest form to make and to sort 100,000 of."""
    try:
        state = entry.stat()
    except OSError:  # A dangling link is listed, and found bad when it is opened.
        return f"{below}{entry.name}\0"
    # Opening a pipe or a device could wait for ever.
    regular = stat.S_ISREG(state.st_mode)
    return f"{below}{entry.name}\0{state.st_size}\0{state.st_mtime_ns}\0{state.st_mode}" if regular else None
