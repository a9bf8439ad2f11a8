"""The vector-quantised autoencoder: each cell of a grid holds an entry of a codebook, and a prior draws the grid."""

import math
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from genlab import distributed
from genlab.contract import Batch, Model, Player, Result, Turn, home
from genlab.kinds import Classes, Image
from genlab.models.losses.likelihood import LikelihoodName, build_likelihood
from genlab.networks.autoregressive import Autoregressive
from genlab.networks.condition import drawn, told
from genlab.networks.grid import Grid
from genlab.networks.network import at_least
from genlab.registry import ConfigError

_LAPLACE = 1e-5
"""The epsilon of the Laplace smoothing of counts."""
_UNUSED = 100
"""An entry is unused if no code of this many batches in a row has chosen it."""


class Codebook(nn.Module):
    """Entries that follow the codes which choose them (van den Oord et al. 2017, appendix A.1).

    Each entry is the moving average of the sum of its codes, divided by that of their number. An entry whose number
    falls to `restart` times the mean begins again at a random code. In the first step all of them do, so the first
    codebook consists of codes.
    """

    counts: Tensor
    sums: Tensor
    entries: Tensor
    idle: Tensor
    """Number of batches since a code chose each entry."""

    def __init__(self, size: int, dim: int, *, decay: float, restart: float) -> None:
        super().__init__()
        self.decay, self.restart = decay, restart
        self.register_buffer("counts", torch.zeros(size))
        self.register_buffer("sums", torch.randn(size, dim))
        self.register_buffer("entries", self.sums.clone())
        self.register_buffer("idle", torch.zeros(size, dtype=torch.int64))

    def forward(self, chosen: Tensor) -> Tensor:
        """Return the entries of these numbers."""
        return self.entries[chosen]

    def nearest(self, codes: Tensor) -> Tensor:
        """Return the number of the entry that is nearest to each code, N x D; in float32, whatever the autocast."""
        with exactly(codes):
            distances = self.entries.square().sum(1) - 2 * codes @ self.entries.T
        return distances.argmin(1)

    def usage(self, chosen: Tensor) -> dict[str, Tensor]:
        """Return the perplexity of the entries that these codes choose, and the share of unused entries."""
        shares = self._choices(chosen.flatten()).mean(0)
        unused = (self.idle >= _UNUSED).to(shares.dtype).mean()
        return {"perplexity": torch.special.entr(shares).sum().exp(), "unused": unused}

    @torch.no_grad()
    def learn(self, codes: Tensor, chosen: Tensor, wanted: Tensor) -> None:
        """Move the entries towards the codes that choose them; do nothing if `wanted` is false."""
        choices, size = self._choices(chosen), len(self.counts)
        with exactly(codes):
            # A product of matrices: unlike a sum by index, it adds in the same order each time on a GPU, too.
            sums = choices.T @ codes
        # The same in all processes, which have the same codes here.
        fresh = codes[torch.randint(0, len(codes), (size,), device=codes.device)]
        # With few codes to its name, an entry soon follows those that choose it, or soon begins again.
        few = len(codes) / size * (min(1.0, 2 * self.restart) or 1.0)
        alive = self.counts > self.restart * self.counts.mean()
        counts = torch.where(alive, self.counts.lerp(choices.sum(0), 1 - self.decay), few)
        sums = torch.where(alive.unsqueeze(1), self.sums.lerp(sums, 1 - self.decay), few * fresh)
        entries = sums / smoothed(counts).unsqueeze(1)
        idle = torch.where(choices.any(0), 0, self.idle + 1)
        moved = ((self.counts, counts), (self.sums, sums), (self.entries, entries), (self.idle, idle))
        for buffer, value in moved:
            buffer.copy_(torch.where(wanted, value, buffer))

    def _choices(self, chosen: Tensor) -> Tensor:
        """Return a row of zeros with a one at the chosen entry for each code."""
        numbers = torch.arange(len(self.counts), device=chosen.device)
        return (chosen.unsqueeze(1) == numbers).to(self.counts.dtype)


class VQVAE(Model):
    """Vector-quantised autoencoder with a prior over its codes (van den Oord et al. 2017).

    In the first phase the autoencoder and its codebook learn; in the second they stay as they are, and a causal
    transformer learns the distribution of their grids of codes, from which new images are drawn.
    """

    def __init__(
        self,
        *,
        x: Image,
        label: Classes | None = None,
        codes: int = 128,
        code_dim: int = 16,
        downsampling: int = 4,
        width: int = 64,
        blocks: int = 2,
        commitment: float = 0.25,
        decay: float = 0.99,
        restart: float = 0.1,
        code_steps: int | None = None,
        prior_width: int = 96,
        prior_layers: int = 3,
        condition: Literal["none", "label"] = "none",
        likelihood: LikelihoodName = "bernoulli",
        std: float | None = None,
    ) -> None:
        super().__init__()
        at_least(2, codes=codes)
        at_least(1, code_dim=code_dim, prior_width=prior_width, prior_layers=prior_layers)
        at_least(0, commitment=commitment, decay=decay, restart=restart, code_steps=code_steps or 0)
        _below_one(decay=decay, restart=restart)
        self.told = told(condition, label)
        self.classes = sum(len(kind) for kind in self.told.values())
        self.code_holds_class = bool(self.told)
        """True if decoder and encoder need no class: only the prior is told it."""
        self.commitment, self.code_steps = commitment, code_steps
        grid = Grid(x, downsampling=downsampling, width=width, blocks=blocks)
        self.grid, self.code_dim = grid.sides, code_dim
        self.latent_dim = math.prod(grid.sides) * code_dim
        self.encoder, self.decoder = grid.encoder(code_dim), grid.decoder(code_dim)
        self.codebook = Codebook(codes, code_dim, decay=decay, restart=restart)
        self.likelihood = build_likelihood(likelihood, std)
        self.continuous = likelihood != "bernoulli"
        length = math.prod(grid.sides)
        self.prior = Autoregressive(codes, length, width=prior_width, layers=prior_layers, condition=self.classes)

    def players(self) -> dict[str, Player]:
        """Return the autoencoder with its codebook, and the prior."""
        return {"autoencoder": (self.encoder, self.decoder, self.codebook, self.likelihood), "prior": self.prior}

    def turns(self, step: int) -> list[Turn]:
        """Return the turn of the autoencoder for `code_steps` steps, or half of the training, then the prior's.

        Half of a training is not known before a trainer has set the number of steps: both then move in each step.
        """
        code_turn, prior_turn = Turn("autoencoder", self.code_loss), Turn("prior", self.prior_loss)
        if self.code_steps is None and not self.total:
            return [code_turn, prior_turn]
        first = self.total // 2 if self.code_steps is None else self.code_steps
        return [code_turn] if step < first else [prior_turn]

    def code_loss(self, batch: Batch) -> Result:
        """Return the reconstruction error and the commitment loss; in training, also move the codebook."""
        codes = self._encoded(batch)
        chosen, entries = self._quantised(codes)
        # The gradient of the entries goes to the codes unchanged: the straight-through estimator.
        reconstruction = self.likelihood(self._decoded(entries + (codes - codes.detach())), batch["x"]).mean()
        commitment = squared_distance(codes, entries).mean()
        loss = reconstruction + self.commitment * commitment
        # Entries follow the codes of the whole batch, of which a process may have a part.
        chosen = distributed.gathered(chosen)
        if self.training:
            finite = distributed.averaged(loss.detach()).isfinite()
            self.codebook.learn(distributed.gathered(codes.detach()).flatten(0, 2), chosen.flatten(), finite)
        return Result(loss, {"reconstruction": reconstruction, "commitment": commitment, **self.codebook.usage(chosen)})

    def prior_loss(self, batch: Batch) -> Result:
        """Return the negative log probability of the codes by the prior, in nats per item."""
        return Result(self._cost(self.tokens(batch), batch).mean())

    def validate(self, batch: Batch) -> Result:
        """Return the nats of an item by its code and of the code by the prior, and the use of the codebook."""
        with exactly(batch["x"]):
            codes = self._encoded(batch)
        chosen, entries = self._quantised(codes)
        reconstruction = self.likelihood(self._decoded(entries), batch["x"]).mean()
        kl, commitment = self._cost(chosen.flatten(1), batch).mean(), squared_distance(codes, entries).mean()
        shown = {
            "reconstruction": reconstruction,
            "kl": kl,
            "commitment": commitment,
            **self.codebook.usage(chosen),
        }
        return Result(reconstruction + kl, shown)

    @torch.no_grad()
    def tokens(self, batch: Batch) -> Tensor:
        """Return the numbers of each item's codes, N x cells, row by row; without autocast, as every later use does."""
        with exactly(batch["x"]):
            return self._quantised(self._encoded(batch))[0].flatten(1)

    def encode(self, batch: Batch) -> Tensor:
        """Return the entries of each item's codes, flattened: N x (cells * numbers of an entry)."""
        entries: Tensor = self.codebook(self.tokens(batch))
        return entries.flatten(1)

    def decode(self, codes: Tensor, condition: Batch | None = None) -> Tensor:
        """Return the expected item of each code, also of codes between entries; the condition changes nothing."""
        return self.likelihood.mean(self._decoded(codes.view(-1, *self.grid, self.code_dim)))

    def reconstruct(self, batch: Batch) -> Tensor:
        """Decode the codes of each item."""
        return self.decode(self.encode(batch))

    def sample(self, count: int, condition: Batch | None = None, generator: torch.Generator | None = None) -> Tensor:
        """Decode codes drawn from the prior; a conditional model draws classes if none are given."""
        length = self.prior.length
        numbers, told = drawn(count, length, self.told, condition, device=home(self), generator=generator)
        vectors = self._vectors(told["label"]) if self.told else None
        # Each uniform number selects one code, so samples do not depend on how they are split.
        tokens = self.prior.sample(torch.special.ndtr(numbers), vectors)
        return self.decode(self.codebook(tokens).flatten(1))

    def nats(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return the reconstruction error of each item by its code, and the cost of the code by the prior.

        The posterior is one code, so its KL from the prior is the negative log probability of that code.
        """
        tokens = self.tokens(batch)
        decoded = self._decoded(self.codebook(tokens.view(-1, *self.grid)))
        return self.likelihood(decoded, batch["x"]), self._cost(tokens, batch)

    def score(self, batch: Batch) -> Tensor:
        """Return the log likelihood of each item together with its code, a lower bound on that of the item."""
        reconstruction, kl = self.nats(batch)
        return -(reconstruction + kl)

    def classify(self, batch: Batch) -> Tensor:
        """Return the log probability of each class given the codes of an item, by Bayes' rule with equal classes."""
        return self._by_class(self.tokens(batch)).log_softmax(1)

    def infer(self, batch: Batch) -> Batch:
        """Return the likeliest class of each item."""
        return {"label": self.classify(batch).argmax(1)}

    def _encoded(self, batch: Batch) -> Tensor:
        """Return the codes before quantisation in float32, N x rows x columns x numbers."""
        codes: Tensor = self.encoder(batch["x"]).float()
        return codes.permute(0, 2, 3, 1)

    def _quantised(self, codes: Tensor) -> tuple[Tensor, Tensor]:
        """Return the number of the entry that is nearest to each code, and the entries, without gradients."""
        with torch.no_grad():
            chosen = self.codebook.nearest(codes.flatten(0, 2)).view(codes.shape[:3])
            return chosen, self.codebook(chosen)

    def _decoded(self, codes: Tensor) -> Tensor:
        """Return the output of the decoder for N x rows x columns x numbers."""
        decoded: Tensor = self.decoder(codes.permute(0, 3, 1, 2))
        return decoded

    def _cost(self, tokens: Tensor, batch: Batch) -> Tensor:
        """Return the negative log probability of codes; of items without a class, by the mean over all classes."""
        if not self.told:
            return self.prior.nats(tokens)
        if "label" in batch:
            return self.prior.nats(tokens, self._vectors(batch["label"]))
        return math.log(self.classes) - self._by_class(tokens).logsumexp(1)

    def _by_class(self, tokens: Tensor) -> Tensor:
        """Return the log probability of codes given each class, N x classes."""
        assert self.told, "only a model that is told the class can infer it"
        if torch.compiler.is_exporting():
            # One batch for all classes: an exported graph then has no copies. `len` would fix the size of the batch.
            each = tokens.unsqueeze(1).expand(-1, self.classes, -1)
            label = torch.arange(self.classes, device=tokens.device).expand(each.shape[:2])
            return -self.prior.nats(each.flatten(0, 1), self._vectors(label.flatten())).view(-1, self.classes)
        labels = (torch.full((len(tokens),), number, device=tokens.device) for number in range(self.classes))
        return -torch.stack([self.prior.nats(tokens, self._vectors(label)) for label in labels], 1)

    def _vectors(self, label: Tensor) -> Tensor:
        return functional.one_hot(label, self.classes).float()


def exactly(values: Tensor) -> torch.autocast:
    """Return a context without autocast: in a lower precision a code could get another entry than in evaluation."""
    return torch.autocast(values.device.type, enabled=False)


def smoothed(counts: Tensor) -> Tensor:
    """Return counts of which none is 0 and whose sum stays the same: Laplace smoothing."""
    total = counts.sum()
    return (counts + _LAPLACE) / (total + len(counts) * _LAPLACE) * total


def squared_distance(codes: Tensor, entries: Tensor) -> Tensor:
    """Return the squared distance of each item's codes to their entries, summed over the grid."""
    return (codes - entries).square().flatten(1).sum(1)


def _below_one(**settings: float) -> None:
    for name, value in settings.items():
        if value >= 1:
            raise ConfigError(f"{name} must be below 1, got {value}.")
