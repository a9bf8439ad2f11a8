"""What is measured of a model, one part an ability: its figures, and the protocol that makes them mean something."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from genlab.contract import Bounds, Encodes, Model, Reconstructs, Samples, Scores, Upscales
from genlab.data.dataset import Attribute
from genlab.data.held_out import chosen
from genlab.evaluation import enlargement
from genlab.evaluation.bench import REMEMBERED, SPLIT, Bench
from genlab.metrics import codes, denoising, filters, likelihood, memory, pixels, reconstruction
from genlab.metrics.conditioning import class_accuracy, class_diversity
from genlab.metrics.disentanglement import ESTIMATOR, disentangled
from genlab.metrics.distribution import Cloud, compared
from genlab.metrics.figures import Figure, summarised
from genlab.networks.extractor import digest_of
from genlab.randomness import reseed

# What takes long is measured of so many images at most.
DENOISED, PROBED, FACTORED, ENLARGED = 1_000, 10_000, 2_000, 100
# A probe of pixels reads all of its images hundreds of times.
_PROBED_NUMBERS, _PROBED_LEAST = 2**24, 500


class Measured(NamedTuple):
    """The figures of one part, and all that one has to know of them."""

    figures: dict[str, Figure]
    protocol: dict[str, Any]
    name: str = ""
    """The part's, where that says more than which part it is."""


def reconstruct(bench: Bench, model: Model) -> Measured | None:
    """How near images come back."""
    if not isinstance(model, Reconstructs):
        return None
    found = reconstruction.errors(model, bench.pictures("reconstructing"))
    scales = {"MS-SSIM_scales": pixels.scales(*bench.images.shape[1:])} if "MS-SSIM" in found else {}
    return Measured(summarised([found]), {"images": len(bench.rows), **scales})


def denoise(bench: Bench, model: Model) -> Measured | None:
    """How near clean images are reconstructed from noisy ones, beside filters."""
    if not isinstance(model, Reconstructs) or bench.images.shape.points:
        return None
    rows = chosen(bench.images, SPLIT, min(DENOISED, bench.asked.images))
    draws = [
        denoising.denoised(model, bench.pictures("denoising", rows, 100), seed) for seed in range(bench.asked.draws)
    ]
    return Measured(summarised(draws), {"images": len(rows), "draws": len(draws), "filters": filters.METHODS})


def score(bench: Bench, model: Model) -> Measured | None:
    """How likely images are."""
    if not isinstance(model, Scores):
        return None
    if not isinstance(model, Bounds):
        reseed(bench.device, 0, "evaluation/score")
        draws = [likelihood.scores(model, bench.pictures("scoring"))]
        return Measured(summarised(draws), {"images": len(bench.rows)})
    draws = [
        likelihood.bounds(model, bench.pictures("bounding", size=100), bench.asked.importance, seed)
        for seed in range(bench.asked.draws)
    ]
    over = "the points" if bench.images.shape.points else "[0, 1]"
    kind = f"a density over {over}" if model.continuous else "a probability of each pixel"
    protocol = {"images": len(bench.rows), "draws": len(draws), "importance_samples": bench.asked.importance}
    return Measured(summarised(draws), {**protocol, "likelihood": kind, "unit": "nats an image"})


def sample(bench: Bench, model: Model) -> Measured | None:
    """How near the distribution of what it makes is to that of real images."""
    if not isinstance(model, Samples):
        return None
    embedding = bench.embedding
    draws = []
    for seed in range(bench.asked.draws):
        made = torch.cat([embedding.embed(images) for images, _ in bench.samples(model, seed)])
        draws.append(_named(compared(bench.real, Cloud(made)), embedding.name))
    protocol = {"samples": bench.count, "real_images": bench.count, "draws": len(draws), "features": embedding.name}
    protocol |= {"features_digest": embedding.digest, "features_are": embedding.says, "floor": "training images"}
    bench.note_floor()
    figures = summarised(draws, _named(bench.floor, embedding.name))
    return Measured(figures, protocol, f"sample-{embedding.name}")


def remember(bench: Bench, model: Model) -> Measured | None:
    """Whether what it makes are copies of training images."""
    if not isinstance(model, Samples):
        return None
    count = min(REMEMBERED, bench.count)
    draws = []
    for seed in range(bench.asked.draws):
        made = torch.cat([images for images, _ in bench.samples(model, seed, count)])
        draws.append(memory.memorised(made, bench.pictures("searching", bench.images.splits["train"])))
    floor = bench.nearest
    figures = summarised(draws, floor)
    if "copies" in figures and figures["copies"].mean > 2 * floor["copies"] + 0.05:
        bench.note(
            f"{figures['copies'].mean:.0%} of the samples are nearly copies of training images (of real test images "
            f"{floor['copies']:.0%} are as near to one): the model has memorised them."
        )
    training = len(bench.images.splits["train"])
    protocol = {"samples": count, "draws": len(draws), "training_images": training, "floor": "test images"}
    rule = {"copies_are": memory.RULE} if "copies" in figures else {}
    return Measured(figures, {**protocol, "distance": "root mean square of the differences", **rule})


def classes(bench: Bench, model: Model) -> Measured | None:
    """Whether it makes what it is asked for, and how varied each class is."""
    if not isinstance(model, Samples) or not model.classes or bench.labels is None:
        return None
    judge, accuracy = bench.classifier
    real_features, real_labels = bench.judged
    draws = []
    for seed in range(bench.asked.draws):
        seen, asked = list[Tensor](), list[Tensor]()
        for images, labels in bench.samples(model, seed):
            assert labels is not None
            seen.append(judge.features(images))
            asked.append(labels)
        features, wanted = torch.cat(seen), torch.cat(asked)
        found = class_accuracy(judge.head(features).softmax(1), wanted)
        draws.append(found | class_diversity(features, wanted, real_features, real_labels))
    floors = class_accuracy(judge.head(real_features).softmax(1), real_labels) | {"class_diversity": 1.0}
    protocol = {"samples": bench.count, "draws": len(draws), "floor": "test images"}
    known = {"classifier_accuracy": accuracy, "classifier_digest": digest_of(judge.state_dict().items())}
    return Measured(summarised(draws, floors), {**protocol, **known})


def code(bench: Bench, model: Model) -> Measured | None:
    """What is in a code: how many of its numbers are used, and what can be read from them."""
    if not isinstance(model, Encodes):
        return None
    most = max(_PROBED_LEAST, _PROBED_NUMBERS // math.prod(bench.images.shape))
    most = min(PROBED, most, bench.asked.images)
    learnt, tested = (_coded(bench, model, chosen(bench.images, split, most)) for split in ("train", SPLIT))
    width = tested.codes.shape[1]
    figures = codes.active_units(tested.codes) if isinstance(model, Bounds) else {}
    figures |= codes.trustworthiness(tested.codes, tested.pixels, learnt.pixels)
    if learnt.labels is not None and tested.labels is not None:
        known = bench.probes.get(width)
        found = codes.probes(*learnt[:2], learnt.labels, *tested[:2], tested.labels, known)
        bench.probes[width] = {name: value for name, value in found.items() if name != "probe_accuracy"}
        figures |= found
    counts = {"images": len(tested.codes), "training_images": len(learnt.codes)}
    protocol = {**counts, "estimator": codes.ESTIMATOR}
    return Measured(summarised([figures]), protocol)


def factors(bench: Bench, model: Model) -> Measured | None:
    """Whether each number of the code stands for one thing, where what is behind the images is known."""
    if not isinstance(model, Encodes) or not bench.images.attributes:
        return None
    rows = chosen(bench.images, SPLIT, min(FACTORED, bench.asked.images))
    known = {
        name: Attribute(attribute.values[rows], attribute.choices)
        for name, attribute in bench.images.attributes.items()
    }
    figures = disentangled(_coded(bench, model, rows).codes, known)
    return Measured(summarised([figures]), {"images": len(rows), "factors": list(known), "estimator": ESTIMATOR})


def upscale(bench: Bench, model: Model) -> Measured | None:
    """How near enlarged images come to the true ones, beside the bicubic filter."""
    if not isinstance(model, Upscales):
        return None
    rows = chosen(bench.images, SPLIT, min(ENLARGED, bench.asked.images))
    pictures = ((str(row), bench.images.pixels[row].permute(1, 2, 0)) for row in rows.tolist())
    means = enlargement.measure(model, pictures, bench.features, bench.images.shape.channels)[-2:]
    ways = {row.by: row.figures for row in means}
    figures = ways[enlargement.MODEL] | _named(ways[enlargement.BICUBIC], enlargement.BICUBIC)
    protocol = {"images": len(rows), "method": enlargement.caption(model.scale)}
    if features := bench.features:
        protocol |= {"features": features.name, "features_digest": features.digest}
    return Measured(summarised([figures]), protocol)


PARTS: dict[str, Callable[[Bench, Model], Measured | None]] = {
    "reconstruct": reconstruct,
    "denoise": denoise,
    "score": score,
    "sample": sample,
    "remember": remember,
    "classes": classes,
    "code": code,
    "factors": factors,
    "upscale": upscale,
}
"""By the name that --only takes, in the order of the table."""


class _Coded(NamedTuple):
    codes: Tensor
    pixels: Tensor
    labels: Tensor | None


def _coded(bench: Bench, model: Encodes, rows: Tensor) -> _Coded:
    """The codes of these images, the images as rows of numbers, and their labels where there are some."""
    found = [
        (bench.codes(model, batch["image"]).cpu(), batch["image"].flatten(1).cpu())
        for batch in bench.batches("encoding", rows)
    ]
    coded, flat = (torch.cat(parts) for parts in zip(*found, strict=True))
    return _Coded(coded, flat, None if bench.images.labels is None else bench.images.labels[rows])


def _named(figures: dict[str, float], what: str) -> dict[str, float]:
    return {f"{name}-{what}": value for name, value in figures.items()}
