"""Who tells real images from others: a network, what it is told of the class, and what keeps it smooth."""

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.parametrizations import spectral_norm

from genlab.contract import Shape
from genlab.networks import Network

Condition = Literal["none", "concatenate", "projection"]
CriticNormalization = Literal["batch", "layer", "none"]

_PROJECTED = 128
_IN_PLACE_OF_BATCH: dict[str, Callable[[int], nn.Module]] = {
    "layer": lambda channels: nn.GroupNorm(1, channels),
    "none": lambda channels: nn.Identity(),
}


class Critic(nn.Module):
    """Scores images, higher for real ones, each given its label where it is conditioned."""

    def __init__(
        self,
        network: Network,
        shape: Shape,
        classes: int,
        condition: Condition,
        normalization: CriticNormalization,
        spectral: bool,
    ) -> None:
        super().__init__()
        self.condition = condition
        seen, features = shape, 1
        if condition == "concatenate":
            # One more channel, drawn by the label (after Mirza and Osindero 2014).
            self.plane = nn.Embedding(classes, shape.height * shape.width)
            seen = shape._replace(channels=shape.channels + 1)
        elif condition == "projection":
            # The features' inner product with a vector of the class (Miyato and Koyama 2018).
            features = _PROJECTED
            self.direction, self.score = nn.Embedding(classes, features), nn.Linear(features, 1)
        self.encoder = network.encoder(seen, features)
        if normalization in _IN_PLACE_OF_BATCH:
            _replace_batch_norm(self, _IN_PLACE_OF_BATCH[normalization])
        if spectral:
            for part in list(self.modules()):
                if isinstance(part, nn.Conv2d | nn.Linear | nn.Embedding):
                    spectral_norm(part)

    def forward(self, images: Tensor, labels: Tensor | None) -> Tensor:
        """One score an image."""
        if self.condition == "concatenate":
            plane = self.plane(labels).view(-1, 1, *images.shape[2:])
            images = torch.cat([images, plane], dim=1)
        features = self.encoder(images)
        if self.condition == "projection":
            features = functional.leaky_relu(features, 0.2)
            features = self.score(features) + (features * self.direction(labels)).sum(1, keepdim=True)
        scores: Tensor = features.squeeze(1).float()
        return scores

    @property
    def normalizes_batches(self) -> bool:
        """Whether an image's score depends on the others of its batch."""
        return any(isinstance(part, nn.BatchNorm1d | nn.BatchNorm2d) for part in self.modules())


def gradient_penalty(critic: Callable[[Tensor], Tensor], real: Tensor, fake: Tensor) -> Tensor:
    """How far the gradient is from length 1 between real and fake images, squared (Gulrajani et al. 2017)."""
    share = torch.rand(len(real), 1, 1, 1, device=real.device)
    between = (share * real + (1 - share) * fake).detach().requires_grad_()
    lengths = squared_gradient(critic(between), between).add(1e-12).sqrt()
    return (lengths - 1).square().mean()


def squared_gradient(scores: Tensor, images: Tensor) -> Tensor:
    """The squared length of each score's gradient by its own image, through which a gradient flows again."""
    (gradients,) = torch.autograd.grad(scores.sum(), images, create_graph=True)
    return gradients.float().square().flatten(1).sum(1)


def _replace_batch_norm(module: nn.Module, by: Callable[[int], nn.Module]) -> None:
    for name, part in module.named_children():
        if isinstance(part, nn.BatchNorm1d | nn.BatchNorm2d):
            setattr(module, name, by(part.num_features))
        else:
            _replace_batch_norm(part, by)
