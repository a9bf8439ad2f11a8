"""A thread that answers one question after the other."""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

from genlab.data.progress import silent

_WAITING = 64
"""Questions that wait at most. A page asks one at a time, so only a misbehaving client gets there."""

T = TypeVar("T")


class BusyError(Exception):
    """Too many questions wait already."""


class Worker:
    """One daemon thread: it never delays the end of the program, unlike the threads of an executor."""

    def __init__(self, name: str) -> None:
        self._queue = queue.Queue[tuple[Future[Any], Callable[[], Any]]](_WAITING)
        threading.Thread(target=self._work, name=name, daemon=True).start()

    def begin(self, work: Callable[[], object]) -> Future[Any]:
        """Do the work in the thread, and return its future result."""
        future = Future[Any]()
        self._queue.put_nowait((future, work))
        return future

    async def do(self, work: Callable[[], T]) -> T:
        """Do the work in the thread and return its result; work that nobody waits for any more is skipped."""
        future = Future[Any]()
        try:
            self._queue.put_nowait((future, work))
        except queue.Full:
            raise BusyError("Too many questions are waiting. Try again in a moment.") from None
        result: T = await asyncio.wrap_future(future)
        return result

    def _work(self) -> None:
        with silent():
            while True:
                self._answer(*self._queue.get())

    def _answer(self, future: Future[Any], work: Callable[[], Any]) -> None:
        if not future.set_running_or_notify_cancel():
            return
        try:
            future.set_result(work())
        except BaseException as error:  # The one who asked handles it.
            future.set_exception(error)
