"""The contract between a model and the training loop: training is a game of players who take turns."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from genlab.kinds import Classes, Image

Batch = dict[str, Tensor]
"""One entry for each column: `x` holds the modelled items; `label` and `y` stand beside it if the data has them.

In training there is also `step`, the number of the step as a scalar, for losses whose weights change over time.
"""


@dataclass(frozen=True)
class Result:
    """The result of a loss: a scalar to lower, scalars to log, and tensors for later turns."""

    loss: Tensor
    shown: dict[str, Tensor] = field(default_factory=dict)
    """Scalars that are logged beside the loss."""
    handed_on: Batch = field(default_factory=dict)
    """Tensors for later turns of the same step; the loop detaches them and adds them to the batch of those turns."""


@dataclass(frozen=True)
class Turn:
    """One move in the game: `player` lowers `loss`, then `after` is called."""

    player: str
    loss: Callable[[Batch], Result]
    repeat: int = 1
    """Number of moves in a row, each on a new batch."""
    after: Callable[[], None] | None = None
    """Called when the weights have just moved, for example to clip them."""
    eager: bool = False
    """True if the loss differentiates through gradients; such a loss is not compiled."""


class Shared(NamedTuple):
    """A module whose weights another player moves, too."""

    module: nn.Module


Player = nn.Module | Shared | tuple[nn.Module | Shared, ...]
"""The modules that a player moves. A weight belongs to one player; further players name its module as Shared."""


class Model(nn.Module):
    """Base class of all models: defines the players, the turns of a step and the loss of a turn."""

    total: int = 0
    """Number of steps of the training; 0 until a trainer has set it."""
    dealt: tuple[int, ...] = ()
    """The classes of which each training batch has equally many items; empty for all items as they come."""

    def players(self) -> dict[str, Player]:
        """Return the players; every trainable weight belongs to at least one of them."""
        return {"model": self}

    def turns(self, step: int) -> list[Turn]:
        """Return the turns of this step, in order."""
        return [Turn("model", self.loss)]

    def loss(self, batch: Batch) -> Result:
        """Compute the loss of a game with a single player."""
        raise NotImplementedError

    def validate(self, batch: Batch) -> Result:
        """Compute the metrics of held-out items (default: the training loss)."""
        return self.loss(batch)


def modules_of(player: Player) -> Iterator[tuple[nn.Module, bool]]:
    """Yield the modules of a player, each with True if its weights are shared with another player."""
    for part in player if isinstance(player, tuple) and not isinstance(player, Shared) else (player,):
        yield (part.module, True) if isinstance(part, Shared) else (part, False)


# Abilities. Commands and metrics check the abilities of a model, never its name.


@runtime_checkable
class Reconstructs(Protocol):
    """Ability to reconstruct items."""

    def reconstruct(self, batch: Batch) -> Tensor: ...


@runtime_checkable
class Encodes(Protocol):
    """Ability to encode items as codes, N x D: the mean of each code, never a sample."""

    def encode(self, batch: Batch) -> Tensor: ...


@runtime_checkable
class Decodes(Protocol):
    """Ability to decode codes to items; a conditional model also takes the condition."""

    def decode(self, codes: Tensor, condition: Batch | None = None) -> Tensor: ...


@runtime_checkable
class Draws(Decodes, Protocol):
    """Ability to draw codes from a prior with mean 0 and variance 1; `decode` turns them into samples."""

    latent_dim: int

    def draw(
        self, count: int, condition: Batch | None = None, generator: torch.Generator | None = None
    ) -> tuple[Tensor, Batch]:
        """Return codes, N x D, and the condition of each, in which the parts that are not given are drawn."""
        ...


@runtime_checkable
class Samples(Protocol):
    """Ability to generate items; a conditional model draws the parts of the condition that are not given."""

    def sample(
        self, count: int, condition: Batch | None = None, generator: torch.Generator | None = None
    ) -> Tensor: ...


@runtime_checkable
class Styles(Draws, Protocol):
    """Ability to generate items from styles, of which each layer takes one: so styles can be mixed and changed."""

    @property
    def layers(self) -> int:
        """The number of styles that an item takes, from coarse to fine."""
        ...

    def styles(self, codes: Tensor, condition: Batch | None = None) -> Tensor:
        """Return the style of each code, N x S."""
        ...

    def mean_style(self, condition: Batch | None = None) -> Tensor:
        """Return the mean style, 1 x S, or with classes that of each item's class, N x S."""
        ...

    def decode_styles(self, styles: Tensor) -> Tensor:
        """Decode styles, N x S, or a style for each layer, N x layers x S."""
        ...

    def style_weights(self, layers: Sequence[int]) -> Tensor:
        """Return the weights of the linear functions that these layers apply to their styles, R x S."""
        ...


@runtime_checkable
class Scores(Protocol):
    """Ability to score items, in nats each; higher is likelier."""

    def score(self, batch: Batch) -> Tensor: ...


@runtime_checkable
class Bounds(Scores, Protocol):
    """Ability to bound the likelihood: the two parts of `nats` add up to at least -log p(x), on average over codes."""

    continuous: bool
    """True if the likelihood is a density, not a probability."""

    def nats(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return the reconstruction error of each item by one code, and the cost of its code: its KL from the prior."""
        ...


@runtime_checkable
class Weighs(Bounds, Protocol):
    """Ability to weight codes by p(x, z) / q(z | x), where q is a diagonal normal posterior: for tighter bounds."""

    def posterior(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return the mean and the log variance of each item's code, N x D each."""
        ...

    def log_likelihood(self, codes: Tensor, batch: Batch) -> Tensor:
        """Return the log likelihood of each item given each of its K codes: N x K x D codes give N x K nats.

        A conditional model takes a class for each code: `label` is then N x K.
        """
        ...

    def log_prior(self, codes: Tensor) -> Tensor:
        """Return the log density of codes under the prior: N x K x D codes give N x K nats."""
        ...


@runtime_checkable
class Upscales(Protocol):
    """Ability to upscale images of any size, `scale` times each way."""

    scale: int
    reach: int
    """Distance in input pixels within which the output at a pixel depends on the input."""

    def upscale(self, images: Tensor) -> Tensor: ...


@runtime_checkable
class Translates(Protocol):
    """Ability to translate images into others of the same size."""

    source: Image
    """The kind of the images that are translated."""
    domains: tuple[int, ...]
    """The classes that images are translated between; empty if there is only one direction."""

    def translate(self, images: Tensor, to: Tensor | None = None) -> Tensor:
        """Translate images in [0, 1]; `to` is the class that each of them is translated to."""
        ...


@runtime_checkable
class Restores(Protocol):
    """Ability to undo damage: to remove noise, to restore resolution, or to give back what was taken away."""

    def damage(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return damaged inputs and their clean targets."""
        ...


@runtime_checkable
class Infers(Protocol):
    """Ability of a conditional model to infer the class of items, without reading the true one."""

    def infer(self, batch: Batch) -> Batch:
        """Return the likeliest condition of each item."""
        ...

    def classify(self, batch: Batch) -> Tensor:
        """Return the log probability of each class given the item, N x classes."""
        ...


ABILITIES: dict[str, type] = {
    "reconstruct": Reconstructs,
    "encode": Encodes,
    "decode": Decodes,
    "sample": Samples,
    "score": Scores,
    "upscale": Upscales,
    "translate": Translates,
    "infer": Infers,
    "mix": Styles,
}


def abilities_of(model: object) -> list[str]:
    """Return the names of a model's abilities; only a conditional model can infer a condition."""
    able = [name for name, ability in ABILITIES.items() if isinstance(model, ability)]
    return able if conditions(model) else [name for name in able if name != "infer"]


def conditions(model: object) -> Mapping[str, Classes]:
    """Return the columns that a model takes as its condition, such as `label`; empty if it takes none.

    A conditional model has them in its attribute `told`.
    """
    told: Mapping[str, Classes] = getattr(model, "told", {})
    return told


def decoding_conditions(model: object) -> Mapping[str, Classes]:
    """Return the part of the condition that encoder and decoder are told.

    It is empty if the codes hold the class: then only the draw of codes takes a condition. A model says so in its
    attribute `code_holds_class`.
    """
    return {} if getattr(model, "code_holds_class", False) else conditions(model)


def home(module: nn.Module) -> torch.device:
    """Return the device of a module's weights."""
    return next(module.parameters()).device
