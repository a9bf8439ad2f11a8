"""Penalties on the gradient of a discriminator with respect to its input."""

from collections.abc import Callable

import torch
from torch import Tensor

from genlab import randomness


def gradient_penalty(discriminator: Callable[[Tensor], Tensor], real: Tensor, generated: Tensor) -> Tensor:
    """Return the mean of (length of gradient - 1)^2 at points between real and generated (Gulrajani et al. 2017)."""
    share = randomness.uniform(len(real), *[1] * (real.dim() - 1), device=real.device)
    between = (share * real + (1 - share) * generated).detach()
    lengths = squared_gradient(discriminator, between)[0].add(1e-12).sqrt()
    return (lengths - 1).square().mean()


def squared_gradient(discriminator: Callable[[Tensor], Tensor], items: Tensor) -> tuple[Tensor, Tensor]:
    """Return the squared length of the gradient of each score by its own item, and the scores.

    Both can be differentiated again, by the weights.
    """

    def total(items: Tensor) -> tuple[Tensor, Tensor]:
        scores = discriminator(items)
        return scores.sum(), scores

    # Unlike torch.autograd.grad, a gradient of a function can be compiled, together with all that is around it.
    gradients, scores = torch.func.grad(total, has_aux=True)(items)
    return gradients.float().square().flatten(1).sum(1), scores
