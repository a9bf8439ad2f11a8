"""Exponential moving averages of weights and buffers, and a way to use a model through them."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager

import torch
from torch import Tensor

from genlab.contract import Model, modules_of
from genlab.training.settings import PlayerSettings


class Average:
    """Exponential moving average; its first steps have a smaller decay, so that the start is soon forgotten."""

    def __init__(self, live: Mapping[str, Tensor], decay: float) -> None:
        self.decay, self.count = decay, 0
        self.live = dict(live)
        self.average = {name: value.detach().clone() for name, value in self.live.items()}
        smooth = [name for name, value in self.live.items() if value.is_floating_point()]
        self._smooth = [self.average[name] for name in smooth], [self.live[name].detach() for name in smooth]
        self._counts = [name for name in self.live if name not in smooth]

    @torch.no_grad()
    def update(self) -> None:
        """Move towards the live weights; integer buffers, such as counts of batches, are copied."""
        decay = min(self.decay, (1 + self.count) / (10 + self.count))
        torch._foreach_lerp_(*self._smooth, 1 - decay)
        for name in self._counts:
            self.average[name].copy_(self.live[name])
        self.count += 1

    @contextmanager
    def worn(self) -> Iterator[None]:
        """Replace the model's weights by the averages inside a `with` block."""
        kept = {name: value.detach().clone() for name, value in self.live.items()}
        self._set(self.average)
        try:
            yield
        finally:
            self._set(kept)

    def restart(self) -> None:
        """Begin again at the live weights."""
        self.restore({name: value.detach() for name, value in self.live.items()}, 0)

    def restore(self, average: Mapping[str, Tensor], count: int) -> None:
        """Restore a saved average and its count."""
        for name, value in self.average.items():
            value.copy_(average[name])
        self.count = count

    @torch.no_grad()
    def _set(self, values: Mapping[str, Tensor]) -> None:
        for name, value in self.live.items():
            value.copy_(values[name])


class Averages:
    """The averages of all players that have one, by names in the model's state.

    A player averages the modules that it owns, weights and buffers. A shared module is averaged by its owner.
    """

    def __init__(self, model: Model, settings: Mapping[str, PlayerSettings]) -> None:
        state = model.state_dict(keep_vars=True)
        self.players: dict[str, Average] = {}
        averaged = set[str]()
        for player, part in model.players().items():
            if not settings[player].ema:
                continue
            modules = [module for module, shared in modules_of(part) if not shared]
            own = {id(value) for module in modules for value in module.state_dict(keep_vars=True).values()}
            live = {name: value for name, value in state.items() if id(value) in own and name not in averaged}
            if live:
                self.players[player] = Average(live, settings[player].ema)
                averaged.update(live)

    def update(self) -> None:
        """Move each average towards the live weights."""
        for average in self.players.values():
            average.update()

    @contextmanager
    def worn(self) -> Iterator[None]:
        """Replace the model's weights by all averages inside a `with` block."""
        with ExitStack() as stack:
            for average in self.players.values():
                stack.enter_context(average.worn())
            yield

    def restart(self) -> None:
        """Begin again at the live weights."""
        for average in self.players.values():
            average.restart()

    def tensors(self) -> dict[str, Tensor]:
        """Return the averages by their names in the model's state."""
        return {name: value for average in self.players.values() for name, value in average.average.items()}

    def counts(self) -> dict[str, int]:
        """Return the number of updates of each player's average."""
        return {player: average.count for player, average in self.players.items()}

    def restore(self, tensors: Mapping[str, Tensor], counts: Mapping[str, int]) -> None:
        """Restore the results of `tensors` and `counts`."""
        for player, average in self.players.items():
            average.restore(tensors, counts[player])
