"""The discriminator of a GAN: a network that scores items, its condition and its normalisation."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Literal

from torch import Tensor, nn
from torch.nn import functional
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.utils.parametrizations import spectral_norm

from genlab.kinds import Image, Points
from genlab.networks.condition import Plane
from genlab.networks.network import Network
from genlab.registry import ConfigError

Condition = Literal["none", "concatenate", "projection", "auxiliary"]
DiscriminatorNormalization = Literal["batch", "layer", "none"]

_PROJECTED = 128
_REPLACEMENTS: dict[str, Callable[[int], nn.Module]] = {
    "layer": lambda channels: nn.GroupNorm(1, channels),
    "none": lambda channels: nn.Identity(),
}


class Discriminator(nn.Module):
    """A network with one score for each item, higher for real ones; a conditional one also takes the labels."""

    def __init__(
        self,
        network: Network,
        kind: Image | Points,
        classes: int,
        condition: Condition,
        normalization: DiscriminatorNormalization,
        spectral: bool,
    ) -> None:
        super().__init__()
        self.condition = condition
        features = 1
        self.classifier: nn.Linear | None = None
        if condition == "concatenate":
            self.plane = Plane(classes, kind)
            kind = self.plane.kind
        elif condition == "projection":
            # The inner product of the features with a vector of the class (Miyato and Koyama 2018).
            features = _PROJECTED
            self.direction, self.score = nn.Embedding(classes, features), nn.Linear(features, 1)
        elif condition == "auxiliary":
            # It is not told the class but names it, beside the score (Odena et al. 2017).
            features = _PROJECTED
            self.classifier, self.score = nn.Linear(features, classes), nn.Linear(features, 1)
        self.encoder = network.encoder(kind, features)
        if normalization in _REPLACEMENTS:
            _replace_batch_norm(self, _REPLACEMENTS[normalization])
        if spectral:
            for part in list(self.modules()):
                if isinstance(part, nn.Conv2d | nn.Linear | nn.Embedding):
                    spectral_norm(part)

    def forward(self, items: Tensor, labels: Tensor | None) -> Tensor:
        """Return one score for each item."""
        return self.judge(items, labels)[0]

    def judge(self, items: Tensor, labels: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """Return one score for each item and, with an auxiliary classifier, its logits, N x classes."""
        if self.condition == "concatenate":
            assert labels is not None
            items = self.plane.beside(items, labels)
        features = self.encoder(items)
        if self.condition in ("none", "concatenate"):
            return features.squeeze(1).float(), None
        features = functional.leaky_relu(features, 0.2)
        scores, logits = self.score(features), None
        if self.condition == "projection":
            scores = scores + (features * self.direction(labels)).sum(1, keepdim=True)
        if self.classifier is not None:
            logits = self.classifier(features).float()
        return scores.squeeze(1).float(), logits

    def features(self, items: Tensor) -> Tensor:
        """Return the features in the layer before the score, N x F."""
        assert self.condition == "none"
        if not isinstance(self.encoder, nn.Sequential):
            raise ConfigError("The features before the score are those of a network whose encoder is an nn.Sequential.")
        for part in list(self.encoder)[:-1]:
            items = part(items)
        return items.float()

    @property
    def normalizes_batches(self) -> bool:
        """True if the score of an item depends on the other items of its batch."""
        return any(isinstance(part, _BatchNorm) for part in self.modules())


@contextmanager
def remembering_nothing(discriminator: nn.Module) -> Iterator[None]:
    """Let batch normalisation leave its running statistics alone inside a `with` block.

    In training it still normalises by the statistics of the batch.
    """
    # The base class: several processes replace the norms by others.
    norms = [part for part in discriminator.modules() if isinstance(part, _BatchNorm)]
    for norm in norms:
        norm.track_running_stats = False
    try:
        yield
    finally:
        for norm in norms:
            norm.track_running_stats = True


def _replace_batch_norm(module: nn.Module, replacement: Callable[[int], nn.Module]) -> None:
    for name, part in module.named_children():
        if isinstance(part, nn.BatchNorm1d | nn.BatchNorm2d):
            setattr(module, name, replacement(part.num_features))
        else:
            _replace_batch_norm(part, replacement)
