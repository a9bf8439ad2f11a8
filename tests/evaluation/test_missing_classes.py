"""Classes that a generator drops are counted during training and named by an evaluation."""

from functools import partial

import pytest
import torch
from torch import Tensor, nn

from genlab import extractors
from genlab.contract import Batch, Model, Result
from genlab.data.dataset import Dataset
from genlab.evaluation import parts
from genlab.evaluation.bench import Bench, EvaluationSettings
from genlab.extractors import classifier
from genlab.extractors.classifier import trained_classifier
from genlab.extractors.quick import names, quick
from genlab.kinds import Classes
from tests.fixtures.toys import toy_splits

NAMES = ("ant", "bee", "cat", "dog", "eel")
DROPPED = (1, 3, 4)
CPU = torch.device("cpu")


def drawn(labels: Tensor, generator: torch.Generator) -> Tensor:
    """Draw dim noise with one bright row for each image, N x 1 x 16 x 16: the row is the class.

    The classifier is trained on images that are shifted by one row, so the rows lie three apart.
    """
    images = 0.3 * torch.rand(len(labels), 1, 16, 16, generator=generator)
    images[torch.arange(len(labels)), 0, 1 + 3 * labels] = 1
    return images


def rows(count: int = 400) -> Dataset:
    labels = torch.arange(count) % len(NAMES)
    pixels = drawn(labels, torch.Generator().manual_seed(0)).mul(255).round().byte()
    return Dataset.of_images(pixels, toy_splits(count), labels, NAMES)


class Dropping(Model):
    """Draws true images, but of the first class in place of some classes."""

    def __init__(self, dropped: tuple[int, ...] = DROPPED, told: bool = False) -> None:
        super().__init__()
        self.weight, self.dropped = nn.Parameter(torch.zeros(())), dropped
        self.told = {"label": Classes(NAMES)} if told else {}

    def loss(self, batch: Batch) -> Result:
        return Result(self.weight.square())

    def sample(self, count: int, condition: Batch | None = None, generator: torch.Generator | None = None) -> Tensor:
        draws = generator or torch.Generator()
        labels = condition["label"] if condition else torch.randint(len(NAMES), (count,), generator=draws)
        return drawn(torch.where(torch.isin(labels, torch.tensor(self.dropped or [-1])), 0, labels), draws)


@pytest.fixture(autouse=True)
def _hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Train the classifier for a few steps: the classes are easy to tell apart."""
    monkeypatch.setattr(classifier, "LEAST_STEPS", 40)
    monkeypatch.setattr(classifier, "EPOCHS", 1)


def bench_of(data: Dataset, features: str | None) -> Bench:
    create = partial(extractors.create, dataset=data, data="rows")
    settings = EvaluationSettings(count=80, draws=2)
    return Bench(
        data,
        CPU,
        settings,
        lambda: create(features, needs="vector"),
        lambda: trained_classifier(data),
        lambda: None,
    )


@pytest.mark.parametrize("told", [False, True])
def test_an_evaluation_names_the_classes_that_a_generator_drops(told: bool) -> None:
    bench = bench_of(rows(), None)
    part = "classes" if told else "sample"
    found = parts.measure(part, bench, Dropping(told=told))
    assert found
    metric = found[0].metrics["classes_missing"]
    assert (metric.mean, metric.std, metric.baseline) == (3, 0, 0)
    (note,) = [note for note in bench.notes if "Mode dropping" in note]
    assert "the samples lack 3 of 5 classes (bee, dog, eel)" in note


@pytest.mark.parametrize("told", [False, True])
def test_a_generator_of_all_classes_gets_no_note(told: bool) -> None:
    bench = bench_of(rows(), None)
    found = parts.measure("classes" if told else "sample", bench, Dropping((), told))
    assert found
    assert found[0].metrics["classes_missing"].mean == 0
    assert not [note for note in bench.notes if "Mode dropping" in note]


def test_other_features_assign_no_classes_to_the_samples_of_a_model_that_is_told_none() -> None:
    found = parts.measure("sample", bench_of(rows(), "random"), Dropping())
    assert found
    assert "classes_missing" not in found[0].metrics


def test_quick_metrics_count_the_classes_that_a_generator_drops() -> None:
    data, model = rows(), Dropping()
    measured = quick(model, data, CPU, lambda: extractors.create(None, needs="vector", dataset=data, data="rows"))
    measured.prepare(model)
    assert measured.look(model, last=False)["classes_missing"] == 3
    assert "classes_missing" in names(model, data)
    assert not measured.higher("classes_missing")
