"""A causal transformer: the distribution of each symbol of a sequence, given the symbols before it."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from genlab.networks.network import at_least
from genlab.registry import ConfigError

_HEAD = 32
"""Numbers of each attention head."""


@dataclass
class Cache:
    """Keys and values of the symbols that one block has seen, N x heads x length x numbers."""

    keys: Tensor
    values: Tensor
    filled: int = 0

    def add(self, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Add the keys and values of the next symbol; return those of all symbols so far."""
        self.keys[:, :, self.filled : self.filled + 1] = keys
        self.values[:, :, self.filled : self.filled + 1] = values
        self.filled += 1
        return self.keys[:, :, : self.filled], self.values[:, :, : self.filled]


class Block(nn.Module):
    """Causal self-attention and two layers of a perceptron, both added to their normalised input."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm_first, self.norm_second = nn.LayerNorm(width), nn.LayerNorm(width)
        self.enter, self.leave = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.perceptron = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def forward(self, hidden: Tensor, cache: Cache | None = None) -> Tensor:
        """Return N x length x width; with a cache, for one new symbol that sees all cached ones."""
        hidden = hidden + self._attention(self.norm_first(hidden), cache)
        added: Tensor = self.perceptron(self.norm_second(hidden))
        return hidden + added

    def _attention(self, normalised: Tensor, cache: Cache | None) -> Tensor:
        queries, keys, values = self.enter(normalised).unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        if cache:
            keys, values = cache.add(keys, values)
        # Not torch's fused attention: on a GPU its gradient differs from run to run, so a resume would not be exact.
        scores = queries @ keys.transpose(2, 3) / math.sqrt(queries.shape[3])
        if cache is None:
            length = queries.shape[2]
            later = torch.ones(length, length, dtype=torch.bool, device=scores.device).triu(1)
            scores = scores.masked_fill(later, -math.inf)
        found = scores.softmax(3).to(values.dtype) @ values
        left: Tensor = self.leave(found.transpose(1, 2).flatten(2))
        return left


class Autoregressive(nn.Module):
    """A causal transformer over sequences of one length (Vaswani et al. 2017), normalised before each layer.

    A condition is a vector for each sequence, such as a class as a one-hot vector; every symbol sees it.
    """

    def __init__(self, vocabulary: int, length: int, *, width: int, layers: int, condition: int = 0) -> None:
        super().__init__()
        at_least(1, width=width, layers=layers)
        self.vocabulary, self.length, self.heads = vocabulary, length, max(1, width // _HEAD)
        if width % self.heads:
            raise ConfigError(
                f"The width of the transformer must be a multiple of its {self.heads} heads (one for every {_HEAD} "
                f"numbers), got {width}; use {width // self.heads * self.heads}."
            )
        # The last symbol is the start of each sequence.
        self.embedding = nn.Embedding(vocabulary + 1, width)
        self.positions = nn.Parameter(torch.empty(length, width))
        for weight in (self.embedding.weight, self.positions):
            nn.init.normal_(weight, 0.0, 0.02)
        self.condition = nn.Linear(condition, width, bias=False) if condition else None
        self.blocks = nn.ModuleList(Block(width, self.heads) for _ in range(layers))
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, vocabulary)

    def forward(self, tokens: Tensor, condition: Tensor | None = None) -> Tensor:
        """Return the logits of each symbol given those before it: N x length tokens give N x length x vocabulary."""
        before = functional.pad(tokens[:, :-1], (1, 0), value=self.vocabulary)
        hidden = self._embedded(before, self.positions[: tokens.shape[1]], condition)
        for block in self.blocks:
            hidden = block(hidden)
        logits: Tensor = self.head(self.norm(hidden))
        return logits

    def nats(self, tokens: Tensor, condition: Tensor | None = None) -> Tensor:
        """Return the negative log probability of each sequence."""
        logits = self(tokens, condition).float()
        return functional.cross_entropy(logits.flatten(0, 1), tokens.flatten(), reduction="none").view_as(tokens).sum(1)

    @torch.no_grad()
    def sample(self, uniform: Tensor, condition: Tensor | None = None, temperature: float = 1.0) -> Tensor:
        """Return a sequence for each row of N x length uniform numbers, by inverse transform of each distribution.

        A row depends on its own numbers only. A temperature below 1 makes likely symbols likelier.
        """
        caches = self._caches(uniform)
        symbols = [torch.full((len(uniform),), self.vocabulary, device=uniform.device)]
        for place in range(uniform.shape[1]):
            logits = self._next(symbols[-1], place, caches, condition).float()
            cumulative = (logits / temperature).softmax(1).cumsum(1)
            passed = cumulative <= uniform[:, place].unsqueeze(1)
            # The last sum can miss 1 by rounding.
            symbols.append(passed.sum(1).clamp(max=self.vocabulary - 1))
        return torch.stack(symbols[1:], 1)

    def _next(self, symbol: Tensor, place: int, caches: list[Cache], condition: Tensor | None) -> Tensor:
        """Return the logits of the symbol at a place, given the one before it and the caches of all earlier ones."""
        hidden = self._embedded(symbol.unsqueeze(1), self.positions[place : place + 1], condition)
        for block, cache in zip(self.blocks, caches, strict=True):
            hidden = block(hidden, cache)
        logits: Tensor = self.head(self.norm(hidden[:, 0]))
        return logits

    def _embedded(self, symbols: Tensor, positions: Tensor, condition: Tensor | None) -> Tensor:
        hidden: Tensor = self.embedding(symbols) + positions
        return hidden if self.condition is None else hidden + self.condition(condition).unsqueeze(1)

    def _caches(self, uniform: Tensor) -> list[Cache]:
        """Return an empty cache for each block."""
        device = uniform.device
        kind = torch.get_autocast_dtype(device.type) if torch.is_autocast_enabled(device.type) else self.positions.dtype
        size = (len(uniform), self.heads, uniform.shape[1], self.positions.shape[1] // self.heads)
        empty = torch.empty(2, len(self.blocks), *size, dtype=kind, device=device)
        return [Cache(keys, values) for keys, values in zip(*empty, strict=True)]
