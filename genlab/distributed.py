"""Processes that train one run together, as torchrun starts them: their ranks, and the messages between them.

In a process of its own there is one rank, and no message is sent.
"""

import os
import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch import distributed as dist

from genlab.registry import RunError

Value = TypeVar("Value")

_PATIENCE = timedelta(hours=12)
"""The time that a process waits for the others: one of them may train a feature network or measure for long.

A process that has ended is noticed at once, whatever this is.
"""
_NAP, _LOOKS = 5e-5, 0.1
"""Seconds between two looks for a message, and for how long it is looked for before the process sleeps."""


class LostError(RunError):
    """Another process of the run has ended."""


@dataclass
class _State:
    alone: bool = False
    """True while this process works by itself, as if there were no others."""
    sharing: bool = False
    """True while a batch is this process's part of a larger one."""
    parent: int = 0
    """The process that has started this one."""
    store: Any = None
    """Values that outlive the processes, if torchrun starts them again."""


_state = _State()


def launched() -> bool:
    """Return True if torchrun, or another launcher of torch.distributed, has started this process."""
    return {"RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT"} <= os.environ.keys()


def processes() -> int:
    """Return the number of processes that were started for this run."""
    return int(os.environ["WORLD_SIZE"]) if launched() else 1


def local_rank() -> int:
    """Return the number of this process among those of its machine."""
    return int(os.environ["LOCAL_RANK"]) if launched() else 0


def local_count() -> int:
    """Return the number of processes on this machine."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", 1)) if launched() else 1


def first() -> bool:
    """Return True for the one process that writes files and prints."""
    return not launched() or os.environ["RANK"] == "0"


def count() -> int:
    """Return the number of processes that work together now."""
    return 1 if _state.alone or not dist.is_initialized() else dist.get_world_size()


def rank() -> int:
    """Return the number of this process among those that work together now."""
    return 0 if _state.alone or not dist.is_initialized() else dist.get_rank()


def join(device: torch.device) -> None:
    """Meet the other processes; on GPUs they talk through NCCL, and through gloo about what is on the CPU."""
    if processes() == 1 or dist.is_initialized():
        return
    _state.parent = os.getppid()
    if device.type == "cuda":
        torch.cuda.set_device(device)
    # torchrun keeps one store for all starts of its processes, with the values of those that have ended. So each start
    # has names of its own in it.
    served = os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True"
    place, port = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
    _state.store = dist.TCPStore(  # type: ignore[attr-defined]
        place, port, is_master=not served and first(), timeout=_PATIENCE
    )
    dist.init_process_group(
        "cuda:nccl,cpu:gloo" if device.type == "cuda" else "gloo",
        store=dist.PrefixStore(  # type: ignore[attr-defined]
            f"start {os.environ.get('TORCHELASTIC_RESTART_COUNT', '0')}", _state.store
        ),
        rank=int(os.environ["RANK"]),
        world_size=processes(),
        timeout=_PATIENCE,
        device_id=device if device.type == "cuda" else None,
    )


def leave() -> None:
    """Part from the other processes, after all of them have come this far."""
    if dist.is_initialized():
        wait()
        dist.destroy_process_group()
        _state.store = None


def abandoned() -> bool:
    """Return True if the process that has started this one together with others has ended, such as by `kill -9`."""
    return count() > 1 and os.getppid() != _state.parent


def say_first(text: str) -> None:
    """Let the other processes know the sentence with which the first one ends."""
    if _state.store is not None:
        with suppress(RuntimeError):
            _state.store.set(_last_words(), text)


def first_says(text: str) -> bool:
    """Return True if the first process ends with this sentence, too, so that no other one has to say it."""
    if _state.store is None:
        return False
    # The first process may have ended, and its store with it.
    with suppress(RuntimeError):
        _state.store.wait([_last_words()], timedelta(seconds=5))
        said: bytes = _state.store.get(_last_words())
        return said.decode() == text
    return False


def _last_words() -> str:
    return f"genlab/said in start {os.environ.get('TORCHELASTIC_RESTART_COUNT', '0')}"


def remember(name: str, value: str) -> None:
    """Keep a value for the processes that torchrun starts if one of these ends early."""
    if _state.store is not None:
        _state.store.set(f"genlab/{name}", value)


def remembered(name: str) -> str | None:
    """Return a value that an earlier start has kept."""
    if _state.store is None or not _state.store.check([f"genlab/{name}"]):
        return None
    value: bytes = _state.store.get(f"genlab/{name}")
    return value.decode()


@contextmanager
def alone() -> Iterator[None]:
    """Work by itself inside a `with` block, as if there were no other processes."""
    before, _state.alone = _state.alone, True
    try:
        yield
    finally:
        _state.alone = before


@contextmanager
def in_turn() -> Iterator[None]:
    """Let the first process of each machine do the work of a `with` block by itself, then all others.

    What the first one stores in the cache folder, the others find.
    """
    if count() == 1:
        yield
        return
    if local_rank() != 0:
        wait()
    with alone():
        yield
    if local_rank() == 0:
        wait()
    wait()


@contextmanager
def sharing() -> Iterator[None]:
    """Treat batches inside a `with` block as parts of larger ones, of which each process has its own rows.

    Random numbers are then drawn for the whole batch, so that they do not depend on the number of processes.
    """
    before, _state.sharing = _state.sharing, True
    try:
        yield
    finally:
        _state.sharing = before


def parts() -> int:
    """Return the number of parts of a batch: 1 if this process has all of its rows."""
    return count() if _state.sharing else 1


def rows(total: int, of: tuple[int, int] | None = None) -> slice:
    """Return the rows of a batch that are this process's part, or part `of[0]` of `of[1]`."""
    number, number_of_parts = of or (rank() if _state.sharing else 0, parts())
    each = total // number_of_parts
    return slice(number * each, (number + 1) * each)


def gathered(values: Tensor) -> Tensor:
    """Return the rows of the whole batch, in its order; gradients flow back to the process that each row is from."""
    if parts() == 1:
        return values
    found: Tensor = _Gathered.apply(values)  # type: ignore[no-untyped-call]
    return found


def averaged(values: Tensor) -> Tensor:
    """Return the mean over the parts of a batch; gradients flow back to all of them."""
    if parts() == 1:
        return values
    return gathered(values.unsqueeze(0)).mean(0)


def average(tensors: Sequence[Tensor]) -> None:
    """Replace tensors by their means over all processes, in one message for each type of numbers."""
    if count() == 1:
        return
    for dtype in dict.fromkeys(tensor.dtype for tensor in tensors):
        some = [tensor for tensor in tensors if tensor.dtype == dtype]
        flat = add(torch.cat([tensor.flatten() for tensor in some])).div_(count())
        means = torch.split(flat, [tensor.numel() for tensor in some])
        torch._foreach_copy_(some, [mean.view_as(tensor) for mean, tensor in zip(means, some, strict=True)])


def add(values: Tensor) -> Tensor:
    """Return the sum over all processes, without gradients; the given tensor is overwritten."""
    if count() > 1:
        _sent(lambda: dist.all_reduce(values, async_op=True), values.is_cuda)
    return values


def stacked(values: Tensor) -> Tensor:
    """Return the values of all processes, one a row, without gradients."""
    found = values.new_empty(count(), *values.shape)
    _sent(lambda: dist.all_gather(list(found.unbind(0)), values.contiguous(), async_op=True), values.is_cuda)
    return found


class Vote:
    """Asks all processes again and again whether a flag is true in any of them.

    With several processes each answer is to the question before, which had the time of a step to travel. So the
    processes agree, and none of them waits.
    """

    def __init__(self) -> None:
        self._flag, self._asked = torch.tensor(0), None

    def any_of(self, flag: bool) -> bool:
        """Return True if the flag is true in any process, or was when they were asked before."""
        if count() == 1:
            return flag
        if self._asked is not None:
            _finish(self._asked)
        answer = bool(self._flag)
        self._flag = torch.tensor(int(flag))
        self._asked = _safely(lambda: dist.all_reduce(self._flag, dist.ReduceOp.MAX, async_op=True))
        return answer


def told(value: Value) -> Value:
    """Return the value of the first process in all of them."""
    if count() == 1:
        return value
    box = [value]
    _safely(lambda: dist.broadcast_object_list(box, 0))
    return box[0]


def collected(value: Value) -> list[Value]:
    """Return the values of all processes, in the order of their ranks."""
    if count() == 1:
        return [value]
    box: list[Any] = [None] * count()
    _safely(lambda: dist.all_gather_object(box, value))
    return box


def wait() -> None:
    """Wait until all processes have come this far."""
    collected(None)


class _Gathered(torch.autograd.Function):
    """The rows of all processes; the gradients that all of them have of a row are added up.

    Gradients can be differentiated again, and torch.func can take them.
    """

    @staticmethod
    def forward(values: Tensor) -> Tensor:
        return stacked(values).flatten(0, 1)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor], output: Tensor) -> None:
        pass

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        found: Tensor = _Returned.apply(gradient)  # type: ignore[no-untyped-call]
        return found


class _Returned(torch.autograd.Function):
    """The sum over all processes of what they have for our rows: the adjoint of `_Gathered`."""

    @staticmethod
    def forward(gradient: Tensor) -> Tensor:
        own = len(gradient) // count()
        return add(gradient.contiguous().clone())[rank() * own :][:own]

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor], output: Tensor) -> None:
        pass

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        found: Tensor = _Gathered.apply(gradient)  # type: ignore[no-untyped-call]
        return found


def _sent(send: Callable[[], Any], on_gpu: bool) -> None:
    """Send a message about tensors, and wait for those of all processes."""
    _finish(_safely(send), on_gpu)


def _finish(message: Any, on_gpu: bool = False) -> None:
    """Wait until all processes have sent their part of a message."""

    def finish() -> None:
        # A CPU's process that sleeps until it is woken is woken up to 4 ms late where as many processes work as there
        # are cores. Looking again and again halves the time of a message. On a GPU this only queues the wait.
        deadline = time.perf_counter() + _LOOKS
        while not on_gpu and not message.is_completed() and time.perf_counter() < deadline:
            time.sleep(_NAP)
        message.wait()

    _safely(finish)


def _safely(work: Callable[[], Value]) -> Value:
    """Work with the other processes; raise a LostError if one of them has ended."""
    try:
        return work()
    except RuntimeError as error:  # gloo and NCCL raise this, or a class below it
        reason = str(error).strip().split("\n")[0]
        if not re.search("connection|broken pipe|abort|closed|tim(ed |e)out|remote", reason, re.IGNORECASE):
            raise
        raise LostError("Another process of this run has ended, so this one stops, too.") from error
