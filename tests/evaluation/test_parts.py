"""The table of metrics: which ones fit a model and its data, and how a metric is added to it."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from genlab.contract import Batch, Model, Reconstructs
from genlab.data.dataset import Column, Dataset, attribute, labelled, split_off
from genlab.evaluation import parts
from genlab.evaluation.bench import Bench, EvaluationSettings
from genlab.evaluation.main_metrics import MOST, main_metrics
from genlab.evaluation.measure import Subject, record_of
from genlab.evaluation.parts import METRICS, Entry
from genlab.kinds import Classes, Image, Kind, Points, Spectrogram
from genlab.metrics.metric import BETTER
from genlab.registry import ConfigError
from genlab.runs.run import Run

IMAGES, POINTS = Image(1, 8, 8), Points(2)


class Able(Model):
    """Can reconstruct, encode, score and sample, all by trivial rules."""

    def __init__(self, kind: Kind, told: dict[str, Classes] | None = None) -> None:
        super().__init__()
        self.kind, self.told = kind, told or {}
        self.weight = torch.nn.Parameter(torch.zeros(()))
        self.asked: list[Batch | None] = []

    def reconstruct(self, batch: Batch) -> Tensor:
        return batch["x"] * 0.5

    def encode(self, batch: Batch) -> Tensor:
        return batch["x"].flatten(1)[:, :2]

    def score(self, batch: Batch) -> Tensor:
        return -batch["x"].flatten(1).sum(1)

    def sample(self, count: int, condition: Batch | None = None, generator: torch.Generator | None = None) -> Tensor:
        self.asked.append(condition)
        return torch.rand(count, *self.kind.shape, generator=generator)


def dataset(kind: Kind = IMAGES, columns: Mapping[str, Column] | None = None, count: int = 60) -> Dataset:
    """Return random items with these columns beside them."""
    draws = torch.Generator().manual_seed(0)
    rows = (
        torch.rand(count, *kind.shape, generator=draws)
        if kind.dtype == torch.float32
        else torch.randint(256, (count, *kind.shape), dtype=torch.uint8, generator=draws)
    )
    left, test = split_off(count, 20, "test")
    splits = {"train": left, "validation": test[:0], "test": test}
    return Dataset({"x": Column(kind, rows), **(columns or {})}, splits)


def bench_of(data: Dataset, **settings: Any) -> Bench:
    """Return a bench whose extractor and classifier must not be asked for."""

    def refuse() -> Any:
        raise ConfigError("nothing may be created")

    chosen = EvaluationSettings(**{"count": 20, "images": 20, "draws": 1, **settings})
    return Bench(data, torch.device("cpu"), chosen, refuse, refuse, refuse)


def fitting(model: Model, data: Dataset) -> set[tuple[str, str]]:
    return {(entry.part, entry.metric.__name__.lstrip("_")) for entry in METRICS if entry.fits(model, data)}


def test_metrics_of_images_fit_spectrograms_and_not_points() -> None:
    sounds = Spectrogram(1, 16, 16, rate=8000)
    images, spectrograms, points = (fitting(Able(kind), dataset(kind)) for kind in (IMAGES, sounds, POINTS))
    assert images == spectrograms
    assert images - points == {
        ("reconstruct", "image_similarity"),
        ("denoise", "denoised"),
        ("sample", "sharpness"),
        ("remember", "copies"),
    }
    assert ("reconstruct", "errors") in points


def test_metrics_that_read_labels_or_attributes_fit_only_data_that_has_them() -> None:
    plain = fitting(Able(IMAGES), dataset())
    labels = labelled(torch.arange(60) % 3, ("a", "b", "c"))
    assert fitting(Able(IMAGES), dataset(columns=labels)) - plain == {
        ("classes", "class_accuracy"),
        ("classes", "class_diversity"),
        ("classes", "told_classes_missing"),
        ("sample", "classes_missing"),
        ("code", "probes"),
    }
    assert fitting(Able(IMAGES), dataset(columns={"angle": attribute(torch.rand(60))})) - plain == {
        ("factors", "disentangled")
    }


def test_a_model_without_the_ability_has_no_metric_of_the_part() -> None:
    assert fitting(Model(), dataset()) == set()
    assert parts.measure("upscale", bench_of(dataset()), Able(IMAGES)) is None


def sharpness(reconstructed: Tensor, truth: Tensor) -> dict[str, Tensor]:
    """A toy metric: the contrast of each reconstruction."""
    return {"sharpness": reconstructed.flatten(1).std(1)}


def test_a_new_metric_takes_a_function_a_direction_and_one_line_of_the_table(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    monkeypatch.setitem(BETTER, "sharpness", "higher")
    monkeypatch.setattr(parts, "METRICS", [*METRICS, Entry("reconstruct", Reconstructs, (Image,), sharpness)])
    data, model = dataset(), Able(IMAGES)
    (tmp_path / "run.json").write_text('{"name": "toy"}')
    record = record_of(bench_of(data, only=("reconstruct",)), Run(tmp_path), Subject(model, 1, "a" * 16, "live"), None)
    rows = data.columns["x"].rows[data.splits["test"]] / 255
    entry = record["last"]["metrics"]["sharpness"]
    assert entry["mean"] == pytest.approx(float((rows * 0.5).flatten(1).std(1).mean()))
    assert (entry["better"], entry["part"], entry["columns"]) == ("higher", "reconstruct", [])
    found = parts.measure("reconstruct", bench_of(dataset(POINTS)), Able(POINTS))
    assert found
    assert "sharpness" not in found[0].metrics


def test_the_record_names_the_columns_that_a_metric_reads() -> None:
    found = parts.measure("code", bench_of(dataset(columns=labelled(torch.arange(60) % 2, ("a", "b")))), Able(IMAGES))
    assert found
    measured, metrics = found
    assert metrics.columns["probe_accuracy"] == ("label",)
    assert "trustworthiness" not in measured.metrics or metrics.columns["trustworthiness"] == ()


def test_samples_are_asked_for_as_many_of_each_class_as_real_items_have() -> None:
    labels = torch.tensor([0] * 45 + [1] * 15)
    data = dataset(columns=labelled(labels, ("many", "few")))
    model = Able(IMAGES, {"label": Classes(("many", "few"))})
    list(bench_of(data).samples(model, seed=0))
    (condition,) = model.asked
    assert condition
    assert condition["label"].bincount().tolist() == labels[data.splits["test"]].bincount().tolist()
    list(bench_of(dataset()).samples(model, seed=0))
    assert model.asked[-1] is None, "without labels the model draws the classes itself"


def test_labels_change_the_fingerprint_and_not_that_of_what_is_modelled() -> None:
    plain, other = dataset(), dataset(columns=labelled(torch.arange(60) % 2, ("a", "b")))
    assert plain.fingerprint != other.fingerprint
    assert plain.modelled == other.modelled != dataset(POINTS).modelled
    known = [replace(data, contents="a digest that the source knows") for data in (plain, other)]
    assert known[0].modelled == known[1].modelled != plain.modelled
    assert plain.with_splits({**plain.splits, "test": plain.splits["test"][1:]}).modelled != plain.modelled


class Broken(Able):
    """Breaks one promise of an ability."""

    def __init__(self, way: str) -> None:
        super().__init__(IMAGES)
        self.way = way

    def encode(self, batch: Batch) -> Tensor:
        codes = super().encode(batch)
        return {"rows": codes[:2], "maps": codes[:, :, None, None]}.get(self.way, codes)

    def sample(self, count: int, condition: Batch | None = None, generator: torch.Generator | None = None) -> Tensor:
        images = super().sample(count, condition, generator)
        if self.way == "infinite":
            images[0] = float("inf")
        return {"double": images.double(), "small": images[:, :, :4]}.get(self.way, images)


@pytest.mark.parametrize(
    ("way", "part", "sentence"),
    [
        ("rows", "code", "encode must return 20 x 2, got 2 x 2."),
        ("maps", "code", "encode must return 20 x 2, got 20 x 2 x 1 x 1."),
        ("infinite", "remember", "sample must return finite numbers."),
        ("small", "remember", "sample must return 20 x 1 x 8 x 8, got 20 x 1 x 4 x 8."),
    ],
)
def test_a_model_that_breaks_a_promise_is_named_and_its_other_abilities_are_measured(
    way: str, part: str, sentence: str, tmp_path: Any
) -> None:
    (tmp_path / "run.json").write_text('{"name": "toy"}')
    record = record_of(bench_of(dataset()), Run(tmp_path), Subject(Broken(way), 1, "a" * 16, "live"), None)["last"]
    assert record["notes"][part] == [f"{part} cannot be measured: {sentence}"]
    assert {"squared_error", "score"} <= set(record["metrics"])
    assert not {name for name, metric in record["metrics"].items() if metric["part"] == part}


def test_samples_in_double_precision_are_measured() -> None:
    found = parts.measure("remember", bench_of(dataset()), Broken("double"))
    assert found
    assert "nearest_training" in found[0].metrics


def names(*metrics: str) -> dict[str, Any]:
    return {"last": {"metrics": dict.fromkeys(metrics, {})}}


@pytest.mark.parametrize(
    ("metrics", "main"),
    [
        (
            ["squared_error", "PSNR", "PSNR-noise-0.1", "negative_elbo", "kl", "FD-classifier", "KID-classifier"]
            + ["precision-classifier", "recall-classifier", "copies", "probe_accuracy", "probe_accuracy-pca"],
            ["PSNR", "negative_elbo", "FD-classifier", "precision-classifier", "recall-classifier"],
        ),
        (
            ["FD-random", "precision-random", "recall-random", "nearest_training", "copies", "class_accuracy"],
            ["FD-random", "precision-random", "recall-random", "class_accuracy", "copies"],
        ),
        (["squared_error", "negative_bound-50", "active_units"], ["squared_error", "negative_bound-50"]),
        (
            ["PSNR-RGB", "PSNR-Y", "PSNR-Y-bicubic", "SSIM-Y", "distance-lite0", "distance-lite0-bicubic"],
            ["PSNR-Y", "SSIM-Y", "distance-lite0"],
        ),
        (["active_units", "kl"], ["active_units", "kl"]),
        ([], []),
    ],
)
def test_the_main_metrics_follow_from_what_the_model_can_do(metrics: list[str], main: list[str]) -> None:
    assert main_metrics(names(*metrics)) == main
    assert len(main) <= MOST
