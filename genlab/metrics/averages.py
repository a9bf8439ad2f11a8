"""Means over items of values that each item has, whatever the batches are."""

import math
from collections.abc import Collection, Mapping

import torch
from torch import Tensor

from genlab.registry import ConfigError


class Averages:
    """Running means in double precision, which do not wait for the device."""

    def __init__(self, skip_infinite: Collection[str] = ()) -> None:
        """Leave infinite values out of the metrics in `skip_infinite`, with any suffix after a hyphen.

        The PSNR of two equal images is infinite, and one such image would make the mean infinite.
        """
        self.skip_infinite = skip_infinite
        self.totals: dict[str, tuple[Tensor, Tensor]] = {}

    def add(self, values: Mapping[str, Tensor]) -> None:
        """Add values by the name of the metric, one for each item."""
        for name, each in values.items():
            counted = ~(each.isinf() & (name.partition("-")[0] in self.skip_infinite))
            total, count = torch.where(counted, each, 0).double().sum(), counted.sum()
            before = self.totals.get(name)
            self.totals[name] = (before[0] + total, before[1] + count) if before else (total, count)

    def read(self) -> dict[str, float]:
        """Return the means without metrics that no item has; raise a ConfigError if a mean is not finite."""
        means = {name: float(total) / int(count) for name, (total, count) in self.totals.items() if int(count)}
        if lost := [name for name, value in means.items() if not math.isfinite(value)]:
            raise ConfigError(f"{', '.join(lost)}: not finite for some items, so there is no mean.")
        return means
