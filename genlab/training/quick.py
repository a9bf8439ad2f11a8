"""A look at the model that costs more than a validation, taken as often as its share of the time allows."""

import time
from collections.abc import Callable, Collection
from dataclasses import dataclass

from genlab.game import Model

SHARE = 0.05
"""Of the time since the run was started; the first look, which tells what one costs, is taken whatever it costs."""


@dataclass(eq=False)
class Quick:
    """Figures of held-out images that a recipe may choose the best by; which steps have them depends on the clock."""

    names: tuple[str, ...]
    """Of all figures that a look gives."""
    higher: Collection[str]
    """Those of them that are the better the higher they are."""
    measure: Callable[[Model], dict[str, float]]
    """A function of the weights alone."""
    clock: Callable[[], float] = time.perf_counter

    def __post_init__(self) -> None:
        self._began, self.spent, self._longest = self.clock(), 0.0, 0.0

    def look(self, model: Model) -> dict[str, float]:
        """The figures, or none where another look would take more than its share."""
        before = self.clock()
        if self._longest and self.spent + self._longest > SHARE * (before - self._began):
            return {}
        figures = self.measure(model)
        took = self.clock() - before
        self.spent, self._longest = self.spent + took, max(self._longest, took)
        return figures
