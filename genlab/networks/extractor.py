"""Feature extractors: frozen networks whose features compare images, or teach a model."""

import ast
import hashlib
import inspect
import textwrap
from collections.abc import Callable, Iterable
from functools import cached_property
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from genlab.kinds import Image
from genlab.networks.network import at_least
from genlab.registry import ConfigError

# Largest number of items in one pass of `vector`, and of numbers in one channel: larger images come in smaller parts.
_AT_ONCE, _POSITIONS = 128, 2**19


class Extractor(nn.Module):
    """A frozen network that turns items into features; it is neither trained nor stored in checkpoints."""

    has_maps: ClassVar[bool] = False
    """True if it gives feature maps of images."""
    has_vectors: ClassVar[bool] = False
    """True if it gives one vector of features for each item."""
    at_once: ClassVar[int] = _AT_ONCE
    """Largest number of items in one pass of `vector`."""

    def __init__(self, name: str, *, factor: float = 1.0, description: str = "", code: str = "") -> None:
        """Set the name, the weight in a content loss, the text for protocols, and the code that the digest covers."""
        super().__init__()
        at_least(0, factor=factor)
        self.name, self.factor, self.description, self.code = name, factor, description, code
        # An extractor without weights has a device, too.
        self.register_buffer("_home", torch.empty(0), persistent=False)

    @property
    def device(self) -> torch.device:
        """The device of the weights and of the features."""
        return next(self.buffers()).device

    def forward(self, images: Tensor) -> Tensor:
        """Return the content of images in [0, 1], in grey or in colour, for a content loss: N x F x h x w."""
        return self.maps(images)[-1]

    def maps(self, images: Tensor) -> list[Tensor]:
        """Return feature maps at several depths, from edges to objects, each N x F x h x w."""
        raise NotImplementedError

    def vector(self, items: Tensor) -> Tensor:
        """Return one vector of features for each item, N x F of float32, on the extractor's device.

        Items may be on any device. They are processed in parts and without gradients.
        """
        if not len(items):
            # One item gives the width of the vectors.
            return self.vector(items.new_zeros(1, *items.shape[1:]))[:0]
        positions = items[0, 0].numel()
        size = max(1, min(self.at_once, _POSITIONS // positions))
        with torch.no_grad():
            return torch.cat([self.rows(part.to(self.device)).float() for part in torch.split(items, size)])

    def rows(self, items: Tensor) -> Tensor:
        """Return the vectors of one part of the items, N x F."""
        raise NotImplementedError

    def train(self, mode: bool = True) -> "Extractor":
        """Stay in evaluation mode, so that features do not depend on the training around it."""
        return super().train(False)

    @cached_property
    def digest(self) -> str:
        """16 hex digits that change with any weight, and with the code that turns items into features."""
        return digest_of(self.named_buffers(), self.code)


def digest_of(weights: Iterable[tuple[str, Tensor]], *texts: str) -> str:
    """Return 16 hex digits that change with any weight, and with any text that says how the weights are used."""
    digest = hashlib.sha256()
    for name, values in weights:
        digest.update(repr((name, tuple(values.shape), values.dtype)).encode())
        digest.update(values.detach().cpu().contiguous().numpy().tobytes())
    for text in texts:
        digest.update(text.encode())
    return digest.hexdigest()[:16]


def code_of(*parts: Callable[..., Any] | type[Any]) -> str:
    """Return the source of classes and functions without comments and docstrings, which change no result."""
    trees = [ast.parse(textwrap.dedent(inspect.getsource(part))) for part in parts]
    for node in (node for tree in trees for node in ast.walk(tree)):
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            node.body = [line for line in node.body if not _is_text(line)] or [ast.Pass()]
    return "\n".join(map(ast.unparse, trees))


def _is_text(line: ast.stmt) -> bool:
    return isinstance(line, ast.Expr) and isinstance(line.value, ast.Constant) and isinstance(line.value.value, str)


def check_channels(kind: Image | None) -> None:
    """Raise a ConfigError if images of a known kind are neither grey nor in colour."""
    if kind is not None and kind.channels not in (1, 3):
        raise ConfigError(f"Images must have 1 channel (grey) or 3 (colour), got {kind.channels}.")


def colour(images: Tensor) -> Tensor:
    """Repeat the one channel of grey images three times."""
    return images.expand(-1, 3, -1, -1) if images.shape[1] == 1 else images


def joined(fine: Tensor, coarse: Tensor) -> Tensor:
    """Join two maps, the second half as large, into one in which the mean square of each counts half.

    A content loss with only a map of stride 4 leads to checkerboard patterns, because this map cannot detect them.
    A map of stride 2 beside it prevents them.
    """
    down, right = (side % 2 for side in fine.shape[2:])
    # A pad of nothing is left out: compiled on a CPU, torch gives its gradient a wrong memory format.
    even = functional.pad(fine, (0, right, 0, down), mode="replicate") if down or right else fine
    folded = functional.pixel_unshuffle(even, 2)
    channels = folded.shape[1] + coarse.shape[1]
    parts = [part * (channels / (2 * part.shape[1])) ** 0.5 for part in (folded, coarse)]
    return torch.cat(parts, dim=1)


def freeze(module: nn.Module) -> None:
    """Make every weight a buffer outside the state: it moves with the module and is neither trained nor stored."""
    for part in module.modules():
        tensors = {**part._parameters, **part._buffers}
        for name, values in tensors.items():
            delattr(part, name)
            part.register_buffer(name, None if values is None else values.detach(), persistent=False)
        if isinstance(part, nn.BatchNorm1d | nn.BatchNorm2d):
            # With tracking, every state that is loaded into a module around it would lack the count of batches.
            part.track_running_stats = False
    module.eval()
