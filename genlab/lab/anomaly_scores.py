"""The ways to score items for anomaly, each with what it needs of a model."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import NamedTuple

import torch
from torch import Tensor

from genlab.contract import Encodes, Reconstructs, Scores
from genlab.data import held_out
from genlab.data.progress import progress
from genlab.kinds import Image, Kind, Tokens
from genlab.lab.run import Run
from genlab.metrics.codes import finite, principal_components
from genlab.metrics.detection import NEIGHBOURS, WINDOW, Neighbours, Standard, smooth_errors
from genlab.metrics.reconstruction import equal_symbols, errors
from genlab.registry import ConfigError

PCA = "PCA error"

_FITTED, _FITTED_LEAST = 2**23, 2_000
"""Numbers in the training items that neighbours and PCA are fitted to (10,699 images of 28 x 28), and least items."""
_COMPONENTS = 16
"""Components of PCA for a model without codes."""
_SEARCHED = 500
"""Items whose neighbours are searched at once."""

Scorer = Callable[[Tensor], Tensor]
"""Returns the score of each item; higher is more anomalous."""


class Detector:
    """A run with its training items, which some scores compare with."""

    def __init__(self, run: Run) -> None:
        self.run, self.kind = run, run.kinds["x"]

    def check(self, by: str, way: Way) -> None:
        """Raise a ConfigError if the model lacks an ability, or if the kind of the items does not fit."""
        for name, ability in way.abilities.items():
            if not isinstance(self.run.model, ability):
                able = [other for other, each in WAYS.items() if self._can(each)]
                advice = (
                    f"It can with --by {', '.join(able)}." if able else "Use a model with codes, such as ae or vae."
                )
                raise ConfigError(f"{self.run.name} cannot detect anomalies by {by}: it cannot {name}. {advice}")
        if not isinstance(self.kind, way.kinds):
            takes = " and ".join(kind.plural for kind in way.kinds)
            raise ConfigError(f"--by {by} takes {takes}, and {self.run.name} holds {self.kind.describe()}.")

    def _can(self, way: Way) -> bool:
        return isinstance(self.kind, way.kinds) and all(isinstance(self.run.model, of) for of in way.abilities.values())

    @cached_property
    def training(self) -> Tensor:
        """Training items of the run, not more than memory and time allow."""
        most = max(_FITTED_LEAST, _FITTED // math.prod(self.kind.shape))
        rows = held_out.chosen(self.run.dataset, "train", most)
        return torch.cat([batch["x"] for batch in held_out.batches(self.run.dataset, rows, torch.device("cpu"))])

    def errors(self, items: Tensor) -> Tensor:
        """Return the mean squared difference from the reconstruction; of texts, the share of different symbols."""
        reconstructed = self.run.reconstruct(items)
        if isinstance(self.kind, Tokens):
            return 1 - equal_symbols(reconstructed, items)["equal_symbols"].double()
        return errors(reconstructed, items)["squared_error"].double()

    def smooth(self, items: Tensor) -> Tensor:
        """Return the error of differences that are averaged over 3 x 3 pixels first; of other kinds, the error."""
        if not isinstance(self.kind, Image):
            return self.errors(items)
        return smooth_errors(self.run.reconstruct(items), items).double()

    @cached_property
    def neighbours(self) -> Neighbours:
        """The whitened codes of the training items."""
        return Neighbours(self.codes, whiten=True)

    @cached_property
    def codes(self) -> Tensor:
        """The codes of the training items."""
        return self.run.encode(self.training)

    @property
    def components(self) -> int:
        """The components of PCA: as many as a code has numbers, and fewer than an item has."""
        size = self.codes.shape[1] if isinstance(self.run.model, Encodes) else _COMPONENTS
        return min(size, self.training[0].numel() - 1, len(self.training))

    def baselines(self, items: Tensor) -> dict[str, Tensor]:
        """Return the scores of items without the model: the error of PCA, and the nearest training items."""
        scores = dict[str, Tensor]()
        if self.components:
            fitted = principal_components(self.training, self.components)
            decoded = fitted.inverse_transform(fitted.transform(finite(items.flatten(1))))
            scores[PCA] = errors(torch.from_numpy(decoded).view_as(items), items)["squared_error"]
        where = "in pixels" if isinstance(self.kind, Image) else self.kind.plural
        return scores | {f"{NEIGHBOURS} nearest {where}": distances(Neighbours(self.training), items)}


def distances(neighbours: Neighbours, items: Tensor) -> Tensor:
    """Return the mean distance of each item to its nearest training items, and show progress."""
    parts, found = torch.split(items, _SEARCHED), list[Tensor]()
    with progress(len(parts), "searching neighbours", "done", "parts") as advance:
        for part in parts:
            found.append(neighbours.distances(part).double())
            advance()
    return torch.cat(found)


def _error(detector: Detector) -> Scorer:
    return detector.errors


def _smooth(detector: Detector) -> Scorer:
    return detector.smooth


def _score(detector: Detector) -> Scorer:
    return lambda items: -detector.run.score(items).double()


def _code(detector: Detector) -> Scorer:
    return lambda items: distances(detector.neighbours, detector.run.encode(items))


def _combined(detector: Detector) -> Scorer:
    smooth = Standard(detector.smooth(detector.training))
    code = Standard(detector.neighbours.distances(detector.codes, training=True))
    by_code = _code(detector)
    return lambda items: smooth(detector.smooth(items)) + code(by_code(items))


class Way(NamedTuple):
    """A way to score items, and what it needs."""

    about: str
    scorer: Callable[[Detector], Scorer]
    abilities: Mapping[str, type]
    kinds: tuple[type[Kind], ...] = (Kind,)


_RECONSTRUCTS: Mapping[str, type] = {"reconstruct": Reconstructs}
_ENCODES: Mapping[str, type] = {"encode": Encodes}

WAYS: dict[str, Way] = {
    "error": Way("squared error of the reconstruction", _error, _RECONSTRUCTS),
    "smooth": Way(f"squared error, averaged over {WINDOW} x {WINDOW} pixels first", _smooth, _RECONSTRUCTS, (Image,)),
    "code": Way(f"distance to the {NEIGHBOURS} nearest training codes", _code, _ENCODES),
    "combined": Way("smooth and code, in stds above training items", _combined, {**_RECONSTRUCTS, **_ENCODES}),
    "score": Way("negative score of the model, in nats", _score, {"score": Scores}),
}
"""The ways to score items by name."""
