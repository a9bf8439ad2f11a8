"""Styles of the layers of a model: which layers are meant, and items from styles in batches."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from genlab.contract import Batch, Styles, home
from genlab.registry import ConfigError

if TYPE_CHECKING:
    from genlab.lab.run import Run

_AT_ONCE = 64
"""Items that are decoded at once."""


def styled(run: Run) -> Styles:
    """Return the model of a run as one with styles; raise a ConfigError if it has none."""
    if not isinstance(run.model, Styles):
        raise run._cannot("mix styles: that takes a model such as stylegan")
    return run.model


def layers_of(layers: str | Sequence[int], count: int) -> tuple[int, ...]:
    """Return the numbers of layers from a text such as `4-7` or `0,2,5-6`, or as they are given."""
    advice = f"Layers are numbered from 0 (coarse) to {count - 1} (fine), such as 0-{max(1, count // 2 - 1)}."
    if isinstance(layers, str):
        parts = [re.fullmatch(r"\s*(\d+)\s*(?:-\s*(\d+)\s*)?", part) for part in layers.split(",")]
        if not all(parts):
            raise ConfigError(f"layers must be numbers and ranges, got {layers!r}. {advice}")
        ends = [(int(part[1]), int(part[2] or part[1])) for part in parts if part]
        # A range beyond the last layer is refused below, whatever its length.
        numbers = [number for first, last in ends for number in range(first, min(last, count) + 1)]
    else:
        numbers = [int(layer) for layer in layers]
    if not numbers or min(numbers) < 0 or max(numbers) >= count:
        raise ConfigError(f"There are {count} layers, got layers {_named(layers)}. {advice}")
    return tuple(sorted(set(numbers)))


def spread(styles: Tensor, count: int) -> Tensor:
    """Give every layer the same style: N x S becomes N x layers x S."""
    return styles.unsqueeze(1).repeat(1, count, 1) if styles.dim() == 2 else styles


@torch.no_grad()
def styles_of(run: Run, codes: Tensor, condition: Batch) -> Tensor:
    """Return the style of each code, N x S, on the CPU."""
    model, place = styled(run), home(run.model)
    return model.styles(codes.to(place), {name: values.to(place) for name, values in condition.items()}).float().cpu()


@torch.no_grad()
def mean_style(run: Run, condition: Batch) -> Tensor:
    """Return the mean style, 1 x S, or that of each item's class, N x S, on the CPU."""
    model, place = styled(run), home(run.model)
    return model.mean_style({name: values.to(place) for name, values in condition.items()}).float().cpu()


@torch.no_grad()
def decoded(run: Run, styles: Tensor) -> Tensor:
    """Decode styles in batches: N x S, or N x layers x S."""
    model, place = styled(run), home(run.model)
    return torch.cat([model.decode_styles(part.to(place)).float().cpu() for part in torch.split(styles, _AT_ONCE)])


def _named(layers: str | Sequence[int]) -> str:
    return layers if isinstance(layers, str) else ", ".join(map(str, layers)) or "none"
