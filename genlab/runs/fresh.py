"""A result is written whole or not at all, under a name that nothing had before."""

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
    """Where the result is, and whether it was written now or was there, byte for byte, before."""

    path: Path
    new: bool


def refuse_unwritable(folder: Path) -> None:
    """Say before the work, and not after it, that its result could not be kept; nothing is made yet."""
    there = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
    if not there.is_dir():
        raise ConfigError(f"{shown(str(folder))} cannot be written: {shown(str(there))} is no folder.")
    if not os.access(there, os.W_OK | os.X_OK):
        raise ConfigError(f"{shown(str(folder))} cannot be written: nothing may be written into {shown(str(there))}.")


def write_fresh(wanted: Path, write: Callable[[BinaryIO], None]) -> Fresh:
    """Write a file; where another has the name, it is called NAME-2 and so on, unless that other is the same."""
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
    """Remove what processes that were killed have left; whoever still writes has done so within a day."""
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
        # The name is ours, empty: nobody else takes it between the question and the answer.
        try:
            part.replace(path)
        except BaseException:
            path.unlink()
            raise
        return Fresh(path, new=True)
    raise AssertionError("there is always a next number")
