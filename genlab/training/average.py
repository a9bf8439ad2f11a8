"""A moving average of a model's weights and buffers, and a way to look through it."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn


class Average:
    """Exponential moving average; its first steps forget faster, so that the start is not remembered."""

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay, self.count = decay, 0
        self.live = dict(model.state_dict(keep_vars=True))
        self.average = {name: value.detach().clone() for name, value in self.live.items()}
        smooth = [name for name, value in self.live.items() if value.is_floating_point()]
        self._smooth = [self.average[name] for name in smooth], [self.live[name].detach() for name in smooth]
        self._counts = [name for name in self.live if name not in smooth]

    @torch.no_grad()
    def update(self) -> None:
        """Move towards the live weights; buffers that count are copied."""
        decay = min(self.decay, (1 + self.count) / (10 + self.count))
        torch._foreach_lerp_(*self._smooth, 1 - decay)
        for name in self._counts:
            self.average[name].copy_(self.live[name])
        self.count += 1

    @contextmanager
    def worn(self) -> Iterator[None]:
        """Inside, the model's weights are the averages."""
        kept = {name: value.detach().clone() for name, value in self.live.items()}
        self._wear(self.average)
        try:
            yield
        finally:
            self._wear(kept)

    def restore(self, average: Mapping[str, Tensor], count: int) -> None:
        """Put back a saved average and its count."""
        for name, value in self.average.items():
            value.copy_(average[name])
        self.count = count

    @torch.no_grad()
    def _wear(self, values: Mapping[str, Tensor]) -> None:
        for name, value in self.live.items():
            value.copy_(values[name])
