"""The distances between two sets of features against closed forms, versions by brute force and other libraries."""

import math

import numpy as np
import pytest
import torch
from scipy.linalg import sqrtm
from scipy.spatial.distance import cdist
from torch import Tensor, nn

from genlab.data.files.vision import torchvision
from genlab.metrics import distribution
from genlab.metrics.distribution import Cloud, compared, density_coverage, frechet, kernel_distance, precision_recall
from genlab.registry import ConfigError

SHARES = ("precision", "recall", "density", "coverage")


def drawn(count: int, width: int, seed: int = 0) -> Tensor:
    return torch.randn(count, width, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def exactly(mean: Tensor, covariance: Tensor, count: int = 50, seed: int = 0) -> Tensor:
    """Points whose own mean and covariance are these, to rounding."""
    points = drawn(count, len(mean), seed)
    points -= points.mean(0)
    white = torch.linalg.solve_triangular(torch.linalg.cholesky(points.T.cov()), points.T, upper=False)
    return mean + (torch.linalg.cholesky(covariance) @ white).T


def rotation(width: int, seed: int = 9) -> Tensor:
    turned: Tensor = torch.linalg.qr(drawn(width, width, seed)).Q
    return turned


def like_features(count: int, width: int, seed: int = 0) -> Tensor:
    """What averaged rectified layers look like: nothing below zero, and nowhere near the origin."""
    return (drawn(count, width, seed) / 3 + drawn(1, width, 99) + 5).relu().float()


def by_brute_force(real: Tensor, made: Tensor) -> dict[str, float]:
    """Every share as its paper defines it, from all distances at once."""

    def radii(points: Tensor, neighbours: int) -> np.ndarray:
        apart = cdist(points, points)
        np.fill_diagonal(apart, np.inf)
        return np.sort(apart, 1)[:, neighbours - 1]

    apart = cdist(real, made)
    in_real, in_made = apart <= radii(real, 3)[:, None], apart <= radii(made, 3)
    in_real_5 = apart <= radii(real, 5)[:, None]
    return {
        "precision": in_real.any(0).mean(),
        "recall": in_made.any(1).mean(),
        "density": in_real_5.sum() / (5 * len(made)),
        "coverage": in_real_5.any(1).mean(),
    }


class Seen(nn.Module):
    """A network that sees the numbers that it is shown."""

    num_features = 6

    def forward(self, images: Tensor) -> Tensor:
        return images.flatten(1)


def test_frechet_of_normal_samples_is_the_closed_form_as_near_as_chance_allows() -> None:
    count, means, deviations = 100_000, torch.tensor([1.0, 0.0, -0.5]), torch.tensor([2.0, 0.5, 1.0])
    found = frechet(Cloud(drawn(count, 3, 1)), Cloud(means + deviations * drawn(count, 3, 2)))
    # By the delta method: each difference of means and of deviations is off by chance alone.
    variance = (1 + deviations**2) / count * (4 * means**2 + 2 * (deviations - 1) ** 2)
    expected = (means**2 + (deviations - 1) ** 2).sum()
    assert abs(found - float(expected)) < 5 * math.sqrt(variance.sum())


def test_frechet_of_given_moments_is_exactly_the_closed_form() -> None:
    # The trace of the root of a product of two 2 x 2 matrices follows from its trace and determinant.
    first, second = torch.tensor([[[4.0, 1.0], [1.0, 2.0]], [[1.0, -0.5], [-0.5, 3.0]]], dtype=torch.float64)
    mean, zero = torch.tensor([3.0, 4.0]).double(), torch.zeros(2).double()
    product = first @ second
    shared = (product.trace() + 2 * product.det().sqrt()).sqrt()
    expected = float(25 + first.trace() + second.trace() - 2 * shared)
    plane = exactly(zero, first), exactly(mean, second, count=70, seed=1)
    assert frechet(*map(Cloud, plane)) == pytest.approx(expected, rel=1e-12)
    # The same planes in a space of more dimensions than there are points: all other directions have no spread.
    into = rotation(90)[:2]
    assert frechet(*(Cloud(points @ into) for points in plane)) == pytest.approx(expected, rel=1e-10)


def test_frechet_of_spreads_that_share_no_direction_is_all_of_both() -> None:
    zero, alike = torch.zeros(2).double(), torch.eye(2).double()
    first, second = exactly(zero, 3 * alike, seed=1), exactly(zero, alike, seed=2)
    first, second = torch.cat([first, 0 * first], 1), torch.cat([0 * second, second], 1)
    assert frechet(Cloud(first), Cloud(second)) == pytest.approx(6 + 2)
    alone = torch.full((4, 4), 2.0)
    assert frechet(Cloud(first), Cloud(alone)) == pytest.approx(6 + 16)
    assert frechet(Cloud(alone), Cloud(alone + 1)) == pytest.approx(4)


def test_frechet_is_what_scipys_root_of_the_product_makes_it() -> None:
    first, second = drawn(200, 12, 1) @ drawn(12, 12, 2), 0.7 * drawn(150, 12, 3) + 0.2
    root = sqrtm(np.cov(first.T) @ np.cov(second.T)).real
    expected = ((first.mean(0) - second.mean(0)) ** 2).sum() + first.T.cov().trace() + second.T.cov().trace()
    assert frechet(Cloud(first), Cloud(second)) == pytest.approx(float(expected) - 2 * np.trace(root), rel=1e-9)


@pytest.mark.parametrize("count", [40, 400])
def test_the_same_set_in_another_order_is_at_no_distance_of_itself(count: int) -> None:
    # Some points twice and one many times over; fewer than there are dimensions, or more.
    points = like_features(count, 96)
    points = torch.cat([points, points[:10], points[:1].expand(12, -1)])
    again = points[torch.randperm(len(points), generator=torch.Generator().manual_seed(5))]
    found = compared(Cloud(points), Cloud(again))
    assert found["FD"] == pytest.approx(0, abs=1e-11 * float(points.double().T.cov().trace()))
    assert found["precision"] == found["recall"] == found["coverage"] == 1


@pytest.mark.parametrize("at_once", [19, 512])
def test_a_ball_holds_its_own_centre_and_the_neighbours_that_it_reaches_to(
    monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    # Where a neighbour lies just at the rim, rounding must not decide: not by the tiles and not by the order.
    points = like_features(160, 512)
    real, made = Cloud(points), Cloud(points.flip(0))
    assert real.among.nearest.isfinite().all()
    monkeypatch.setattr(distribution, "_AT_ONCE", at_once)
    assert density_coverage(real, made) == {"density": 6 / 5, "coverage": 1}


def test_who_lies_just_at_the_rim_lies_within() -> None:
    # Three neighbours at right angles, and what mirrors the furthest: as far from the point as that one is.
    places, angles = like_features(40, 512).double(), rotation(512)[:3]
    four = torch.cat([places, places + angles[0], places + angles[1], places + 2 * angles[2]])
    mirrored = places - 2 * angles[2]
    assert precision_recall(Cloud(four), Cloud(mirrored))["precision"] == 1
    assert precision_recall(Cloud(mirrored), Cloud(four))["recall"] == 1


@pytest.mark.parametrize("factor", [0, 1])
def test_points_that_are_all_alike_are_within_their_own_reach_only(
    monkeypatch: pytest.MonkeyPatch, factor: float
) -> None:
    places = like_features(3, 700)
    for place in factor * places:
        collapsed = Cloud(place.expand(50, -1))
        assert collapsed.among.nearest.shape == (50, 5)
        # Other tiles are rounded in another way than those by which the radii were found.
        with monkeypatch.context() as patch:
            patch.setattr(distribution, "_AT_ONCE", 13)
            assert compared(collapsed, collapsed) == pytest.approx(
                {"FD": 0, "KID": 0, "precision": 1, "recall": 1, "density": 10, "coverage": 1}, abs=1e-9
            )
    collapsed, near = Cloud(places[:1].expand(50, -1)), Cloud(places[:1].expand(50, -1) + 1e-4)
    assert {name: compared(collapsed, near)[name] for name in SHARES} == dict.fromkeys(SHARES, 0)


def test_neither_blocks_nor_order_change_a_figure(monkeypatch: pytest.MonkeyPatch) -> None:
    real, made = like_features(61, 20, 1), 1.05 * like_features(45, 20, 2)
    whole = compared(Cloud(real), Cloud(made))
    assert 0 < whole["precision"] < 1
    assert 0 < whole["recall"] < 1
    for at_once in (4, 7, 45):
        monkeypatch.setattr(distribution, "_AT_ONCE", at_once)
        assert compared(Cloud(real), Cloud(made)) == pytest.approx(whole, rel=1e-9)
    assert compared(Cloud(real.flip(0)), Cloud(made.roll(11, 0))) == pytest.approx(whole, rel=1e-9)


def test_one_real_set_serves_many_made_ones() -> None:
    real, made = like_features(50, 8, 1), [like_features(40, 8, seed) * (1 + seed / 50) for seed in (2, 3, 4)]
    kept = Cloud(real)
    assert [compared(kept, Cloud(these)) for these in made] == [compared(Cloud(real), Cloud(these)) for these in made]


def test_features_are_left_as_they_are() -> None:
    # What is float64 already is nowhere copied first.
    real, made = drawn(30, 4, 1), drawn(30, 4, 2)
    before = real.clone(), made.clone()
    compared(Cloud(real), Cloud(made))
    assert torch.equal(real, before[0])
    assert torch.equal(made, before[1])


def test_torchmetrics_finds_the_same_distances() -> None:
    torchvision()
    from torchmetrics.image.fid import FrechetInceptionDistance
    from torchmetrics.image.kid import KernelInceptionDistance

    first, second = drawn(80, 6, 1) + 1, drawn(80, 6, 2) * 1.3
    others = FrechetInceptionDistance(Seen()), KernelInceptionDistance(Seen(), subsets=1, subset_size=80)
    for other in others:
        other.set_dtype(torch.float64)
        other.update(first, real=True)
        other.update(second, real=False)
    assert frechet(Cloud(first), Cloud(second)) == pytest.approx(float(others[0].compute()), rel=1e-9)
    assert kernel_distance(Cloud(first), Cloud(second)) == pytest.approx(float(others[1].compute()[0]), rel=1e-9)


def test_kernel_distance_is_the_mean_over_all_pairs_of_two_points() -> None:
    first, second = drawn(9, 3, 1), drawn(14, 3, 2) + 0.5

    def mean(ones: Tensor, others: Tensor, same: bool) -> float:
        pairs = [(i, j) for i in range(len(ones)) for j in range(len(others)) if not (same and i == j)]
        return sum((float(ones[i] @ others[j]) / 3 + 1) ** 3 for i, j in pairs) / len(pairs)

    expected = mean(first, first, True) + mean(second, second, True) - 2 * mean(first, second, False)
    assert kernel_distance(Cloud(first), Cloud(second)) == pytest.approx(expected, rel=1e-12)
    # Unbiased, and so a little below zero of a set and itself.
    alone = mean(first, first, True) - mean(first, first, False)
    assert kernel_distance(Cloud(first), Cloud(first)) == pytest.approx(2 * alone, rel=1e-12)


@pytest.mark.parametrize(("count", "width"), [(90, 5), (60, 200), (70, 1)])
def test_shares_are_what_all_distances_at_once_make_them(count: int, width: int) -> None:
    real, made = drawn(count, width, 1), 0.9 * drawn(count - 20, width, 2) + 0.1
    found = {**precision_recall(Cloud(real), Cloud(made)), **density_coverage(Cloud(real), Cloud(made))}
    assert found == pytest.approx(by_brute_force(real, made))


def test_points_on_a_grid_of_which_many_lie_at_the_rim_are_counted_as_by_brute_force() -> None:
    # Whole numbers, whose distances are exact: full of ties and of points that are there twice.
    generator = torch.Generator().manual_seed(4)
    real, made = (torch.randint(0, 7, (80, 3), generator=generator).double() for _ in range(2))
    found = {name: compared(Cloud(real), Cloud(made))[name] for name in SHARES}
    assert found == pytest.approx(by_brute_force(real, made))
    assert 0 < found["precision"] < 1


def modes(count: int, each: int = 60, seed: int = 0) -> Tensor:
    """So many tight groups, far from each other."""
    return torch.cat([10 * place + drawn(each, 4, 10 * seed + place) / 4 for place in range(count)])


def test_modes_that_are_dropped_lower_recall_and_coverage_only() -> None:
    real, made, two_less = modes(4), Cloud(modes(4, seed=1)), Cloud(modes(2, each=120, seed=1))
    full, less, of_two = compared(Cloud(real), made), compared(Cloud(real), two_less), Cloud(real[:120])
    assert min(full[name] for name in SHARES) > 0.8
    # As if the dropped modes were not there, but that half of what is real has nothing near it.
    alone = compared(of_two, two_less)
    for name in ("recall", "coverage"):
        assert less[name] == pytest.approx(alone[name] / 2)
        assert less[name] < 0.6 * full[name]
    assert less["precision"] == alone["precision"] == pytest.approx(full["precision"], abs=0.05)
    assert less["density"] == alone["density"] == pytest.approx(full["density"], abs=0.1)


def test_junk_that_is_added_lowers_precision_and_density_by_its_share_only() -> None:
    real, made, junk = modes(3), modes(3, seed=1), drawn(60, 4, 77) - 100
    clean, mixed = (compared(Cloud(real), Cloud(these)) for these in (made, torch.cat([made, junk])))
    assert mixed["precision"] == pytest.approx(clean["precision"] * 3 / 4)
    assert mixed["density"] == pytest.approx(clean["density"] * 3 / 4)
    assert (mixed["recall"], mixed["coverage"]) == (clean["recall"], clean["coverage"])


def test_two_sets_far_apart_share_nothing() -> None:
    found = compared(Cloud(drawn(40, 5, 1)), Cloud(drawn(40, 5, 2) + 1000))
    assert {name: found[name] for name in SHARES} == dict.fromkeys(SHARES, 0)
    assert found["FD"] == pytest.approx(5e6, rel=0.01)


def test_in_one_dimension_frechet_is_of_means_and_deviations() -> None:
    first, second = drawn(30, 1, 1), 3 * drawn(20, 1, 2) + 2
    expected = (first.mean() - second.mean()) ** 2 + (first.std() - second.std()) ** 2
    assert compared(Cloud(first), Cloud(second))["FD"] == pytest.approx(float(expected), rel=1e-12)


@pytest.mark.parametrize(
    ("real", "made", "expected"),
    [
        (0, 9, set()),
        (9, 0, set()),
        (1, 1, set()),
        (2, 2, {"FD", "KID"}),
        (9, 1, {"precision", "density", "coverage"}),
        (1, 9, {"recall"}),
        (4, 4, {"FD", "KID", "precision", "recall"}),
        (6, 3, {"FD", "KID", "precision", "density", "coverage"}),
        (6, 4, {"FD", "KID", *SHARES}),
    ],
)
def test_what_too_few_points_cannot_say_is_left_out(real: int, made: int, expected: set[str]) -> None:
    found = compared(Cloud(drawn(real, 3, 1)), Cloud(drawn(made, 3, 2)))
    assert set(found) == expected
    assert all(map(math.isfinite, found.values()))


def test_features_that_are_no_numbers_get_a_sentence() -> None:
    with pytest.raises(ConfigError, match="no finite numbers"):
        Cloud(torch.tensor([[0.0, math.nan]]))
