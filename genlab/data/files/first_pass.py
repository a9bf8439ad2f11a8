"""Decoding of many images, once and on all cores, into rows of bytes one after the other."""

import functools
import hashlib
import logging
import os
import warnings
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from itertools import repeat
from pathlib import Path
from typing import Any, BinaryIO, Literal, Protocol, Self, TypeVar

import numpy as np
from PIL import Image

from genlab.data.files import cache
from genlab.data.files.decode import BadFileError, Source, Style, decode, is_grey, size_of
from genlab.data.files.draft import Draft, Earlier, Index, Keys, Row, row_bytes
from genlab.data.progress import note, progress
from genlab.data.residence import memory
from genlab.registry import ConfigError

Channels = Literal["auto", 1, 3]
Item = TypeVar("Item")
Output = TypeVar("Output")

NAMED = 10
_SHARE_OF_MEMORY = 0.25


class Items(Protocol):
    """The images of a first pass: files of a folder, or rows of tables."""

    @property
    def unit(self) -> str:
        """The word for several items in messages, such as `files`."""
        ...

    @property
    def place(self) -> str:
        """The folder, as messages name it."""
        ...

    @property
    def version(self) -> str:
        """A text that changes with any item."""
        ...

    def __len__(self) -> int:
        """Return the number of items."""
        ...

    def keys(self) -> Keys:
        """Return a key for each item, which changes with it."""
        ...

    def called(self, number: int) -> str:
        """Return the name of an item, as messages show it."""
        ...

    def opened(self, numbers: Iterable[int]) -> Iterator[Source | BadFileError]:
        """Yield these items, given in ascending order; an error in place of one that cannot be read."""
        ...


@dataclass(frozen=True, eq=False)
class Decoded:
    """Decoded images in a file of the cache, and what is known of each item."""

    file: Path
    channels: int
    contents: str
    """A digest of the pixels of all images."""
    index: Index

    @classmethod
    def found(cls, family: str, version: str) -> Self | None:
        """Return what an earlier first pass has decoded completely."""
        stored = cache.known(family, version)
        return cls.of(stored) if stored else None

    @classmethod
    def of(cls, stored: cache.Stored) -> Self:
        """Read the index beside a file of the cache."""
        index = Index.read(stored.file)
        if index is None:
            raise ConfigError(f"{stored.file} was removed while it was opened. Run the command again.")
        return cls(stored.file, stored.notes["channels"], stored.notes["contents"], index)


def decoded(
    items: Items,
    family: str,
    style: Style,
    channels: Channels | int,
    tolerate: float,
    rows: int | None = None,
    costs: Sequence[int] | None = None,
) -> Decoded:
    """Return all images from the cache; only images that are not in it are decoded.

    `rows` is the number of rows to reserve room for, if an image has several. `costs` are the bytes of memory that
    decoding takes for each item, if many at once could take too much.
    """

    def make(file: BinaryIO) -> dict[str, Any]:
        others = [path for path in cache.versions(family) if str(path) != file.name]
        depth = channels if isinstance(channels, int) else _depth(items, style, [*others, Path(file.name)])
        return first_pass(items, replace(style, channels=depth), tolerate, file, others, costs)

    room = (len(items) if rows is None else rows) * row_bytes(replace(style, channels=1 if channels == 1 else 3))
    return Decoded.of(cache.once(family, items.version, room, make, resume=True))


def first_pass(
    items: Items, style: Style, tolerate: float, file: BinaryIO, others: list[Path], costs: Sequence[int] | None = None
) -> dict[str, Any]:
    """Write the images row after row, with an index; return their channels and a digest of all of them.

    A file that an interruption has left is continued. Items that `others` hold are copied from there.
    """
    keys = items.keys()
    with quiet_pillow(), closing(Earlier(others, style)) as earlier, closing(Draft(file, style, keys)) as draft:
        first = draft.count
        places = earlier.find(keys[first:])
        new = (np.flatnonzero(places < 0) + first).tolist()
        if len(items) - len(new) > 0:
            note(f"{len(items) - len(new):,} of {len(items):,} images were decoded by an earlier pass.")
        make = functools.partial(_row, style)
        results = _in_order(make, items.opened(new), [costs[number] for number in new] if costs else repeat(0))
        with closing(results), progress(len(items), "decoding", "decoded", "images", first) as advance:
            for number, place in enumerate(places.tolist(), first):
                taken = next(results) if place < 0 else earlier.take(place)
                draft.add(make(next(items.opened([number]))) if taken is None else taken)
                # Checked only from here on, because the message names this many items.
                if len(draft.bad) >= NAMED:
                    check_bad(items, draft.bad, tolerate, " so far")
                advance()
        check_bad(items, draft.bad, tolerate)
    contents = hashlib.sha256(f"{style.channels} x {style.size} x {style.size}".encode())
    index = Index.read(Path(file.name), style)
    assert index
    contents.update(index.digests.tobytes())
    return {"channels": style.channels, "contents": contents.hexdigest()}


def check_bad(items: Items, bad: dict[int, str], tolerate: float, when: str = "") -> None:
    """Raise a ConfigError that names the first ten bad items if more are bad than are tolerated."""
    if len(bad) / len(items) > tolerate:
        first = [f"\n  {items.called(number)}: {reason}" for number, reason in list(bad.items())[:NAMED]]
        raise ConfigError(
            f"{len(bad):,} of the {len(items):,} {items.unit} in {items.place} cannot be used{when}, more than "
            f"tolerate={tolerate:g} of them:{''.join(first)}\n"
            "Remove or repair them, or raise data.tolerate to skip them."
        )


def found_channels(sources: Iterable[Source | BadFileError]) -> int:
    """Return 1 if no image has a mode with colours, else 3; stops at the first image with colours."""
    with quiet_pillow():
        # A file without a header is bad and says nothing about colours.
        readable = (source for source in sources if not isinstance(source, BadFileError))
        return 3 if any(is_grey(source) is False for source in readable) else 1


def found_sizes(folder: Path, names: Iterable[str]) -> list[tuple[int, int]]:
    """Return the width and height of each file as its header has them; a rotation may swap them."""
    with quiet_pillow():
        return [size_of(folder / name) for name in names]


def _depth(items: Items, style: Style, others: list[Path]) -> int:
    """Return the channels of all images; those that were decoded as grey ones are not opened again."""
    with closing(Earlier(others, replace(style, channels=1))) as earlier:
        new = np.flatnonzero(earlier.find(items.keys()) < 0)
    return found_channels(items.opened(new.tolist()))


def _row(style: Style, source: Source | BadFileError) -> Row | str:
    """Return an image, or the reason why it cannot be used."""
    try:
        return str(source) if isinstance(source, BadFileError) else Row.of(decode(source, style))
    except BadFileError as error:
        return str(error)


def _in_order(
    function: Callable[[Item], Output], items: Iterable[Item], costs: Iterable[int]
) -> Generator[Output, None, None]:
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
