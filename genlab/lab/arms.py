"""The trainings of an augmentation study: a generator of n images, and the classifiers of all arms."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import torch
from torch import Tensor

from genlab.build import build_features, build_model
from genlab.config import compose
from genlab.config.schema import Config
from genlab.contract import Batch, Model, Samples, conditions, home
from genlab.data import CHARACTERS
from genlab.data.dataset import Column, Dataset
from genlab.data.mixture import Mixed
from genlab.extractors.classifier import CODE, PLAYER, Classifier, ClassifierFeatures
from genlab.extractors.quick import quick
from genlab.kinds import Classes, Image, Row, Spectrogram
from genlab.randomness import generator, reseed
from genlab.registry import ConfigError, RunError
from genlab.runs.open import load_weights
from genlab.training import checkpoint
from genlab.training.console import Console
from genlab.training.journal import read
from genlab.training.settings import LoadingSettings, TrainerSettings
from genlab.training.trainer import Outcome, Trainer

if TYPE_CHECKING:
    from genlab.lab.run import Run

Arm = Literal["real", "real + ordinary", "real + generated", "real + ordinary + generated", "generated"]
ARMS: tuple[Arm, ...] = get_args(Arm)

_LOOKS = 8
"""Validations in the training of a generator."""
_AT_ONCE, _JUDGED, _SHOWN = 256, 1_000, 8
"""Samples that are generated at once, that are classified to see if their class is as asked, and that are shown."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The settings of a study that are the same for all runs, numbers of images and seeds."""

    share: float
    """Share of each batch that is generated, in the arms that mix."""
    steps: int
    """Training steps of each classifier."""
    batch_size: int
    width: int
    """Channels of the first layer of each classifier."""
    generator_steps: int | None
    """Training steps of each generator; None for as many as the run has."""
    generated: int
    """Images that each generator generates."""
    flip: bool | None
    shift: int | None


@dataclass(frozen=True, eq=False)
class Recipe:
    """The recipe of a run, and how the study trains it: everything that decides the results beside size and seed."""

    run: Run
    name: str
    settings: Settings

    @cached_property
    def config(self) -> Config:
        """The settings of the run."""
        return compose.load(self.run.path / "config.yaml")

    @cached_property
    def generator_steps(self) -> int:
        """Training steps of each generator."""
        return self.settings.generator_steps or self.run.step

    @cached_property
    def ordinary(self) -> LoadingSettings:
        """The ordinary augmentation: what is asked for, else the run's own, else flips and shifts where they fit."""
        kind, own, flip, shift = self.run.dataset.kind, self.config.loading, self.settings.flip, self.settings.shift
        changes = {name: getattr(own, name) for name in ("flip", "shift", "zoom", "jitter")}
        if changes == {name: getattr(LoadingSettings(), name) for name in changes}:
            assert isinstance(kind, Image)
            source = str(self.config.data.get("class", self.config.data["name"]))
            mirrored = source not in CHARACTERS and not isinstance(kind, Spectrogram)
            changes |= {"flip": mirrored, "shift": max(1, min(kind.height, kind.width) // 14)}
        changes |= {name: value for name, value in (("flip", flip), ("shift", shift)) if value is not None}
        if changes == {name: getattr(LoadingSettings(), name) for name in changes}:
            raise ConfigError("The ordinary augmentation changes nothing. Allow flips, or shifts of at least 1 pixel.")
        return LoadingSettings(**changes)

    @cached_property
    def facts(self) -> dict[str, Any]:
        """All that decides the results, as plain values."""
        dataset, model = self.run.dataset, self.config.plain["model"]
        chosen = {key: value for key, value in asdict(self.settings).items() if key not in ("flip", "shift")}
        return {
            "model": model,
            "data": dataset.fingerprint,
            "loading": asdict(self.config.loading),
            "trainer": {name: getattr(self.config.trainer, name) for name in ("batch_size", "precision", "evaluate")},
            "ordinary": asdict(self.ordinary),
            "classifier": [hashlib.sha256(CODE.encode()).hexdigest()[:16], asdict(PLAYER)],
            **chosen,
            "generator_steps": self.generator_steps,
        }

    @cached_property
    def digest(self) -> str:
        """12 hex digits that change with anything that decides the results."""
        return hashlib.sha256(json.dumps(self.facts, sort_keys=True, default=str).encode()).hexdigest()[:12]

    @cached_property
    def classes(self) -> int:
        """The number of classes of which the data has training images."""
        labels = self.run.dataset.labels
        return 0 if labels is None else int(labels[self.run.dataset.splits["train"]].bincount().count_nonzero())

    def check(self, size: int) -> None:
        """Raise a ConfigError for a number of images that the data cannot give."""
        count = len(self.run.dataset.splits["train"])
        if size > count:
            raise ConfigError(f"{self.name} has {count:,} training images; sizes must be at most that, got {size:,}.")
        if size < max(2, self.classes):
            raise ConfigError(f"{self.name} has {self.classes} classes; sizes must be at least that, got {size}.")


def recipe_of(run: Run, name: str, settings: Settings) -> Recipe:
    """Return the recipe of a run; raise a ConfigError for a run that such a study does not fit."""
    told = conditions(run.model)
    if "label" not in told or not isinstance(run.model, Samples):
        raise ConfigError(
            f"{name} cannot augment labelled data: it does not generate images of a class that is asked for. "
            "Train a conditional model: genlab train model=cgan"
        )
    dataset = run.dataset
    if not isinstance(dataset.kind, Image):
        raise ConfigError(f"The study trains classifiers of images, and {name} generates {dataset.kind.describe()}.")
    for split, purpose in (("validation", "stop the generators"), ("test", "measure the accuracy")):
        if not len(dataset.splits[split]):
            raise ConfigError(f"The study needs {split} images to {purpose}, and the data of {name} has none.")
    recipe = Recipe(run, name, settings)
    if recipe.classes < 2:
        raise ConfigError(f"The study needs training images of at least 2 classes, and {name} has {recipe.classes}.")
    _ = recipe.ordinary
    return recipe


def drawn(labels: Tensor, count: int, seed: int) -> Tensor:
    """Draw `count` positions so that each class has its share and at least one; fewer are a part of more."""
    order = torch.randperm(len(labels), generator=generator(seed, "augment/images"))
    places = torch.empty(len(labels), dtype=torch.float64)
    for number in labels.bincount().nonzero().flatten().tolist():
        members = order[labels[order] == number]
        # The k-th item of a class comes when the class has had its share; the first ones come before all others.
        places[members] = (torch.arange(len(members), dtype=torch.float64) + 0.5) / len(members)
        places[members[0]] -= 1
    return order[places[order].argsort(stable=True)][:count].sort().values


@dataclass(frozen=True)
class Generated:
    """Images of a trained generator, and how good it is."""

    pool: Dataset
    """Images and labels; all of them are training items."""
    distance: float
    """Frechet distance to validation images at the chosen step, in the features of the classifier of this cell."""
    as_asked: float
    """Share of images in which the same classifier sees the class that was asked for."""
    step: int
    """The training step that the validation has chosen."""

    def rows(self, classes: Classes) -> list[Row]:
        """Return a few images of each class."""
        labels = self.pool.columns["label"].rows
        of_each = [(name, (labels == number).nonzero().flatten()[:_SHOWN]) for number, name in enumerate(classes.names)]
        images = self.pool.columns["x"]
        return [Row(name, images.kind.load(images.rows[chosen])) for name, chosen in of_each if len(chosen)]


@dataclass(frozen=True, eq=False)
class Cell:
    """One number of images and one seed: their draw, one generator and one classifier for each arm."""

    recipe: Recipe
    size: int
    seed: int
    folder: Path
    """Folder for checkpoints, from which a stopped training goes on."""

    @cached_property
    def device(self) -> torch.device:
        """The device of all trainings."""
        return home(self.recipe.run.model)

    @cached_property
    def rows(self) -> Tensor:
        """The drawn training images of this cell, as rows of the data."""
        dataset = self.recipe.run.dataset
        train = dataset.splits["train"]
        assert dataset.labels is not None
        return train[drawn(dataset.labels[train], self.size, self.seed)]

    def accuracy(self, arm: Arm) -> float:
        """Train the classifier of an arm, and return its accuracy on test images."""
        return self._ordinary[1] if arm == "real + ordinary" else self._trained(arm)[1]

    @cached_property
    def judge(self) -> Classifier:
        """The classifier of these images with ordinary augmentation, in evaluation mode."""
        network = self._ordinary[0]
        network.eval().requires_grad_(False)
        return network

    @cached_property
    def generated(self) -> Generated:
        """The images of a generator of the run's recipe that has seen the images of this cell only."""
        model, step, distance = self._trained_generator()
        dataset, told = self.recipe.run.dataset, conditions(model)
        # Asked for in the proportions of the real images, so that the arms differ in nothing else.
        rows = self.rows[torch.arange(self.recipe.settings.generated) % self.size]
        condition = {name: dataset.columns[name].rows[rows] for name in told}
        images = self._sampled(model, condition)
        of_pool = {"train": torch.arange(len(images)), "validation": rows[:0], "test": rows[:0]}
        pixels = images.mul(255).round().clamp(0, 255).byte()
        columns = {"x": Column(dataset.kind, pixels), "label": Column(told["label"], condition["label"])}
        judged = self.judge.classify(pixels[:_JUDGED].to(self.device) / 255).argmax(1).cpu()
        as_asked = (judged == condition["label"][:_JUDGED]).float().mean()
        return Generated(Dataset(columns, of_pool), distance, float(as_asked), step)

    @cached_property
    def _ordinary(self) -> tuple[Classifier, float]:
        """The classifier with ordinary augmentation, which is an arm and judges the generator, and its accuracy."""
        return self._trained("real + ordinary")

    @cached_property
    def _labelled(self) -> Dataset:
        """The images and labels of this cell, and test images of their classes; nothing to validate a classifier."""
        dataset = self.recipe.run.dataset
        assert dataset.labels is not None
        test = dataset.splits["test"]
        known = torch.isin(dataset.labels[test], dataset.labels[self.rows])
        splits = {"train": self.rows, "validation": test[:0], "test": test[known]}
        columns = {name: dataset.columns[name] for name in ("x", "label")}
        return replace(dataset.with_splits(splits), columns=columns, fingerprint="")

    def _data(self, arm: Arm) -> Dataset:
        if "generated" not in arm:
            return self._labelled
        share, own = 1.0 if arm == "generated" else self.recipe.settings.share, self._labelled
        return Mixed(own.columns, own.splits, contents=own.contents, more=self.generated.pool, share=share)

    def _trained(self, arm: Arm) -> tuple[Classifier, float]:
        """Train a classifier: equal first weights, steps and settings in all arms, and no choice by test images."""
        data, settings = self._data(arm), self.recipe.settings
        kind = data.kind
        assert isinstance(kind, Image)
        reseed(torch.device("cpu"), self.seed, "weights")
        network = Classifier(x=kind, classes=len(data.classes), width=settings.width)
        trainer = Trainer(
            network,
            data,
            TrainerSettings(
                batch_size=min(settings.batch_size, self.size),
                steps=settings.steps,
                validate_every=settings.steps,
                checkpoint_every=max(1, settings.steps // 2),
                precision="float32",
                compile=False,
            ),
            {"model": PLAYER},
            seed=self.seed,
            device=self.device,
            best=None,
            loading=self.recipe.ordinary if "ordinary" in arm else LoadingSettings(),
        )
        outcome = self._finished(trainer, arm)
        return network, outcome.test["accuracy"]

    def _trained_generator(self) -> tuple[Model, int, float]:
        """Train a generator; return it at its best validation, the step of that, and its distance there."""
        config, dataset = replace(self.recipe.config, seed=self.seed), self.recipe.run.dataset
        splits = {**dataset.splits, "train": self.rows, "test": self.rows[:0]}
        # A new fingerprint: networks and features in the cache belong to all images.
        data = replace(dataset.with_splits(splits), fingerprint="")
        judge = ClassifierFeatures(self.judge, description="the classifier of the same images")
        model = build_model(config, data.kinds, build_features(config, data, self.device, Console()))
        # With a clock that stands still, how fast the machine is does not decide which step is the best.
        look = quick(model, data, self.device, lambda: judge, clock=lambda: 0.0)
        distance, steps = f"FD-{judge.name}", self.recipe.generator_steps
        best = distance if config.trainer.evaluate or not config.best else config.best
        every = max(1, steps // _LOOKS)
        settings = replace(
            config.trainer,
            batch_size=min(config.trainer.batch_size, self.size),
            epochs=None,
            steps=steps,
            validate_every=every,
            checkpoint_every=every,
            evaluate=None,
        )
        trainer = Trainer(
            model,
            data,
            settings,
            config.optimizers,
            seed=self.seed,
            device=self.device,
            best=best,
            loading=config.loading,
            quick=look,
        )
        outcome, folder = self._finished(trainer, "generator"), self.folder / "generator"
        step = outcome.best["step"] if outcome.best else outcome.step
        found = checkpoint.at(folder / "checkpoints", step)
        assert found
        load_weights(model, found)
        lines = [line for line in read(folder) if (line["step"], line["split"]) == (step, "validation")]
        return model, step, float(lines[-1][distance])

    def _finished(self, trainer: Trainer, part: str) -> Outcome:
        """Train to the end, from the newest checkpoint of a study that was stopped."""
        # The caller's random draws must not depend on whether something is trained now.
        with torch.random.fork_rng([self.device] if self.device.type == "cuda" else []):
            outcome = trainer.fit(self.folder / part.replace(" + ", "-"))
        if outcome.state != "finished":
            raise RunError("The study was stopped. Run the same command again to continue it.")
        return outcome

    @torch.no_grad()
    def _sampled(self, model: Model, condition: Batch) -> Tensor:
        assert isinstance(model, Samples)
        draws, count = generator(self.seed, "augment/samples"), self.recipe.settings.generated
        parts = list[Tensor]()
        for places in torch.split(torch.arange(count), _AT_ONCE):
            part = {name: values[places].to(self.device) for name, values in condition.items()}
            parts.append(model.sample(len(places), part, draws).float().cpu())
        return torch.cat(parts)
