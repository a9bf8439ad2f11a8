"""Features of items, and the distance of generated items from real ones."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from genlab import extractors
from genlab.contract import home
from genlab.extractors.reference import reference
from genlab.metrics.distribution import Cloud, compare
from genlab.networks.extractor import Extractor
from genlab.training.console import Console

if TYPE_CHECKING:
    from genlab.lab.run import Run

_ITEMS = 500
"""Items whose features are computed at once."""


class Features:
    """A feature space for the items of a run, as in `genlab evaluate`: by default the one that fits the data."""

    def __init__(
        self, run: Run, name: str | None = None, *, count: int = 10_000, console: Console | None = None
    ) -> None:
        self.run, self.name, self.console = run, name, console or Console()
        self.count = min(count, len(run.dataset.splits["test"]))
        """Test items that generated items are compared with."""

    @cached_property
    def extractor(self) -> Extractor:
        """The network that computes the features; a classifier is trained once and then read from the cache."""
        return extractors.create(
            self.name,
            needs="vector",
            dataset=self.run.dataset,
            data=str(self.run.config["data"]["name"]),
            device=home(self.run.model),
            console=self.console,
        )

    def of(self, items: Tensor) -> Tensor:
        """Return the features of items, N x F, on the CPU."""
        # Outside of no_grad: a classifier may be trained here.
        extractor, device = self.extractor, home(self.run.model)
        with torch.no_grad():
            return torch.cat([extractor.vector(part.to(device)).cpu() for part in torch.split(items, _ITEMS)])

    def compare(self, items: Tensor) -> dict[str, float]:
        """Return FD, KID, precision, recall, density and coverage of generated items against test items."""
        return compare(self._real, Cloud(self.of(items)))

    @cached_property
    def _real(self) -> Cloud:
        return Cloud(reference(self.run.dataset, "test", self.extractor, self.count, seed=0).cpu())
