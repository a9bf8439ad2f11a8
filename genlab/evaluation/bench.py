"""What every measure of a model looks at: the data, the device, what is asked for, and what is made only once."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property

import torch
from torch import Tensor

from genlab.contract import Batch, Encodes, Model, Samples
from genlab.data import held_out
from genlab.data.dataset import Images
from genlab.data.progress import progress
from genlab.extractors.classifier import Trained
from genlab.extractors.embeddings import Embedding
from genlab.extractors.reference import reference
from genlab.metrics.distribution import Cloud, compared
from genlab.metrics.memory import memorised
from genlab.networks.extractor import Features
from genlab.randomness import generator
from genlab.registry import ConfigError

SPLIT = "test"
REMEMBERED = 1_000
"""Samples that are looked for among the training images, at most."""

_AT_ONCE = 500


@dataclass(frozen=True, kw_only=True)
class Asked:
    """How much is looked at; all of it stands in the protocol."""

    features: str | None = None
    count: int = 10_000
    importance: int = 50
    draws: int = 3
    images: int = 10_000
    only: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        least = {"count": 2, "importance": 1, "draws": 1, "images": 2}
        for name, low in least.items():
            if getattr(self, name) < low:
                raise ConfigError(f"--{name} must be at least {low}, and {getattr(self, name)} is not.")


@dataclass(eq=False)
class Bench:
    """One data set, on which any number of models are measured alike."""

    images: Images
    device: torch.device
    asked: Asked
    embed: Callable[[], Embedding]
    """What distributions are compared by; a ConfigError where that cannot be had."""
    classify: Callable[[], Trained]
    """The classifier of the data; a ConfigError where there can be none."""
    judge: Callable[[], Features | None]
    """What enlargements are compared by besides their pixels."""
    notes: list[str] = field(default_factory=list)
    """What is to be said of the part that is measured now, a sentence each."""

    probes: dict[int, dict[str, float]] = field(default_factory=dict)
    """By the length of a code, what is read from pixels and from as many components, which no model changes."""

    def note(self, sentence: str) -> None:
        """Once is enough."""
        if sentence not in self.notes:
            self.notes.append(sentence)

    @cached_property
    def embedding(self) -> Embedding:
        """What distributions are compared by."""
        return self.embed()

    @cached_property
    def classifier(self) -> Trained:
        """Judges what a conditional model makes."""
        return self.classify()

    @cached_property
    def features(self) -> Features | None:
        """What enlargements are compared by."""
        return self.judge()

    @cached_property
    def rows(self) -> Tensor:
        """The images that are measured on."""
        return held_out.chosen(self.images, SPLIT, self.asked.images)

    @property
    def count(self) -> int:
        """How many samples are compared with as many real images."""
        there = len(self.images.splits[SPLIT])
        if there < self.asked.count:
            self.note(f"There are {there:,} test images, so as many samples are measured and not {self.asked.count:,}.")
        return min(there, self.asked.count)

    @cached_property
    def real(self) -> Cloud:
        """The test images by their features, which every set of samples is compared with."""
        return Cloud(self.reference(SPLIT))

    @cached_property
    def floor(self) -> dict[str, float]:
        """What as many training images get in place of samples."""
        return compared(self.real, Cloud(self.reference("train")))

    def reference(self, split: str) -> Tensor:
        """The features of the real images of a split."""
        return reference(self.images, split, self.embedding, self.count, seed=0).to(self.device)

    @cached_property
    def nearest(self) -> dict[str, float]:
        """How near test images, which are no copies, are to training images."""
        rows = held_out.chosen(self.images, SPLIT, min(REMEMBERED, self.count))
        real = torch.cat(list(self.pictures("looking", rows)))
        return memorised(real, self.pictures("searching", self.images.splits["train"]))

    @cached_property
    def judged(self) -> tuple[Tensor, Tensor]:
        """What the classifier sees in the test images, and their classes."""
        look = self.classifier.classifier.features
        found = [(look(batch["image"]), batch["label"]) for batch in self.batches("looking")]
        features, labels = (torch.cat(parts) for parts in zip(*found, strict=True))
        return features, labels

    def note_floor(self) -> None:
        """Say where the floor is of fewer images than the figures."""
        there = len(self.images.splits["train"])
        if there < self.count:
            self.note(f"There are {there:,} training images, so the floor is of so many and not of {self.count:,}.")

    def batches(self, doing: str, rows: Tensor | None = None, size: int = _AT_ONCE) -> Iterator[Batch]:
        """The images that are measured on, or other rows, and a bar that says how far it has come."""
        rows = self.rows if rows is None else rows
        with progress(math.ceil(len(rows) / size), doing, doing, "batches") as advance:
            for batch in held_out.batches(self.images, rows, self.device, size):
                yield batch
                advance()

    def pictures(self, doing: str, rows: Tensor | None = None, size: int = _AT_ONCE) -> Iterator[Tensor]:
        """The images of the batches alone."""
        return (batch["image"] for batch in self.batches(doing, rows, size))

    def samples(self, model: Model, seed: int, count: int | None = None) -> Iterator[tuple[Tensor, Tensor | None]]:
        """What a model makes and, where it can be told, of which classes: as many of each as real images have."""
        assert isinstance(model, Samples)
        count = self.count if count is None else count
        labels = self.labels[:count] if model.classes and self.labels is not None else None
        draws = generator(seed, "evaluation")
        with progress(math.ceil(count / _AT_ONCE), "sampling", "sampled", "batches") as advance:
            for start in range(0, count, _AT_ONCE):
                asked = None if labels is None else labels[start : start + _AT_ONCE].to(self.device)
                size = min(_AT_ONCE, count - start)
                yield _made("sample", model.sample(size, asked, draws), (size, *self.images.shape)), asked
                advance()

    def codes(self, model: Encodes, images: Tensor) -> Tensor:
        """The codes of these images."""
        codes = model.encode(images)
        return _made("encode", codes, (len(images), *codes.shape[1:2]))

    @cached_property
    def labels(self) -> Tensor | None:
        """The classes of the test images that samples are compared with, in an order of their own."""
        if self.images.labels is None:
            return None
        labels = self.images.labels[held_out.chosen(self.images, SPLIT, self.count)]
        return labels[torch.randperm(len(labels), generator=generator(0, "evaluation/labels"))]


def _made(ability: str, made: Tensor, shape: tuple[int, ...]) -> Tensor:
    """What a model made, if it is what its ability promises: somebody's own model may make anything."""
    if tuple(made.shape) != shape:
        found, wanted = (" x ".join(map(str, size)) or "a single number" for size in (made.shape, shape))
        raise ConfigError(f"{ability} gives {found}, and {wanted} was asked for.")
    if not bool(made.isfinite().all()):
        raise ConfigError(f"{ability} gives numbers that are not finite.")
    return made.float()
