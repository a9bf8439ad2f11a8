"""Device, precision, compile, memory format: how a turn is run, not what it does."""

import ctypes
import sys
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from genlab.contract import Batch, Terms, Turn
from genlab.registry import ConfigError
from genlab.training.settings import TrainerSettings


def devices() -> list[str]:
    """The devices that this machine has, the fastest first."""
    cuda = [f"cuda:{index}" for index in range(torch.cuda.device_count())] if torch.cuda.is_available() else []
    mps = ["mps"] if torch.backends.mps.is_available() else []
    return [*cuda, *mps, "cpu"]


def choose_device(name: str) -> torch.device:
    """The device of this name; `auto` is the fastest that is there."""
    there = devices()
    chosen = there[0] if name == "auto" else "cuda:0" if name == "cuda" else name
    if chosen not in there:
        raise ConfigError(f"There is no device {name!r} here. There is: {', '.join(there)}")
    return torch.device(chosen)


def keep_freed_memory() -> None:
    """Let glibc keep what is freed: a step frees and takes megabytes, and a quarter of it went into page faults."""
    if not sys.platform.startswith("linux"):
        return
    try:
        set_option = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):  # another libc
        return
    trim_threshold, mmap_threshold = -1, -3
    set_option(mmap_threshold, 2**30)
    set_option(trim_threshold, 2**31 - 1)


class Engine:
    """Runs turns on a device, with every `auto` decided."""

    def __init__(self, device: torch.device, settings: TrainerSettings, model: nn.Module) -> None:
        self.device = device
        on_gpu = device.type == "cuda"
        images = any(isinstance(module, nn.Conv2d | nn.ConvTranspose2d) for module in model.modules())
        self.channels_last = images if settings.channels_last == "auto" else settings.channels_last
        half = on_gpu and torch.cuda.is_bf16_supported()
        self.bfloat16 = half if settings.precision == "auto" else settings.precision == "bfloat16"
        self.compile = on_gpu if settings.compile == "auto" else settings.compile
        self.notice = ""
        if self.compile:
            self._try_compiler()
        if device.type == "cpu":
            keep_freed_memory()
        self._compiled: dict[Callable[[Batch], Terms], Callable[[Batch], Terms]] = {}
        model.to(device)
        if self.channels_last:
            model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def describe(self) -> dict[str, str]:
        """What was taken where the settings say `auto`."""
        name = torch.cuda.get_device_name(self.device) if self.device.type == "cuda" else ""
        return {
            "device": f"{self.device} {name}".strip(),
            "precision": "bfloat16" if self.bfloat16 else "float32",
            "compiled": "yes" if self.compile else "no",
            "memory": "channels last" if self.channels_last else "contiguous",
        }

    def autocast(self) -> torch.autocast:
        """The precision of the forward pass."""
        return torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.bfloat16)

    def arrange(self, batch: Batch) -> Batch:
        """The batch in the memory format of the weights."""
        if self.channels_last:
            batch["image"] = batch["image"].contiguous(memory_format=torch.channels_last)
        return batch

    def terms(self, turn: Turn, batch: Batch) -> Terms:
        """The turn's loss on a batch, compiled once a turn where that is wanted."""
        loss = turn.loss
        if self.compile and not turn.eager:
            if loss not in self._compiled:
                self._compiled[loss] = torch.compile(loss)
            loss = self._compiled[loss]
        with self.autocast():
            return loss(self.arrange(batch))

    def _try_compiler(self) -> None:
        def double(values: Tensor) -> Tensor:
            return values * 2

        try:
            compiled: Any = torch.compile(double)
            compiled(torch.ones(2, device=self.device))
        except Exception as error:  # a missing compiler shows in many ways; each means the same here
            self.compile = False
            reason = str(error).strip().split("\n")[0][:200]
            self.notice = f"torch.compile does not work here, so nothing is compiled: {reason}"
