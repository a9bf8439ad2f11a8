"""Files that take long to create: one process creates each file, and later processes map it into memory."""

import errno
import json
import math
import mmap
import os
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import torch
from torch import Tensor

from genlab.registry import ConfigError

Make = Callable[[BinaryIO], dict[str, Any]]
_OTHER_PLACE = "Set GENLAB_CACHE=FOLDER to use another folder."
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


@dataclass(frozen=True)
class Stored:
    """A file of bytes, and notes about its contents."""

    file: Path
    notes: dict[str, Any]


def cache_folder() -> Path:
    """Return the folder for downloads and decoded images: GENLAB_CACHE, or the user's cache folder."""
    if own := os.environ.get("GENLAB_CACHE"):
        return Path(own).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "genlab"


def known(family: str, version: str) -> Stored | None:
    """Return the file that `once` would find, or None; useful if computing `room` is expensive."""
    return _found(_folder(), f"{family}-{version}")


def once(family: str, version: str, room: int, make: Make, *, resume: bool = False) -> Stored:
    """Return the file that `make` writes, at most `room` bytes, and its notes; make it only if it is not there.

    Only the last version of a family is kept. With `resume`, `make` also writes an index beside its file, and can read
    both again after an interruption; the earlier versions of the family stay until the new one is complete.
    """
    folder, name = _folder(), f"{family}-{version}"
    # Before any lock: the folder may be read-only.
    if found := known(family, version):
        return found
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with lock(folder, name):
            return _found(folder, name) or _create(folder, family, name, room, make, resume)
    except OSError as error:
        raise ConfigError(_sentence(error, folder, room)) from None


def versions(family: str) -> list[Path]:
    """Return the files of all versions of a family, also those that are incomplete."""
    return sorted(path for suffix in ("bytes", "tmp") for path in _folder().glob(f"{family}-*.{suffix}"))


def mapped(file: Path, *shape: int) -> Tensor:
    """Map the bytes of a file as a tensor, which is read from disk on access and must not be written to."""
    with open(file, "rb") as opened, warnings.catch_warnings():
        # torch warns that the bytes are read-only. A private writable mapping is no alternative:
        # Linux refuses one that is larger than the memory of the machine.
        warnings.simplefilter("ignore", UserWarning)
        data = mmap.mmap(opened.fileno(), math.prod(shape), access=mmap.ACCESS_READ)
        return torch.frombuffer(data, dtype=torch.uint8).view(shape)


@contextmanager
def lock(folder: Path, name: str, *, wait: bool = True, work: str = "decoding the same images") -> Iterator[bool]:
    """Hold the lock of a name, and yield True; without `wait`, yield False if another process holds it.

    A lock ends with its process. A message names the `work` of the process that is waited for.
    """
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
            # The last holder removed the file, so another process may hold a new one with the same name.
            if not _is_at(path, file.fileno()):
                continue
            try:
                yield True
            finally:
                path.unlink(missing_ok=True)
            return


def size(paths: Iterable[Path]) -> int:
    """Return the bytes of these files and of all files in these folders."""
    files = [file for path in paths for file in (path.rglob("*") if path.is_dir() else [path])]
    return sum(file.stat().st_size for file in files if file.is_file())


def clean() -> int:
    """Remove decoded images, but no downloads and no file that is being written; return the bytes that this frees."""
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
    """Return the file if it is there and complete: the notes are written last, when the bytes are complete."""
    file = folder / f"{name}.bytes"
    try:
        notes = json.loads((folder / f"{name}.json").read_bytes())
        indexed = "index" not in notes or file.with_suffix(".index").stat().st_size == notes["index"]
        return Stored(file, notes["notes"]) if indexed and file.stat().st_size == notes["size"] else None
    except (OSError, ValueError, TypeError, KeyError):
        return None


def _create(folder: Path, family: str, name: str, room: int, make: Make, resume: bool) -> Stored:
    temporary, file = folder / f"{name}.tmp", folder / f"{name}.bytes"
    index = file.with_suffix(".index")
    _free(folder, family, name, room=False, versions=not resume)
    done = False
    try:
        with open(temporary, "r+b" if resume and temporary.exists() else "wb") as opened:
            _reserve_or_free(opened.fileno(), room, folder, family, name)
            notes = make(opened)
            opened.truncate()
            size = opened.tell()
            _sync(opened)
        temporary.replace(file)
        written = {"size": size, "notes": notes} | ({"index": index.stat().st_size} if resume else {})
        _write(folder / f"{name}.json", json.dumps(written))
        done = True
    except OSError as error:
        resume &= error.errno not in _FULL
        raise
    finally:
        # An index names the rows with which a later call can begin.
        if not done and not (resume and index.exists()):
            for path in (temporary, index, file.with_suffix(".bad")):
                path.unlink(missing_ok=True)
    _free(folder, family, name, room=False, versions=True)
    return Stored(file, notes)


def _free(folder: Path, family: str, name: str, *, room: bool, versions: bool) -> None:
    """Remove what killed processes have left and nothing can continue; to make room, also what could be continued.

    With `versions`, other versions of the family are removed, too.
    """
    for other in _names(folder) - {name}:
        left = (folder / f"{other}.tmp").exists() and (room or not (folder / f"{other}.index").exists())
        if left or (versions and other.startswith(f"{family}-")):
            _remove(folder, other)


def _reserve_or_free(handle: int, room: int, folder: Path, family: str, name: str) -> None:
    """Reserve room; on a full disk, give up earlier versions and interrupted work first."""
    try:
        _reserve(handle, room)
    except OSError as error:
        if error.errno not in _FULL:
            raise
        _free(folder, family, name, room=True, versions=True)
        _reserve(handle, room)


def _write(file: Path, text: str) -> None:
    """Write a text so that the file is never there in part."""
    temporary = file.with_suffix(".new")
    with open(temporary, "w", encoding="utf-8") as opened:
        opened.write(text)
        _sync(opened)
    temporary.replace(file)


def _reserve(handle: int, room: int) -> None:
    """Reserve room, so that a full disk is noticed now and not after an hour; some file systems cannot do this."""
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
    """Remove all files of a name, unless a process is making them; return the bytes that this frees."""
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
    """Return a message that says what to do about a disk that takes no more."""
    if error.errno in _FULL:
        return (
            f"The decoded images take up to {room / 1e6:,.1f} MB, and {folder} has no room for them "
            f"({error.strerror}). Run `genlab data clean` to remove others, or use fewer or smaller images. "
            f"{_OTHER_PLACE}"
        )
    return f"The decoded images cannot be stored in {folder}: {error.strerror or error}. {_OTHER_PLACE}"
