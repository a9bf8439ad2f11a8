"""A small residual classifier of a data set's own images, by which made ones are judged."""

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from genlab.contract import Batch, Model, Shape, Terms
from genlab.data.dataset import Images
from genlab.extractors.trained import Recipe
from genlab.registry import ConfigError
from genlab.training.console import Console
from genlab.training.settings import LoadingSettings, PlayerSettings, TrainerSettings

SEED = 0
EPOCHS, LEAST_STEPS, MOST_STEPS = 30, 300, 1500
PLAYER = PlayerSettings(optimizer="adamw", rate=4e-3, weight_decay=0.02, schedule="cosine", warmup=50)

_AT_ONCE = 128


class Residual(nn.Module):
    """A residual block (He et al. 2016), of its own so that a change to the models' networks changes no verdict."""

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
    """Says which class an image is of, and what it saw in it; trained by cross entropy on real images."""

    def __init__(self, *, shape: Shape, classes: int, width: int = 32) -> None:
        super().__init__()
        self.shape, self.classes = shape, classes
        layers, before, side = list[nn.Module](), shape.channels, min(shape.height, shape.width)
        # The first layers halve what is large, so that the blocks cost about the same for all images.
        while side > 16 or not layers:
            stride = 2 if side > 16 else 1
            layers += [nn.Conv2d(before, width, 3, stride, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU()]
            before, side = width, -(-side // stride)
        layers += [Residual(width, width), nn.AvgPool2d(2, ceil_mode=True)]
        layers += [Residual(width, 2 * width), nn.AvgPool2d(2, ceil_mode=True)]
        layers += [Residual(2 * width, 4 * width), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
        self.body, self.head = nn.Sequential(*layers), nn.Linear(4 * width, classes)

    def loss(self, batch: Batch) -> Terms:
        """Cross entropy, and the share of right answers."""
        scores: Tensor = self.head(self.body(batch["image"]))
        right = scores.argmax(1) == batch["label"]
        return {"loss": functional.cross_entropy(scores, batch["label"]), "accuracy": right.float().mean()}

    def classify(self, images: Tensor) -> Tensor:
        """The probability of each class for each image, N x classes."""
        return self._looked_at(images, lambda part: self.head(self.body(part)).softmax(1))

    def features(self, images: Tensor) -> Tensor:
        """What the last layer decides by: N x F, averaged over the places of the image."""
        return self._looked_at(images, self.body)

    def _looked_at(self, images: Tensor, look: Callable[[Tensor], Tensor]) -> Tensor:
        """So many images at once as memory holds, and nothing is learnt from them."""
        if tuple(images.shape[1:]) != tuple(self.shape):
            found, wanted = (" x ".join(map(str, size)) for size in (images.shape[1:], self.shape))
            raise ConfigError(f"The classifier was trained on images of {wanted}, and these are {found}.")
        training = self.training
        self.eval()
        try:
            with torch.no_grad():
                starts = range(0, max(1, len(images)), _AT_ONCE)
                return torch.cat([look(images[start : start + _AT_ONCE]) for start in starts])
        finally:
            self.train(training)


# What the weights mean, as it stood when it was imported: a change to it is another classifier.
LAYERS = "".join(inspect.getsource(part) for part in (Residual, Classifier))


class Trained(NamedTuple):
    """A classifier that has learnt its data set, in evaluation mode."""

    classifier: Classifier
    accuracy: float | None
    """The share of right answers on test images, on validation images where there are none, None without either."""


def trained_classifier(
    images: Images, *, device: torch.device | None = None, console: Console | None = None
) -> Trained:
    """The classifier of a data set, trained once and found again in the cache folder from then on."""
    _check(images)
    recipe = _recipe(images)
    classifier = recipe.trained(device or torch.device("cpu"), console or Console())
    return Trained(classifier, recipe.accuracy(classifier))


def classes_to_learn(images: Images) -> int:
    """How many classes the training images are of; it takes two for a classifier."""
    return 0 if images.labels is None else int(images.labels[images.splits["train"]].bincount().count_nonzero())


def folder_of(images: Images) -> Path:
    """Where the classifier of these images is kept; another for other images, settings or layers."""
    return _recipe(images).folder


def _check(images: Images) -> None:
    if images.shape.points:
        raise ConfigError("A classifier looks at images, and this data is points.")
    if images.labels is None:
        raise ConfigError("A classifier learns from labels, and this data has none.")
    classes = classes_to_learn(images)
    if classes < 2:
        found = "one class" if classes else "no image"
        raise ConfigError(f"A classifier tells classes apart, and there is {found} to train it on.")


def _recipe(images: Images) -> Recipe[Classifier]:
    """As long as it takes, and no longer: large sets by the step, small ones by the epoch."""
    count = len(images.splits["train"])
    batch_size = min(128, count)
    settings = TrainerSettings(
        batch_size=batch_size,
        steps=min(MOST_STEPS, max(LEAST_STEPS, EPOCHS * (count // batch_size))),
        checkpoint_every=250,
        # The same verdict from every machine, and compiling takes longer than this training.
        precision="float32",
        compile=False,
    )
    return Recipe(
        name="classifier",
        images=images,
        untrained=lambda: Classifier(shape=images.shape, classes=images.classes),
        layers=(tuple(images.shape), images.classes, LAYERS),
        settings=settings,
        loading=LoadingSettings(shift=max(1, min(images.shape[1:]) // 16)),
        player=PLAYER,
        seed=SEED,
    )
