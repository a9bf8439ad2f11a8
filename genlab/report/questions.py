"""The metrics of an evaluation, grouped by the question that they answer, each with its protocol."""

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

from genlab.evaluation import record as records
from genlab.evaluation.main_metrics import main_of
from genlab.evaluation.record import Record
from genlab.metrics.metric import Metric, better, shown
from genlab.report.curves import finite
from genlab.runs.run import Run
from genlab.training.console import number

QUESTIONS = {
    "reconstruct": "How well does it reconstruct?",
    "denoise": "How well does it remove noise?",
    "score": "How likely is held-out data?",
    "sample": "How good are its samples?",
    "remember": "Does it copy the training data?",
    "classes": "Do its samples show the class that was asked for?",
    "code": "What is in its codes?",
    "factors": "Do its codes separate the factors of the data?",
    "upscale": "How well does it upscale?",
    "translate": "How well does it translate?",
}
"""The question that each part of an evaluation answers."""
MEANINGS = {
    "PSNR": "peak signal-to-noise ratio between an item and the result, in dB",
    "SSIM": "structural similarity between an item and the result; 1 is identical",
    "MS-SSIM": "structural similarity at several scales; 1 is identical",
    "squared_error": "mean squared difference between an item and the result",
    "absolute_error": "mean absolute difference between an item and the result",
    "negative_elbo": "bound on the negative log-likelihood of held-out items, in nats",
    "negative_bound": "tighter bound, from several samples of the code of each item, in nats",
    "bits_per_dimension": "the bound in bits for each number of an item",
    "score": "negative log-likelihood of held-out items, in nats",
    "reconstruction": "the part of the bound that the reconstruction costs, in nats",
    "kl": "the part of the bound that the code costs, in nats",
    "FD": "Frechet distance between the features of samples and of real items; 0 is equal",
    "KID": "kernel distance between the features of samples and of real items; 0 is equal",
    "precision": "share of samples that look like real items",
    "recall": "share of real items that the samples cover",
    "density": "how close samples lie to real items; about 1 for real items",
    "coverage": "share of real items that have a sample nearby",
    "sharpness": "edge strength of samples, divided by that of real images",
    "nearest_training": "mean distance of samples to the nearest training item",
    "copies": "share of samples that are nearly a training item",
    "class_accuracy": "share of samples that a classifier assigns to the class that was asked for",
    "class_diversity": "spread of the samples within a class, relative to that of real items",
    "classes_missing": "classes that samples show less than a tenth as often as real items",
    "active_units": "units of the code that vary from item to item",
    "trustworthiness": "share of neighbours that are neighbours in the code and in the data, too; 1 is best",
    "probe_accuracy": "accuracy of a linear classifier that reads the codes",
    "MIG": "mutual information gap: each factor sits in one unit if it is 1",
    "SAP": "separation of the two units that predict a factor best",
    "DCI": "disentanglement, completeness and informativeness of the codes",
    "distance": "perceptual distance between an item and the result; 0 is equal",
    "changed": "share of translated images that a classifier sees in the class that was asked for, in %",
    "error_inside": "squared error of translations in the pixels that truly change",
    "accuracy": "share of items whose class the model infers",
    "loss": "the loss that the training lowers",
}
"""The meaning of a metric by the beginning of its name."""
VARIANTS = {
    "input": "of the noisy items themselves",
    "median": "by a median filter",
    "nlmeans": "by non-local means",
    "bicubic": "by bicubic upscaling",
    "pca": "for PCA of equal size",
    "pixels": "for raw pixels",
    "given_label": "given the true class",
    "Y": "on the brightness",
}
"""The meaning of the end of a name."""
_HIDDEN = ("versions", "measured", "device", "seconds")


def read_evaluation(run: Run) -> dict[str, Any] | None:
    """Return the metrics of a run's evaluation by question, and the main ones; None if there is none to read."""
    record = records.read(run)
    if record is None:
        return None
    try:
        return _evaluation(record)
    except (KeyError, TypeError, AttributeError, ValueError):
        return None


def metric_entry(name: str, entry: Mapping[str, Any], best: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return a metric as the page shows it; a value that is not finite says so."""
    baseline = finite(entry.get("baseline"))
    return {
        "name": name,
        "meaning": meaning(name),
        "better": entry.get("better") or better(name),
        "value": _shown(entry),
        "best": None if best is None else _shown(best),
        "baseline": None if baseline is None else number(baseline),
    }


def meaning(name: str) -> str:
    """Return what a metric means in words, or nothing if its name is not known."""
    parts = name.rpartition("/")[2].split("-")
    heads = ("-".join(parts[:count]) for count in range(len(parts), 0, -1))
    known = next((MEANINGS[head] for head in heads if head in MEANINGS), "")
    noise = [f"noise of std {level} removed" for word, level in pairwise(parts) if word == "noise"]
    return ", ".join([known, *noise, *(VARIANTS[part] for part in parts if part in VARIANTS)]) if known else ""


def in_words(value: Any) -> str:
    """Return a value of a protocol as a person reads it."""
    if isinstance(value, list):
        return ", ".join(map(in_words, value))
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return number(value) if isinstance(value, float) else str(value)


def _evaluation(record: Record) -> dict[str, Any]:
    last, best = record["last"], record["best"]
    other = best if best and best["checkpoint"] != last["checkpoint"] else None
    groups: dict[str, list[str]] = {}
    for name, entry in last["metrics"].items():
        groups.setdefault(str(entry["part"]), []).append(name)

    def entries(names: list[str]) -> list[dict[str, Any]]:
        return [
            metric_entry(name, last["metrics"][name], other["metrics"].get(name, {}) if other else None)
            for name in names
        ]

    notes = [
        (part, str(note)) for each in (last, best) if each for part, some in each["notes"].items() for note in some
    ]
    return {
        "step": last["step"],
        "best_step": other["step"] if other else None,
        "about": _about(record),
        "main": [{**entry, **_more(entry["name"], last["metrics"])} for entry in entries(_main(last))],
        "questions": [
            {
                "question": question(part),
                "part": part,
                "metrics": entries(names),
                "protocol": _protocol(record["parts"].get(part, {})),
                "notes": list(dict.fromkeys(note for of, note in notes if of == part)),
            }
            for part, names in groups.items()
        ],
        "notes": list(dict.fromkeys(note for of, note in notes if of not in groups)),
    }


def question(part: str) -> str:
    """Return the question that a part answers; `sample-classifier` is the part `sample` with some features."""
    name, _, features = part.partition("-")
    asked = QUESTIONS.get(name, f"Other metrics: {part}")
    return f"{asked} (features: {features})" if features and name in QUESTIONS else asked


def _more(name: str, metrics: Mapping[str, Any]) -> dict[str, Any]:
    """Return the part of a main metric, and the same metric of simple methods, such as bicubic upscaling."""
    rivals = {words: metrics[f"{name}-{end}"] for end, words in VARIANTS.items() if f"{name}-{end}" in metrics}
    return {
        "part": str(metrics[name]["part"]),
        "rivals": [f"{words}: {_shown(entry)}" for words, entry in rivals.items()],
    }


def _main(last: Mapping[str, Any]) -> list[str]:
    return main_of(list(last["metrics"]))


def _about(record: Record) -> str:
    data, last = record["data"], record["last"]
    return (
        f"Measured with genlab {record['genlab']} on the {data['split']} split of {data['name']} "
        f"({data['count']:,} items, fingerprint {data['fingerprint']}), at step {last['step']:,}, "
        f"with the {last['weights']} weights of checkpoint {last['checkpoint']}."
    )


def _protocol(part: Mapping[str, Any]) -> dict[str, str]:
    """Return how a part was measured, in words."""
    known = {key.replace("_", " "): in_words(value) for key, value in part.items() if key not in _HIDDEN}
    versions = part.get("versions")
    if isinstance(versions, Mapping) and versions:
        known["versions"] = ", ".join(f"{name} {version}" for name, version in versions.items())
    measured = {key: str(part[key]) for key in ("device", "measured") if part.get(key)}
    return {**known, **measured}


def _shown(entry: Mapping[str, Any]) -> str:
    mean, std = finite(entry.get("mean")), finite(entry.get("std"))
    if mean is None:
        return "not finite" if "mean" in entry else "not measured"
    return shown(Metric(mean, std))
