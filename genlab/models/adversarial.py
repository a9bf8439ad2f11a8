"""What critic and generator lower, by the critic's scores of real images and of the generator's."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

LossName = Literal["non-saturating", "saturating", "least-squares", "hinge", "wasserstein"]


@dataclass(frozen=True)
class AdversarialLoss:
    """The critic lowers `real` plus `fake`, the generator lowers `generator`."""

    real: Callable[[Tensor, float], Tensor]
    """Of real images, whose label is 1 less the number that is given."""
    fake: Callable[[Tensor], Tensor]
    generator: Callable[[Tensor], Tensor]
    boundary: float | None
    """The score between real and fake; None where only differences of scores mean anything."""
    labelled: bool = False
    """Whether there is a label that can be smoothed."""

    def accuracy(self, real: Tensor, fake: Tensor) -> tuple[Tensor, Tensor]:
        """The parts of the real images and of the others that the critic takes for what they are."""
        boundary = (real.mean() + fake.mean()) / 2 if self.boundary is None else self.boundary
        return (real > boundary).float().mean(), (fake < boundary).float().mean()


def _logistic(scores: Tensor, smoothing: float) -> Tensor:
    """-log D for the label 1, where D is the sigmoid of the score."""
    return ((1 - smoothing) * functional.softplus(-scores) + smoothing * functional.softplus(scores)).mean()


LOSSES: dict[str, AdversarialLoss] = {
    # Goodfellow et al. 2014, with the generator's loss that they advise, and with the one of their minimax game.
    "non-saturating": AdversarialLoss(
        real=_logistic,
        fake=lambda scores: functional.softplus(scores).mean(),
        generator=lambda scores: functional.softplus(-scores).mean(),
        boundary=0.0,
        labelled=True,
    ),
    "saturating": AdversarialLoss(
        real=_logistic,
        fake=lambda scores: functional.softplus(scores).mean(),
        generator=lambda scores: -functional.softplus(scores).mean(),
        boundary=0.0,
        labelled=True,
    ),
    # Mao et al. 2017.
    "least-squares": AdversarialLoss(
        real=lambda scores, smoothing: 0.5 * (scores - (1 - smoothing)).square().mean(),
        fake=lambda scores: 0.5 * scores.square().mean(),
        generator=lambda scores: 0.5 * (scores - 1).square().mean(),
        boundary=0.5,
        labelled=True,
    ),
    # Lim and Ye 2017.
    "hinge": AdversarialLoss(
        real=lambda scores, _: torch.relu(1 - scores).mean(),
        fake=lambda scores: torch.relu(1 + scores).mean(),
        generator=lambda scores: -scores.mean(),
        boundary=0.0,
    ),
    # Arjovsky et al. 2017.
    "wasserstein": AdversarialLoss(
        real=lambda scores, _: -scores.mean(),
        fake=lambda scores: scores.mean(),
        generator=lambda scores: -scores.mean(),
        boundary=None,
    ),
}
