"""The image files of a folder, and what tells one state of it from the next."""

import hashlib
import os
import stat
from pathlib import Path
from typing import NamedTuple

from genlab.registry import ConfigError

SUFFIXES = (".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".bmp", ".dib", ".tif", ".tiff", ".gif")


class Listed(NamedTuple):
    """A file, and what changes when somebody changes it."""

    name: str
    """Its path in the folder, with forward slashes."""
    size: int
    changed: int
    mode: int


def listed(folder: Path) -> list[Listed]:
    """All image files at any depth, in the order of their names; hidden ones (.name) are left out."""
    found: list[Listed] = []
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
    return sorted(found)


def version(files: list[Listed]) -> str:
    """Changes when a file is added, removed, renamed or written to."""
    lines = "".join(f"{file.name}\0{file.size}\0{file.changed}\0{file.mode}\n" for file in files)
    return hashlib.sha256(lines.encode("utf-8", "surrogateescape")).hexdigest()[:16]


def shown(name: str) -> str:
    """A name that can be printed, though a file's may be any bytes."""
    return name.encode("utf-8", "backslashreplace").decode()


def _entries(folder: Path, below: str) -> tuple[list[Listed], list[str]]:
    """The image files of one folder, and the folders in it."""
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


def _file(entry: os.DirEntry[str], below: str) -> Listed | None:
    try:
        state = entry.stat()
    except OSError:  # A link to nothing: it is there, so it is counted, and found bad when it is opened.
        return Listed(below + entry.name, 0, 0, 0)
    # Opening a pipe or a device would wait for ever.
    regular = stat.S_ISREG(state.st_mode)
    return Listed(below + entry.name, state.st_size, state.st_mtime_ns, state.st_mode) if regular else None
