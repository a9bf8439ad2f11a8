"""A small evaluation during training on validation items, so that the best checkpoint can be chosen by it."""

import time
from collections.abc import Callable
from contextlib import suppress

import torch

from genlab.contract import Batch, Model, Reconstructs, Samples, conditions, home
from genlab.data import held_out
from genlab.data.dataset import Dataset
from genlab.extractors.classifier import ClassifierFeatures
from genlab.extractors.reference import reference
from genlab.kinds import Image
from genlab.metrics.conditioning import missing_classes
from genlab.metrics.distribution import Cloud, compare
from genlab.metrics.metric import better
from genlab.metrics.pixels import scales
from genlab.metrics.reconstruction import image_similarity, measure
from genlab.networks.extractor import Extractor
from genlab.randomness import generator
from genlab.registry import ConfigError
from genlab.training.validation import Quick

SPLIT, COUNT = "validation", 1_000
MISSING = "classes_missing"
"""The number of classes that the samples lack, by the classifier of labelled data."""
_DISTANCES, _SIMILARITIES = ("FD", "KID", "precision", "recall"), ("PSNR", "SSIM")

Measure = Callable[[Model], dict[str, float]]


def quick(
    model: Model,
    dataset: Dataset,
    device: torch.device,
    extractor: Callable[[], Extractor],
    clock: Callable[[], float] = time.perf_counter,
) -> Quick:
    """Return the quick metrics that fit a model: distances of its samples, similarity of its reconstructions.

    They take at most 1,000 items and samples. Compare them within a run, not with those of `genlab evaluate`. A `clock`
    that stands still measures at every validation, so that the best checkpoint does not depend on the machine's speed.
    """
    if not len(dataset.splits[SPLIT]):
        raise ConfigError("trainer.evaluate=quick needs validation data, and this data has none. Set it to null.")
    measures = list[Measure]()
    if isinstance(model, Samples):
        measures.append(_distances(dataset, extractor(), device))
    if isinstance(model, Reconstructs) and isinstance(dataset.kind, Image):
        measures.append(_similarity(dataset, device))
    if not measures:
        raise ConfigError(
            "trainer.evaluate=quick measures models that sample, or that reconstruct images. Set it to null."
        )

    def measured(model: Model) -> dict[str, float]:
        # bfloat16 is for training; these metrics are measured as `genlab evaluate` measures.
        with torch.autocast(device.type, enabled=False):
            return {name: value for each in measures for name, value in each(model).items()}

    return Quick(measured, lambda name: better(name) == "higher", clock)


def names(model: Model, dataset: Dataset) -> list[str]:
    """Return the names of the quick metrics that fit a model; measure nothing."""
    from genlab.extractors import default_vector

    found = list[str]()
    if isinstance(model, Samples):
        # Data of a plugin's kind has no features of genlab.
        with suppress(ConfigError):
            features = default_vector(dataset)
            found += [f"{name}-{features}" for name in _DISTANCES]
            found += [MISSING] if features == "classifier" else []
    if isinstance(model, Reconstructs) and isinstance(dataset.kind, Image):
        windows = scales(dataset.kind.height, dataset.kind.width)
        found += [name for name in _SIMILARITIES if name != "SSIM" or windows > 0]
    return found


def _distances(dataset: Dataset, extractor: Extractor, device: torch.device) -> Measure:
    real = Cloud(reference(dataset, SPLIT, extractor, COUNT, seed=0).to(device))
    rows = held_out.chosen(dataset, SPLIT, COUNT)

    def measured(model: Model) -> dict[str, float]:
        assert isinstance(model, Samples)
        condition: Batch = {name: dataset.columns[name].rows[rows].to(home(model)) for name in conditions(model)}
        samples = model.sample(len(rows), condition or None, generator(0, "evaluation/quick"))
        generated = Cloud(extractor.vector(samples))
        found = compare(real, generated)
        metrics = {f"{name}-{extractor.name}": found[name] for name in _DISTANCES if name in found}
        if isinstance(extractor, ClassifierFeatures):
            classes = [extractor.classes(cloud.features) for cloud in (generated, real)]
            metrics[MISSING] = float(len(missing_classes(*classes)))
        return metrics

    return measured


def _similarity(dataset: Dataset, device: torch.device) -> Measure:
    rows = held_out.chosen(dataset, SPLIT, COUNT)

    def measured(model: Model) -> dict[str, float]:
        assert isinstance(model, Reconstructs)
        found = measure(model, held_out.batches(dataset, rows, device), image_similarity)
        return {name: found[name] for name in _SIMILARITIES if name in found}

    return measured
