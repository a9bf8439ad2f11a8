"""Decoding of all files of a folder, once and on all cores, into rows of bytes one after the other."""

import functools
import hashlib
import logging
import os
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from itertools import repeat
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

from PIL import Image

from genlab.data.files.decode import BadFileError, Bytes, Style, decode, is_grey, size_of
from genlab.data.files.listing import shown
from genlab.data.progress import progress
from genlab.data.residence import memory
from genlab.registry import ConfigError

Item = TypeVar("Item")
Output = TypeVar("Output")

NAMED = 10
_SHARE_OF_MEMORY = 0.25


def first_pass(
    folder: Path,
    names: list[str],
    style: Style,
    tolerate: float,
    file: BinaryIO,
    costs: Iterable[int] = repeat(0),
) -> dict[str, Any]:
    """Write the images row after row; return notes: bad files, a hash of each image, and a digest of all of them.

    `costs` are the bytes of memory that decoding takes for each file, if many at once could take too much.
    """
    places: list[int] = []
    grids: list[tuple[int, ...]] = []
    bad: dict[str, str] = {}
    contents = hashlib.sha256(f"{style.channels} x {style.size} x {style.size}".encode())
    make = functools.partial(_row, folder, style)
    with quiet_pillow(), progress(len(names), "decoding", "decoded", "images") as advance:
        for name, decoded in zip(names, _in_order(make, names, costs), strict=True):
            if isinstance(decoded, str):
                bad[name] = decoded
                # Checked only from here on, because the message names this many files.
                if len(bad) >= NAMED:
                    check_bad(folder, bad, len(names), tolerate, " so far")
            else:
                row, digest = decoded
                file.write(row.data)
                contents.update(digest)
                places.append(int.from_bytes(digest[:6], "big"))
                grids.append(row.shape[:-3])
            advance()
    check_bad(folder, bad, len(names), tolerate)
    notes = {"bad": bad, "places": places, "contents": contents.hexdigest(), "channels": style.channels}
    return notes if style.crop != "cells" else {**notes, "grids": grids}


def check_bad(folder: Path, bad: dict[str, str], count: int, tolerate: float, when: str = "") -> None:
    """Raise a ConfigError that names the first ten bad files if more are bad than are tolerated."""
    if len(bad) / count > tolerate:
        first = [f"\n  {shown(name)}: {reason}" for name, reason in list(bad.items())[:NAMED]]
        raise ConfigError(
            f"{len(bad):,} of the {count:,} files in {shown(str(folder))} cannot be used{when}, more than "
            f"tolerate={tolerate:g} of them:{''.join(first)}\n"
            "Remove or repair them, or raise data.tolerate to skip them."
        )


def found_channels(folder: Path, names: Iterable[str]) -> int:
    """Return 1 if no file has a mode with colours, else 3; stops at the first file with colours."""
    with quiet_pillow():
        # A file without a header is bad and says nothing about colours.
        return 3 if any(is_grey(folder / name) is False for name in names) else 1


def found_sizes(folder: Path, names: Iterable[str]) -> list[tuple[int, int]]:
    """Return the width and height of each file as its header has them; a rotation may swap them."""
    with quiet_pillow():
        return [size_of(folder / name) for name in names]


def _row(folder: Path, style: Style, name: str) -> tuple[Bytes, bytes] | str:
    """Return an image and the digest of its pixels, or the reason why it cannot be used."""
    try:
        row = decode(folder / name, style)
    except BadFileError as error:
        return str(error)
    return row, hashlib.blake2b(row.data, digest_size=16).digest()


def _in_order(function: Callable[[Item], Output], items: Iterable[Item], costs: Iterable[int]) -> Iterator[Output]:
    """Apply a function on all cores, in order; only a few results wait in memory.

    Threads are enough, for Pillow releases Python's lock while it decodes.
    """
    workers = os.cpu_count() or 1
    most, held = int(_SHARE_OF_MEMORY * memory()), 0
    pool = ThreadPoolExecutor(workers)
    waiting: deque[tuple[Future[Output], int]] = deque()
    try:
        # One file is always decoded, whatever its cost.
        for item, cost in zip(items, costs, strict=False):
            while waiting and (held + cost > most or len(waiting) > 16 * workers):
                oldest, freed = waiting.popleft()
                held -= freed
                yield oldest.result()
            waiting.append((pool.submit(function, item), cost))
            held += cost
        while waiting:
            yield waiting.popleft()[0].result()
    finally:
        # On Ctrl-C too: files that are still waiting are not decoded.
        pool.shutdown(cancel_futures=True)


@contextmanager
def quiet_pillow() -> Iterator[None]:
    """Load Pillow's formats before threads need them, and silence its warnings about large or untidy files."""
    Image.init()
    log = logging.getLogger("PIL")
    level = log.level
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="PIL")
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        log.setLevel(logging.CRITICAL)
        try:
            yield
        finally:
            log.setLevel(level)
