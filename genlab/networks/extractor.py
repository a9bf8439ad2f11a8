"""What a network that is done with learning sees in images, by which others are judged and taught."""

import hashlib
from collections.abc import Iterable
from functools import cached_property

from torch import Tensor, nn

from genlab.networks.network import at_least


class Features(nn.Module):
    """A frozen network whose layers say how alike two images look; in no player and in no checkpoint."""

    def __init__(self, name: str, factor: float = 1.0) -> None:
        super().__init__()
        at_least(0, factor=factor)
        self.name, self.factor = name, factor

    def forward(self, images: Tensor) -> Tensor:
        """What a content loss compares, of images in [0, 1], grey or in colour: N x F x h x w."""
        return self.layers(images)[-1]

    def layers(self, images: Tensor) -> list[Tensor]:
        """What is seen at several depths, from edges to things, each N x F x h x w."""
        raise NotImplementedError

    def train(self, mode: bool = True) -> "Features":
        """It is done with learning: whatever trains around it, it judges as it always does."""
        return super().train(False)

    @cached_property
    def digest(self) -> str:
        """16 hex digits that change with any weight."""
        return digest_of(self.named_buffers())


def digest_of(weights: Iterable[tuple[str, Tensor]], *beside: str) -> str:
    """16 hex digits that change with any weight, and with any text that says how they are used."""
    digest = hashlib.sha256()
    for name, values in weights:
        digest.update(repr((name, tuple(values.shape), values.dtype)).encode())
        digest.update(values.detach().cpu().contiguous().numpy().tobytes())
    for text in beside:
        digest.update(text.encode())
    return digest.hexdigest()[:16]


def freeze(module: nn.Module) -> None:
    """Make every weight a buffer that no state holds: it goes where the module goes, and nobody trains or keeps it."""
    for part in module.modules():
        tensors = {**part._parameters, **part._buffers}
        for name, values in tensors.items():
            delattr(part, name)
            part.register_buffer(name, None if values is None else values.detach(), persistent=False)
        if isinstance(part, nn.BatchNorm1d | nn.BatchNorm2d):
            # Else it misses its count of batches in every state that is loaded into what it is a part of.
            part.track_running_stats = False
    module.eval()
