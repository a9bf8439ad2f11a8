"""Clean noisy items with a trained model, beside filters that are not trained."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from numbers import Real
from typing import Any

from torch import Tensor

from genlab import charts
from genlab.contract import Reconstructs, Upscales, home
from genlab.data.progress import progress
from genlab.kinds import Image, Kind, Tokens
from genlab.lab.abilities import cannot
from genlab.lab.given import Given
from genlab.lab.methods import MODEL, Values, draw, means, measured, single_files, write_metrics
from genlab.lab.results import Format, Results
from genlab.lab.run import Run, whole
from genlab.metrics.denoising import filtered
from genlab.randomness import normal_rows
from genlab.registry import ConfigError
from genlab.runs.run import Run as Folder

NOISY = "noisy"
LEVELS = (0.1, 0.2, 0.3, 0.5)
"""The std of the noise in a sweep; white is 1."""

_FILTERS = {"median": "median", "nlmeans": "non-local means"}
_UNITS = {"PSNR": "PSNR in dB", "squared_error": "squared error"}


@dataclass(frozen=True)
class Denoised:
    """Items that were cleaned by a model and, if noise was added first, by each filter; and the metrics of all."""

    given: Given
    kind: Kind
    noise: float | None
    """The std of the noise that was added; None if the items were cleaned as they are."""
    cleaned: dict[str, Tensor]
    """The cleaned items by method: `model`, `median`, `non-local means`."""
    noisy: Tensor | None = None
    """The items with the noise that was added, not clamped."""
    metrics: dict[str, Values] = field(default_factory=dict)
    """By method, `noisy` first: one value for each item, by the name of the metric. Empty without added noise."""

    @property
    def means(self) -> dict[str, dict[str, float]]:
        """The mean of each metric over the items, by method."""
        return means(self.metrics)

    def write(self, results: Results, form: Format = "png") -> None:
        """Write a sheet, the cleaned items as single files or as arrays, and the metrics of each item."""
        added = {} if self.noisy is None else {NOISY: self.noisy}
        draw(results, self.kind, {"input": self.given.items, **added, **self.cleaned})
        if self.metrics:
            write_metrics(results, self.given, self.metrics)
        single = single_files(self.kind, form)
        results.items("denoised", self.given.files, self.kind, self.cleaned[MODEL], single, **added)


@dataclass(frozen=True)
class NoiseSweep:
    """The mean metrics of each method at several levels of noise."""

    name: str
    """The name of the run."""
    kind: Kind
    count: int
    """The number of items."""
    means: dict[float, dict[str, dict[str, float]]]
    """By the std of the noise, the method, and the name of the metric."""
    trained: float | None
    """The std of the noise that the model was trained with; None if there was none."""

    @property
    def metric(self) -> str:
        """The metric that is drawn: `PSNR`, or `squared_error` if the items are no images."""
        return "PSNR" if isinstance(self.kind, Image) else "squared_error"

    @property
    def methods(self) -> tuple[str, ...]:
        """The noisy items, the model and the filters."""
        return tuple(next(iter(self.means.values())))

    @property
    def table(self) -> dict[str, dict[str, float]]:
        """The metric that is drawn, by method and level of noise."""
        return {
            method: {f"{level:g}": value for level, value in self.curve(method, self.metric)} for method in self.methods
        }

    def curve(self, method: str, metric: str) -> list[tuple[float, float]]:
        """Return the mean of a metric at each level of noise; infinite if all items are perfect."""
        return [(level, found[method].get(metric, math.inf)) for level, found in self.means.items()]

    def write(self, results: Results) -> None:
        """Write a chart of all methods, and all means as CSV."""
        first = sorted(self.methods, key=lambda method: method != MODEL)
        series = {method: self.curve(method, self.metric) for method in first}
        marks = {} if self.trained is None else {f"noise in training, {self.trained:g}": self.trained}
        note = f"{self.count:,} {self.kind.plural}"
        chart = charts.curves(self.name, "std of the noise", _UNITS[self.metric], series, marks, note)
        results.chart("denoise", chart)
        names = list(next(iter(self.means.values()))[MODEL])
        rows = [
            (f"{level:g}", method, *(f"{found[method].get(name, math.inf):.6g}" for name in names))
            for level, found in self.means.items()
            for method in self.methods
        ]
        results.table("denoise", ["noise", "method", *names], rows)


def denoise(run: Run, given: Given, *, noise: float | None = None, seed: int = 0) -> Denoised:
    """Clean items as they are, or add normal noise of this std first and measure the model beside filters.

    The noise of an item depends on the seed, the std and the number of the item. Non-local means is told the std.
    Points have no filters.
    """
    kind, model = refuse_unable(run), run.model
    assert isinstance(model, Reconstructs)
    if noise is None:
        return Denoised(given, kind, None, {MODEL: run.apply(model.reconstruct, given.items)})
    level, clean = positive("noise", noise), given.items
    rows = normal_rows(whole("seed", seed), f"denoise/{level:g}", 0, len(clean), *clean.shape[1:])
    # Not clamped, as in the training of a denoising autoencoder.
    noisy = clean + level * rows
    cleaned = {MODEL: run.apply(model.reconstruct, noisy)}
    if isinstance(kind, Image):
        found = filtered(noisy.to(home(model)), level)
        cleaned |= {_FILTERS[name]: items.cpu().clamp(0, 1) for name, items in found.items()}
    metrics = {method: measured(kind, items, clean) for method, items in {NOISY: noisy, **cleaned}.items()}
    return Denoised(given, kind, level, cleaned, noisy, metrics)


def sweep(run: Run, given: Given, *, noises: Sequence[float] = LEVELS, seed: int = 0) -> NoiseSweep:
    """Measure the model beside filters at several levels of noise."""
    kind, levels = refuse_unable(run), sorted({positive("noise", noise) for noise in noises})
    if not levels:
        raise ConfigError("There are no levels of noise: the list is empty.")
    found = dict[float, dict[str, dict[str, float]]]()
    with progress(len(levels), "denoising", "denoised", "levels of noise") as advance:
        for level in levels:
            found[level] = denoise(run, given, noise=level, seed=seed).means
            advance()
    return NoiseSweep(run.name, kind, len(given), found, trained_noise(run))


def trained_noise(run: Run) -> float | None:
    """Return the std of the noise that a model was trained with, or None."""
    noise = run.config["model"].get("noise")
    return float(noise) if isinstance(noise, int | float) and noise > 0 else None


def positive(name: str, value: Any) -> float:
    """Return an argument that must be a finite number above 0."""
    number = float(value) if isinstance(value, Real) else math.nan
    if not (0 < number < math.inf):
        shown = f"{number:g}" if isinstance(value, Real) else repr(value)
        raise ConfigError(f"{name} must be a number above 0, such as 0.3 (white is 1), got {shown}.")
    return number


def refuse_unable(run: Run) -> Kind:
    """Return the kind of the run's items; raise a ConfigError if the model or the kind does not fit."""
    kind = run.kinds["x"]
    if not isinstance(run.model, Reconstructs):
        advice = (
            f"Upscale pictures with it: genlab upscale {run.path} PICTURES" if isinstance(run.model, Upscales) else ""
        )
        raise cannot(Folder(run.path), "denoise", run.abilities, advice)
    if isinstance(kind, Tokens):
        raise ConfigError(f"{run.name} cannot denoise: normal noise cannot be added to {kind.describe()}.")
    return kind
