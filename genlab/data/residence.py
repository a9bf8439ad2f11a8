"""Storage of a split during training: on the device, in memory or on disk, and the way of a batch to the device."""

import os
from collections import deque
from collections.abc import Callable, Generator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from genlab.contract import Batch
from genlab.data.dataset import Column
from genlab.registry import RunError

Residence = Literal["auto", "device", "host", "disk"]
Columns = Mapping[str, Column]

_SHARE_OF_DEVICE, _SHARE_OF_MEMORY = 0.4, 0.25
_MOST_ON_CPU = 2**30
"""Bytes of a file that are copied into memory for a CPU; from disk, a larger one is as fast and needs no memory."""
_AHEAD, _THREADS = 4, 2


def choose(wanted: Residence, columns: Columns, device: torch.device) -> Residence:
    """Return where the rows are stored.

    `auto` is the device if they fit well, else the host's memory, or the disk if they are in a file already. On a CPU
    a large file is always read from disk.
    """
    in_file = _in_file(columns)
    if wanted != "auto":
        # Rows that are in no file cannot be read from one, and on a CPU the device's memory is the host's.
        absent = (wanted == "disk" and not in_file) or (wanted == "host" and device.type == "cpu")
        return "device" if absent else wanted
    size = sum(column.rows.numel() * column.rows.element_size() for column in columns.values() if not _small(column))
    most = _SHARE_OF_MEMORY * memory()
    if in_file and size > (min(most, _MOST_ON_CPU) if device.type == "cpu" else most):
        return "disk"
    if device.type == "cuda" and size > _SHARE_OF_DEVICE * torch.cuda.mem_get_info(device)[0]:
        return "host"
    return "device"


def memory() -> int:
    """Return the bytes of memory that this process may use: the machine's, or the limit of its control group."""
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    try:
        return min(machine, int(Path("/sys/fs/cgroup/memory.max").read_text()))
    except (OSError, ValueError):
        return machine


class Resident:
    """Rows on the device: a batch is one gather."""

    def __init__(self, columns: Columns, chosen: Tensor, device: torch.device) -> None:
        # Rows that are in the device's memory already are shared by all splits; otherwise each split has a copy.
        shared = all(column.file is None and column.rows.device == device for column in columns.values())
        self._columns = {
            name: column.rows if shared else column.rows[chosen].to(device) for name, column in columns.items()
        }
        self.rows = (chosen if shared else torch.arange(len(chosen))).to(device)

    def gather(self, rows: Tensor) -> Batch:
        """Return a copy of these rows."""
        return {name: column.index_select(0, rows) for name, column in self._columns.items()}


class Streamed:
    """Rows in the host's memory, or in a file, that are sent to the device batch by batch."""

    def __init__(self, columns: Columns, chosen: Tensor, device: torch.device, *, from_disk: bool) -> None:
        self._device, self._pinned = device, device.type == "cuda"
        copied = _in_file(columns) and not from_disk
        rows = {name: column.rows[chosen] if copied else column.rows for name, column in columns.items()}
        # Columns with one number per item are small, so they are on the device in any case.
        self._resident = {name: rows[name].to(device) for name, column in columns.items() if _small(column)}
        self._streamed = {name: rows[name] for name in columns if name not in self._resident}
        self._files = {
            name: open(column.file, "rb", buffering=0)  # noqa: SIM115
            for name, column in columns.items()
            if name in self._streamed and column.file and from_disk
        }
        self.rows = torch.arange(len(chosen)) if copied else chosen

    def gather(self, rows: Tensor) -> Batch:
        """Return these rows, sent from pinned memory, out of which a GPU reads without waiting for the CPU."""
        batch = {}
        for name, stored in self._streamed.items():
            found = torch.empty((len(rows), *stored.shape[1:]), dtype=stored.dtype, pin_memory=self._pinned)
            if file := self._files.get(name):
                _read(file.fileno(), rows.tolist(), found.numpy().data.cast("B"))
            else:
                torch.index_select(stored, 0, rows, out=found)
            batch[name] = found.to(self._device, non_blocking=True)
        if self._resident:
            there = rows.to(self._device)
            batch |= {name: column.index_select(0, there) for name, column in self._resident.items()}
        return batch


Prepared = tuple[Batch, torch.cuda.Event | None]
"""A batch, and on a GPU the event after which it is complete."""


class Transfer:
    """Makes batches in any thread; on a GPU in a stream of its own, so that copies overlap with computing."""

    def __init__(self, make: Callable[[int], Batch], device: torch.device) -> None:
        self._make = make
        on_gpu = device.type == "cuda"
        self._stream = torch.cuda.Stream(device) if on_gpu else None  # type: ignore[no-untyped-call]
        if self._stream:
            # Columns that are on the device already were copied there by the stream that computes.
            self._stream.wait_stream(torch.cuda.current_stream(device))

    def prepare(self, number: int) -> Prepared:
        """Make a batch, or start its copies to the GPU."""
        if self._stream is None:
            return self._make(number), None
        with torch.cuda.stream(self._stream):
            return self._make(number), self._stream.record_event()

    def handed(self, prepared: Prepared) -> Batch:
        """Return the batch to the current stream, which waits for the copies; the CPU does not wait."""
        batch, event = prepared
        if self._stream and event:
            current = torch.cuda.current_stream(self._stream.device)
            current.wait_event(event)
            for rows in batch.values():
                # Without this, the memory could be used for a later batch while this one is still being read.
                rows.record_stream(current)
        return batch


class Ahead:
    """Prepares the next batches in threads; any other batch is prepared when it is requested."""

    def __init__(self, make: Callable[[int], Batch], device: torch.device | None = None) -> None:
        self._transfer = Transfer(make, device or torch.device("cpu"))
        self._pool = ThreadPoolExecutor(_THREADS, "genlab-loader")
        self._coming: dict[int, Future[Prepared]] = {}

    def get(self, number: int) -> Batch:
        """Return the batch of this number, and start on the next ones."""
        future = self._coming.pop(number, None)
        wanted = range(number + 1, number + 1 + _AHEAD)
        for other in [other for other in self._coming if other not in wanted]:
            self._coming.pop(other).cancel()
        for other in wanted:
            if other not in self._coming:
                self._coming[other] = self._pool.submit(self._transfer.prepare, other)
        return self._transfer.handed(future.result() if future else self._transfer.prepare(number))


def in_turn(make: Callable[[int], Batch], numbers: Sequence[int], device: torch.device) -> Generator[Batch, None, None]:
    """Yield the batches of these numbers; the next few are prepared in threads, which end with the iterator."""
    transfer = Transfer(make, device)
    pool = ThreadPoolExecutor(_THREADS, "genlab-loader")
    waiting: deque[Future[Prepared]] = deque()
    try:
        for number in numbers:
            waiting.append(pool.submit(transfer.prepare, number))
            if len(waiting) > _AHEAD:
                yield transfer.handed(waiting.popleft().result())
        while waiting:
            yield transfer.handed(waiting.popleft().result())
    finally:
        pool.shutdown(cancel_futures=True)


def _in_file(columns: Columns) -> bool:
    return any(column.file is not None for column in columns.values())


def _small(column: Column) -> bool:
    """Return True for a column of single numbers."""
    return column.rows.dim() == 1


def _read(file: int, rows: list[int], into: memoryview) -> None:
    """Read rows of a file one after the other.

    This takes half the time of touching mapped pages, and no memory for them.
    """
    length = len(into) // len(rows)
    for place, row in enumerate(rows):
        part = into[place * length :][:length]
        if os.preadv(file, [part], row * length) != length:
            raise RunError("The file of decoded images ends too early: it was changed during the run.")
