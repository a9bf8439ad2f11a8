"""The contract between a model and the loop: training is a game of players who take turns."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from genlab.kinds.density import density

Batch = dict[str, Tensor]
"""`image`: floats in [0, 1], N x C x H x W; `label`: integers, where the data has labels.

What a turn leaves in it, without a gradient, the later turns of the same step find there.
"""

Terms = dict[str, Tensor]
"""`loss` is lowered; every other entry is only shown. All are scalars."""


class Shape(NamedTuple):
    """The shape of one image, a fact that the data gives and no YAML repeats."""

    channels: int
    height: int
    width: int

    @property
    def points(self) -> bool:
        """Whether these are no images but points, of `width` coordinates that may be any numbers."""
        return self.height == 1


@dataclass(frozen=True)
class Turn:
    """One move in the game: `player` lowers `loss`, then `after` is done."""

    player: str
    loss: Callable[[Batch], Terms]
    times: int = 1
    """Moves in a row, each on a new batch."""
    after: Callable[[], None] | None = None
    """Called when the weights have just moved: to clip them, say."""
    eager: bool = False
    """The loss differentiates through gradients, so it is not compiled."""


class Model(nn.Module):
    """What the loop trains: says who plays, whose turn it is and what there is to see."""

    classes: int = 0
    """How many classes its samples can be asked for; 0 where it knows none."""

    def players(self) -> dict[str, nn.Module]:
        """Who plays; every trainable parameter belongs to exactly one of them."""
        return {"model": self}

    def turns(self, step: int) -> list[Turn]:
        """The moves of this step, in order."""
        return [Turn("model", self.loss)]

    def loss(self, batch: Batch) -> Terms:
        """The loss of a game with a single player."""
        raise NotImplementedError

    def validate(self, batch: Batch) -> Terms:
        """What is measured on images that are never trained on: the training loss, at its own weights."""
        return self.loss(batch)

    def averaged(self) -> nn.Module:
        """The part whose moving average is kept and looked through, where the trainer keeps one."""
        return self

    def given(self) -> dict[str, str]:
        """What it was made with that no checkpoint holds, by name, as a digest: with another a run does not go on."""
        return {}

    def diagnose(self, lines: Sequence[Mapping[str, Any]]) -> str | None:
        """What has gone wrong, in one sentence with what to try, judged by the journal's newest lines."""
        return None

    def show(self, batch: Batch) -> dict[str, Tensor]:
        """Pictures of what the model can do, each a grid: rows x columns x C x H x W, in [0, 1]."""
        if batch["image"].shape[2] == 1:
            return _clouds(self, batch["image"])
        images = batch["image"][:8]
        pictures = {}
        if isinstance(self, Reconstructs):
            pictures["reconstructions"] = torch.stack([images, self.reconstruct(images)])
        if isinstance(self, Samples):
            samples = self.sample(64)
            pictures["samples"] = samples.reshape(8, 8, *samples.shape[1:])
        if isinstance(self, Encodes) and isinstance(self, Decodes) and len(images) > 1:
            pictures["interpolations"] = _interpolations(self, images)
        return pictures

    def noise(self, *size: int, generator: torch.Generator | None = None) -> Tensor:
        """Standard normal noise where the weights are, drawn where the generator is."""
        home = next(self.parameters()).device
        count, width = size[0], math.prod(size[1:])
        # On a CPU torch draws by blocks of 16: whole blocks a row make n rows and then m the same as n + m at once.
        blocks = math.ceil(width / 16)
        rows = torch.randn(count, 16 * blocks, generator=generator, device=generator.device if generator else home)
        return rows[:, :width].reshape(size).to(home)


@runtime_checkable
class Reconstructs(Protocol):
    """Can give back the images that it is shown."""

    def reconstruct(self, images: Tensor) -> Tensor: ...


@runtime_checkable
class Encodes(Protocol):
    """Can turn images into codes: the mean, never a sample."""

    def encode(self, images: Tensor) -> Tensor: ...


@runtime_checkable
class Decodes(Protocol):
    """Can turn codes into images."""

    def decode(self, codes: Tensor) -> Tensor: ...


@runtime_checkable
class Samples(Protocol):
    """Can make new images; of the classes that the labels say, where it knows classes."""

    def sample(self, count: int, labels: Tensor | None = None, generator: torch.Generator | None = None) -> Tensor: ...


@runtime_checkable
class Scores(Protocol):
    """Can say how likely each image is, in nats; higher is likelier."""

    def score(self, images: Tensor) -> Tensor: ...


@runtime_checkable
class Bounds(Scores, Protocol):
    """Scores by codes that are standard normal before an image is seen, and normal around a mean of its own after."""

    continuous: bool
    """Whether the likelihood is a density over [0, 1], and no probability."""

    def posterior(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """The mean and the logarithm of the variance of each image's code, N x D each."""
        ...

    def log_likelihood(self, codes: Tensor, images: Tensor) -> Tensor:
        """How likely each image is by each of its codes, in nats: N x K x D codes of N images give N x K."""
        ...


@runtime_checkable
class Upscales(Protocol):
    """Can enlarge images of any size, `scale` times each way."""

    scale: int
    reach: int
    """How far from a pixel, in pixels of the small image, lie those that its enlargement depends on."""

    def upscale(self, images: Tensor) -> Tensor: ...


ABILITIES: dict[str, type] = {
    "reconstruct": Reconstructs,
    "encode": Encodes,
    "decode": Decodes,
    "sample": Samples,
    "score": Scores,
    "upscale": Upscales,
}


def interpolate(start: Tensor, end: Tensor, steps: int) -> Tensor:
    """(1 - a) start + a end for a from 0 to 1 along a new second dimension."""
    weights = torch.linspace(0, 1, steps, device=start.device).view(1, steps, *[1] * (start.dim() - 1))
    return (1 - weights) * start.unsqueeze(1) + weights * end.unsqueeze(1)


def _clouds(model: "Model", points: Tensor) -> dict[str, Tensor]:
    """Beside where the points of the data lie, where those lie that the model makes."""
    made = {}
    if isinstance(model, Reconstructs):
        made["reconstructions"] = model.reconstruct(points)
    if isinstance(model, Samples):
        made["samples"] = model.sample(4096)
    low, high = points.min(), points.max()
    room, side = (high - low) / 4, 192
    pictures = {}
    for name, others in made.items():
        pair = [density(these.flatten(1), low - room, high + room, side) for these in (points, others)]
        pictures[name] = torch.stack(pair).view(1, 2, 1, side, side)
    return pictures


def _interpolations(model: "Model", images: Tensor) -> Tensor:
    """From each image of the first half to one of the second, through the codes between them."""
    assert isinstance(model, Encodes)
    assert isinstance(model, Decodes)
    codes = model.encode(images[: len(images) // 2 * 2])
    start, end = codes.chunk(2)
    paths = interpolate(start, end, steps=8)
    decoded = model.decode(paths.flatten(0, 1))
    return decoded.reshape(*paths.shape[:2], *decoded.shape[1:])
