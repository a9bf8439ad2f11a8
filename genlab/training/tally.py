"""Sums of the logged terms on the device, which are read once a log line."""

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from genlab.registry import RunError
from genlab.training.checkpoint import Checkpoint, misfit


class NotFiniteError(RunError):
    """A loss or a gradient that was not finite."""

    step = 0
    """The number of the step, counted from 1."""


class _Sum:
    """Sums of one player's terms, the number of moves, and the first step that was not finite (-1 if none)."""

    def __init__(self, player: str, names: list[str], total: Tensor, count: int = 0) -> None:
        self.player, self.names, self.total, self.count = player, names, total, count
        self.bad_step = torch.full((), -1, device=total.device)


class Tally:
    """Sums of each player's terms since the last log line, added up without waiting for the device.

    Each set of terms has sums of its own, so a term that exists in some steps only is averaged over those steps.
    """

    def __init__(self) -> None:
        self.sums: dict[tuple[str, ...], _Sum] = {}

    def add(self, player: str, terms: Mapping[str, Tensor], finite: Tensor, step: int) -> None:
        """Add the terms of one move."""
        values = torch.stack([value.detach() for value in terms.values()])
        key = (player, *terms)
        if key not in self.sums:
            self.sums[key] = _Sum(player, list(terms), torch.zeros(len(terms), device=values.device))
        entry = self.sums[key]
        entry.total.add_(values)
        entry.count += 1
        first = (entry.bad_step < 0) & ~finite
        entry.bad_step = torch.where(first, step, entry.bad_step)

    def check(self) -> None:
        """Raise a NotFiniteError with player, term and step if any move since the last line was not finite."""
        bad = [(int(entry.bad_step), entry) for entry in self.sums.values()]
        step, entry = min((pair for pair in bad if pair[0] >= 0), key=lambda pair: pair[0], default=(-1, None))
        if entry is not None:
            error = NotFiniteError(f"{entry.player}: {_culprit(entry)} was not finite at step {step}.")
            error.step = step
            raise error

    def read(self) -> dict[str, float | None]:
        """Return the mean of each `<player>/<term>` since the last reading, and start again."""
        self.check()
        totals: dict[str, tuple[float, int]] = {}
        for entry in self.sums.values():
            for name, added in zip(entry.names, entry.total.tolist(), strict=True):
                total, count = totals.get(f"{entry.player}/{name}", (0.0, 0))
                totals[f"{entry.player}/{name}"] = (total + added, count + entry.count)
        self.sums.clear()
        means = {name: total / count for name, (total, count) in totals.items()}
        return {name: mean if math.isfinite(mean) else None for name, mean in means.items()}

    def state(self) -> tuple[dict[str, Tensor], list[Any]]:
        """Return the state for a checkpoint, so that a resumed run writes the same next log line."""
        entries = list(self.sums.values())
        tensors = {str(index): entry.total for index, entry in enumerate(entries)}
        return tensors, [[entry.player, entry.names, entry.count] for entry in entries]

    @staticmethod
    def wanted(found: Checkpoint) -> dict[str, Tensor]:
        """Return the names, shapes and types of the sums that a checkpoint must hold, as tensors without content."""
        facts = found.facts.get("tally")
        if not isinstance(facts, list) or not all(map(_is_entry, facts)):
            raise misfit(found, "its tally is not in genlab's format")
        return {str(index): torch.empty(len(names), device="meta") for index, (_, names, _) in enumerate(facts)}

    def restore(self, tensors: dict[str, Tensor], facts: list[Any], device: torch.device) -> None:
        """Restore the result of `state`."""
        self.sums.clear()
        for index, (player, names, count) in enumerate(facts):
            total = tensors[str(index)].to(device, copy=True)
            self.sums[(player, *names)] = _Sum(player, names, total, count)


def _is_entry(fact: Any) -> bool:
    """Return True for a player, the names of its terms and the number of moves."""
    if not isinstance(fact, list) or len(fact) != 3:
        return False
    player, names, count = fact
    texts = isinstance(names, list) and all(isinstance(name, str) for name in [player, *names])
    return texts and type(count) is int and count > 0


def _culprit(entry: _Sum) -> str:
    """Return the term to blame: a part of the loss before the loss, and the loss before its gradient."""
    bad = [name for name, total in zip(entry.names, entry.total.tolist(), strict=True) if not math.isfinite(total)]
    causes = [name for name in bad if name not in ("loss", "gradient_norm")]
    return next(iter(causes or bad), "gradient_norm")
