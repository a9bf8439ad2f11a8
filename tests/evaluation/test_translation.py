"""Translations are measured against what is known: the target, or the face drawn with the other attribute."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from genlab.contract import Batch, Model
from genlab.data.dataset import Dataset
from genlab.data.sources.drawn.faces import faces
from genlab.evaluation.bench import Bench, EvaluationSettings
from genlab.evaluation.translation import against_targets, between_domains, redrawn
from genlab.kinds import Image
from genlab.metrics.translation import MeanColour, NearestTarget
from genlab.models.spoiling import without_colour

KIND = Image(3, 16, 16)


@pytest.fixture(scope="module")
def data() -> Dataset:
    return faces(count=300, size=16, seed=0, validation=1, test=99, label="hat")


class Perfect(Model):
    """Knows every face of the data, with and without a hat, and what each was drawn from."""

    def __init__(self, data: Dataset, domains: tuple[int, ...] = (0, 1)) -> None:
        super().__init__()
        self.source, self.domains = KIND, domains
        rows = torch.arange(len(data))
        images = KIND.load(data.columns["x"].rows)
        self.known = (images if domains else without_colour(images)).flatten(1)
        self.answers = [redrawn(data, rows, number) for number in domains] or [images]

    def translate(self, images: Tensor, to: Tensor | None = None) -> Tensor:
        places = torch.cdist(images.flatten(1), self.known).argmin(1)
        numbers = torch.zeros(len(images), dtype=torch.int64) if to is None else to
        found = [self.answers[number] for number in numbers.tolist()]
        assert all(answer is not None for answer in found)
        return torch.stack([answer[place] for answer, place in zip(found, places, strict=True) if answer is not None])


class Colours(Perfect):
    """Also takes the colour away."""

    def damage(self, batch: Batch) -> tuple[Tensor, Tensor]:
        return without_colour(batch["x"]), batch["x"]


def bench_of(data: Dataset) -> Bench:
    """Return a bench whose classifier sees a hat if an image is darker at the top than its colour says."""

    def refuse() -> Any:
        raise AssertionError("nothing else may be created")

    truth = {number: redrawn(data, torch.arange(len(data)), number) for number in (0, 1)}
    both = torch.cat([images for images in truth.values() if images is not None]).flatten(1)

    def classify(images: Tensor) -> Tensor:
        nearest = torch.cdist(images.flatten(1), both).argmin(1)
        return torch.nn.functional.one_hot(nearest // len(data), 2).float()

    trained = SimpleNamespace(classifier=SimpleNamespace(classify=classify))
    return Bench(data, torch.device("cpu"), EvaluationSettings(), refuse, lambda: trained, refuse)  # type: ignore[arg-type, return-value]


def test_a_perfect_translation_has_no_error_where_the_truth_changes(data: Dataset) -> None:
    found = between_domains(bench_of(data), Perfect(data))
    for way in ("to_second", "to_first"):
        assert found[f"changed-{way}"] == 100
        assert found[f"error_inside-{way}"] == pytest.approx(0, abs=1e-6)
        assert 0 < found[f"error_inside-{way}-pixels"] < found[f"error_inside-{way}-unedited"]


def test_a_model_that_changes_nothing_changes_no_class(data: Dataset) -> None:
    model = Perfect(data)
    model.translate = lambda images, to=None: images  # type: ignore[method-assign]
    found = between_domains(bench_of(data), model)
    assert found["changed-to_second"] == found["changed-to_first"] == 0
    assert found["error_inside-to_first"] == pytest.approx(found["error_inside-to_first-unedited"])


def test_translations_with_known_targets_stand_beside_two_baselines(data: Dataset) -> None:
    found = against_targets(bench_of(data), Colours(data, ()))
    assert found["SSIM-translation"] == pytest.approx(1, abs=1e-3)
    assert found["SSIM-mean_colour"] < 0.999
    assert found["PSNR-nearest"] > 5
    assert against_targets(bench_of(data), Perfect(data)) == {}
    assert between_domains(bench_of(data), Colours(data, ())) == {}


def test_the_baselines_against_values_by_hand() -> None:
    source = torch.tensor([0.2, 0.4]).view(2, 1, 1, 1).expand(2, 1, 2, 2)
    target = source + torch.tensor([0.1, 0.0, -0.1]).view(1, 3, 1, 1)
    found = MeanColour.of([(source[:1], target[:1]), (source[1:], target[1:])])(torch.full((1, 1, 2, 2), 0.95))
    assert torch.allclose(found[0, :, 0, 0], torch.tensor([1.0, 0.95, 0.85]))
    assert torch.equal(NearestTarget(source, target)(torch.full((1, 1, 2, 2), 0.31)), target[1:])
