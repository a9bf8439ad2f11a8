"""Active units, probes and trustworthiness against closed forms, other solvers and slow versions."""

import math
import warnings
from functools import cache

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from torch import Tensor

from genlab.data.sources.built_in import digits
from genlab.metrics import codes
from genlab.metrics.codes import active_units, probe, probes, trustworthiness
from genlab.registry import ConfigError

Part = tuple[Tensor, Tensor]


@cache
def handwritten() -> tuple[Part, Part]:
    """Return images and labels of digits for training and for testing."""
    data = digits(validation=100, test=597)
    assert data.labels is not None
    train, test = (data.splits[name] for name in ("train", "test"))
    images = data.columns["x"].rows.float() / 255
    return (images[train], data.labels[train]), (images[test], data.labels[test])


def normal(*size: int, seed: int = 0) -> Tensor:
    return torch.randn(*size, generator=torch.Generator().manual_seed(seed))


def test_a_unit_is_active_if_its_variance_is_above_a_hundredth() -> None:
    signs = torch.tensor([1.0, -1.0]).repeat(50)
    stds = [0.0, math.sqrt(0.0099), math.sqrt(0.0101), 1.0]
    units = torch.stack([5 + std * signs for std in stds], 1)
    assert active_units(units) == {"active_units": 2}
    assert active_units(torch.full((100, 7), 3.3)) == {"active_units": 0}


def test_a_probe_is_right_for_separable_classes_and_guesses_without_information() -> None:
    data, labels = normal(3000, 3), torch.randint(4, (3000,), generator=torch.Generator().manual_seed(1))
    apart = data + 20 * torch.tensor([[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]])[labels]
    assert probe(apart[:1000], labels[:1000], apart[1000:], labels[1000:]) == 1
    # Four standard deviations of the accuracy of 2,000 guesses.
    guessed = probe(data[:1000], labels[:1000], data[1000:], labels[1000:])
    assert guessed == pytest.approx(1 / 4, abs=4 * math.sqrt(1 / 4 * 3 / 4 / 2000))


def test_a_probe_of_labels_of_which_a_fifth_are_wrong_is_right_about_the_rest() -> None:
    data = normal(6000, 2)
    flipped = torch.rand(6000, generator=torch.Generator().manual_seed(2)) < 0.2
    labels = ((data[:, 0] > 0) ^ flipped).long()
    found = probe(data[:3000], labels[:3000], data[3000:], labels[3000:])
    assert found == pytest.approx(1 - float(flipped[3000:].float().mean()), abs=0.02)


def test_a_probe_does_not_depend_on_the_scale_of_a_unit() -> None:
    (train, train_labels), (test, test_labels) = handwritten()
    first, second = train.flatten(1)[:, 20:30], test.flatten(1)[:, 20:30]
    scales = 10 ** torch.linspace(-3, 3, 10)
    plain = probe(first, train_labels, second, test_labels)
    assert plain == pytest.approx(probe(scales * first + 7, train_labels, scales * second + 7, test_labels), abs=0.004)


def test_a_probe_converges_to_the_solution_of_another_solver() -> None:
    (train, train_labels), (test, test_labels) = handwritten()
    first, second = (part.flatten(1).double().numpy() for part in (train, test))
    mean, std = first.mean(0), np.where(first.std(0) > 0, first.std(0), 1)
    other = LogisticRegression(C=0.1, solver="newton-cg", tol=1e-8).fit((first - mean) / std, train_labels)
    expected = other.score((second - mean) / std, test_labels)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert probe(train.flatten(1), train_labels, test.flatten(1), test_labels) == pytest.approx(expected, abs=0.002)


def test_codes_are_probed_beside_principal_components_of_equal_size_and_pixels() -> None:
    (train, train_labels), (test, test_labels) = handwritten()
    first, second = train.flatten(1), test.flatten(1)
    _, _, axes = torch.linalg.svd((first - first.mean(0)).double(), full_matrices=False)
    projected = [(part - first.mean(0)).double() @ axes[:6].T for part in (first, second)]
    found = probes(first[:, :6], train, train_labels, second[:, :6], test, test_labels)
    assert found == {
        "probe_accuracy": probe(first[:, :6], train_labels, second[:, :6], test_labels),
        "probe_accuracy-pca": pytest.approx(probe(projected[0], train_labels, projected[1], test_labels), abs=0.002),
        "probe_accuracy-pixels": probe(first, train_labels, second, test_labels),
    }
    known = {"probe_accuracy-pca": 0.25, "probe_accuracy-pixels": 0.5}
    again = probes(first[:, :6], train, train_labels, second[:, :6], test, test_labels, known)
    assert again == {"probe_accuracy": found["probe_accuracy"], **known}
    assert found["probe_accuracy"] < found["probe_accuracy-pca"] < found["probe_accuracy-pixels"]


def test_a_code_wider_than_the_image_is_compared_with_all_components() -> None:
    (train, train_labels), (test, test_labels) = handwritten()
    wide = [torch.cat([part.flatten(1)] * 2, 1) for part in (train, test)]
    assert set(probes(wide[0], train, train_labels, wide[1], test, test_labels)) == {
        "probe_accuracy",
        "probe_accuracy-pca",
        "probe_accuracy-pixels",
    }
    assert trustworthiness(wide[1][:100], test[:100], train)["trustworthiness-pca"] == pytest.approx(1, abs=1e-3)


def test_labels_of_one_class_are_not_probed() -> None:
    (train, labels), (test, test_labels) = handwritten()
    one = torch.zeros_like(labels)
    assert probes(train.flatten(1), train, one, test.flatten(1), test, test_labels) == {}


def test_codes_that_are_not_finite_are_refused() -> None:
    broken = normal(30, 4)
    broken[3, 1] = math.nan
    with pytest.raises(ConfigError, match="nan or inf"):
        active_units(broken)


def brute_trustworthiness(points: NDArray[np.float64], codes: NDArray[np.float64], neighbours: int) -> float:
    """Compute equation 1 of Venna and Kaski 2001, one pair at a time."""
    count, penalty = len(points), 0
    for place in range(count):
        true = [int(other) for other in np.linalg.norm(points - points[place], axis=1).argsort() if other != place]
        near = [int(other) for other in np.linalg.norm(codes - codes[place], axis=1).argsort() if other != place]
        penalty += sum(max(0, true.index(other) + 1 - neighbours) for other in near[:neighbours])
    return 1 - 2 / (count * neighbours * (2 * count - 3 * neighbours - 1)) * penalty


def test_trustworthiness_is_the_papers_formula() -> None:
    images = normal(70, 1, 4, 4).double()
    units = images.flatten(1)[:, :3] + 0.5 * normal(70, 3, seed=1)
    expected = brute_trustworthiness(images.flatten(1).numpy(), units.numpy(), 12)
    assert trustworthiness(units, images, images)["trustworthiness"] == pytest.approx(expected, abs=1e-9)


def test_a_rotation_keeps_all_neighbours_and_noise_keeps_none() -> None:
    images = normal(300, 1, 4, 4)
    rotation, _ = torch.linalg.qr(normal(16, 16, seed=1))
    assert trustworthiness(images.flatten(1) @ rotation, images, images)["trustworthiness"] == pytest.approx(
        1, abs=1e-3
    )
    assert trustworthiness(normal(300, 16, seed=2), images, images)["trustworthiness"] == pytest.approx(0.5, abs=0.05)


def test_principal_components_are_fitted_on_the_training_images() -> None:
    flat = torch.cat([normal(300, 2), torch.zeros(300, 14)], 1).reshape(300, 1, 4, 4)
    elsewhere = torch.cat([torch.zeros(300, 14), normal(300, 2)], 1).reshape(300, 1, 4, 4)
    assert trustworthiness(normal(300, 2), flat, flat)["trustworthiness-pca"] == pytest.approx(1, abs=1e-3)
    assert trustworthiness(normal(300, 2), flat, elsewhere)["trustworthiness-pca"] < 0.7


def test_a_random_part_of_many_images_is_measured_always_the_same_one(monkeypatch: pytest.MonkeyPatch) -> None:
    images = normal(400, 1, 4, 4)
    kept = images.flatten(1).clone()
    kept[:200] = normal(200, 16, seed=1)
    monkeypatch.setattr(codes, "_POINTS", 100)
    found = [trustworthiness(order, images, images)["trustworthiness"] for order in (kept, kept)]
    assert found[0] == found[1]
    assert 0.6 < found[0] < 0.95


def test_trustworthiness_is_left_out_for_too_few_images() -> None:
    images = normal(25, 1, 4, 4)
    assert trustworthiness(images.flatten(1)[:24], images[:24], images) == {}
    assert trustworthiness(images.flatten(1), images, images)["trustworthiness"] == pytest.approx(1)
