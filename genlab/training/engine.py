"""Execution of a turn: device, precision, compilation and memory format."""

import ctypes
import sys
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from genlab.contract import Batch, Result, Turn
from genlab.registry import ConfigError
from genlab.training.settings import TrainerSettings


def devices() -> list[str]:
    """Return the devices that this machine has, the fastest first."""
    cuda = [f"cuda:{index}" for index in range(torch.cuda.device_count())] if torch.cuda.is_available() else []
    mps = ["mps"] if torch.backends.mps.is_available() else []
    return [*cuda, *mps, "cpu"]


def choose_device(name: str) -> torch.device:
    """Return the device of this name; `auto` is the fastest one."""
    there = devices()
    chosen = there[0] if name == "auto" else "cuda:0" if name == "cuda" else name
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
        half = on_gpu and torch.cuda.is_bf16_supported()
        self.bfloat16 = half if settings.precision == "auto" else settings.precision == "bfloat16"
        self.compile = on_gpu if settings.compile == "auto" else settings.compile
        self.notice = ""
        if self.compile:
            self._try_compiler()
        if device.type == "cpu":
            keep_freed_memory()
        self._compiled: dict[Callable[[Batch], Result], Callable[[Batch], Result]] = {}
        model.to(device)
        if self.channels_last:
            model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def describe(self) -> dict[str, str]:
        """Return the choice for every `auto`."""
        name = torch.cuda.get_device_name(self.device) if self.device.type == "cuda" else ""
        return {
            "device": f"{self.device} {name}".strip(),
            "precision": "bfloat16" if self.bfloat16 else "float32",
            "compiled": "yes" if self.compile else "no",
            "memory": "channels last" if self.channels_last else "contiguous",
        }

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
        loss = turn.loss
        if self.compile and not turn.eager:
            if loss not in self._compiled:
                self._compiled[loss] = torch.compile(loss)
            loss = self._compiled[loss]
        with self.autocast():
            return loss(batch)

    def _try_compiler(self) -> None:
        def double(values: Tensor) -> Tensor:
            return values * 2

        try:
            compiled: Any = torch.compile(double)
            compiled(torch.ones(2, device=self.device))
        except Exception as error:  # a missing compiler shows in many ways
            self.compile = False
            reason = str(error).strip().split("\n")[0][:200]
            self.notice = f"torch.compile does not work here, so nothing is compiled: {reason}"
