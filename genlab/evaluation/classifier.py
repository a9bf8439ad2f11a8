"""A small residual classifier of a data set's own images, by which made ones are judged."""

import hashlib
import inspect
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from genlab.data.cache import cache_folder, lock
from genlab.data.images import Images
from genlab.data.loader import Loader
from genlab.game import Batch, Model, Shape, Terms
from genlab.randomness import reseed
from genlab.registry import ConfigError, RunError
from genlab.training import checkpoint
from genlab.training.console import Console
from genlab.training.journal import read
from genlab.training.settings import LoadingSettings, PlayerSettings, TrainerSettings
from genlab.training.trainer import Trainer

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
    folder, home = folder_of(images), device or torch.device("cpu")
    # Whether it was trained now or long ago, the caller's own draws stay the same.
    with torch.random.fork_rng([home] if home.type == "cuda" else []):
        # Before any lock: what is there may lie in a folder that nobody may write to.
        classifier = _found(images, folder) or _made(images, folder, home, console or Console())
    classifier.to(home).eval().requires_grad_(False)
    return Trained(classifier, _accuracy(classifier, images, folder))


def folder_of(images: Images) -> Path:
    """Where the classifier of these images is kept; another for other images, settings or layers."""
    recipe = [SEED, *_settings(images), PLAYER, tuple(images.shape), images.classes, LAYERS]
    version = hashlib.sha256(repr(recipe).encode()).hexdigest()[:8]
    return cache_folder() / "classifiers" / f"{images.fingerprint}-{version}"


def _check(images: Images) -> None:
    if images.shape.points:
        raise ConfigError("A classifier looks at images, and this data is points.")
    if images.labels is None:
        raise ConfigError("A classifier learns from labels, and this data has none.")
    classes = int(images.labels[images.splits["train"]].bincount().count_nonzero())
    if classes < 2:
        found = "one class" if classes else "no image"
        raise ConfigError(f"A classifier tells classes apart, and there is {found} to train it on.")


def _settings(images: Images) -> tuple[TrainerSettings, LoadingSettings]:
    """As long as it takes, and no longer: large sets by the step, small ones by the epoch."""
    count = len(images.splits["train"])
    batch_size = min(128, count)
    trainer = TrainerSettings(
        batch_size=batch_size,
        steps=min(MOST_STEPS, max(LEAST_STEPS, EPOCHS * (count // batch_size))),
        checkpoint_every=250,
        # The same verdict from every machine, and compiling takes longer than this training.
        precision="float32",
        compile=False,
    )
    return trainer, LoadingSettings(shift=max(1, min(images.shape[1:]) // 16))


def _found(images: Images, folder: Path) -> Classifier | None:
    """The classifier that is kept there, if it is whole and has been trained to the end."""
    path = checkpoint.steps(folder / "checkpoints").get(_settings(images)[0].steps or 0)
    try:
        kept = checkpoint.load(path) if path else None
    except (checkpoint.BrokenError, FileNotFoundError):
        return None
    if kept is None:
        return None
    classifier = _untrained(images)
    classifier.load_state_dict(checkpoint.fitted(kept, "model", classifier.state_dict()))
    return classifier


def _made(images: Images, folder: Path, device: torch.device, console: Console) -> Classifier:
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with lock(folder.parent, folder.name, work="training a classifier of the same images"):
            if found := _found(images, folder):
                return found
            _train(images, folder, device, console)
            # Read back, so that the first call gives bit for bit what all later ones give.
            made = _found(images, folder)
    except OSError as error:
        reason = f"{error.strerror or error}. GENLAB_CACHE=FOLDER names another place."
        raise ConfigError(f"The classifier cannot be kept in {folder}: {reason}") from None
    assert made
    return made


def _accuracy(classifier: Classifier, images: Images, folder: Path) -> float | None:
    """What the journal says of the end of the training; measured where it says nothing."""
    split = next((split for split in ("test", "validation") if len(images.splits[split])), None)
    if split is None:
        return None
    total = _settings(images)[0].steps
    noted = [line.get("accuracy") for line in read(folder) if (line["step"], line["split"]) == (total, split)]
    if noted and isinstance(noted[-1], float):
        return noted[-1]
    loader = Loader(images, split, _AT_ONCE, device=classifier.head.weight.device)
    right = [(classifier.classify(batch["image"]).argmax(1) == batch["label"]).sum() for batch in loader.once()]
    return float(torch.stack(right).sum()) / loader.count


def _train(images: Images, folder: Path, device: torch.device, console: Console) -> None:
    """Train to the end, from where a process that was stopped has left it."""
    trainer = _trainer(images, device)
    try:
        trainer.take_up(folder)
    except ConfigError as error:
        warnings.warn(f"{error} The classifier is trained anew.", stacklevel=3)
        shutil.rmtree(folder)
        trainer = _trainer(images, device)
    console.say(f"Training a classifier of the data, once; it is kept in {folder}")
    outcome = trainer.fit(folder, console)
    if outcome.state != "finished":
        done = f"step {outcome.step:,} of {trainer.total:,}"
        raise RunError(f"The training of the classifier was stopped at {done}; the next time it goes on from there.")


def _trainer(images: Images, device: torch.device) -> Trainer:
    settings, loading = _settings(images)
    players = {"model": PLAYER}
    return Trainer(_untrained(images), images, settings, players, seed=SEED, device=device, best=None, loading=loading)


def _untrained(images: Images) -> Classifier:
    reseed(torch.device("cpu"), SEED, "weights")
    return Classifier(shape=images.shape, classes=images.classes)
