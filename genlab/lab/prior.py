"""Priors that are fitted to the codes of a trained model, and the file in the run that holds one."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from genlab import randomness
from genlab.contract import Model, Samples
from genlab.kinds import Points
from genlab.models.vae import VAE
from genlab.networks.mlp import Mlp
from genlab.registry import ConfigError
from genlab.training import checkpoint

FILE = "prior.safetensors"
FORMAT = 1
"""The format of the file; it changes if older versions cannot read newer files."""

_NUMBERS = 2**22
"""Numbers of covariance factors that are in memory at once."""
_WIDEST, _DEEPEST = 2**14, 8
"""Limits for the hidden layers of a second stage that is read from a file."""


@dataclass(frozen=True)
class Mixture:
    """A mixture of Gaussians over codes, in float64."""

    weights: Tensor
    """K weights that add up to 1."""
    means: Tensor
    """K x D."""
    factors: Tensor
    """The Cholesky factors of the covariances, K x D x D."""
    classes: Tensor | None = None
    """The class of the codes that each Gaussian describes; None if each describes codes of all classes."""

    def __len__(self) -> int:
        """Return the number of Gaussians."""
        return len(self.weights)

    @property
    def size(self) -> int:
        """Numbers in a code."""
        return self.means.shape[1]

    @property
    def mean(self) -> Tensor:
        """The mean of all codes, D."""
        return self.weights @ self.means

    def describe(self) -> str:
        """Return `a mixture of 50 Gaussians`."""
        if len(self) == 1:
            return "one Gaussian"
        of_classes = "" if self.classes is None else f" for {int(self.classes.max()) + 1} classes"
        return f"a mixture of {len(self)} Gaussians{of_classes}"

    def draw(self, count: int, generator: torch.Generator, label: Tensor | None = None) -> Tensor:
        """Draw codes; n codes and then m codes are the same as n + m codes at once.

        With labels, one for each code, a code is drawn from the Gaussians of its class.
        """
        numbers = randomness.normal(count, self.size + 1, device=torch.device("cpu"), generator=generator).double()
        # The last number of a row selects the component, so a row does not depend on the others.
        shares = torch.special.ndtr(numbers[:, -1])
        bounds = self.within(label).cumsum(1)
        # The last sum can miss 1 by rounding.
        bounds = (bounds / bounds[:, -1:]).expand(count, -1).contiguous()
        component = torch.searchsorted(bounds, shares[:, None])[:, 0]
        parts = torch.split(torch.arange(count), max(1, _NUMBERS // self.size**2))
        # Each row is multiplied by its own matrix: one product for all rows would round in another way for fewer rows.
        noise = [self.factors[component[rows]] @ numbers[rows, :-1, None] for rows in parts]
        return (self.means[component] + torch.cat(noise).squeeze(2)).float()

    def within(self, label: Tensor | None) -> Tensor:
        """Return the weights of the Gaussians for codes of these classes: N x K, or 1 x K if all weights are equal.

        A class without Gaussians of its own has those of all classes.
        """
        if label is None or self.classes is None:
            return self.weights[None]
        own = self.classes == label.cpu()[:, None]
        weights = self.weights * (own | ~own.any(1, keepdim=True))
        return weights / weights.sum(1, keepdim=True)

    def nats(self, codes: Tensor, label: Tensor | None = None) -> Tensor:
        """Return the log density of each code; with labels, that among the codes of its class."""
        parts = list[Tensor]()
        for mean, factor in zip(self.means, self.factors, strict=True):
            distances = torch.linalg.solve_triangular(factor, (codes.double() - mean).T, upper=False)
            volume = factor.diagonal().log().sum() + 0.5 * self.size * math.log(2 * math.pi)
            parts.append(-volume - 0.5 * distances.square().sum(0))
        return (self.within(label).log() + torch.stack(parts, 1)).logsumexp(1)


@dataclass(frozen=True)
class SecondStage:
    """A VAE of the codes, which are standardised for it (Dai and Wipf 2019)."""

    mean: Tensor
    """The mean of all codes, D, in float64."""
    scale: Tensor
    """The std of each number of the codes, D, in float64."""
    network: VAE
    """In float64, so that a row does not depend on the rows beside it."""
    hidden: tuple[int, ...]
    """The widths of the hidden layers of its encoder."""

    @property
    def size(self) -> int:
        """Numbers in a code."""
        return len(self.mean)

    def describe(self) -> str:
        """Return `a second-stage VAE`."""
        return "a second-stage VAE"

    @torch.no_grad()
    def draw(self, count: int, generator: torch.Generator, label: Tensor | None = None) -> Tensor:
        """Draw codes; n codes and then m codes are the same as n + m codes at once. Labels make no difference."""
        hidden = self.network.latent_dim
        numbers = randomness.normal(count, hidden + self.size, device=torch.device("cpu"), generator=generator).double()
        # A code is drawn from the likelihood: its mean alone would lack the part of the variance that is noise.
        noise = numbers[:, hidden:] * self.network.likelihood.get_parameter("log_std").exp()
        standard: Tensor = self.network.decoder(numbers[:, :hidden]) + noise
        return (self.mean + self.scale * standard).float()


Prior = Mixture | SecondStage


def second_stage_network(size: int, hidden: Sequence[int]) -> VAE:
    """Build the untrained VAE for codes of `size` numbers; its own code is as long, and unused numbers become noise."""
    return VAE(x=Points(size), network=Mlp(hidden=list(hidden)), latent_dim=size, likelihood="gaussian")


def keep(folder: Path, digest: str, prior: Prior, facts: Mapping[str, Any]) -> Path:
    """Write a prior into a run's folder; it belongs to the checkpoint with this digest, and replaces another prior.

    `facts` say how the prior was fitted.
    """
    tensors, settings = _contents(prior)
    about = {**facts, **settings, "format": FORMAT, "checkpoint": digest}
    path = folder / FILE
    try:
        checkpoint.write_atomically(
            path, checkpoint.packed(tensors, {**about, "contents": _contents_digest(tensors, about)})
        )
    except OSError as error:
        raise ConfigError(f"{path} cannot be written: {error.strerror or error}.") from None
    return path


def fitted_prior(folder: Path, digest: str, model: Model) -> Prior | None:
    """Return the prior in a run's folder, or None without one.

    Raise a ConfigError if the file is damaged, or if the prior was fitted to another checkpoint than the one with this
    digest.
    """
    path = folder / FILE
    if not path.exists():
        return None
    ways = f"Fit it again: genlab fit-prior {folder}"
    if isinstance(model, Samples):
        ways = f"{ways} (or use the model's own prior: --prior normal)"
    try:
        tensors, facts = _read(path)
        if facts["checkpoint"] != digest:
            raise ConfigError(
                f"{path} was fitted to checkpoint {facts['checkpoint']}, and this is checkpoint {digest}. {ways}"
            )
        prior = _mixture(tensors) if facts["prior"] == "mixture" else _second_stage(tensors, facts)
        size = getattr(model, "latent_dim", prior.size)
        _insist(prior.size == size, f"its codes have {prior.size} numbers, and those of the model have {size}")
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror or error}. {ways}") from None
    except (checkpoint.BrokenError, RecursionError) as error:
        raise ConfigError(f"{path} is damaged: {error}. {ways}") from None
    return prior


def _contents(prior: Prior) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return the tensors of a prior, and the settings that are needed to build it."""
    if isinstance(prior, Mixture):
        tensors = {field.name: getattr(prior, field.name) for field in fields(prior)}
        return {name: value for name, value in tensors.items() if value is not None}, {"prior": "mixture"}
    tensors = {"mean": prior.mean, "scale": prior.scale}
    tensors |= {f"network/{name}": value for name, value in prior.network.state_dict().items()}
    return tensors, {"prior": "second stage", "hidden": list(prior.hidden)}


def _contents_digest(tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> str:
    digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode())
    for name, value in sorted(tensors.items()):
        digest.update(repr((name, tuple(value.shape), value.dtype)).encode())
        digest.update(value.detach().contiguous().flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()[:16]


def _read(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read the file; raise a BrokenError unless it is whole and of this format."""
    _insist(path.is_file(), "it is not a file")
    tensors, facts = checkpoint.unpacked(path.read_bytes())
    number = facts.get("format")
    _insist(number == FORMAT, f"it has format {number!r}, and this version of genlab reads format {FORMAT}")
    contents = facts.pop("contents", None)
    _insist(contents == _contents_digest(tensors, facts), "its contents do not match their hash")
    named = re.fullmatch("[0-9a-f]{16}", str(facts.get("checkpoint")))
    _insist(named is not None, "it does not name its checkpoint")
    _insist(facts.get("prior") in ("mixture", "second stage"), "it holds no prior that this version knows")
    return tensors, facts


def _mixture(tensors: Mapping[str, Tensor]) -> Mixture:
    count, size = (tuple(tensors["means"].shape) + (0, 0))[:2] if "means" in tensors else (0, 0)
    numbers = {name: value for name, value in tensors.items() if name != "classes"}
    _check(numbers, {"weights": (count,), "means": (count, size), "factors": (count, size, size)}, torch.float64)
    if "classes" in tensors:
        _check({"classes": tensors["classes"]}, {"classes": (count,)}, torch.int64)
    found = Mixture(**tensors)
    _insist(count > 0 and size > 0, "its mixture is empty")
    weights, factors = found.weights, found.factors
    _insist(bool((weights >= 0).all()) and abs(float(weights.sum()) - 1) < 1e-6, "its weights do not add up to 1")
    lower = torch.equal(factors, factors.tril()) and bool((factors.diagonal(dim1=1, dim2=2) > 0).all())
    _insist(lower, "its covariances have no Cholesky factors")
    return found


def _second_stage(tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> SecondStage:
    hidden, size = facts.get("hidden"), tensors["mean"].numel() if "mean" in tensors else 0
    known = isinstance(hidden, list) and all(type(width) is int and 0 < width <= _WIDEST for width in hidden)
    _insist(known and len(hidden or []) <= _DEEPEST and 0 < size <= _WIDEST, "the sizes of its network are impossible")
    # Without memory: only what the file really holds takes room.
    with torch.device("meta"):
        network = second_stage_network(size, hidden or []).double()
    state = {f"network/{name}": tuple(value.shape) for name, value in network.state_dict().items()}
    _check(tensors, {"mean": (size,), "scale": (size,), **state}, torch.float64)
    _insist(bool((tensors["scale"] > 0).all()), "its scales are not above 0")
    weights = {name.removeprefix("network/"): value for name, value in tensors.items() if name in state}
    network.load_state_dict(weights, assign=True)
    return SecondStage(tensors["mean"], tensors["scale"], network.eval().requires_grad_(False), tuple(hidden or []))


def _check(tensors: Mapping[str, Tensor], shapes: Mapping[str, tuple[int, ...]], dtype: torch.dtype) -> None:
    for name in sorted({*tensors, *shapes}):
        _insist(name in tensors, f"it lacks {name!r}")
        _insist(name in shapes, f"it holds {name!r}")
        found = tensors[name]
        _insist(
            tuple(found.shape) == shapes[name] and found.dtype == dtype,
            f"{name!r} is {tuple(found.shape)} of {found.dtype}, not {shapes[name]} of {dtype}",
        )
        _insist(bool(found.isfinite().all()), f"{name!r} has numbers that are not finite")


def _insist(right: bool, wrong: str) -> None:
    if not right:
        raise checkpoint.BrokenError(wrong)
