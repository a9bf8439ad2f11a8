"""The metrics of each part of an evaluation: a table of metrics and the ability, kind and columns that each needs.

A part is a procedure that runs the model once and gives the result to all metrics of the part that fit. To add a
metric, write a pure function in `genlab/metrics`, say in its BETTER which direction is better, and add one line to
METRICS below.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple, Protocol, runtime_checkable

import torch
from torch import Tensor

from genlab.contract import (
    Batch,
    Bounds,
    Encodes,
    Infers,
    Model,
    Reconstructs,
    Samples,
    Scores,
    Translates,
    Upscales,
    Weighs,
    conditions,
)
from genlab.data.dataset import Column, Dataset
from genlab.evaluation import super_resolution, translation
from genlab.evaluation.bench import SEARCHED, SPLIT, Bench, Classified, Coded
from genlab.extractors.classifier import ClassifierFeatures
from genlab.kinds import Image, Kind, Points
from genlab.metrics import codes, denoising, disentanglement, distribution, filters, likelihood, memory, pixels
from genlab.metrics import reconstruction as reconstruction_metrics
from genlab.metrics.conditioning import class_accuracy, class_diversity, missing_classes
from genlab.metrics.metric import Metric, summarised
from genlab.metrics.sharpness import edge_strength, sharpness
from genlab.networks.extractor import Extractor, digest_of
from genlab.randomness import reseed

# Slow metrics are measured on at most this many items.
DENOISED, PROBED, FACTORED, UPSCALED = 1_000, 10_000, 2_000, 100
# A probe of pixels reads all of its images hundreds of times.
_PROBED_NUMBERS, _PROBED_LEAST = 2**24, 500

ATTRIBUTES = "attributes"
"""Placeholder among the columns of an entry for all attributes of the data."""


@runtime_checkable
class EncodesByPosterior(Encodes, Weighs, Protocol):
    """Can encode, and knows the posterior of each code."""


class Entry(NamedTuple):
    """One line of the table: a metric of a part, and what it needs."""

    part: str
    ability: type
    kinds: tuple[type[Kind], ...]
    metric: Callable[..., Mapping[str, Any]]
    """A function of the results of the part's procedure; returns values by name."""
    columns: tuple[str, ...] = ()
    """The columns besides `x` that the metric reads; without them it is left out."""

    def fits(self, model: Model, dataset: Dataset) -> bool:
        """Return True if the model has the ability, and the data has the kind and the columns."""
        available = {*dataset.columns, *([ATTRIBUTES] if dataset.attributes else [])}
        return (
            isinstance(model, self.ability)
            and isinstance(dataset.kind, self.kinds)
            and all(column in available for column in self.columns)
        )


class Metrics:
    """The metrics of one part that fit, called as one; remembers which columns each value depends on."""

    def __init__(self, entries: Sequence[Entry]) -> None:
        self.entries = tuple(entries)
        self.columns: dict[str, tuple[str, ...]] = {}

    def __call__(self, *arguments: Any) -> dict[str, Any]:
        """Call every metric with these arguments, and return all values by name."""
        values = dict[str, Any]()
        for entry in self.entries:
            found = entry.metric(*arguments)
            self.columns |= dict.fromkeys(found, entry.columns)
            values |= found
        return values


class Measured(NamedTuple):
    """The metrics of one part, and how they were measured."""

    metrics: dict[str, Metric]
    protocol: dict[str, Any]
    name: str = ""
    """The name of the part in the record, if it says more than the part's own, such as the features."""


def reconstruct(bench: Bench, model: Model, metrics: Metrics) -> Measured:
    """Compare reconstructions with the items: each metric gets both, and returns a value for each item."""
    assert isinstance(model, Reconstructs)
    found = reconstruction_metrics.measure(model, bench.batches("reconstructing", model=model), metrics)
    scales = {"MS-SSIM_scales": pixels.scales(*bench.dataset.kind.shape[1:])} if "MS-SSIM" in found else {}
    return Measured(summarised([found]), {"items": len(bench.rows), **scales})


def denoise(bench: Bench, model: Model, metrics: Metrics) -> Measured:
    """Reconstruct noisy images: each metric gets the model, batches and a seed."""
    rows = bench.chosen(DENOISED)
    batches = _Again(partial(bench.batches, "denoising", rows, 100, model))
    draws = [metrics(model, batches, seed) for seed in range(bench.settings.draws)]
    return Measured(summarised(draws), {"items": len(rows), "draws": len(draws), "filters": filters.METHODS})


def score(bench: Bench, model: Model, metrics: Metrics) -> Measured:
    """Compute the likelihood of items: each metric gets the nats, the model, the kind, and values given the class.

    The values given the class are those of a conditional model that is told the true one; other models have none.
    """
    items = len(bench.rows)
    if not isinstance(model, Bounds):
        assert isinstance(model, Scores)
        reseed(bench.device, 0, "evaluation/score")
        nats = likelihood.scores(model, bench.batches("scoring", model=model))
        return Measured(summarised([metrics(nats, model, bench.dataset.kind, {})]), {"items": items})
    draws, found = bench.settings.draws, list[dict[str, float]]()
    importance = bench.settings.importance
    for seed in range(draws):
        nats = _bounds(bench, model, bench.batches("bounding", size=100, model=model), importance, seed)
        found.append(metrics(nats, model, bench.dataset.kind, _given_class(bench, model, seed)))
    protocol = {"items": items, "draws": draws}
    if isinstance(model, Weighs):
        protocol["importance_samples"] = importance
    likelihoods = "a density" if model.continuous else "a probability"
    return Measured(summarised(found), {**protocol, "likelihood": likelihoods, "unit": "nats per item"})


def _bounds(bench: Bench, model: Bounds, batches: Iterable[Batch], samples: int, seed: int) -> dict[str, float]:
    if isinstance(model, Weighs):
        return likelihood.bounds(model, batches, samples, seed)
    reseed(bench.device, seed, "evaluation/score")
    return likelihood.elbo(model, batches)


def _given_class(bench: Bench, model: Bounds, seed: int) -> dict[str, float]:
    """Return the ELBO given the true class, and how often the model infers it; nothing without a condition or labels.

    These are the only metrics for which a conditional model is told the truth.
    """
    if "label" not in conditions(model) or bench.dataset.labels is None:
        return {}
    nats = _bounds(bench, model, bench.batches("bounding given the class", size=100), 1, seed)
    given = {name: nats[name] for name in ("negative_elbo", "reconstruction", "kl")}
    accuracy = likelihood.inferred(model, bench.batches("inferring")) if isinstance(model, Infers) else {}
    return _suffixed(given, "given_label") | accuracy


class Compared(NamedTuple):
    """Samples and as many test items: the features of both, and the edge strength of each image of both."""

    real: distribution.Cloud
    generated: distribution.Cloud
    features: str
    """The name of the features."""
    real_edges: Tensor
    generated_edges: Tensor
    classes: Callable[[Tensor], Tensor] | None = None
    """Assigns classes to features of labelled items, for models that are not told the class."""


def sample(bench: Bench, model: Model, metrics: Metrics) -> Measured:
    """Compare the distributions of samples and of test items: each metric gets both, as `Compared`."""
    extractor, draws, images = bench.extractor, list[dict[str, float]](), isinstance(bench.dataset.kind, Image)
    none = torch.zeros(0)
    real_edges = bench.edges(SPLIT) if images else none
    told = "label" in conditions(model)
    classes = extractor.classes if isinstance(extractor, ClassifierFeatures) and not told else None
    missing = list[list[int]]()
    for seed in range(bench.settings.draws):
        features, edges = list[Tensor](), [none]
        for items, _ in bench.samples(model, seed):
            features.append(extractor.vector(items))
            edges += [edge_strength(items).cpu()] if images else []
        cloud = distribution.Cloud(torch.cat(features))
        compared = Compared(bench.real, cloud, extractor.name, real_edges, torch.cat(edges), classes)
        draws.append(metrics(compared))
        missing.append(_missing(compared))
    bench.note_missing(missing)
    protocol = {"samples": bench.count, "real_items": bench.count, "draws": len(draws), "features": extractor.name}
    protocol |= {"features_digest": extractor.digest, "features_are": extractor.description}
    bench.note_baseline()

    def of_training(real: distribution.Cloud, training: distribution.Cloud) -> dict[str, float]:
        training_edges = bench.edges("train") if images else none
        return metrics(Compared(real, training, extractor.name, real_edges, training_edges, classes))

    found = summarised(draws, bench.baseline((metrics.entries, told), of_training))
    return Measured(found, {**protocol, "baseline": "training items"}, f"sample-{extractor.name}")


def remember(bench: Bench, model: Model, metrics: Metrics) -> Measured:
    """Search samples among the training items: each metric gets the distances to the nearest of them."""
    count, draws = min(SEARCHED, bench.count), list[dict[str, float]]()
    for seed in range(bench.settings.draws):
        generated = torch.cat([items for items, _ in bench.samples(model, seed, count)])
        draws.append(metrics(bench.nearest_training(generated)))
    baseline = metrics(bench.nearest)
    found = summarised(draws, baseline)
    if "copies" in found and memory.memorises(found["copies"].mean, baseline["copies"]):
        bench.note(
            f"{found['copies'].mean:.0%} of the samples are near copies of training images "
            f"({baseline['copies']:.0%} of the test images are): the model has memorised training images."
        )
    training = len(bench.dataset.splits["train"])
    protocol = {"samples": count, "draws": len(draws), "training_items": training, "baseline": "test items"}
    rule = {"copies_are": memory.RULE} if "copies" in found else {}
    return Measured(found, {**protocol, "distance": "root mean square of the differences", **rule})


def classes(bench: Bench, model: Model, metrics: Metrics) -> Measured | None:
    """Classify samples of a conditional model: each metric gets the samples and the test items, both classified."""
    if "label" not in conditions(model):
        return None
    classifier, accuracy = bench.classifier
    draws, missing = list[dict[str, float]](), list[list[int]]()
    for seed in range(bench.settings.draws):
        features, labels = list[Tensor](), list[Tensor]()
        for items, condition in bench.samples(model, seed):
            features.append(classifier.features(items))
            labels.append(condition["label"])
        generated = bench.classify(torch.cat(features), torch.cat(labels))
        draws.append(metrics(generated, bench.classified))
        missing.append(_missing_told(generated, bench.classified))
    bench.note_missing(missing)
    baseline = metrics(bench.classified, bench.classified)
    protocol = {"samples": bench.count, "draws": len(draws), "baseline": "test items"}
    known = {"classifier_accuracy": accuracy, "classifier_digest": digest_of(classifier.state_dict().items())}
    return Measured(summarised(draws, baseline), {**protocol, **known})


def code(bench: Bench, model: Model, metrics: Metrics) -> Measured:
    """Examine codes: each metric gets those of test items and those of training items."""
    most = max(_PROBED_LEAST, _PROBED_NUMBERS // math.prod(bench.dataset.kind.shape))
    training, tested = (bench.coded(model, split, min(PROBED, most)) for split in ("train", SPLIT))
    protocol = {"items": len(tested.codes), "training_items": len(training.codes), "estimator": codes.ESTIMATOR}
    return Measured(summarised([metrics(tested, training)]), protocol)


def factors(bench: Bench, model: Model, metrics: Metrics) -> Measured:
    """Compare codes with the known factors of the data: each metric gets both."""
    rows = bench.chosen(FACTORED)
    known = {name: Column(column.kind, column.rows[rows]) for name, column in bench.dataset.attributes.items()}
    found = metrics(bench.coded(model, SPLIT, FACTORED).codes, known)
    protocol = {"items": len(rows), "factors": list(known), "estimator": disentanglement.ESTIMATOR}
    return Measured(summarised([found]), protocol)


def upscale(bench: Bench, model: Model, metrics: Metrics) -> Measured:
    """Upscale small versions of test images: each metric gets the model, the images and a perceptual extractor."""
    assert isinstance(model, Upscales)
    rows, images = bench.chosen(UPSCALED), bench.dataset.columns["x"].rows
    photographs = [(str(row), images[row].permute(1, 2, 0)) for row in rows.tolist()]
    found = metrics(model, photographs, bench.perceptual)
    protocol = {"items": len(rows), "method": super_resolution.caption(model.scale)}
    if extractor := bench.perceptual:
        protocol |= {"features": extractor.name, "features_digest": extractor.digest}
    return Measured(summarised([found]), protocol)


def translate(bench: Bench, model: Model, metrics: Metrics) -> Measured | None:
    """Translate test images: each metric gets the bench and the model."""
    found = metrics(bench, model)
    if not found:
        return None
    limits = {"images_at_most": translation.MEASURED, "training_images_at_most": translation.KNOWN}
    return Measured(summarised([found]), limits)


PROCEDURES: dict[str, Callable[[Bench, Model, Metrics], Measured | None]] = {
    "reconstruct": reconstruct,
    "denoise": denoise,
    "score": score,
    "sample": sample,
    "remember": remember,
    "classes": classes,
    "code": code,
    "factors": factors,
    "upscale": upscale,
    "translate": translate,
}
"""The parts by the name that --only takes, in the order of the table."""
PARTS = tuple(PROCEDURES)


def measure(part: str, bench: Bench, model: Model) -> tuple[Measured, Metrics] | None:
    """Measure one part; None if the model or the data lacks what its metrics need."""
    entries = [entry for entry in METRICS if entry.part == part and entry.fits(model, bench.dataset)]
    metrics = Metrics(entries)
    found = PROCEDURES[part](bench, model, metrics) if entries else None
    return None if found is None else (found, metrics)


def _nats(nats: dict[str, float], model: Scores, kind: Kind, given: dict[str, float]) -> dict[str, float]:
    return nats


def _told(nats: dict[str, float], model: Bounds, kind: Kind, given: dict[str, float]) -> dict[str, float]:
    return given


def _bits(nats: dict[str, float], model: Bounds, kind: Kind, given: dict[str, float]) -> dict[str, float]:
    bound = next((value for name, value in nats.items() if name.startswith("negative_bound")), nats["negative_elbo"])
    bits = likelihood.bits_per_dimension(bound, math.prod(kind.shape), model.continuous)
    return {"bits_per_dimension": bits}


def _distribution(compared: Compared) -> dict[str, float]:
    return _suffixed(distribution.compare(compared.real, compared.generated), compared.features)


def _sharpness(compared: Compared) -> dict[str, float]:
    return sharpness(compared.generated_edges, compared.real_edges)


def _missing(compared: Compared) -> list[int]:
    if compared.classes is None:
        return []
    generated, real = (compared.classes(cloud.features) for cloud in (compared.generated, compared.real))
    return missing_classes(generated, real)


def _missing_told(generated: Classified, real: Classified) -> list[int]:
    return missing_classes(generated.probabilities.argmax(1), real.probabilities.argmax(1))


def _classes_missing(compared: Compared) -> dict[str, float]:
    return {} if compared.classes is None else {"classes_missing": float(len(_missing(compared)))}


def _told_classes_missing(generated: Classified, real: Classified) -> dict[str, float]:
    return {"classes_missing": float(len(_missing_told(generated, real)))}


def _class_accuracy(generated: Classified, real: Classified) -> dict[str, float]:
    return class_accuracy(generated.probabilities, generated.labels)


def _class_diversity(generated: Classified, real: Classified) -> dict[str, float]:
    return class_diversity(generated.features, generated.labels, real.features, real.labels)


def _active_units(tested: Coded, training: Coded) -> dict[str, float]:
    return codes.active_units(tested.codes)


def _trustworthiness(tested: Coded, training: Coded) -> dict[str, float]:
    return codes.trustworthiness(tested.codes, tested.items, training.items)


def _probes(tested: Coded, training: Coded) -> dict[str, float]:
    assert training.labels is not None
    assert tested.labels is not None
    both = (training.codes, training.items, training.labels, tested.codes, tested.items, tested.labels)
    found = codes.probes(*both, tested.known)
    tested.known.update({name: value for name, value in found.items() if name != "probe_accuracy"})
    return found


def _upscaling(
    model: Upscales, photographs: Sequence[tuple[str, Tensor]], extractor: Extractor | None
) -> dict[str, float]:
    channels = photographs[0][1].shape[2]
    means = super_resolution.measure(model, photographs, extractor, channels)[-2:]
    # JSON has no infinite numbers; only flat photographs, which every method upscales perfectly, give them.
    ways = {row.by: {name: value for name, value in row.metrics.items() if math.isfinite(value)} for row in means}
    return ways[super_resolution.MODEL] | _suffixed(ways[super_resolution.BICUBIC], super_resolution.BICUBIC)


METRICS: list[Entry] = [
    Entry("reconstruct", Reconstructs, (Image, Points), reconstruction_metrics.errors),
    Entry("reconstruct", Reconstructs, (Image,), reconstruction_metrics.image_similarity),
    Entry("denoise", Reconstructs, (Image,), denoising.denoised),
    Entry("score", Scores, (Kind,), _nats),
    Entry("score", Bounds, (Image,), _bits),
    Entry("score", Bounds, (Kind,), _told, ("label",)),
    Entry("sample", Samples, (Kind,), _distribution),
    Entry("sample", Samples, (Image,), _sharpness),
    Entry("sample", Samples, (Image,), _classes_missing, ("label",)),
    Entry("remember", Samples, (Image, Points), memory.nearest_training),
    Entry("remember", Samples, (Image,), memory.copies),
    Entry("classes", Samples, (Image,), _class_accuracy, ("label",)),
    Entry("classes", Samples, (Image,), _class_diversity, ("label",)),
    Entry("classes", Samples, (Image,), _told_classes_missing, ("label",)),
    Entry("code", EncodesByPosterior, (Kind,), _active_units),
    Entry("code", Encodes, (Image, Points), _trustworthiness),
    Entry("code", Encodes, (Image, Points), _probes, ("label",)),
    Entry("factors", Encodes, (Kind,), disentanglement.disentangled, (ATTRIBUTES,)),
    Entry("upscale", Upscales, (Image,), _upscaling),
    Entry("translate", translation.TranslatesPairs, (Image,), translation.against_targets),
    Entry("translate", Translates, (Image,), translation.between_domains, ("label",)),
]
"""All metrics, in the order in which a part computes them."""


class _Again:
    """Batches that each metric can read from the beginning."""

    def __init__(self, read: Callable[[], Iterator[Batch]]) -> None:
        self.read = read

    def __iter__(self) -> Iterator[Batch]:
        return self.read()


def _suffixed(values: Mapping[str, float], suffix: str) -> dict[str, float]:
    return {f"{name}-{suffix}": value for name, value in values.items()}
