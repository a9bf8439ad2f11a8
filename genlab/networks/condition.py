"""Ways to tell a network the class of an item, and to draw a class for each code."""

import math
from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn import functional

from genlab import randomness
from genlab.contract import Batch
from genlab.kinds import Classes, Image, MissingColumnError, Points
from genlab.registry import ConfigError


class Plane(nn.Embedding):
    """One more channel, or as many more coordinates, which the class selects (after Mirza and Osindero 2014)."""

    def __init__(self, classes: int, kind: Image | Points) -> None:
        shape = kind.shape if isinstance(kind, Points) else (1, kind.height, kind.width)
        super().__init__(classes, math.prod(shape))
        self.shape: tuple[int, ...] = shape
        self.kind: Image | Points = (
            Points(2 * kind.dimensions) if isinstance(kind, Points) else replace(kind, channels=kind.channels + 1)
        )
        """The kind of the items with what the class adds."""

    def beside(self, items: Tensor, label: Tensor) -> Tensor:
        """Return the items, each with what its class adds."""
        return torch.cat([items, self(label).view(-1, *self.shape)], dim=1)


def told(condition: str, label: Classes | None) -> dict[str, Classes]:
    """Return the columns that a model is told; raise a MissingColumnError if the data lacks them."""
    if condition == "none":
        return {}
    if label is None:
        raise MissingColumnError("label", "Or set model.condition=none.")
    return {"label": label}


def with_class(codes: Tensor, label: Tensor, classes: int) -> Tensor:
    """Return the codes, each with its class as 0s and a 1."""
    return torch.cat([codes, functional.one_hot(label, classes).to(codes.dtype)], dim=1)


def drawn(
    count: int,
    latent_dim: int,
    told: Mapping[str, Classes],
    condition: Batch | None,
    *,
    device: torch.device,
    generator: torch.Generator | None,
) -> tuple[Tensor, Batch]:
    """Draw normal codes and, for a conditional model, equally likely classes unless the condition gives them."""
    if not told:
        return randomness.normal(count, latent_dim, device=device, generator=generator), {}
    numbers = randomness.normal(count, latent_dim + 1, device=device, generator=generator)
    if condition and "label" in condition:
        label = condition["label"].to(device)
    else:
        # The last number of a row selects the class, so the classes do not depend on how samples are split.
        classes = len(told["label"])
        label = (torch.special.ndtr(numbers[:, -1]) * classes).long().clamp(max=classes - 1)
    # Not len, which would fix the size of the batch in an exported model.
    if label.shape[0] != count:
        raise ConfigError(f"{count} samples need {count} labels, got {label.shape[0]}.")
    return numbers[:, :-1], {"label": label}
