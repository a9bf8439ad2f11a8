"""A small residual classifier that is trained on the data itself, and its last layer as features."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from genlab.contract import Batch, Model, Result
from genlab.data.dataset import Dataset
from genlab.extractors.trained import Recipe
from genlab.kinds import Classes, Image
from genlab.networks.extractor import Extractor, code_of, freeze
from genlab.registry import ConfigError
from genlab.training.console import Console
from genlab.training.settings import LoadingSettings, PlayerSettings, TrainerSettings

SEED = 0
EPOCHS, LEAST_STEPS, MOST_STEPS = 30, 300, 1500
PLAYER = PlayerSettings(optimizer="adamw", lr=4e-3, weight_decay=0.02, schedule="cosine", warmup=50)

_AT_ONCE = 128


class Residual(nn.Module):
    """A residual block (He et al. 2016); separate from the models' networks, so that their changes change no metric."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.skip = nn.Identity() if before == after else nn.Conv2d(before, after, 1, bias=False)
        self.first, self.second = (nn.Conv2d(width, after, 3, padding=1, bias=False) for width in (before, after))
        self.norm_first, self.norm_second = nn.BatchNorm2d(after), nn.BatchNorm2d(after)

    def forward(self, images: Tensor) -> Tensor:
        """Convolve, normalise, rectify, twice."""
        inner = functional.relu(self.norm_first(self.first(images)))
        return functional.relu(self.skip(images) + self.norm_second(self.second(inner)))


class Classifier(Model):
    """A classifier of images, which also gives the features that it decides by; trained by cross entropy."""

    def __init__(self, *, x: Image, classes: int, width: int = 32) -> None:
        super().__init__()
        self.shape = x.shape
        layers, before, side = list[nn.Module](), x.channels, min(x.height, x.width)
        # The first layers halve large images, so that the blocks cost about the same for all sizes.
        while side > 16 or not layers:
            stride = 2 if side > 16 else 1
            layers += [nn.Conv2d(before, width, 3, stride, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU()]
            before, side = width, -(-side // stride)
        layers += [Residual(width, width), nn.AvgPool2d(2, ceil_mode=True)]
        layers += [Residual(width, 2 * width), nn.AvgPool2d(2, ceil_mode=True)]
        layers += [Residual(2 * width, 4 * width), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
        self.body, self.head = nn.Sequential(*layers), nn.Linear(4 * width, classes)

    def loss(self, batch: Batch) -> Result:
        """Return the cross entropy, and the accuracy."""
        scores: Tensor = self.head(self.body(batch["x"]))
        right = scores.argmax(1) == batch["label"]
        return Result(functional.cross_entropy(scores, batch["label"]), {"accuracy": right.float().mean()})

    def classify(self, images: Tensor) -> Tensor:
        """Return the probability of each class for each image, N x classes."""
        return self._in_parts(images, lambda part: self.head(self.body(part)).softmax(1))

    def features(self, images: Tensor) -> Tensor:
        """Return the features that the last layer decides by, N x F, averaged over positions."""
        return self._in_parts(images, self.body)

    def _in_parts(self, images: Tensor, compute: Callable[[Tensor], Tensor]) -> Tensor:
        """Apply a function to parts of the images, in evaluation mode and without gradients."""
        if tuple(images.shape[1:]) != self.shape:
            found, expected = (" x ".join(map(str, size)) for size in (images.shape[1:], self.shape))
            raise ConfigError(f"The classifier is trained on images of {expected}, got {found}.")
        training = self.training
        self.eval()
        try:
            with torch.no_grad():
                starts = range(0, max(1, len(images)), _AT_ONCE)
                return torch.cat([compute(images[start : start + _AT_ONCE]) for start in starts])
        finally:
            self.train(training)


CODE = code_of(Residual, Classifier)
"""The code at the time of import: other code with the same weights is another classifier."""


class ClassifierFeatures(Extractor):
    """The features that the last layer of a trained classifier decides by."""

    has_vectors = True

    def __init__(self, network: Classifier, *, description: str) -> None:
        super().__init__("classifier", description=description, code=CODE)
        self.network = network
        freeze(self)

    def rows(self, items: Tensor) -> Tensor:
        """Return the input of the last layer."""
        return self.network.features(items)

    def classes(self, vectors: Tensor) -> Tensor:
        """Return the class of each item by its vector."""
        scores: Tensor = self.network.head(vectors.to(self.network.head.weight.device))
        return scores.argmax(1)


def classifier(
    *,
    x: Image,
    label: Classes,
    dataset: Dataset,
    device: torch.device | None = None,
    console: Console | None = None,
) -> ClassifierFeatures:
    """Create the extractor: train the classifier once on the data, and load it from the cache afterwards."""
    network, accuracy = trained_classifier(dataset, device=device, console=console)
    held_out = "test" if len(dataset.splits["test"]) else "validation"
    share = "accuracy unknown" if accuracy is None else f"{accuracy:.1%} accurate on the {held_out} images"
    return ClassifierFeatures(network, description=f"a residual classifier of the training images, {share}")


class Trained(NamedTuple):
    """A trained classifier in evaluation mode."""

    classifier: Classifier
    accuracy: float | None
    """Accuracy on test images, or on validation images if there are none; None without either."""


def trained_classifier(
    dataset: Dataset, *, device: torch.device | None = None, console: Console | None = None
) -> Trained:
    """Return the classifier of a data set: train it once, and load it from the cache afterwards."""
    recipe = _recipe(dataset)
    classifier = recipe.trained(device or torch.device("cpu"), console or Console())
    return Trained(classifier, recipe.accuracy(classifier))


def classes_to_learn(dataset: Dataset) -> int:
    """Return the number of classes among the training items; a classifier needs at least 2."""
    return 0 if dataset.labels is None else int(dataset.labels[dataset.splits["train"]].bincount().count_nonzero())


def folder_of(dataset: Dataset) -> Path:
    """Return the cache folder of the classifier; it depends on the data, the settings and the layers."""
    return _recipe(dataset).folder


def _recipe(dataset: Dataset) -> Recipe[Classifier]:
    """Return the recipe of the classifier of labels."""
    x, classes = dataset.kind, len(dataset.classes)
    if not isinstance(x, Image):
        raise ConfigError(f"The classifier takes images, and this data holds {x.describe()}.")
    if dataset.labels is None:
        raise ConfigError("The classifier needs labels, and this data has none.")
    if (found := classes_to_learn(dataset)) < 2:
        raise ConfigError(f"The classifier needs training images of at least 2 classes, got {found}.")
    return Recipe(
        name="classifier",
        dataset=dataset,
        untrained=lambda: Classifier(x=x, classes=classes),
        layers=(x.shape, classes, CODE),
        settings=settings_for(dataset),
        loading=loading_for(x),
        player=PLAYER,
        seed=SEED,
    )


def settings_for(dataset: Dataset) -> TrainerSettings:
    """Return settings whose length suits the data: steps are limited for large sets, epochs for small ones."""
    count = len(dataset.splits["train"])
    batch_size = min(128, count)
    return TrainerSettings(
        batch_size=batch_size,
        steps=min(MOST_STEPS, max(LEAST_STEPS, EPOCHS * (count // batch_size))),
        checkpoint_every=250,
        # The same classifier on every machine; compiling would take longer than this training.
        precision="float32",
        compile=False,
    )


def loading_for(x: Image) -> LoadingSettings:
    """Return the augmentation for images of this size."""
    return LoadingSettings(shift=max(1, min(x.height, x.width) // 16))
