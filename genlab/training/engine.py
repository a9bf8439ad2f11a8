"""Execution of a turn: device, precision, compilation and memory format."""

import ctypes
import os
import sys
import warnings
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn

from genlab import distributed
from genlab.contract import Batch, Model, Result, Turn
from genlab.registry import ConfigError
from genlab.training.compilation import Compiler, pays
from genlab.training.players import Players
from genlab.training.settings import Choice, TrainerSettings

_FEW = 1000
"""Steps of a training in which compilation does not pay on a CPU, whatever the model."""


def devices() -> list[str]:
    """Return the devices that this machine has, the fastest first."""
    cuda = [f"cuda:{index}" for index in range(torch.cuda.device_count())] if torch.cuda.is_available() else []
    mps = ["mps"] if torch.backends.mps.is_available() else []
    return [*cuda, *mps, "cpu"]


def choose_device(name: str) -> torch.device:
    """Return the device of this name; `auto` is the fastest one."""
    there, own = devices(), f"cuda:{distributed.local_rank()}"
    chosen = (own if "cuda:0" in there else there[0]) if name == "auto" else own if name == "cuda" else name
    if chosen not in there and chosen == own and distributed.local_rank():
        raise ConfigError(
            f"{distributed.local_count()} processes need a GPU each, and this machine has {torch.cuda.device_count()}. "
            "Start fewer, or set device=cpu."
        )
    if chosen not in there:
        raise ConfigError(f"There is no device {name!r} here. Available: {', '.join(there)}")
    return torch.device(chosen)


def keep_freed_memory() -> None:
    """Let glibc keep freed memory: a step frees and takes megabytes, and page faults took a quarter of its time."""
    if not sys.platform.startswith("linux"):
        return
    try:
        set_option = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):  # a C library other than glibc
        return
    trim_threshold, mmap_threshold = -1, -3
    set_option(mmap_threshold, 2**30)
    set_option(trim_threshold, 2**31 - 1)


class Engine:
    """Device, precision, compilation and memory format of a training, with every `auto` decided."""

    def __init__(self, device: torch.device, settings: TrainerSettings, model: nn.Module) -> None:
        self.device = device
        on_gpu = device.type == "cuda"
        convolves = any(isinstance(module, nn.Conv2d | nn.ConvTranspose2d) for module in model.modules())
        self.channels_last = convolves if settings.channels_last == "auto" else settings.channels_last
        automatic = settings.precision == "auto"
        self.bfloat16 = has_bfloat16(device) if automatic else settings.precision == "bfloat16"
        # Other devices have no TF32 and compute in float32.
        self.tf32 = settings.precision == "tf32" and on_gpu
        self.deterministic = settings.deterministic
        # `auto` is no until a GPU has shown what it gains; several processes send messages, which are not recorded.
        self.graphs = settings.cuda_graphs is True and on_gpu and distributed.processes() == 1
        if on_gpu:
            set_tf32(self.tf32)
            set_deterministic(self.deterministic)
        elif device.type == "cpu":
            keep_freed_memory()
        self.compile: bool | None = settings.compile if settings.compile != "auto" else on_gpu or None
        """None until `settle` has found out if compilation pays."""
        self._compiler: Compiler | None = None
        self._notices: list[str] = []
        if self.compile:
            self.compile = self._compiling().works()
        model.to(device)
        if self.channels_last:
            model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def describe(self) -> dict[str, str]:
        """Return the choice for every `auto`."""
        name = torch.cuda.get_device_name(self.device) if self.device.type == "cuda" else ""
        compiled = self._compiling().extent if self.compile else "if it pays" if self.compile is None else "no"
        return {
            "device": f"{self.device} {name}".strip(),
            "precision": "bfloat16" if self.bfloat16 else "TF32" if self.tf32 else "float32",
            "compiled": compiled,
            "memory": "channels last" if self.channels_last else "contiguous",
            "deterministic": self._exactness(),
            "cuda_graphs": "yes" if self.graphs else "no",
        }

    def unsaid(self) -> list[str]:
        """Return sentences for the user that were not returned before: what was tried, and what does not work."""
        notices = self._compiler.notices if self._compiler else []
        found, self._notices = [*self._notices, *notices], []
        notices.clear()
        return found

    def facts(self) -> dict[str, bool | None]:
        """Return what a resumed run must take over: on a CPU, if compilation pays is found by a clock."""
        return {"compiled": self.compile if self.device.type == "cpu" else None}

    def take_over(self, facts: Mapping[str, bool | None]) -> None:
        """Take over the facts of an earlier part of the run; earlier versions kept none, and compiled nothing."""
        if self.compile is None:
            self.compile = facts.get("compiled", False)

    def expect(self, steps: int) -> None:
        """Do not compile a short training, if that is open."""
        if self.compile is None and (steps < _FEW or self.device.type != "cpu" or distributed.processes() > 1):
            self.compile = False

    def settle(self, model: Model, players: Players, deal: Callable[[], Batch], step: int, left: int) -> None:
        """Find out if compilation pays in the steps that are left, if that is open; the model stays as it is."""
        if self.compile is not None:
            return
        kept, batch = {name: value.clone() for name, value in model.state_dict().items()}, deal()

        def rehearse(compiled: bool) -> None:
            self.compile, seen = compiled, batch
            for turn in model.turns(step):
                player = players.give_floor(turn.player)
                for _ in range(turn.repeat):
                    result = self.result(turn, seen)
                    result.loss.backward()  # type: ignore[no-untyped-call]
                    player.optimizer.zero_grad()
                seen = seen | {name: value.detach() for name, value in result.handed_on.items()}

        self.compile, said = pays(rehearse, self._compiling().works, left)
        self._notices += [said] if said else []
        # Buffers, such as running statistics, have moved.
        model.load_state_dict(kept)

    def autocast(self) -> torch.autocast:
        """Return a context with the precision of the forward pass."""
        return torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.bfloat16)

    def arrange(self, batch: Batch) -> Batch:
        """Return a batch whose images have the memory format of the weights; the given one stays as it is."""
        if not self.channels_last:
            return batch
        images = {name: value for name, value in batch.items() if value.dim() == 4 and value.is_floating_point()}
        return batch | {name: value.contiguous(memory_format=torch.channels_last) for name, value in images.items()}

    def result(self, turn: Turn, batch: Batch) -> Result:
        """Compute a turn's loss on a batch; the loss is compiled once if compilation is on."""
        with self.autocast():
            if self.compile and not turn.eager:
                return self._compiling().result(turn.loss, batch)
            return turn.loss(batch)

    def _compiling(self) -> Compiler:
        """Return the compiler of this run, which is made when it is needed first."""
        self._compiler = self._compiler or Compiler(self.device)
        return self._compiler

    def _exactness(self) -> str:
        """Return if the same step gives the same bits again."""
        if self.device.type == "cpu":
            return "yes"
        on_gpu = self.device.type == "cuda" and self.deterministic
        return "no" if not on_gpu else "where possible" if self.deterministic == "auto" else "yes"


def has_bfloat16(device: torch.device) -> bool:
    """Return True for a GPU that computes in bfloat16; older ones only imitate it, and are slower for it."""
    if device.type != "cuda":
        return False
    with torch.cuda.device(device):
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))


def set_tf32(on: bool) -> None:
    """Let a GPU round the factors of float32 products to 10 bits, or not; torch does so in convolutions only."""
    backends: Any = torch.backends
    with warnings.catch_warnings():
        # The older names, too: torch refuses to read one that contradicts the newer ones.
        warnings.simplefilter("ignore")
        backends.cuda.matmul.allow_tf32 = backends.cudnn.allow_tf32 = on
    for operations in (backends.cuda.matmul, backends.cudnn.conv, backends.cudnn.rnn):
        operations.fp32_precision = "tf32" if on else "ieee"


def set_deterministic(choice: Choice) -> None:
    """Use only kernels of a GPU that add in the same order each time; `auto` accepts others where there are none."""
    if choice:
        # cuBLAS reads this when it is used first.
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        # Memory that is not set yet is not read, so filling it would only cost time.
        torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    if choice == "auto":
        warnings.filterwarnings("ignore", ".*does not have a deterministic implementation")
    torch.use_deterministic_algorithms(bool(choice), warn_only=choice == "auto")
    torch.backends.cudnn.deterministic = bool(choice)
