"""The bench: one data set for measuring any number of models in the same way, and results that they share."""

import math
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import torch
from torch import Tensor

from genlab.contract import Batch, Encodes, Model, Samples, conditions
from genlab.data import held_out
from genlab.data.dataset import Dataset
from genlab.data.progress import progress
from genlab.extractors.classifier import Trained
from genlab.extractors.reference import reference
from genlab.metrics.distribution import Cloud
from genlab.metrics.memory import nearest_distances
from genlab.metrics.sharpness import edge_strength
from genlab.networks.extractor import Extractor
from genlab.randomness import generator
from genlab.registry import ConfigError

SPLIT = "test"
SEARCHED = 1_000
"""Largest number of samples that are compared with all training items."""

_BATCH = 500


@dataclass(frozen=True, kw_only=True)
class EvaluationSettings:
    """The amount of work of an evaluation; the protocol of the record holds all of it."""

    features: str | None = None
    count: int = 10_000
    importance: int = 50
    draws: int = 3
    images: int = 10_000
    only: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        smallest = {"count": 2, "importance": 1, "draws": 1, "images": 2}
        for name, least in smallest.items():
            if getattr(self, name) < least:
                raise ConfigError(f"--{name} must be at least {least}, got {getattr(self, name)}.")


@dataclass(frozen=True)
class Coded:
    """Items, their codes and their labels, in the same order."""

    codes: Tensor
    items: Tensor
    """N x numbers, flattened."""
    labels: Tensor | None
    known: dict[str, float] = field(default_factory=dict)
    """Metrics that depend only on the items and on the length of a code, so that the next model can reuse them."""


@dataclass(frozen=True)
class Classified:
    """Features and class probabilities of items, and their true classes."""

    features: Tensor
    probabilities: Tensor
    labels: Tensor


@dataclass(eq=False)
class Bench:
    """One data set, a device and settings; results that do not depend on the model are computed only once."""

    dataset: Dataset
    device: torch.device
    settings: EvaluationSettings
    create_extractor: Callable[[], Extractor]
    """Creates the extractor that compares distributions, or raises a ConfigError."""
    train_classifier: Callable[[], Trained]
    """Returns the classifier of the data, or raises a ConfigError."""
    create_perceptual: Callable[[], Extractor | None]
    """Creates the extractor that compares upscaled images, if one is installed."""
    notes: list[str] = field(default_factory=list)
    """Sentences about the part that is being measured."""

    _baselines: dict[Hashable, dict[str, float]] = field(default_factory=dict)
    _edges: dict[str, Tensor] = field(default_factory=dict)
    """By the name of a split."""
    _known: dict[int, dict[str, float]] = field(default_factory=dict)
    """By the length of a code."""

    def note(self, sentence: str) -> None:
        """Add a sentence, unless it is there already."""
        if sentence not in self.notes:
            self.notes.append(sentence)

    @cached_property
    def extractor(self) -> Extractor:
        """The extractor that compares distributions."""
        return self.create_extractor()

    @cached_property
    def classifier(self) -> Trained:
        """The classifier that assigns a class to each sample."""
        return self.train_classifier()

    @cached_property
    def perceptual(self) -> Extractor | None:
        """The extractor that compares upscaled images."""
        return self.create_perceptual()

    @cached_property
    def rows(self) -> Tensor:
        """The indices of the items that are measured."""
        return self.chosen(self.settings.images)

    def chosen(self, most: int, split: str = SPLIT) -> Tensor:
        """Return the indices of at most this many items of a split, and of no more than the settings allow."""
        return held_out.chosen(self.dataset, split, min(most, self.settings.images))

    @property
    def count(self) -> int:
        """The number of samples, which is also the number of real items that they are compared with."""
        available = len(self.dataset.splits[SPLIT])
        if available < self.settings.count:
            items = self.dataset.kind.plural
            self.note(f"The test split has {available:,} {items}, so {available:,} samples are measured.")
        return min(available, self.settings.count)

    def note_baseline(self) -> None:
        """Add a note if the baseline is measured on fewer items than the samples."""
        available = len(self.dataset.splits["train"])
        if available < self.count:
            items = self.dataset.kind.plural
            self.note(f"The train split has {available:,} {items}, so the baseline is measured on {available:,}.")

    def note_missing(self, missing: Sequence[list[int]]) -> None:
        """Add a note that names the classes which the samples of all seeds lack."""
        names = [self.dataset.classes[number] for number in sorted(set.intersection(*map(set, missing)))]
        if names:
            self.note(
                f"Mode dropping: the samples lack {len(names)} of {len(self.dataset.classes)} classes "
                f"({', '.join(names)}). The classifier finds them less than a tenth as often as among test "
                f"{self.dataset.kind.plural}."
            )

    @cached_property
    def real(self) -> Cloud:
        """The features of the test items, which all samples are compared with."""
        return Cloud(self._reference(SPLIT))

    def baseline(self, key: Hashable, compare: Callable[[Cloud, Cloud], dict[str, float]]) -> dict[str, float]:
        """Compare the test items with training items in place of samples, once for each key."""
        if key not in self._baselines:
            training = Cloud(self._reference("train"))
            self._baselines[key] = compare(self.real, training)
        return self._baselines[key]

    def _reference(self, split: str) -> Tensor:
        return reference(self.dataset, split, self.extractor, self.count, seed=0).to(self.device)

    def edges(self, split: str) -> Tensor:
        """Return the edge strength of each image of a split that samples are compared with, computed once."""
        if split not in self._edges:
            rows = held_out.chosen(self.dataset, split, self.count)
            self._edges[split] = torch.cat([edge_strength(items).cpu() for items in self.items("reading", rows)])
        return self._edges[split]

    @cached_property
    def nearest(self) -> Tensor:
        """The distances of test items, which are not copies, to their nearest training items."""
        rows = held_out.chosen(self.dataset, SPLIT, min(SEARCHED, self.count))
        return self.nearest_training(torch.cat(list(self.items("reading", rows))))

    def nearest_training(self, items: Tensor) -> Tensor:
        """Return the distances of each item to its nearest training items, the nearest first."""
        return nearest_distances(items, self.items("searching", self.dataset.splits["train"]))

    @cached_property
    def classified(self) -> Classified:
        """The test items as the classifier sees them."""
        found = [
            (self.classifier.classifier.features(batch["x"]), batch["label"]) for batch in self.batches("classifying")
        ]
        features, labels = (torch.cat(parts) for parts in zip(*found, strict=True))
        return self.classify(features, labels)

    def classify(self, features: Tensor, labels: Tensor) -> Classified:
        """Add the probability of each class to features of the classifier."""
        return Classified(features, self.classifier.classifier.head(features).softmax(1), labels)

    def batches(
        self, doing: str, rows: Tensor | None = None, size: int = _BATCH, model: Model | None = None
    ) -> Iterator[Batch]:
        """Yield the measured items, or those of other rows, with a progress bar.

        The condition of `model` is left out, so that a conditional model infers it and never reads the truth.
        """
        rows = self.rows if rows is None else rows
        hidden = conditions(model).keys()
        with progress(math.ceil(len(rows) / size), doing, doing, "batches") as advance:
            for batch in held_out.batches(self.dataset, rows, self.device, size):
                yield {name: values for name, values in batch.items() if name not in hidden}
                advance()

    def items(self, doing: str, rows: Tensor | None = None) -> Iterator[Tensor]:
        """Yield the column `x` of the batches."""
        return (batch["x"] for batch in self.batches(doing, rows))

    def samples(self, model: Model, seed: int, count: int | None = None) -> Iterator[tuple[Tensor, Batch]]:
        """Yield samples and their requested conditions, which are as frequent as among real items."""
        assert isinstance(model, Samples)
        count = self.count if count is None else count
        names = [name for name in conditions(model) if name in self.dataset.columns]
        draws = generator(seed, "evaluation")
        with progress(math.ceil(count / _BATCH), "sampling", "sampled", "batches") as advance:
            for start in range(0, count, _BATCH):
                size = min(_BATCH, count - start)
                rows = self._condition_rows[start : start + size]
                condition = {name: self.dataset.columns[name].rows[rows].to(self.device) for name in names}
                generated = model.sample(size, condition or None, draws)
                yield checked("sample", generated, (size, *self.dataset.kind.shape)), condition
                advance()

    def coded(self, model: Model, split: str, most: int) -> Coded:
        """Return the codes of at most this many items of a split."""
        assert isinstance(model, Encodes)
        rows, found = self.chosen(most, split), list[tuple[Tensor, Tensor]]()
        for batch in self.batches("encoding", rows, model=model):
            codes = model.encode(batch)
            codes = checked("encode", codes, (len(batch["x"]), *codes.shape[1:2]))
            found.append((codes.cpu(), batch["x"].flatten(1).cpu()))
        codes, items = (torch.cat(parts) for parts in zip(*found, strict=True))
        labels = None if self.dataset.labels is None else self.dataset.labels[rows]
        return Coded(codes, items, labels, self._known.setdefault(codes.shape[1], {}))

    @cached_property
    def _condition_rows(self) -> Tensor:
        """The indices of the test items that samples are compared with, in an order of their own."""
        rows = held_out.chosen(self.dataset, SPLIT, self.count)
        return rows[torch.randperm(len(rows), generator=generator(0, "evaluation/labels"))]


def checked(ability: str, result: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Return the output of a model, numbers as float32; raise a ConfigError unless it has this shape and is finite."""
    if tuple(result.shape) != shape:
        found, wanted = (" x ".join(map(str, size)) or "a single number" for size in (result.shape, shape))
        raise ConfigError(f"{ability} must return {wanted}, got {found}.")
    if not bool(result.isfinite().all()):
        raise ConfigError(f"{ability} must return finite numbers.")
    # Symbols of token sequences stay integers: that is what extractors get of real ones.
    return result.float() if result.is_floating_point() else result
