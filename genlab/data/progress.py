"""Progress of work that consists of many equal parts."""

import functools
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_SECONDS_BETWEEN_LINES = 5.0
_shown = ContextVar("shown", default=True)


@contextmanager
def silent() -> Iterator[None]:
    """Show no progress inside a `with` block."""
    before = _shown.set(False)
    try:
        yield
    finally:
        _shown.reset(before)


def note(sentence: str) -> None:
    """Print a sentence about work that shows its progress."""
    if _shown.get():
        print(sentence, file=sys.stderr, flush=True)


@contextmanager
def progress(total: int, doing: str, done: str, parts: str, before: int = 0) -> Iterator[Callable[[], None]]:
    """Show a bar on a terminal and a line every few seconds elsewhere; call what is yielded after each part.

    The words are, for example, `decoding`, `decoded` and `images`. `before` parts were done earlier.
    """
    if not _shown.get():
        yield lambda: None
        return
    if sys.stderr.isatty():
        with _bar(total, doing, before) as advance:
            yield advance
        return
    count, last_line = before, time.monotonic()

    def advance_plainly() -> None:
        nonlocal count, last_line
        count += 1
        if time.monotonic() - last_line > _SECONDS_BETWEEN_LINES:
            last_line = time.monotonic()
            print(f"{done} {count:,} of {total:,} {parts}", file=sys.stderr, flush=True)

    yield advance_plainly


@contextmanager
def _bar(total: int, doing: str, before: int) -> Iterator[Callable[[], None]]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn(doing), MofNCompleteColumn(), BarColumn(bar_width=None), TimeRemainingColumn())
    # Lines that are printed meanwhile go above the bar, unless they are written to a file or a pipe.
    above = sys.stdout.isatty()
    terminal = Console(stderr=True)
    with Progress(*columns, console=terminal, expand=True, transient=True, redirect_stdout=above) as bar:
        task = bar.add_task("", total=total, completed=before)
        yield functools.partial(bar.advance, task)
