"""The graphs of a model that are exported: one for each ability, with its inputs and outputs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from genlab.kinds import Classes, Image, Kind, Points, Tokens
from genlab.randomness import generator, key

Sizes = dict[str, int]
"""The lengths of the free dimensions: `batch`, and for images of any size `height` and `width`."""

SIZES: tuple[Sizes, ...] = (
    {"batch": 1, "height": 9, "width": 14},
    {"batch": 2, "height": 16, "width": 16},
    {"batch": 7, "height": 21, "width": 8},
)
"""The sizes at which an exported graph is compared with the model."""
EXAMPLE: Sizes = {"batch": 3, "height": 12, "width": 10}
"""The sizes of the example that is traced; none of them occurs in SIZES."""


@dataclass(frozen=True)
class Port:
    """One input or output of a graph."""

    name: str
    shape: tuple[str | int, ...]
    """Lengths, or the names of free dimensions."""
    about: str
    """The meaning, as a noun phrase."""
    dtype: torch.dtype = torch.float32
    range: tuple[float, float] | None = None
    """The least and the greatest value; None for any number."""

    def draw(self, sizes: Sizes, draws: torch.Generator) -> Tensor:
        """Draw random values of this shape and range; pixels are bytes, as in pictures."""
        shape = [sizes[side] if isinstance(side, str) else side for side in self.shape]
        if self.range is None:
            return torch.randn(shape, generator=draws)
        low, high = self.range
        if self.dtype == torch.int64:
            return torch.randint(int(low), int(high) + 1, shape, generator=draws)
        return torch.randint(0, 256, shape, generator=draws) / 255 * (high - low) + low

    def facts(self) -> dict[str, Any]:
        """Return plain values for export.json."""
        dtype = str(self.dtype).removeprefix("torch.")
        ranged = {} if self.range is None else {"range": list(self.range)}
        return {"name": self.name, "shape": list(self.shape), "dtype": dtype, **ranged, "about": self.about}

    def __str__(self) -> str:
        sides = " x ".join(map(str, self.shape))
        for name, letter in (("batch", "N"), ("*height", "H"), ("*width", "W"), ("height", "H"), ("width", "W")):
            sides = sides.replace(name, letter)
        return f"{self.name} ({sides})"


class Traced(nn.Module):
    """A function of a model as a module, which is what exporters take."""

    def __init__(self, model: nn.Module, function: Callable[..., Any]) -> None:
        super().__init__()
        self.model, self.function = model, function

    def forward(self, *tensors: Tensor) -> Any:
        """Apply the function."""
        return self.function(self.model, *tensors)


@dataclass(frozen=True)
class Graph:
    """One ability of a model as a function of tensors."""

    ability: str
    module: nn.Module
    """The part that is exported."""
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    note: str = ""
    reference: Callable[..., Any] | None = field(default=None, repr=False)
    """The way in which genlab computes it (default: the module itself)."""

    def example(self, sizes: Sizes, seed: int = 0) -> tuple[Tensor, ...]:
        """Draw random inputs of these sizes; the same seed gives the same inputs."""
        draws = generator(seed, f"export/{self.ability}", *sizes.values())
        return tuple(port.draw(sizes, draws) for port in self.inputs)

    @torch.no_grad()
    def expected(self, inputs: Sequence[Tensor]) -> list[Tensor]:
        """Return the outputs that genlab computes."""
        outputs = (self.reference or self.module)(*inputs)
        return list(outputs) if isinstance(outputs, tuple) else [outputs]

    def repeats(self) -> bool:
        """Return True if the same inputs give the same outputs: nothing is drawn inside."""
        inputs, found = self.example(EXAMPLE), list[list[Tensor]]()
        for seed in range(2):
            with torch.random.fork_rng([]):
                torch.manual_seed(key(seed, "export/repeats"))
                found.append(self.expected(inputs))
        return all(torch.equal(first, second) for first, second in zip(*found, strict=True))


def items_port(kind: Kind, name: str, about: str) -> Port:
    """Return the port of a batch of items."""
    if isinstance(kind, Image):
        return Port(name, ("batch", *kind.shape), f"{about}: {kind.plural}, white is 1", range=(0.0, 1.0))
    if isinstance(kind, Tokens):
        last = len(kind.vocabulary) - 1
        return Port(name, ("batch", kind.length), f"{about}: numbers of symbols", torch.int64, (0, last))
    assert isinstance(kind, Points)
    return Port(name, ("batch", *kind.shape), f"{about}: points")


def label_port(classes: Classes, *, inferred: bool = False) -> Port:
    """Return the port of the class of each item."""
    about = "number of the class" + (", or -1 to let the model infer it" if inferred else "")
    return Port("label", ("batch",), about, torch.int64, (-1 if inferred else 0, len(classes) - 1))


def codes_port(size: int) -> Port:
    """Return the port of the codes."""
    return Port("codes", ("batch", size), "codes")
