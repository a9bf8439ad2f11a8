"""What takes long to make is made once, by one process, into a file that all later ones map into memory."""

import errno
import json
import math
import mmap
import os
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import torch
from torch import Tensor

from genlab.registry import ConfigError

Make = Callable[[BinaryIO], dict[str, Any]]
_OTHER_PLACE = "GENLAB_CACHE=FOLDER names another place."
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


@dataclass(frozen=True)
class Stored:
    """A file of bytes, and what was noted of them when they were made."""

    file: Path
    notes: dict[str, Any]


def cache_folder() -> Path:
    """Where downloads and decoded images are kept: GENLAB_CACHE, or the cache folder of the user."""
    if own := os.environ.get("GENLAB_CACHE"):
        return Path(own).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "genlab"


def known(family: str, version: str) -> Stored | None:
    """What `once` would find and not make, for those who must work to know how much room it would take."""
    return _found(_folder(), f"{family}-{version}")


def once(family: str, version: str, room: int, make: Make) -> Stored:
    """What `make` writes, at most `room` bytes, and the notes it returns; of a family only the last version is kept."""
    folder, name = _folder(), f"{family}-{version}"
    # Before any lock: what is there may lie in a folder that nobody may write to.
    if found := known(family, version):
        return found
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with lock(folder, name):
            return _found(folder, name) or _made(folder, family, name, room, make)
    except OSError as error:
        raise ConfigError(_sentence(error, folder, room)) from None


def mapped(file: Path, *shape: int) -> Tensor:
    """The bytes of a file as a tensor that is read from disk where it is looked at, and must not be written to."""
    with open(file, "rb") as opened, warnings.catch_warnings():
        # It warns that the bytes are read-only. A private copy that could be written to is no way out:
        # Linux refuses to promise memory for one that is larger than all the memory there is.
        warnings.simplefilter("ignore", UserWarning)
        data = mmap.mmap(opened.fileno(), math.prod(shape), access=mmap.ACCESS_READ)
        return torch.frombuffer(data, dtype=torch.uint8).view(shape)


@contextmanager
def lock(folder: Path, name: str, *, wait: bool = True, work: str = "decoding the same images") -> Iterator[bool]:
    """Whether this name is ours alone; a lock falls with its process. Who waits is told for whose work."""
    import fcntl

    path = folder / f"{name}.lock"
    while True:
        with open(path, "a", encoding="utf-8") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if not wait:
                    yield False
                    return
                print(f"Waiting for another process that is {work}.", file=sys.stderr, flush=True)
                fcntl.flock(file, fcntl.LOCK_EX)
            # Whoever held the lock removed its file: another process may hold a new one of the same name.
            if not _is_at(path, file.fileno()):
                continue
            try:
                yield True
            finally:
                path.unlink(missing_ok=True)
            return


def clean() -> int:
    """Remove what was decoded, but not what was downloaded nor what is being made; how many bytes that frees."""
    folder = _folder()
    try:
        freed = sum(_remove(folder, name) for name in _names(folder))
        if folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()
    except OSError as error:
        raise ConfigError(f"{folder} cannot be cleaned: {error.strerror or error}") from None
    return freed


def _folder() -> Path:
    return cache_folder() / "decoded"


def _names(folder: Path) -> set[str]:
    return {path.name.partition(".")[0] for path in folder.iterdir()} if folder.is_dir() else set()


def _found(folder: Path, name: str) -> Stored | None:
    """What is there and whole. The notes are written last, so where they are the bytes are."""
    file = folder / f"{name}.bytes"
    try:
        notes = json.loads((folder / f"{name}.json").read_bytes())
        return Stored(file, notes["notes"]) if file.stat().st_size == notes["size"] else None
    except (OSError, ValueError, TypeError, KeyError):
        return None


def _made(folder: Path, family: str, name: str, room: int, make: Make) -> Stored:
    # What killed processes left, and what became of the same images before they changed.
    for other in _names(folder) - {name}:
        if other.startswith(f"{family}-") or (folder / f"{other}.tmp").exists():
            _remove(folder, other)
    temporary, file = folder / f"{name}.tmp", folder / f"{name}.bytes"
    try:
        with open(temporary, "wb") as opened:
            _reserve(opened.fileno(), room)
            notes = make(opened)
            opened.truncate()
            size = opened.tell()
            _sync(opened)
        temporary.replace(file)
        with open(temporary, "w", encoding="utf-8") as text:
            json.dump({"size": size, "notes": notes}, text)
            _sync(text)
        temporary.replace(folder / f"{name}.json")
    finally:
        temporary.unlink(missing_ok=True)
    return Stored(file, notes)


def _reserve(handle: int, room: int) -> None:
    """Let a disk that is too full say so now, and not after an hour; some file systems cannot, and say it then."""
    try:
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(handle, 0, max(room, 1))
    except OSError as error:
        if error.errno not in (errno.EOPNOTSUPP, errno.EINVAL):
            raise


def _sync(file: Any) -> None:
    file.flush()
    os.fsync(file.fileno())


def _remove(folder: Path, name: str) -> int:
    """Remove all that belongs to a name, unless a process is making it; how many bytes that frees."""
    freed = 0
    with lock(folder, name, wait=False) as ours:
        for path in list(folder.glob(f"{name}.*")) if ours else []:
            if path.suffix != ".lock":
                freed += path.stat().st_size
                path.unlink()
    return freed


def _is_at(path: Path, handle: int) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(handle))
    except FileNotFoundError:
        return False


def _sentence(error: OSError, folder: Path, room: int) -> str:
    """What a person can do about a disk that does not take it."""
    if error.errno in _FULL:
        return (
            f"The decoded images take up to {room / 1e6:,.1f} MB, and {folder} has no room for them "
            f"({error.strerror}). `genlab data clean` removes others, fewer or smaller images take less; {_OTHER_PLACE}"
        )
    return f"The decoded images cannot be kept in {folder}: {error.strerror or error}. {_OTHER_PLACE}"
