"""A classifier of all attributes of the data at once, which says whether an image shows a value."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from genlab.contract import Batch, Result, home
from genlab.data.dataset import Column, Dataset
from genlab.extractors import classifier
from genlab.extractors.classifier import Classifier, trained_classifier
from genlab.extractors.trained import Recipe
from genlab.kinds import Classes, Image, Points
from genlab.networks.extractor import code_of
from genlab.registry import ConfigError
from genlab.training.console import Console


class AttributeClassifier(Classifier):
    """The classifier of images with one choice of values for each attribute."""

    def __init__(self, *, x: Image, sizes: Sequence[int], width: int = 32) -> None:
        super().__init__(x=x, classes=sum(sizes), width=width)
        self.sizes = list(sizes)

    def loss(self, batch: Batch) -> Result:
        """Return the mean cross entropy of the attributes, whose values are the columns of `y`, and the accuracy."""
        scores, wanted = self.head(self.body(batch["x"])).split(self.sizes, 1), batch["y"].long().unbind(1)
        errors = [functional.cross_entropy(*each) for each in zip(scores, wanted, strict=True)]
        right = [(one.argmax(1) == other).float().mean() for one, other in zip(scores, wanted, strict=True)]
        return Result(torch.stack(errors).mean(), {"accuracy": torch.stack(right).mean()})

    def values(self, images: Tensor) -> Tensor:
        """Return the likeliest value of each attribute, N x A."""

        def choose(part: Tensor) -> Tensor:
            return torch.stack([scores.argmax(1) for scores in self.head(self.body(part)).split(self.sizes, 1)], 1)

        return self._in_parts(images, choose)


CODE = code_of(classifier.Residual, Classifier, AttributeClassifier)


@dataclass(frozen=True)
class Attributes:
    """A trained classifier of attributes, and the attributes that it knows."""

    values: Callable[[Tensor], Tensor]
    """Returns the number of the likeliest value of each attribute, N x A."""
    device: torch.device
    places: Mapping[str, int]
    """The place of each attribute among the values; a copy of an attribute, such as the label, has its place."""

    def __call__(self, images: Tensor) -> dict[str, Tensor]:
        """Return the number of the likeliest value of each attribute for each image, on the CPU."""
        values = self.values(images.to(self.device)).cpu()
        return {name: values[:, place] for name, place in self.places.items()}


def trained_attributes(
    dataset: Dataset, *, device: torch.device | None = None, console: Console | None = None
) -> Attributes:
    """Return the classifier of a data set's attributes: train it once, and load it from the cache afterwards.

    Data whose only attribute is its label has the classifier that `genlab evaluate` uses.
    """
    columns, places = distinct(dataset)
    if not columns:
        raise ConfigError("The classifier needs attributes with at least two values, and this data has none.")
    if list(columns) == ["label"]:
        labels = trained_classifier(dataset, device=device, console=console).classifier
        return Attributes(lambda images: labels.classify(images).argmax(1, keepdim=True), home(labels), places)
    x, kinds = dataset.kind, [column.kind for column in columns.values()]
    if not isinstance(x, Image):
        raise ConfigError(f"The classifier takes images, and this data holds {x.describe()}.")
    sizes = [len(kind) for kind in kinds if isinstance(kind, Classes)]
    values = torch.stack([column.rows for column in columns.values()], 1).float()
    pairs = {"x": dataset.columns["x"], "y": Column(Points(len(sizes)), values)}
    recipe = Recipe(
        name="attribute classifier",
        dataset=Dataset(pairs, dataset.splits, contents=dataset.contents),
        untrained=lambda: AttributeClassifier(x=x, sizes=sizes),
        layers=(x.shape, sizes, CODE),
        settings=classifier.settings_for(dataset),
        loading=classifier.loading_for(x),
        player=classifier.PLAYER,
        seed=classifier.SEED,
    )
    trained = recipe.trained(device or torch.device("cpu"), console or Console())
    return Attributes(trained.values, home(trained), places)


def distinct(dataset: Dataset) -> tuple[dict[str, Column], dict[str, int]]:
    """Return the attributes that a classifier can learn, without copies of others, and the place of each among them."""
    columns, places, training = dict[str, Column](), dict[str, int](), dataset.splits["train"]
    # The label last: it is often a copy of an attribute, which has the better name.
    for name in sorted((name for name in dataset.columns if name not in ("x", "y")), key=lambda name: name == "label"):
        column = dataset.columns[name]
        if not isinstance(column.kind, Classes) or int(column.rows[training].bincount().count_nonzero()) < 2:
            continue
        same = next((other for other, known in columns.items() if torch.equal(known.rows, column.rows)), None)
        if same is None:
            columns[name] = column
        places[name] = list(columns).index(same or name)
    return columns, places
