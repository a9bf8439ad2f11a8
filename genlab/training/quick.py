"""A look at the model that costs more than a validation, taken as often as its share of the time allows."""

import time
from collections.abc import Callable

from genlab.contract import Model

SHARE = 0.05
"""Of the time since the first look, besides that and the last one."""


class Quick:
    """Figures of held-out images that a recipe may choose the best by; which steps have them depends on the clock."""

    def __init__(
        self,
        measure: Callable[[Model], dict[str, float]],
        higher: Callable[[str], bool],
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        """`measure` is a function of the weights alone; `higher` says of which figures more is better."""
        self._measure, self.higher, self._clock = measure, higher, clock
        self.names: tuple[str, ...] = ()
        self.taken, self.left_out = 0, 0
        self.spent = self._began = self._cost = 0.0

    def prepare(self, model: Model) -> None:
        """Learn what a look gives, and load what it takes, before the time counts."""
        self.names = tuple(self._measure(model))

    def look(self, model: Model, *, last: bool) -> dict[str, float]:
        """The figures, or none where another look would take more than its share."""
        before = self._clock()
        if self.taken and not last and self.spent + self._cost > SHARE * (before - self._began):
            self.left_out += 1
            return {}
        figures = self._measure(model)
        after = self._clock()
        self._cost = after - before
        if self.taken:
            self.spent += self._cost
        else:
            self._began = after
        self.taken += 1
        return figures

    def said(self) -> str:
        """How often it was looked, for whoever chooses by it."""
        every = self.taken + self.left_out
        return f"{', '.join(self.names)}: measured at {self.taken} of {every} validations; more take too much time."
