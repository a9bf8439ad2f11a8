"""The mean over all images of figures that each image has, whatever the batches they come in."""

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from genlab.registry import ConfigError


class Averages:
    """Adds up in double precision and without waiting for the device."""

    def __init__(self) -> None:
        self.totals: dict[str, tuple[Tensor, Tensor]] = {}

    def add(self, figures: Mapping[str, Tensor], *, but_infinite: bool = False) -> None:
        """One value an image, by the figure's name; where that is asked for, an infinite one does not count."""
        for name, values in figures.items():
            counted = ~(values.isinf() & but_infinite)
            total, count = torch.where(counted, values, 0).double().sum(), counted.sum()
            before = self.totals.get(name)
            self.totals[name] = (before[0] + total, before[1] + count) if before else (total, count)

    def read(self) -> dict[str, float]:
        """The means; a figure that no image has is left out, one that is not finite for some is refused."""
        means = {name: float(total) / int(count) for name, (total, count) in self.totals.items() if int(count)}
        if lost := [name for name, value in means.items() if not math.isfinite(value)]:
            raise ConfigError(f"{', '.join(lost)}: not finite for some of the images, so there is no mean.")
        return means
