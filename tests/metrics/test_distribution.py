"""Distances of two sets of features against closed forms, slow versions and other libraries."""

import math

import numpy as np
import pytest
import torch
from scipy.linalg import sqrtm
from scipy.spatial.distance import cdist
from torch import Tensor, nn

from genlab.data.files.vision import torchvision
from genlab.metrics import distribution
from genlab.metrics.distribution import Cloud, compare, density_coverage, frechet, kernel_distance, precision_recall
from genlab.registry import ConfigError

SHARES = ("precision", "recall", "density", "coverage")


def drawn(count: int, width: int, seed: int = 0) -> Tensor:
    return torch.randn(count, width, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def exactly(mean: Tensor, covariance: Tensor, count: int = 50, seed: int = 0) -> Tensor:
    """Return points with this mean and covariance, up to rounding."""
    points = drawn(count, len(mean), seed)
    points -= points.mean(0)
    white = torch.linalg.solve_triangular(torch.linalg.cholesky(points.T.cov()), points.T, upper=False)
    exact: Tensor = mean + (torch.linalg.cholesky(covariance) @ white).T
    return exact


def rotation(width: int, seed: int = 9) -> Tensor:
    turned: Tensor = torch.linalg.qr(drawn(width, width, seed)).Q
    return turned


def like_features(count: int, width: int, seed: int = 0) -> Tensor:
    """Return vectors like averaged rectified layers: not negative, and far from the origin."""
    return (drawn(count, width, seed) / 3 + drawn(1, width, 99) + 5).relu().float()


def by_brute_force(real: Tensor, generated: Tensor) -> dict[str, float]:
    """Compute every share as its paper defines it, from all distances."""

    def radii(points: Tensor, neighbours: int) -> np.ndarray:
        distances = cdist(points, points)
        np.fill_diagonal(distances, np.inf)
        return np.sort(distances, 1)[:, neighbours - 1]

    distances = cdist(real, generated)
    in_real, in_generated = distances <= radii(real, 3)[:, None], distances <= radii(generated, 3)
    in_real_5 = distances <= radii(real, 5)[:, None]
    return {
        "precision": in_real.any(0).mean(),
        "recall": in_generated.any(1).mean(),
        "density": in_real_5.sum() / (5 * len(generated)),
        "coverage": in_real_5.any(1).mean(),
    }


class Flat(nn.Module):
    """A network whose features are its input."""

    num_features = 6

    def forward(self, images: Tensor) -> Tensor:
        return images.flatten(1)


def test_frechet_of_normal_samples_is_the_closed_form_up_to_chance() -> None:
    count, means, stds = 100_000, torch.tensor([1.0, 0.0, -0.5]), torch.tensor([2.0, 0.5, 1.0])
    found = frechet(Cloud(drawn(count, 3, 1)), Cloud(means + stds * drawn(count, 3, 2)))
    # By the delta method, from the standard errors of means and standard deviations.
    variance = (1 + stds**2) / count * (4 * means**2 + 2 * (stds - 1) ** 2)
    expected = (means**2 + (stds - 1) ** 2).sum()
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
    # The same planes in more dimensions than points; all other directions have no variance.
    into = rotation(90)[:2]
    assert frechet(*(Cloud(points @ into) for points in plane)) == pytest.approx(expected, rel=1e-10)


def test_frechet_of_variances_without_a_common_direction_is_their_sum() -> None:
    zero, alike = torch.zeros(2).double(), torch.eye(2).double()
    first, second = exactly(zero, 3 * alike, seed=1), exactly(zero, alike, seed=2)
    first, second = torch.cat([first, 0 * first], 1), torch.cat([0 * second, second], 1)
    assert frechet(Cloud(first), Cloud(second)) == pytest.approx(6 + 2)
    alone = torch.full((4, 4), 2.0)
    assert frechet(Cloud(first), Cloud(alone)) == pytest.approx(6 + 16)
    assert frechet(Cloud(alone), Cloud(alone + 1)) == pytest.approx(4)


def test_frechet_equals_the_form_with_scipys_root_of_the_product() -> None:
    first, second = drawn(200, 12, 1) @ drawn(12, 12, 2), 0.7 * drawn(150, 12, 3) + 0.2
    root = sqrtm(np.cov(first.T) @ np.cov(second.T)).real
    expected = ((first.mean(0) - second.mean(0)) ** 2).sum() + first.T.cov().trace() + second.T.cov().trace()
    assert frechet(Cloud(first), Cloud(second)) == pytest.approx(float(expected) - 2 * np.trace(root), rel=1e-9)


@pytest.mark.parametrize("count", [40, 400])
def test_a_set_in_another_order_has_no_distance_to_itself(count: int) -> None:
    # Some points twice and one many times; fewer points than dimensions, or more.
    points = like_features(count, 96)
    points = torch.cat([points, points[:10], points[:1].expand(12, -1)])
    again = points[torch.randperm(len(points), generator=torch.Generator().manual_seed(5))]
    found = compare(Cloud(points), Cloud(again))
    assert found["FD"] == pytest.approx(0, abs=1e-11 * float(points.double().T.cov().trace()))
    assert found["precision"] == found["recall"] == found["coverage"] == 1


@pytest.mark.parametrize("at_once", [19, 512])
def test_a_ball_holds_its_centre_and_the_neighbours_up_to_its_radius(
    monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    # For a neighbour exactly at the radius, rounding must not decide, whatever the tiles and the order.
    points = like_features(160, 512)
    real, generated = Cloud(points), Cloud(points.flip(0))
    assert real.among.nearest.isfinite().all()
    monkeypatch.setattr(distribution, "_AT_ONCE", at_once)
    assert density_coverage(real, generated) == {"density": 6 / 5, "coverage": 1}


def test_a_point_exactly_at_the_radius_is_inside() -> None:
    # Three neighbours at right angles, and the mirror image of the furthest, at the same distance.
    places, angles = like_features(40, 512).double(), rotation(512)[:3]
    four = torch.cat([places, places + angles[0], places + angles[1], places + 2 * angles[2]])
    mirrored = places - 2 * angles[2]
    assert precision_recall(Cloud(four), Cloud(mirrored))["precision"] == 1
    assert precision_recall(Cloud(mirrored), Cloud(four))["recall"] == 1


@pytest.mark.parametrize("factor", [0, 1])
def test_equal_points_are_inside_their_own_balls_only(monkeypatch: pytest.MonkeyPatch, factor: float) -> None:
    places = like_features(3, 700)
    for place in factor * places:
        collapsed = Cloud(place.expand(50, -1))
        assert collapsed.among.nearest.shape == (50, 5)
        # Other tiles are rounded differently from those of the radii.
        with monkeypatch.context() as patch:
            patch.setattr(distribution, "_AT_ONCE", 13)
            assert compare(collapsed, collapsed) == pytest.approx(
                {"FD": 0, "KID": 0, "precision": 1, "recall": 1, "density": 10, "coverage": 1}, abs=1e-9
            )
    collapsed, near = Cloud(places[:1].expand(50, -1)), Cloud(places[:1].expand(50, -1) + 1e-4)
    assert {name: compare(collapsed, near)[name] for name in SHARES} == dict.fromkeys(SHARES, 0)


def test_blocks_and_order_change_no_metric(monkeypatch: pytest.MonkeyPatch) -> None:
    real, generated = like_features(61, 20, 1), 1.05 * like_features(45, 20, 2)
    whole = compare(Cloud(real), Cloud(generated))
    assert 0 < whole["precision"] < 1
    assert 0 < whole["recall"] < 1
    for at_once in (4, 7, 45):
        monkeypatch.setattr(distribution, "_AT_ONCE", at_once)
        assert compare(Cloud(real), Cloud(generated)) == pytest.approx(whole, rel=1e-9)
    assert compare(Cloud(real.flip(0)), Cloud(generated.roll(11, 0))) == pytest.approx(whole, rel=1e-9)


def test_one_real_set_can_be_compared_with_many_generated_ones() -> None:
    real, generated = like_features(50, 8, 1), [like_features(40, 8, seed) * (1 + seed / 50) for seed in (2, 3, 4)]
    shared = Cloud(real)
    assert [compare(shared, Cloud(these)) for these in generated] == [
        compare(Cloud(real), Cloud(these)) for these in generated
    ]


def test_features_are_not_changed() -> None:
    # float64 features are not copied, so an operation in place would change them.
    real, generated = drawn(30, 4, 1), drawn(30, 4, 2)
    before = real.clone(), generated.clone()
    compare(Cloud(real), Cloud(generated))
    assert torch.equal(real, before[0])
    assert torch.equal(generated, before[1])


def test_torchmetrics_gives_the_same_distances() -> None:
    torchvision()
    from torchmetrics.image.fid import FrechetInceptionDistance
    from torchmetrics.image.kid import KernelInceptionDistance

    first, second = drawn(80, 6, 1) + 1, drawn(80, 6, 2) * 1.3
    others = FrechetInceptionDistance(Flat()), KernelInceptionDistance(Flat(), subsets=1, subset_size=80)
    for other in others:
        other.set_dtype(torch.float64)
        other.update(first, real=True)
        other.update(second, real=False)
    assert frechet(Cloud(first), Cloud(second)) == pytest.approx(float(others[0].compute()), rel=1e-9)
    assert kernel_distance(Cloud(first), Cloud(second)) == pytest.approx(float(others[1].compute()[0]), rel=1e-9)


def test_kernel_distance_is_the_mean_over_all_pairs() -> None:
    first, second = drawn(9, 3, 1), drawn(14, 3, 2) + 0.5

    def mean(ones: Tensor, others: Tensor, same: bool) -> float:
        pairs = [(i, j) for i in range(len(ones)) for j in range(len(others)) if not (same and i == j)]
        return sum((float(ones[i] @ others[j]) / 3 + 1) ** 3 for i, j in pairs) / len(pairs)

    expected = mean(first, first, True) + mean(second, second, True) - 2 * mean(first, second, False)
    assert kernel_distance(Cloud(first), Cloud(second)) == pytest.approx(expected, rel=1e-12)
    # An unbiased estimate is a little below 0 for a set and itself.
    alone = mean(first, first, True) - mean(first, first, False)
    assert kernel_distance(Cloud(first), Cloud(first)) == pytest.approx(2 * alone, rel=1e-12)


@pytest.mark.parametrize(("count", "width"), [(90, 5), (60, 200), (70, 1)])
def test_shares_equal_the_slow_version(count: int, width: int) -> None:
    real, generated = drawn(count, width, 1), 0.9 * drawn(count - 20, width, 2) + 0.1
    found = {**precision_recall(Cloud(real), Cloud(generated)), **density_coverage(Cloud(real), Cloud(generated))}
    assert found == pytest.approx(by_brute_force(real, generated))


def test_points_on_a_grid_with_many_ties_are_counted_as_in_the_slow_version() -> None:
    # Whole numbers have exact distances, many ties and equal points.
    generator = torch.Generator().manual_seed(4)
    real, generated = (torch.randint(0, 7, (80, 3), generator=generator).double() for _ in range(2))
    found = {name: compare(Cloud(real), Cloud(generated))[name] for name in SHARES}
    assert found == pytest.approx(by_brute_force(real, generated))
    assert 0 < found["precision"] < 1


def modes(count: int, each: int = 60, seed: int = 0) -> Tensor:
    """Return tight groups of points, far from each other."""
    return torch.cat([10 * place + drawn(each, 4, 10 * seed + place) / 4 for place in range(count)])


def test_missing_modes_lower_recall_and_coverage_only() -> None:
    real, generated, two_less = modes(4), Cloud(modes(4, seed=1)), Cloud(modes(2, each=120, seed=1))
    full, less, of_two = compare(Cloud(real), generated), compare(Cloud(real), two_less), Cloud(real[:120])
    assert min(full[name] for name in SHARES) > 0.8
    # As without the missing modes, except that half of the real points have no generated point nearby.
    alone = compare(of_two, two_less)
    for name in ("recall", "coverage"):
        assert less[name] == pytest.approx(alone[name] / 2)
        assert less[name] < 0.6 * full[name]
    assert less["precision"] == alone["precision"] == pytest.approx(full["precision"], abs=0.05)
    assert less["density"] == alone["density"] == pytest.approx(full["density"], abs=0.1)


def test_outliers_lower_precision_and_density_by_their_share_only() -> None:
    real, generated, outliers = modes(3), modes(3, seed=1), drawn(60, 4, 77) - 100
    clean, mixed = (compare(Cloud(real), Cloud(these)) for these in (generated, torch.cat([generated, outliers])))
    assert mixed["precision"] == pytest.approx(clean["precision"] * 3 / 4)
    assert mixed["density"] == pytest.approx(clean["density"] * 3 / 4)
    assert (mixed["recall"], mixed["coverage"]) == (clean["recall"], clean["coverage"])


def test_two_sets_far_apart_have_no_overlap() -> None:
    found = compare(Cloud(drawn(40, 5, 1)), Cloud(drawn(40, 5, 2) + 1000))
    assert {name: found[name] for name in SHARES} == dict.fromkeys(SHARES, 0)
    assert found["FD"] == pytest.approx(5e6, rel=0.01)


def test_frechet_in_one_dimension_uses_means_and_standard_deviations() -> None:
    first, second = drawn(30, 1, 1), 3 * drawn(20, 1, 2) + 2
    expected = (first.mean() - second.mean()) ** 2 + (first.std() - second.std()) ** 2
    assert compare(Cloud(first), Cloud(second))["FD"] == pytest.approx(float(expected), rel=1e-12)


@pytest.mark.parametrize(
    ("real", "generated", "expected"),
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
def test_metrics_that_need_more_points_are_left_out(real: int, generated: int, expected: set[str]) -> None:
    found = compare(Cloud(drawn(real, 3, 1)), Cloud(drawn(generated, 3, 2)))
    assert set(found) == expected
    assert all(map(math.isfinite, found.values()))


def test_features_that_are_not_finite_are_refused() -> None:
    with pytest.raises(ConfigError, match="nan or inf"):
        Cloud(torch.tensor([[0.0, math.nan]]))
