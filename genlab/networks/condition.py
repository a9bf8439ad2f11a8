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
from genlab.networks.network import Network, TakesClasses
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


class ClassNorm(nn.Module):
    """Batch normalisation with a scale and a shift for each class, or one for all items without classes.

    It is the conditional batch normalisation of Dumoulin et al. (2017) and de Vries et al. (2017).
    """

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(channels, affine=not classes)
        if classes:
            self.scale, self.shift = nn.Embedding(classes, channels), nn.Embedding(classes, channels)
            # Classes that begin a little apart learn apart sooner.
            nn.init.normal_(self.scale.weight, 1.0, 0.02)
            nn.init.normal_(self.shift.weight, 0.0, 0.02)

    def forward(self, images: Tensor, told: Tensor) -> Tensor:
        """Normalise; `told` has the class of each item as 0s and a 1, N x classes."""
        normalised: Tensor = self.norm(images)
        if not told.shape[1]:
            return normalised
        scale, shift = told @ self.scale.weight, told @ self.shift.weight
        return normalised * scale[:, :, None, None] + shift[:, :, None, None]


def decoder_with_class(network: Network, features: int, kind: Image | Points, classes: int) -> nn.Module:
    """Build a decoder from the results of `with_class`.

    A network that can tell its layers the class does so. For any other network the class is further features.
    """
    if classes and isinstance(network, TakesClasses):
        return network.class_decoder(features, kind, classes)
    return network.decoder(features + classes, kind)


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
