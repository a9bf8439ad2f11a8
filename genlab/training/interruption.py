"""Signals that stop a run: they only set a flag, which the loop reads between two steps."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from genlab import distributed


class Interruption:
    """The signal that stops the run, if there was one."""

    def __init__(self) -> None:
        self.signal: int | None = None

    def __bool__(self) -> bool:
        return self.signal is not None or distributed.abandoned()

    def _note(self, number: int, _frame: FrameType | None) -> None:
        # torchrun sends SIGTERM at the second Ctrl-C. Two SIGTERM do not count: a scheduler may send one to torchrun,
        # which passes it on, and one to each of its processes.
        if self.signal is not None and signal.SIGINT in (number, self.signal):
            raise KeyboardInterrupt
        self.signal = number

    @contextmanager
    def listening(self) -> Iterator["Interruption"]:
        """Let SIGTERM and the first Ctrl-C set the flag inside a `with` block; a second Ctrl-C interrupts at once."""
        # Python allows signal handlers in the main thread only.
        if threading.current_thread() is not threading.main_thread():
            yield self
            return
        before = {number: signal.signal(number, self._note) for number in (signal.SIGTERM, signal.SIGINT)}
        try:
            yield self
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
