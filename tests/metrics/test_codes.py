"""What is in a code: units, probes and neighbours against closed answers, other solvers and brute force."""

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
    """Images and labels of digits, to train on and to test on."""
    images = digits(validation=100, test=597)
    assert images.labels is not None
    train, test = (images.splits[name] for name in ("train", "test"))
    pixels = images.pixels.float() / 255
    return (pixels[train], images.labels[train]), (pixels[test], images.labels[test])


def normal(*size: int, seed: int = 0) -> Tensor:
    return torch.randn(*size, generator=torch.Generator().manual_seed(seed))


def test_a_unit_is_active_when_its_variance_is_above_a_hundredth() -> None:
    signs = torch.tensor([1.0, -1.0]).repeat(50)
    deviations = [0.0, math.sqrt(0.0099), math.sqrt(0.0101), 1.0]
    units = torch.stack([5 + deviation * signs for deviation in deviations], 1)
    assert active_units(units) == {"active_units": 2}
    assert active_units(torch.full((100, 7), 3.3)) == {"active_units": 0}


def test_a_probe_reads_what_a_plane_divides_and_guesses_what_is_not_there() -> None:
    data, labels = normal(3000, 3), torch.randint(4, (3000,), generator=torch.Generator().manual_seed(1))
    apart = data + 20 * torch.tensor([[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]])[labels]
    assert probe(apart[:1000], labels[:1000], apart[1000:], labels[1000:]) == 1
    # Four deviations of the share that 2,000 guesses get right.
    guessed = probe(data[:1000], labels[:1000], data[1000:], labels[1000:])
    assert guessed == pytest.approx(1 / 4, abs=4 * math.sqrt(1 / 4 * 3 / 4 / 2000))


def test_a_probe_of_labels_of_which_a_fifth_are_turned_is_right_of_the_rest() -> None:
    data = normal(6000, 2)
    turned = torch.rand(6000, generator=torch.Generator().manual_seed(2)) < 0.2
    labels = ((data[:, 0] > 0) ^ turned).long()
    found = probe(data[:3000], labels[:3000], data[3000:], labels[3000:])
    assert found == pytest.approx(1 - float(turned[3000:].float().mean()), abs=0.02)


def test_a_probe_does_not_see_the_scale_of_a_unit() -> None:
    (train, train_labels), (test, test_labels) = handwritten()
    first, second = train.flatten(1)[:, 20:30], test.flatten(1)[:, 20:30]
    scales = 10 ** torch.linspace(-3, 3, 10)
    plain = probe(first, train_labels, second, test_labels)
    assert plain == pytest.approx(probe(scales * first + 7, train_labels, scales * second + 7, test_labels), abs=0.004)


def test_a_probe_is_found_to_the_end() -> None:
    (train, train_labels), (test, test_labels) = handwritten()
    first, second = (part.flatten(1).double().numpy() for part in (train, test))
    mean, deviation = first.mean(0), np.where(first.std(0) > 0, first.std(0), 1)
    other = LogisticRegression(C=0.1, solver="newton-cg", tol=1e-8).fit((first - mean) / deviation, train_labels)
    expected = other.score((second - mean) / deviation, test_labels)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert probe(train.flatten(1), train_labels, test.flatten(1), test_labels) == pytest.approx(expected, abs=0.002)


def test_codes_stand_beside_principal_components_of_equal_size_and_pixels() -> None:
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


def test_a_code_wider_than_the_image_stands_beside_all_the_components_there_are() -> None:
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


def test_codes_that_mean_nothing_get_a_sentence() -> None:
    spoilt = normal(30, 4)
    spoilt[3, 1] = math.nan
    with pytest.raises(ConfigError, match="nan or inf"):
        active_units(spoilt)


def brute_trustworthiness(points: NDArray[np.float64], shown: NDArray[np.float64], neighbours: int) -> float:
    """Venna and Kaski 2001, equation 1, one pair at a time."""
    count, penalty = len(points), 0
    for place in range(count):
        true = [int(other) for other in np.linalg.norm(points - points[place], axis=1).argsort() if other != place]
        near = [int(other) for other in np.linalg.norm(shown - shown[place], axis=1).argsort() if other != place]
        penalty += sum(max(0, true.index(other) + 1 - neighbours) for other in near[:neighbours])
    return 1 - 2 / (count * neighbours * (2 * count - 3 * neighbours - 1)) * penalty


def test_trustworthiness_is_the_papers() -> None:
    images = normal(70, 1, 4, 4).double()
    shown = images.flatten(1)[:, :3] + 0.5 * normal(70, 3, seed=1)
    expected = brute_trustworthiness(images.flatten(1).numpy(), shown.numpy(), 12)
    assert trustworthiness(shown, images, images)["trustworthiness"] == pytest.approx(expected, abs=1e-9)


def test_a_turned_image_keeps_its_neighbours_and_noise_keeps_none() -> None:
    images = normal(300, 1, 4, 4)
    turn, _ = torch.linalg.qr(normal(16, 16, seed=1))
    assert trustworthiness(images.flatten(1) @ turn, images, images)["trustworthiness"] == pytest.approx(1, abs=1e-3)
    assert trustworthiness(normal(300, 16, seed=2), images, images)["trustworthiness"] == pytest.approx(0.5, abs=0.05)


def test_components_are_those_of_the_training_images() -> None:
    flat = torch.cat([normal(300, 2), torch.zeros(300, 14)], 1).reshape(300, 1, 4, 4)
    elsewhere = torch.cat([torch.zeros(300, 14), normal(300, 2)], 1).reshape(300, 1, 4, 4)
    assert trustworthiness(normal(300, 2), flat, flat)["trustworthiness-pca"] == pytest.approx(1, abs=1e-3)
    assert trustworthiness(normal(300, 2), flat, elsewhere)["trustworthiness-pca"] < 0.7


def test_of_many_images_some_are_drawn_from_all_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    images = normal(400, 1, 4, 4)
    kept = images.flatten(1).clone()
    kept[:200] = normal(200, 16, seed=1)
    monkeypatch.setattr(codes, "_POINTS", 100)
    found = [trustworthiness(order, images, images)["trustworthiness"] for order in (kept, kept)]
    assert found[0] == found[1]
    assert 0.6 < found[0] < 0.95


def test_too_few_images_have_no_trustworthiness() -> None:
    images = normal(25, 1, 4, 4)
    assert trustworthiness(images.flatten(1)[:24], images[:24], images) == {}
    assert trustworthiness(images.flatten(1), images, images)["trustworthiness"] == pytest.approx(1)
