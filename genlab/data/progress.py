"""How far a work of many equal parts has come, as it fits the place where it is shown."""

import functools
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_SECONDS_BETWEEN_LINES = 5.0


@contextmanager
def progress(total: int, doing: str, done: str, parts: str) -> Iterator[Callable[[], None]]:
    """A bar on a terminal, a line every few seconds elsewhere: `decoding`, `decoded`, `images`."""
    if sys.stderr.isatty():
        with _bar(total, doing) as advance:
            yield advance
        return
    count, spoke = 0, time.monotonic()

    def advance_plainly() -> None:
        nonlocal count, spoke
        count += 1
        if time.monotonic() - spoke > _SECONDS_BETWEEN_LINES:
            spoke = time.monotonic()
            print(f"{done} {count:,} of {total:,} {parts}", file=sys.stderr, flush=True)

    yield advance_plainly


@contextmanager
def _bar(total: int, doing: str) -> Iterator[Callable[[], None]]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn(doing), MofNCompleteColumn(), BarColumn(bar_width=None), TimeRemainingColumn())
    # Lines that are printed meanwhile go above the bar, but not where they are written to a file or a pipe.
    above = sys.stdout.isatty()
    terminal = Console(stderr=True)
    with Progress(*columns, console=terminal, expand=True, transient=True, redirect_stdout=above) as bar:
        task = bar.add_task("", total=total)
        yield functools.partial(bar.advance, task)
