"""Compilation of losses: each is compiled once, and what cannot be compiled runs as it is and says so."""

import time
from collections.abc import Callable
from typing import Any, Literal

import torch
from torch import Tensor

from genlab.contract import Batch, Result

Loss = Callable[[Batch], Result]
Extent = Literal["whole", "pieces", "eager"]
_OPTIONS: dict[str, Any] = {"fallback_random": True}
"""Compiled losses draw the same random numbers as eager ones."""
WORTH_TRYING = 200.0
"""Seconds of training from which a trial can pay on a CPU: it costs up to 20 seconds, and often saves a tenth."""
_ROUNDS, _LONGEST = 5, 4.0
_SHARE = 0.97
"""A compiled step must take at most this share of an eager one; smaller gains drown in the noise of a clock."""


class Compiler:
    """The compiled losses of one run."""

    def __init__(self, device: torch.device) -> None:
        self.notices: list[str] = []
        """Sentences about what could not be compiled."""
        self._device = device
        self._losses: dict[Loss, tuple[Extent, Loss]] = {}
        # torch counts the versions of a piece of code over all runs of a process, and gives up at the ninth.
        torch.compiler.reset()

    @property
    def extent(self) -> str:
        """The losses that are compiled, as far as they have been computed: `yes` for all, else `in part` or `no`."""
        found = {extent for extent, _ in self._losses.values()}
        return "yes" if found <= {"whole"} else "no" if found == {"eager"} else "in part"

    def works(self) -> bool:
        """Return True if something can be compiled here; note the reason if not."""

        def double(values: Tensor) -> Tensor:
            return values * 2

        try:
            compiled: Any = torch.compile(double)
            compiled(torch.ones(2, device=self._device))
        except Exception as error:  # a missing compiler shows in many ways
            self.notices.append(f"torch.compile does not work here, so nothing is compiled: {_reason(error)}")
            return False
        return True

    def result(self, loss: Loss, batch: Batch) -> Result:
        """Compute a loss, after compiling it at the first time."""
        if loss not in self._losses:
            # With fixed shapes, the result for a shape does not depend on the shapes that came before.
            self._losses[loss] = "whole", torch.compile(loss, fullgraph=True, dynamic=False, options=_OPTIONS)
        extent, compiled = self._losses[loss]
        try:
            return compiled(batch)
        except Exception as error:
            if extent == "eager" or not _is_of_compiler(error):
                raise
            self._give_up(loss, extent, error)
        return self.result(loss, batch)

    def _give_up(self, loss: Loss, extent: Extent, error: Exception) -> None:
        """Compile a loss in pieces if it is not one graph; if that is no way out, let it run as it is."""
        from torch._dynamo.exc import Unsupported

        name = getattr(loss, "__name__", "A loss")
        if isinstance(error, Unsupported) and extent == "whole":
            self._losses[loss] = "pieces", torch.compile(loss, dynamic=False, options=_OPTIONS)
            self.notices.append(f"{name} is compiled in pieces, not as one graph: {_reason(error)}")
        else:
            self._losses[loss] = "eager", loss
            self.notices.append(f"{name} is not compiled: {_reason(error)}")


def pays(
    step: Callable[[bool], None],
    works: Callable[[], bool],
    left: int,
    clock: Callable[[], float] = time.perf_counter,
) -> tuple[bool, str]:
    """Return True if the steps that are left repay their compilation, and a sentence about the trial if there was one.

    `step(compiled)` computes losses and gradients of a step. `works()` says if there is a compiler.
    """
    step(False)
    eager = min(_seconds(step, False, clock) for _ in range(3))
    if left * eager < WORTH_TRYING or not works():
        return False, ""
    step(True)
    rounds, began, compiled = 0, clock(), float("inf")
    while rounds < _ROUNDS and clock() - began < _LONGEST:
        compiled = min(compiled, _seconds(step, True, clock))
        eager = min(eager, _seconds(step, False, clock))
        rounds += 1
    chosen = compiled < _SHARE * eager
    times = f"{eager * 1000:.3g} ms eager and {compiled * 1000:.3g} ms compiled"
    return chosen, f"A step's losses and gradients take {times}, so they are {'' if chosen else 'not '}compiled."


def _seconds(step: Callable[[bool], None], compiled: bool, clock: Callable[[], float]) -> float:
    began = clock()
    step(compiled)
    return clock() - began


def _is_of_compiler(error: Exception) -> bool:
    """Return True if the compiler raised this; an error of the loss itself is raised again when it runs uncompiled."""
    from torch._dynamo.exc import FailOnRecompileLimitHit, TorchDynamoException

    return isinstance(error, TorchDynamoException | FailOnRecompileLimitHit)


def _reason(error: Exception) -> str:
    first, *others = str(error).strip().split("\n")
    return f"{first} {others[0]}"[:200] if others and first.endswith(":") else first[:200]
