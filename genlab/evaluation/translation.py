"""Measure translations of test images: against the known target, by the classifier, or against the redrawn image."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from genlab.contract import Batch, Model, Restores, Translates
from genlab.data import held_out
from genlab.data.dataset import Dataset
from genlab.evaluation.bench import SPLIT, Bench
from genlab.metrics.attributes import changed_pixels, squared_error_inside
from genlab.metrics.averages import Averages
from genlab.metrics.pixels import psnr_and_ssim
from genlab.metrics.translation import MeanColour, NearestTarget, PixelArithmetic
from genlab.randomness import reseed

MEASURED, KNOWN = 1_000, 5_000
"""Test images that are translated, and training images from which the baselines come."""
_BATCH = 100


@runtime_checkable
class TranslatesPairs(Translates, Restores, Protocol):
    """Ability to translate inputs whose targets are known."""


def against_targets(bench: Bench, model: Model) -> Mapping[str, float]:
    """Return PSNR and SSIM of translations, and of two baselines that know the training pairs."""
    if not isinstance(model, TranslatesPairs):
        return {}
    training = [_pair(model, batch) for batch in _batches(bench, model, "train", KNOWN)]
    sources, targets = (torch.cat(parts) for parts in zip(*training, strict=True))
    ways: dict[str, Callable[[Tensor], Tensor]] = {
        "translation": lambda source: model.translate(source.to(bench.device)).cpu(),
        "mean_colour": MeanColour.of(training),
        "nearest": NearestTarget(sources, targets),
    }
    averages = Averages(skip_infinite=("PSNR",))
    reseed(bench.device, 0, "evaluation/translate")
    for batch in _batches(bench, model, SPLIT, MEASURED):
        source, target = _pair(model, batch)
        for name, way in ways.items():
            found = psnr_and_ssim(way(source), target)
            averages.add({f"{metric}-{name}": values for metric, values in found.items()})
    return averages.read()


def _pair(model: Restores, batch: Batch) -> tuple[Tensor, Tensor]:
    source, target = model.damage(batch)
    return source.cpu(), target.cpu()


def between_domains(bench: Bench, model: Model) -> Mapping[str, float]:
    """Return the share of images that the classifier of the labels sees in the other domain, in % and both ways.

    If the data can be drawn, there is also the squared error against the redrawn image in the pixels that change. It
    stands beside that of pixel arithmetic, which adds the difference of the mean images.
    """
    if not isinstance(model, Translates) or not model.domains:
        return {}
    first, second = model.domains
    means = PixelArithmetic.of(*(_images(bench, model, "train", KNOWN, number) for number in model.domains))
    found = dict[str, float]()
    for way, start, end, sign in (("to_second", first, second, 1), ("to_first", second, first, -1)):
        rows = _rows(bench.dataset, SPLIT, min(MEASURED, bench.settings.images), start)
        if not len(rows):
            continue
        images = torch.cat(list(_images(bench, model, SPLIT, MEASURED, start)))
        translated = torch.cat([_translated(bench, model, part, end) for part in torch.split(images, _BATCH)])
        seen = torch.cat([_classified(bench, part) for part in torch.split(translated, _BATCH)])
        found[f"changed-{way}"] = 100 * float((seen == end).float().mean())
        truth = redrawn(bench.dataset, rows, end)
        if truth is not None:
            inside = changed_pixels(images, truth)
            others = {"": translated, "-pixels": means(images, sign), "-unedited": images}
            for name, result in others.items():
                found[f"error_inside-{way}{name}"] = squared_error_inside(result, truth, inside)
    return found


def redrawn(dataset: Dataset, rows: Tensor, label: int) -> Tensor | None:
    """Return the items of these rows as truly drawn with another label; None if the data cannot be drawn."""
    if dataset.redraw is None or dataset.labels is None:
        return None
    labels = dataset.labels
    name = next((name for name, column in dataset.attributes.items() if torch.equal(column.rows, labels)), None)
    if name is None:
        return None
    known = {key: column.rows[rows] for key, column in dataset.attributes.items()}
    known[name] = torch.full_like(known[name], label)
    return dataset.kind.load(dataset.redraw(known))


def _rows(dataset: Dataset, split: str, most: int, number: int) -> Tensor:
    """Return at most this many rows of one domain."""
    return held_out.chosen(dataset.of_classes([number]), split, most)


def _images(bench: Bench, model: Model, split: str, most: int, number: int) -> Iterator[Tensor]:
    rows = _rows(bench.dataset, split, min(most, bench.settings.images), number)
    return (batch["x"].cpu() for batch in bench.batches("reading", rows, model=model))


def _batches(bench: Bench, model: Model, split: str, most: int) -> Iterator[Batch]:
    return bench.batches("translating", bench.chosen(most, split), _BATCH, model)


def _translated(bench: Bench, model: Translates, images: Tensor, to: int) -> Tensor:
    wanted = torch.full((len(images),), to, device=bench.device)
    return model.translate(images.to(bench.device), wanted).cpu()


def _classified(bench: Bench, images: Tensor) -> Tensor:
    return bench.classifier.classifier.classify(images.to(bench.device)).argmax(1).cpu()
