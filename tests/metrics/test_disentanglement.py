"""MIG, SAP and DCI of codes with known answers; their parts against closed forms and scikit-learn."""

import math
from collections.abc import Callable
from functools import cache

import numpy as np
import pytest
import torch
from sklearn.metrics import mutual_info_score
from torch import Tensor

from genlab.data.dataset import Column, attribute
from genlab.metrics.disentanglement import concentration, disentangled, entropy, information, mutual_information
from genlab.registry import ConfigError

COUNT = 600
DCI = ("DCI-disentanglement", "DCI-completeness", "DCI-informativeness")


@cache
def truth() -> dict[str, Column]:
    """Return two numbers and a class, independent of each other."""
    return {
        "x": attribute(uniform(1) * 7 - 2),
        "y": attribute(uniform(2)),
        "shape": attribute((uniform(3) * 3).long(), ("square", "ellipse", "heart")),
    }


def uniform(seed: int) -> Tensor:
    return torch.rand(COUNT, generator=torch.Generator().manual_seed(seed))


def noise(units: int) -> Tensor:
    return torch.randn(COUNT, units, generator=torch.Generator().manual_seed(9))


def true_codes() -> Tensor:
    """Return the factors themselves, standardised."""
    columns = torch.stack([column.rows.float() for column in truth().values()], 1)
    return (columns - columns.mean(0)) / columns.std(0)


@pytest.mark.parametrize(
    "units",
    [
        pytest.param(true_codes, id="as they are"),
        pytest.param(lambda: true_codes()[:, [2, 0, 1]] * torch.tensor([-40.0, 0.01, 3.0]) + 5, id="scaled"),
        pytest.param(lambda: torch.cat([noise(3), true_codes()], 1), id="beside noise"),
        pytest.param(lambda: torch.cat([torch.full((COUNT, 2), 0.3), true_codes()], 1), id="beside dead units"),
    ],
)
def test_codes_that_are_the_factors_are_disentangled(units: Callable[[], Tensor]) -> None:
    found = disentangled(units(), truth())
    # The rest is the information of a second unit by chance.
    assert 0.97 < found["MIG"] <= 1
    assert 0.95 < found["SAP"] <= 1
    assert all(0.99 < found[name] <= 1 for name in DCI)


def test_noise_scores_about_0() -> None:
    found = disentangled(noise(5), truth())
    assert set(found) == {"MIG", "SAP", *DCI}
    assert all(0 <= value < 0.03 for value in found.values())


def test_dead_units_score_0() -> None:
    assert set(disentangled(torch.zeros(COUNT, 3), truth()).values()) == {0.0}


def test_factors_that_are_coded_twice_have_no_gap_and_are_not_complete() -> None:
    found = disentangled(torch.cat([true_codes(), true_codes()], 1), truth())
    assert found["MIG"] == found["SAP"] == 0
    assert found["DCI-disentanglement"] > 0.99
    assert found["DCI-informativeness"] > 0.99
    assert found["DCI-completeness"] < 0.85


def test_a_rotation_of_two_factors_is_entangled_and_loses_no_information() -> None:
    apart = true_codes()
    rotated = torch.cat([apart[:, :1] + apart[:, 1:2], apart[:, :1] - apart[:, 1:2], apart[:, 2:]], 1)
    before, after = disentangled(apart, truth()), disentangled(rotated, truth())
    for name in ("MIG", "SAP", "DCI-disentanglement", "DCI-completeness"):
        assert after[name] < before[name] - 0.2
    assert after["DCI-informativeness"] > before["DCI-informativeness"] - 0.03


def test_a_single_unit_is_compared_with_0() -> None:
    factors = {name: truth()[name] for name in ("x", "y")}
    found = disentangled(true_codes()[:, :1], factors)
    # Everything about one of two factors, and nothing about the other.
    assert found["MIG"] == pytest.approx(0.5, abs=0.02)
    assert found["SAP"] == pytest.approx(0.5, abs=0.02)
    assert found["DCI-informativeness"] == pytest.approx(0.5, abs=0.02)
    assert found["DCI-disentanglement"] == pytest.approx(0, abs=0.02)
    assert "DCI-completeness" not in found


def test_a_single_factor_has_no_disentanglement() -> None:
    found = disentangled(true_codes(), {"shape": truth()["shape"]})
    assert set(found) == {"MIG", "SAP", "DCI-completeness", "DCI-informativeness"}


def test_mig_is_also_reported_without_angles() -> None:
    angle = {"angle": attribute(uniform(4) * 360)}
    found, without = disentangled(true_codes(), truth() | angle), disentangled(true_codes(), truth())
    assert found["MIG-without_angles"] == without["MIG"]
    assert found["MIG"] < 0.8 * without["MIG"]
    assert "MIG-without_angles" not in without | disentangled(true_codes(), angle)


def test_constant_factors_are_left_out() -> None:
    same = {"z": attribute(torch.full((COUNT,), 2.5)), "kind": attribute(torch.ones(COUNT).long(), ("a", "b"))}
    once = torch.zeros(COUNT).long()
    once[17] = 1
    rare = {"rare": attribute(once, ("no", "yes"))}
    units = true_codes()[:, :2]
    assert disentangled(units, truth() | same | rare) == disentangled(units, truth())
    assert disentangled(units, same | rare) == {}
    assert disentangled(units[:1], {"x": attribute(truth()["x"].rows[:1])}) == {}


def test_classes_that_do_not_occur_change_nothing() -> None:
    blurred = true_codes()[:, 2:] + 0.5 * noise(1)
    known = truth()["shape"]
    named = attribute(2 * known.rows, ("square", "star", "ellipse", "ring", "heart", "moon"))
    assert disentangled(blurred, {"shape": named}) == disentangled(blurred, {"shape": known})


def test_a_rare_class_is_not_predicted_by_guessing_the_frequent_one() -> None:
    rare = {"hat": attribute((uniform(4) < 0.1).long(), ("no", "yes"))}
    assert disentangled(noise(2), rare)["DCI-informativeness"] < 0.1
    hat = disentangled(rare["hat"].rows.float()[:, None] + 0.1 * noise(1), rare)
    assert hat["DCI-informativeness"] == hat["SAP"] == 1


def test_a_rare_class_has_the_weight_of_a_frequent_one() -> None:
    chance = torch.Generator().manual_seed(6)
    rare = (torch.rand(4000, generator=chance) < 0.1).long()
    units = 2.0 * rare[:, None] + torch.randn(4000, 1, generator=chance)
    # A threshold half way between two normal distributions, two standard deviations apart, is right this often.
    right = 0.5 * (1 + math.erf(1 / math.sqrt(2)))
    found = disentangled(units, {"hat": attribute(rare, ("no", "yes"))})
    assert found["SAP"] == pytest.approx(2 * right - 1, abs=0.1)
    assert found["DCI-informativeness"] == pytest.approx(2 * right - 1, abs=0.1)


def test_the_order_of_the_items_does_not_matter() -> None:
    order = truth()["shape"].rows.argsort()
    factors = {name: Column(known.kind, known.rows[order]) for name, known in truth().items()}
    found = disentangled(true_codes()[order], factors)
    assert found["MIG"] == pytest.approx(disentangled(true_codes(), truth())["MIG"])
    assert found["DCI-informativeness"] > 0.99


def test_the_bins_of_units_are_those_of_numpys_histograms() -> None:
    units = torch.arange(21.0).repeat(20)[:, None]
    lowest, highest = ({"end": attribute((units[:, 0] == end).long(), ("no", "yes"))} for end in (0, 20))
    # With 20 bins, 0 has its own bin and 20 shares one with 19.
    assert np.histogram(units, 20)[0].tolist() == [20] * 19 + [40]
    assert disentangled(units, lowest)["MIG"] == pytest.approx(1)
    assert disentangled(units, highest)["MIG"] < 0.8


def test_classes_and_numbers_with_few_values_are_not_binned() -> None:
    few = (uniform(5) * 4).floor() ** 3
    for column in (attribute(few), attribute((uniform(5) * 4).long(), ("a", "b", "c", "d"))):
        # Ten bins of equal width would put 0 and 1, two of the four cubes, into one bin.
        binary = (column.rows == column.rows.max()).float()[:, None]
        share = float(binary.mean())
        information = -(share * math.log(share) + (1 - share) * math.log(1 - share)) + 1 / (2 * COUNT)
        _, counts = np.unique(column.rows.numpy(), return_counts=True)
        everything = float(-(counts / COUNT * np.log(counts / COUNT)).sum()) + 3 / (2 * COUNT)
        assert disentangled(binary, {"few": column})["MIG"] == pytest.approx(information / everything, abs=1e-6)


def test_the_same_codes_always_get_the_same_scores() -> None:
    blurred = true_codes() + 0.3 * noise(3)
    assert disentangled(blurred, truth()) == disentangled(blurred.clone(), truth())


def test_mutual_information_equals_scikit_learns_except_for_the_correction() -> None:
    first, second = (np.random.default_rng(seed).integers(0, 5, 300) for seed in (0, 1))
    second = np.where(np.random.default_rng(2).random(300) < 0.5, first, second)
    # Miller 1955: an entropy is too low by (cells - 1) / (2 * count).
    cells = len(np.unique(first)) + len(np.unique(second)) - len(np.unique(10 * first + second))
    expected = mutual_info_score(first, second) + (cells - 1) / 600
    assert mutual_information(first, second) == pytest.approx(expected, abs=1e-12)
    assert mutual_information(np.arange(40) % 2, np.arange(40) // 20) == 0
    assert mutual_information(first, first) == pytest.approx(entropy(first), abs=1e-12)


def test_the_correction_removes_the_apparent_information_of_independent_rows() -> None:
    pairs = [np.random.default_rng(seed).integers(0, (20, 10), (2000, 2)) for seed in range(20)]
    plain = np.mean([mutual_info_score(*pair.T) for pair in pairs])
    corrected = np.mean([mutual_information(*pair.T) for pair in pairs])
    assert plain > 0.04
    assert corrected < 0.004


def test_concentration_is_1_minus_the_relative_entropy_weighted_by_row() -> None:
    weights = np.array([[1.0, 0.0], [1.0, 1.0], [0.0, 0.0], [3.0, 1.0]])
    uneven = 1 + (0.75 * math.log(0.75) + 0.25 * math.log(0.25)) / math.log(2)
    assert concentration(weights) == pytest.approx((1 * 1 + 2 * 0 + 4 * uneven) / 7)
    assert concentration(np.zeros((2, 3))) == 0
    assert all(0 <= concentration(np.ones((1, count))) < 1e-12 for count in range(2, 20))


def test_codes_that_are_not_finite_are_refused() -> None:
    with pytest.raises(ConfigError, match="nan or inf"):
        disentangled(true_codes() / 0, truth())


def test_noise_holds_no_information_about_a_factor_even_among_few_items() -> None:
    draws = torch.Generator().manual_seed(3)
    codes = torch.randn(200, 40, generator=draws)
    number, choice = torch.rand(200, generator=draws), torch.randint(4, (200,), generator=draws)
    codes[:, 0] = number
    found = information(codes, {"number": attribute(number), "choice": attribute(choice, ("a", "b", "c", "d"))})
    assert found["number"][0] > 0.95
    assert max(found["number"][1:]) < 0.1
    assert max(found["choice"]) < 0.1
