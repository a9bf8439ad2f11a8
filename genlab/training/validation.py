"""Looks at a model without teaching it: figures of the held-out splits, and pictures."""

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor

from genlab.contract import Model
from genlab.data.batches import Loader
from genlab.data.dataset import Images
from genlab.data.residence import Residence
from genlab.randomness import reseed
from genlab.registry import ConfigError
from genlab.training.average import Average
from genlab.training.engine import Engine
from genlab.training.quick import Quick

Figures = dict[str, float]


class Examiner:
    """Asks the same each time: the same images in the same order, with the same noise."""

    def __init__(
        self,
        model: Model,
        images: Images,
        batch_size: int,
        *,
        seed: int,
        engine: Engine,
        average: Average | None,
        residence: Residence,
        quick: Quick | None = None,
    ) -> None:
        self.model, self.seed, self.engine, self.average, self.quick = model, seed, engine, average, quick
        self.loaders = {
            split: Loader(images, split, batch_size, device=engine.device, residence=residence)
            for split in ("validation", "test")
            if len(images.splits[split])
        }
        shown = "validation" if "validation" in self.loaders else "train"
        count = min(1024 if images.shape.points else 64, len(images.splits[shown]))
        shown_images = Loader(images, shown, count, device=engine.device, residence=residence)
        self.gallery = engine.arrange(next(shown_images.once()))

    def check_best(self, best: str | None) -> None:
        """One look before hours of work: the figure that chooses the best must be one that is measured."""
        with self.looking():
            terms = list(self.model.validate(self.gallery))
            if self.quick:
                self.quick.prepare(self.model)
                terms += self.quick.names
        if best and best not in terms:
            more = "" if self.quick else " trainer.evaluate=quick measures others."
            raise ConfigError(
                f"best must be a figure of the validation ({', '.join(terms)}), and {best!r} is not.{more}"
            )

    def measure(self, split: str, *, last: bool = False) -> Figures:
        """The model's own terms, averaged over every image of a split; nothing where there is no such split."""
        if split not in self.loaders:
            return {}
        totals: dict[str, Tensor] = {}
        counts: dict[str, int] = {}
        with self.looking():
            for number, batch in enumerate(self.loaders[split].once()):
                reseed(self.engine.device, self.seed, split, number)
                for name, value in self.model.validate(self.engine.arrange(batch)).items():
                    weighted = value * len(batch["image"])
                    totals[name] = totals[name] + weighted if name in totals else weighted
                    counts[name] = counts.get(name, 0) + len(batch["image"])
            figures = {name: float(total) / counts[name] for name, total in totals.items()}
            return figures | (self.quick.look(self.model, last=last) if self.quick and split == "validation" else {})

    def improves(self, name: str | None, figures: Figures, best: Mapping[str, Any] | None) -> bool:
        """Whether the figure that chooses is there and better than the best so far."""
        value = figures.get(name, math.nan) if name else math.nan
        if not math.isfinite(value):
            return False
        higher = self.quick is not None and name in self.quick.names and self.quick.higher(name)
        return best is None or (value > best["value"] if higher else value < best["value"])

    def pictures(self) -> dict[str, Tensor]:
        """The model's pictures, of fixed images and fixed noise."""
        with self.looking():
            reseed(self.engine.device, self.seed, "pictures")
            return self.model.show(self.gallery)

    @contextmanager
    def looking(self) -> Iterator[None]:
        """Inside, nothing learns, and the weights are the average where there is one."""
        self.model.eval()
        try:
            with torch.no_grad(), self.engine.autocast(), self.average.worn() if self.average else nullcontext():
                yield
        finally:
            self.model.train()
