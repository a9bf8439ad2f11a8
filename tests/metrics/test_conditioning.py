"""Class accuracy and class diversity against closed forms and a loop over all pairs."""

import math
from itertools import combinations
from statistics import mean

import pytest
import torch
from torch import Tensor

from genlab.metrics import conditioning
from genlab.metrics.conditioning import class_accuracy, class_diversity, missing_classes


def mean_distance(rows: Tensor) -> float:
    return mean(math.dist(*pair) for pair in combinations(rows.double().tolist(), 2))


def drawn(count: int, seed: int = 0, width: int = 5) -> Tensor:
    return torch.randn(count, width, generator=torch.Generator().manual_seed(seed))


def test_accuracy_is_the_share_of_samples_that_are_classified_as_wanted() -> None:
    probabilities = torch.tensor([[0.6, 0.3, 0.1], [0.2, 0.5, 0.3], [0.4, 0.35, 0.25], [0.1, 0.1, 0.8]])
    assert class_accuracy(probabilities, torch.tensor([0, 1, 1, 2])) == {"class_accuracy": 0.75}
    assert class_accuracy(probabilities, torch.tensor([1, 2, 2, 0])) == {"class_accuracy": 0.0}
    assert class_accuracy(probabilities[:0], torch.arange(0)) == {}


@pytest.mark.parametrize("at_once", [1, 400, 2**24])
def test_diversity_equals_a_loop_over_all_pairs(at_once: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conditioning, "_AT_ONCE", at_once)
    generated, real = drawn(120), 3 + 2 * drawn(90, seed=1)
    wanted, labels = torch.arange(120) % 7 % 3, torch.arange(90) % 4
    ratios = [mean_distance(generated[wanted == label]) / mean_distance(real[labels == label]) for label in range(3)]
    found = class_diversity(generated, wanted, real, labels)
    assert found == {"class_diversity": pytest.approx(mean(ratios), rel=1e-9)}
    order = torch.randperm(120, generator=torch.Generator().manual_seed(2))
    assert class_diversity(generated[order], wanted[order], real, labels) == pytest.approx(found, rel=1e-9)


def test_diversity_is_1_for_real_items_and_half_for_half_the_distances() -> None:
    real, labels = 100 + drawn(80), torch.arange(80) % 4
    assert class_diversity(real, labels, real, labels)["class_diversity"] == pytest.approx(1, rel=1e-12)
    # The position of a class does not matter.
    assert class_diversity(real / 2 + 7, labels, real, labels)["class_diversity"] == pytest.approx(0.5, rel=1e-6)


def test_copies_of_one_item_per_class_have_no_diversity_wherever_they_are() -> None:
    real, labels = drawn(1500, width=128), torch.arange(1500) % 3
    copies = 1000 + drawn(3, seed=1, width=128)[labels]
    assert class_diversity(copies, labels, real, labels)["class_diversity"] < 1e-9
    # Classes far apart do not hide it; one diverse class of three gives a third.
    mixed = torch.where((labels == 0)[:, None], real, copies)
    assert class_diversity(mixed, labels, real, labels)["class_diversity"] == pytest.approx(1 / 3, abs=1e-9)


def test_a_class_counts_if_it_has_two_samples_and_two_different_real_items() -> None:
    generated, real = drawn(8), drawn(10, seed=1)
    wanted = torch.tensor([0, 0, 1, 2, 2, 3, 3, 4])
    labels = torch.tensor([0, 0, 1, 1, 2, 3, 3, 4, 4, 5])
    real[5] = real[6]
    expected = mean_distance(generated[:2]) / mean_distance(real[:2])
    assert class_diversity(generated, wanted, real, labels) == {"class_diversity": pytest.approx(expected)}
    assert class_diversity(generated[2:], wanted[2:], real, labels) == {}
    assert class_diversity(generated[:0], wanted[:0], real, labels) == {}


def of_classes(*counts: int) -> Tensor:
    """Return class numbers, so many of each class."""
    return torch.arange(len(counts)).repeat_interleave(torch.tensor(counts))


def test_a_class_is_missing_if_samples_show_it_less_than_a_tenth_as_often_as_real_items() -> None:
    real = of_classes(100, 100, 100, 0)
    assert missing_classes(of_classes(290, 10, 0), real) == [2]
    assert missing_classes(of_classes(281, 9, 10), real) == [1]
    # Three times as many samples: a tenth is 30 of them.
    assert missing_classes(of_classes(841, 29, 30), real) == [1]
    assert missing_classes(of_classes(100, 100, 100, 50), real) == []


def test_a_class_that_is_rare_can_be_absent_by_chance() -> None:
    assert missing_classes(of_classes(100), of_classes(96, 4)) == []
    assert missing_classes(of_classes(100), of_classes(95, 5)) == [1]
    assert missing_classes(of_classes(0), of_classes(95, 5)) == []
