"""Penalties on the gradient of a discriminator with respect to its input."""

from collections.abc import Callable

import torch
from torch import Tensor


def gradient_penalty(discriminator: Callable[[Tensor], Tensor], real: Tensor, generated: Tensor) -> Tensor:
    """Return the mean of (length of gradient - 1)^2 at points between real and generated (Gulrajani et al. 2017)."""
    share = torch.rand(len(real), *[1] * (real.dim() - 1), device=real.device)
    between = (share * real + (1 - share) * generated).detach().requires_grad_()
    lengths = squared_gradient(discriminator(between), between).add(1e-12).sqrt()
    return (lengths - 1).square().mean()


def squared_gradient(scores: Tensor, items: Tensor) -> Tensor:
    """Return the squared length of the gradient of each score by its own item; it can be differentiated again."""
    (gradients,) = torch.autograd.grad(scores.sum(), items, create_graph=True)
    return gradients.float().square().flatten(1).sum(1)
