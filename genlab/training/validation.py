"""Validation of a model while it is trained: metrics of held-out splits, quick evaluations, and previews."""

import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from genlab import distributed
from genlab.contract import Model, Result
from genlab.data import held_out
from genlab.data.dataset import Dataset
from genlab.data.residence import Residence
from genlab.kinds import Exhibit
from genlab.randomness import reseed
from genlab.registry import ConfigError
from genlab.training.average import Averages
from genlab.training.engine import Engine
from genlab.training.previews import preview_count, previews

Metrics = dict[str, float]

SHARE = 0.05
"""The share of the time since the first quick evaluation that later ones can take."""


class Quick:
    """Evaluation that costs more than a validation; it is skipped if it would take more than its share of the time.

    `model.best` can name one of its metrics. The clock decides which validations have them.
    """

    def __init__(
        self,
        measure: Callable[[Model], Metrics],
        higher: Callable[[str], bool],
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        """`measure` is a function of the weights alone; `higher` is true for metrics of which more is better."""
        self._measure, self.higher, self._clock = measure, higher, clock
        self.names: tuple[str, ...] = ()
        self.taken, self.left_out = 0, 0
        self.spent = self._began = self._cost = 0.0

    def prepare(self, model: Model) -> None:
        """Measure once before the time counts, to get the names of the metrics and to load their networks."""
        self.names = tuple(self._measure(model))

    def look(self, model: Model, *, last: bool) -> Metrics:
        """Return the metrics, or none if another look would take more than its share."""
        before = self._clock()
        if self.taken and not last and self.spent + self._cost > SHARE * (before - self._began):
            self.left_out += 1
            return {}
        metrics = self._measure(model)
        after = self._clock()
        self._cost = after - before
        if self.taken:
            self.spent += self._cost
        else:
            self._began = after
        self.taken += 1
        return metrics

    def summary(self) -> str:
        """Return a sentence that says how often the metrics were measured."""
        every = self.taken + self.left_out
        return f"{', '.join(self.names)}: measured at {self.taken} of {every} validations; more take too much time."


class Validation:
    """Metrics and previews of held-out items: the same items in the same order, with the same noise each time."""

    def __init__(
        self,
        model: Model,
        dataset: Dataset,
        batch_size: int,
        *,
        seed: int,
        engine: Engine,
        averages: Averages,
        residence: Residence,
        quick: Quick | None = None,
    ) -> None:
        self.model, self.seed, self.engine, self.averages, self.quick = model, seed, engine, averages, quick
        self.kinds = dataset.kinds
        self.splits = {
            split: dataset.batches(split, batch_size, device=engine.device, residence=residence)
            for split in ("validation", "test")
            if len(dataset.splits[split])
        }
        shown = "validation" if "validation" in self.splits else "train"
        rows = held_out.spread(dataset, shown, preview_count(dataset.kinds))
        self.gallery = engine.arrange(next(held_out.batches(dataset, rows, engine.device, len(rows))))

    def check_best(self, best: str | None) -> None:
        """Raise a ConfigError if the metric that chooses the best checkpoint is not measured, before hours of work."""
        with self.looking():
            names = list(_metrics_of(self.model.validate(self.gallery)))
            if self.quick:
                self.quick.prepare(self.model)
                names += self.quick.names
        if best and best not in names:
            more = "" if self.quick else " trainer.evaluate=quick measures others."
            raise ConfigError(f"best must be a metric of the validation ({', '.join(names)}), got {best!r}.{more}")

    def measure(self, split: str, *, last: bool = False) -> Metrics:
        """Return the model's own metrics, averaged over every item of a split; nothing if the split is empty."""
        if split not in self.splits:
            return {}
        with self.looking():
            metrics = _weighted_means(distributed.collected(self._measured(split)))
            if self.quick and split == "validation":
                metrics |= self._look(self.quick, last)
        return metrics

    def _measured(self, split: str) -> list[tuple[int, int, dict[str, float]]]:
        """Return the number, the size and the metrics of each batch; several processes share the batches."""
        first, every = distributed.rank(), distributed.count()
        found = []
        for place, batch in enumerate(self.splits[split].once(first, every)):
            number = first + every * place
            reseed(self.engine.device, self.seed, split, number)
            metrics = _metrics_of(self.model.validate(self.engine.arrange(batch)))
            found.append(
                (number, len(batch["x"]), list(metrics), torch.stack([value.float() for value in metrics.values()]))
            )
        # Read at the end: reading each batch would make it wait for the device.
        return [(number, size, dict(zip(names, values.tolist(), strict=True))) for number, size, names, values in found]

    def _look(self, quick: Quick, last: bool) -> Metrics:
        """Measure in the first process only, whose clock decides if there is time for it."""
        metrics = Metrics()
        if distributed.first():
            with distributed.alone():
                metrics = quick.look(self.model, last=last)
        return distributed.told(metrics)

    def improves(self, name: str | None, metrics: Metrics, best: Mapping[str, Any] | None) -> bool:
        """Return True if the metric that chooses is there and better than the best so far."""
        value = metrics.get(name, math.nan) if name else math.nan
        if not math.isfinite(value):
            return False
        higher = self.quick is not None and name in self.quick.names and self.quick.higher(name)
        return best is None or (value > best["value"] if higher else value < best["value"])

    def previews(self) -> dict[str, Exhibit]:
        """Return previews of fixed items and fixed noise."""
        with self.looking():
            return previews(self.model, self.kinds, self.gallery, self.seed)

    @contextmanager
    def looking(self) -> Iterator[None]:
        """Use the model for evaluation inside a `with` block, through the averages of its weights."""
        self.model.eval()
        try:
            with torch.no_grad(), self.engine.autocast(), self.averages.worn():
                yield
        finally:
            self.model.train()


def _weighted_means(parts: list[list[tuple[int, int, dict[str, float]]]]) -> Metrics:
    """Return the mean of each metric over all items, whichever process has measured a batch."""
    totals: dict[str, list[float]] = {}
    counts: dict[str, int] = {}
    for _, size, metrics in sorted((batch for part in parts for batch in part), key=lambda batch: batch[0]):
        for name, value in metrics.items():
            totals.setdefault(name, []).append(value * size)
            counts[name] = counts.get(name, 0) + size
    return {name: sum(values) / counts[name] for name, values in totals.items()}


def _metrics_of(result: Result) -> dict[str, Tensor]:
    return {"loss": result.loss, **result.shown}
