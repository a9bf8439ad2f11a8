"""Writes results: a file is written whole or not at all, under a name that no other file has."""

import filecmp
import itertools
import os
import secrets
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, NamedTuple

from genlab.data.files.listing import shown
from genlab.registry import ConfigError

_PART = ".genlab-part"


class Fresh(NamedTuple):
    """The place of a result."""

    path: Path
    new: bool
    """False if a file with the same bytes was there already."""


def refuse_unwritable(folder: Path) -> None:
    """Raise a ConfigError before the work if its result could not be written here; create nothing yet."""
    existing = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
    if not existing.is_dir():
        raise ConfigError(f"{shown(str(folder))} cannot be written: {shown(str(existing))} is not a folder.")
    if not os.access(existing, os.W_OK | os.X_OK):
        raise ConfigError(f"{shown(str(folder))} cannot be written: no permission to write in {shown(str(existing))}.")


def write_fresh(wanted: Path, write: Callable[[BinaryIO], None]) -> Fresh:
    """Write a file; if another file has the name and other bytes, call it NAME-2 and so on."""
    wanted.parent.mkdir(parents=True, exist_ok=True)
    _tidy(wanted.parent)
    part = wanted.parent / f".{secrets.token_hex(4)}{_PART}"
    try:
        with open(part, "x+b") as file:
            write(file)
        return _named(part, wanted)
    finally:
        part.unlink(missing_ok=True)


def _tidy(folder: Path) -> None:
    """Remove the parts that killed processes have left; a process that still writes needs less than a day."""
    for part in folder.glob(f".*{_PART}"):
        with suppress(FileNotFoundError):
            if time.time() - part.stat().st_mtime > 24 * 3600:
                part.unlink()


def _named(part: Path, wanted: Path) -> Fresh:
    for number in itertools.count(1):
        path = wanted if number == 1 else wanted.with_name(f"{wanted.stem}-{number}{wanted.suffix}")
        try:
            path.touch(exist_ok=False)
        except FileExistsError:
            if path.is_file() and filecmp.cmp(part, path, shallow=False):
                return Fresh(path, new=False)
            continue
        # The empty file reserves the name, so no other process can take it before the rename.
        try:
            part.replace(path)
        except BaseException:
            path.unlink()
            raise
        return Fresh(path, new=True)
    raise AssertionError("there is always a next number")
