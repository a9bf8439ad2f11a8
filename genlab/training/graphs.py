"""CUDA graphs: a move that has run a few times is recorded, and from then on replayed as one launch.

A small network's move is a hundred small kernels, which a GPU finishes sooner than Python can launch them.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from genlab.contract import Batch, Turn
from genlab.training.players import Player

_WARM_UP = 3
"""Moves of each kind that run before one is recorded: they compile, choose kernels and make the optimizer's state."""


class Moved(NamedTuple):
    """The result of a move."""

    shown: dict[str, Tensor]
    """Scalars to log."""
    finite: Tensor
    handed_on: Batch


Move = Callable[[Batch], Moved]
Recorder = Callable[[Callable[[], Moved], torch.device], tuple[Callable[[], None], Moved]]
"""Records a move without executing it; returns a function that executes it, and the tensors that it then fills."""


@dataclass
class _Recorded:
    """A recorded move: its inputs lie at fixed addresses, and so do its results."""

    batch: Batch
    replay: Callable[[], None]
    moved: Moved


class Graphs:
    """The recorded moves of a run: one for each turn and each set of shapes."""

    def __init__(self, device: torch.device, recorder: Recorder | None = None) -> None:
        self.device, self.notices = device, list[str]()
        self._recorder = recorder or record
        self._recorded: dict[object, _Recorded] = {}
        self._moves: dict[object, int] = {}
        self._refused: set[object] = set()
        self._stream: torch.cuda.Stream | None = None

    def move(self, turn: Turn, player: Player, step: int, batch: Batch, move: Move) -> Moved:
        """Let a player move: by `move` at first, and by a replay of it later."""
        key = (turn.loss, tuple((name, value.shape, value.dtype, value.stride()) for name, value in batch.items()))
        # Outside of the recording, in which a number would be the same forever.
        player.keep_rate_on_device()
        player.set_rate(step)
        if key in self._recorded:
            return self._replayed(self._recorded[key], batch)
        self._moves[key] = self._moves.get(key, 0) + 1
        if key not in self._refused and self._moves[key] > _WARM_UP:
            try:
                self._recorded[key] = self._record(batch, move)
            except RuntimeError as error:
                # The move was not executed, but what it has noted on the way must go.
                player.optimizer.zero_grad()
                self._refused.add(key)
                name, reason = getattr(turn.loss, "__name__", "A loss"), str(error).strip().split("\n")[0][:200]
                self.notices.append(f"{name} cannot be recorded as a CUDA graph, so it runs step by step: {reason}")
            else:
                return self._replayed(self._recorded[key], batch)
        return self._beside(move, batch)

    def unsaid(self) -> list[str]:
        """Return sentences for the user that were not returned before."""
        found, self.notices = self.notices, []
        return found

    def _record(self, batch: Batch, move: Move) -> _Recorded:
        fixed = {name: value.clone() for name, value in batch.items()}
        replay, moved = self._recorder(lambda: move(fixed), self.device)
        return _Recorded(fixed, replay, moved)

    def _replayed(self, recorded: _Recorded, batch: Batch) -> Moved:
        for name, value in recorded.batch.items():
            value.copy_(batch[name])
        recorded.replay()
        return recorded.moved

    def _beside(self, move: Move, batch: Batch) -> Moved:
        """Move on a stream of its own, as a recording does; on the default stream, torch could not record it later."""
        if self.device.type != "cuda":
            return move(batch)
        here = torch.cuda.current_stream(self.device)
        if self._stream is None:
            self._stream = torch.cuda.Stream(self.device)  # type: ignore[no-untyped-call]
        beside = self._stream
        beside.wait_stream(here)
        with torch.cuda.stream(beside):
            moved = move(batch)
        here.wait_stream(beside)
        return moved


def record(run: Callable[[], Moved], device: torch.device) -> tuple[Callable[[], None], Moved]:
    """Record a move as a CUDA graph.

    torch registers its default generator with the graph. A replay takes the seed that the generator has then, so each
    step has the random numbers of an eager one.
    """
    graph = torch.cuda.CUDAGraph()
    # Threads that prepare batches allocate memory meanwhile, which the default mode would take for a mistake.
    with torch.cuda.device(device), torch.cuda.graph(graph, capture_error_mode="thread_local"):
        moved = run()
    return graph.replay, moved
