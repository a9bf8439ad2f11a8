"""The path-length penalty: a step of a style changes an image by the same amount everywhere (Karras et al. 2020)."""

import math
from collections.abc import Callable

import torch
from torch import Tensor


def path_lengths(synthesize: Callable[[Tensor], Tensor], styles: Tensor, noise: Tensor) -> Tensor:
    """Return how much each image changes with its styles, N x layers x S: the length of the gradient by the styles.

    The gradient is that of the image's inner product with an image of normal noise. Its mean square over noise is the
    squared norm of the Jacobian over the number of pixels. The lengths can be differentiated again, by the weights.
    """
    scaled = noise / math.sqrt(noise.shape[-2] * noise.shape[-1])

    def total(styles: Tensor) -> Tensor:
        return (synthesize(styles).float() * scaled).sum()

    # Unlike torch.autograd.grad, a gradient of a function can be compiled, together with all that is around it.
    gradients = torch.func.grad(total)(styles)
    lengths: Tensor = gradients.float().square().sum(2).mean(1).add(1e-12).sqrt()
    return lengths
