"""Adversarial losses: what discriminator and generator lower, computed from the scores of the discriminator."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

LossName = Literal["non-saturating", "saturating", "least-squares", "hinge", "wasserstein"]


@dataclass(frozen=True)
class AdversarialLoss:
    """Losses of both players: the discriminator lowers `real` plus `generated`, the generator lowers `generator`."""

    real: Callable[[Tensor, float], Tensor]
    """The loss of scores of real items; their target is 1 less the given number, if the loss has targets."""
    generated: Callable[[Tensor], Tensor]
    generator: Callable[[Tensor], Tensor]
    boundary: float | None
    """The score between real and generated; None if only differences of scores have a meaning."""
    labelled: bool = False
    """True if real items have a target that can be smoothed."""

    def shown(self, real: Tensor, generated: Tensor) -> dict[str, Tensor]:
        """Return how well the discriminator separates the scores of real and of generated items.

        With a boundary these are two accuracies; without one it is the distance between the two mean scores.
        """
        if self.boundary is None:
            return {"distance": real.mean() - generated.mean()}
        real_accuracy = (real > self.boundary).float().mean()
        return {"real_accuracy": real_accuracy, "generated_accuracy": (generated < self.boundary).float().mean()}


def _logistic(scores: Tensor, smoothing: float) -> Tensor:
    """Return -log D for the target 1, where D is the sigmoid of the score."""
    return ((1 - smoothing) * functional.softplus(-scores) + smoothing * functional.softplus(scores)).mean()


LOSSES: dict[str, AdversarialLoss] = {
    # Goodfellow et al. 2014: the loss of the generator that they advise, and the one of their minimax game.
    "non-saturating": AdversarialLoss(
        real=_logistic,
        generated=lambda scores: functional.softplus(scores).mean(),
        generator=lambda scores: functional.softplus(-scores).mean(),
        boundary=0.0,
        labelled=True,
    ),
    "saturating": AdversarialLoss(
        real=_logistic,
        generated=lambda scores: functional.softplus(scores).mean(),
        generator=lambda scores: -functional.softplus(scores).mean(),
        boundary=0.0,
        labelled=True,
    ),
    # Mao et al. 2017.
    "least-squares": AdversarialLoss(
        real=lambda scores, smoothing: 0.5 * (scores - (1 - smoothing)).square().mean(),
        generated=lambda scores: 0.5 * scores.square().mean(),
        generator=lambda scores: 0.5 * (scores - 1).square().mean(),
        boundary=0.5,
        labelled=True,
    ),
    # Lim and Ye 2017.
    "hinge": AdversarialLoss(
        real=lambda scores, _: torch.relu(1 - scores).mean(),
        generated=lambda scores: torch.relu(1 + scores).mean(),
        generator=lambda scores: -scores.mean(),
        boundary=0.0,
    ),
    # Arjovsky et al. 2017. Their critic is the discriminator here; `distance` is its estimate of the distance.
    "wasserstein": AdversarialLoss(
        real=lambda scores, _: -scores.mean(),
        generated=lambda scores: scores.mean(),
        generator=lambda scores: -scores.mean(),
        boundary=None,
    ),
}
