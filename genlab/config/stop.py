"""The stop of a sweep whose jobs run in other processes: a file in its folder, which every job looks for."""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any
from uuid import uuid4

SECONDS_BETWEEN_LOOKS = 0.5


def new_file(folder: Path) -> Path:
    """Return the file whose creation stops the sweep that starts now; its jobs may be on other machines."""
    return folder / f".stop-{uuid4().hex[:8]}"


class Stop:
    """The signal that stops a sweep, if there was one."""

    def __init__(self, file: Path, announce: Callable[[int], None]) -> None:
        self.file, self.announce = file, announce
        self.signal: int | None = None
        self._from_terminal = False
        self._over = False

    def _note(self, number: int, _frame: FrameType | None) -> None:
        number, self._from_terminal = signal.SIGINT if self._from_terminal else number, False
        if self.signal is not None and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.signal = number
        self.file.parent.mkdir(parents=True, exist_ok=True)
        self.file.touch()
        self.announce(number)

    @contextmanager
    def listening(self) -> Iterator["Stop"]:
        """Let SIGTERM and the first Ctrl-C create the file inside a `with` block; a second Ctrl-C interrupts at once.

        Ctrl-C in a terminal goes to all processes of the command. The processes that start inside the block do not
        get it: a launcher would kill its jobs before they have saved a checkpoint.
        """
        if threading.current_thread() is not threading.main_thread():
            yield self
            return
        before = {number: signal.signal(number, self._note) for number in (signal.SIGTERM, signal.SIGINT)}
        # A new process inherits which signals are blocked.
        blocked = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
        taker = threading.Thread(target=self._take, args=(threading.get_ident(),), daemon=True)
        taker.start()
        try:
            yield self
            self.file.unlink(missing_ok=True)
        finally:
            self._over = True
            assert taker.ident
            signal.pthread_kill(taker.ident, signal.SIGINT)
            taker.join()
            for number, handler in before.items():
                signal.signal(number, handler)
            signal.pthread_sigmask(signal.SIG_SETMASK, blocked)

    def _take(self, main: int) -> None:
        """Take Ctrl-C for this process, and wake the main thread with a signal that it does not block."""
        while True:
            signal.sigwait([signal.SIGINT])
            if self._over:
                return
            self._from_terminal = True
            signal.pthread_kill(main, signal.SIGTERM)


@contextmanager
def obeying(file: Path) -> Iterator[None]:
    """Stop the training inside a `with` block, as SIGTERM does, as soon as the file exists; used in the job's process.

    Outside of the training loop, SIGTERM raises a KeyboardInterrupt. Slurm's signal before the end of the job's time
    stops the training at a checkpoint, too, and then starts the job again.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    late: list[int] = []
    requeue: Any = signal.getsignal(signal.SIGUSR2)

    def note(number: int, _frame: FrameType | None) -> None:
        late.append(number)
        os.kill(os.getpid(), signal.SIGTERM)

    before = signal.signal(signal.SIGTERM, _interrupt)
    # The process of a job has no terminal. It stays deaf to Ctrl-C between two jobs as well.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if callable(requeue):
        signal.signal(signal.SIGUSR2, note)
    over = threading.Event()
    watch = threading.Thread(target=_watch, args=(file, over), daemon=True)
    watch.start()
    try:
        yield
    finally:
        over.set()
        watch.join()
        signal.signal(signal.SIGTERM, before)
        if callable(requeue):
            signal.signal(signal.SIGUSR2, requeue)
    if late and callable(requeue):
        requeue(late[0], None)


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _watch(file: Path, over: threading.Event) -> None:
    while not over.wait(SECONDS_BETWEEN_LOOKS):
        if file.exists():
            os.kill(os.getpid(), signal.SIGTERM)
            return
