"""Where the pixels of a split live while it is trained on, and how rows of them come to the device."""

import os
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from genlab.contract import Batch
from genlab.data.dataset import Images
from genlab.registry import RunError

Residence = Literal["auto", "device", "host", "disk"]

_SHARE_OF_DEVICE, _SHARE_OF_MEMORY = 0.4, 0.25
_AHEAD, _THREADS = 4, 2


def choose(wanted: Residence, images: Images, device: torch.device) -> Residence:
    """What `auto` takes: the device where the images fit well, else memory, else the disk where they lie already."""
    if wanted != "auto":
        # What lies in no file cannot be read from one, and on a CPU the device's memory is the host's.
        absent = (wanted == "disk" and images.file is None) or (wanted == "host" and device.type == "cpu")
        return "device" if absent else wanted
    size = images.pixels.numel() * images.pixels.element_size()
    if images.file is not None and size > _SHARE_OF_MEMORY * memory():
        return "disk"
    if device.type == "cuda" and size > _SHARE_OF_DEVICE * torch.cuda.mem_get_info(device)[0]:
        return "host"
    return "device"


def memory() -> int:
    """The bytes of memory that this process may have: the machine's, or what its group is held to."""
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    try:
        return min(machine, int(Path("/sys/fs/cgroup/memory.max").read_text()))
    except (OSError, ValueError):
        return machine


class Resident:
    """Images on the device: a batch is one gather."""

    def __init__(self, images: Images, chosen: Tensor, device: torch.device) -> None:
        # Where they lie in memory there already, all splits read the same ones; else each keeps its own.
        here = images.file is None and images.pixels.device == device
        self._pixels = images.pixels if here else images.pixels[chosen].to(device)
        self._labels = _labels_of(images, None if here else chosen, device)
        self.rows = (chosen if here else torch.arange(len(chosen))).to(device)

    def gather(self, rows: Tensor) -> Batch:
        """These rows."""
        batch = {"image": self._pixels.index_select(0, rows)}
        return batch if self._labels is None else {**batch, "label": self._labels.index_select(0, rows)}


class Streamed:
    """Images in the host's memory, or in a file, on their way to the device."""

    def __init__(self, images: Images, chosen: Tensor, device: torch.device, *, from_disk: bool) -> None:
        self._device, self._pinned = device, device.type == "cuda"
        copied = images.file is not None and not from_disk
        self._pixels = images.pixels[chosen] if copied else images.pixels
        self._labels = _labels_of(images, chosen if copied else None, device)
        self._file = open(images.file, "rb", buffering=0) if images.file and from_disk else None  # noqa: SIM115
        self.rows = torch.arange(len(chosen)) if copied else chosen

    def gather(self, rows: Tensor) -> Batch:
        """These rows, from memory out of which a GPU can fetch them by itself."""
        size = (len(rows), *self._pixels.shape[1:])
        found = torch.empty(size, dtype=self._pixels.dtype, pin_memory=self._pinned)
        if self._file:
            _read(self._file.fileno(), rows.tolist(), found.numpy().data.cast("B"))
        else:
            torch.index_select(self._pixels, 0, rows, out=found)
        batch = {"image": found.to(self._device, non_blocking=True)}
        if self._labels is not None:
            batch["label"] = self._labels.index_select(0, rows.to(self._device))
        return batch


class Ahead:
    """Makes what will be asked for next, in threads; what was not foreseen is made at once."""

    def __init__(self, make: Callable[[int], Batch]) -> None:
        self._make = make
        self._pool = ThreadPoolExecutor(_THREADS, "genlab-loader")
        self._coming: dict[int, Future[Batch]] = {}

    def get(self, number: int) -> Batch:
        """What `make` gives for this number; the next ones are begun."""
        future = self._coming.pop(number, None)
        wanted = range(number + 1, number + 1 + _AHEAD)
        for other in [other for other in self._coming if other not in wanted]:
            self._coming.pop(other).cancel()
        for other in wanted:
            if other not in self._coming:
                self._coming[other] = self._pool.submit(self._make, other)
        return future.result() if future else self._make(number)


def _labels_of(images: Images, chosen: Tensor | None, device: torch.device) -> Tensor | None:
    """The labels of the chosen images, or of all, on the device."""
    if images.labels is None:
        return None
    return (images.labels if chosen is None else images.labels[chosen]).to(device)


def _read(file: int, rows: list[int], into: memoryview) -> None:
    """Rows of a file one after the other: reading takes half the time of faulting mapped pages in, and no memory."""
    length = len(into) // len(rows)
    for place, row in enumerate(rows):
        part = into[place * length :][:length]
        if os.preadv(file, [part], row * length) != length:
            raise RunError("The file of decoded images ends too soon: it was changed while it was read.")
