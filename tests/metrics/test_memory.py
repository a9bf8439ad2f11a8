"""Copies of training images are found; blurred and unseen images are no copies."""

import pytest
import torch
from scipy.spatial.distance import cdist
from torch import Tensor
from torch.nn import functional

from genlab.data.sources.built_in import fashion_mini
from genlab.metrics import memory
from genlab.metrics.memory import copies, nearest_distances, nearest_training


def measured(samples: Tensor, *training: Tensor) -> dict[str, float]:
    distances = nearest_distances(samples, training)
    return nearest_training(distances) | copies(distances)


def drawn(count: int, channels: int = 1, side: int = 6, seed: int = 0) -> Tensor:
    return torch.rand(count, channels, side, side, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module")
def clothes() -> tuple[Tensor, Tensor]:
    """Return 3,000 training images, and 300 others."""
    data = fashion_mini(validation=500)
    training, unseen = (
        data.columns["x"].rows[data.splits[split]][:count] for split, count in (("train", 3000), ("test", 300))
    )
    return training / 255, unseen / 255


@pytest.mark.parametrize("channels", [1, 3])
def test_distances_are_the_smallest_ones_as_root_mean_square_per_pixel(
    monkeypatch: pytest.MonkeyPatch, channels: int
) -> None:
    samples, training = drawn(31, channels, seed=1), drawn(140, channels, seed=2)
    apart = torch.from_numpy(cdist(samples.flatten(1), training.flatten(1))) / (36 * channels) ** 0.5
    expected = apart.sort(1).values[:, :50]
    found = nearest_distances(samples, training.split(33))
    assert torch.allclose(found, expected, rtol=1e-9)
    # The batches and the order of the images do not matter, nor the number of samples in a block.
    monkeypatch.setattr(memory, "_AT_ONCE", 7)
    assert torch.allclose(nearest_distances(samples, iter(training.flip(0).split(64))), found, rtol=1e-9)
    copied = expected[:, 0] < 0.5 * expected[:, 1:].mean(1)
    assert measured(samples, training) == pytest.approx(
        {"nearest_training": float(expected[:, 0].mean()), "copies": float(copied.double().mean())}
    )


def test_samples_that_copy_are_found(clothes: tuple[Tensor, Tensor]) -> None:
    training, _ = clothes
    noise = 0.01 * torch.randn(200, 1, 28, 28, generator=torch.Generator().manual_seed(3))
    found = measured(training[:200] + noise, *training.split(500))
    assert found["copies"] == 1
    assert found["nearest_training"] == pytest.approx(0.01, rel=0.02)
    exact = measured(training[:200], *training.split(500))
    assert exact["copies"] == 1
    assert exact["nearest_training"] == pytest.approx(0, abs=1e-7)


def test_the_share_of_copies_counts_copies_only(clothes: tuple[Tensor, Tensor]) -> None:
    training, unseen = clothes
    alone = measured(unseen, *training.split(500))["copies"]
    mixed = measured(torch.cat([unseen, training[:100]]), *training.split(500))["copies"]
    assert mixed == pytest.approx((300 * alone + 100) / 400)


def test_unseen_images_are_no_copies(clothes: tuple[Tensor, Tensor]) -> None:
    training, unseen = clothes
    apart = torch.from_numpy(cdist(unseen.flatten(1), training.flatten(1))).sort(1).values[:, :50]
    twins = int((apart[:, 0] < 0.5 * apart[:, 1:].mean(1)).sum())
    found = measured(unseen, *training.split(500))["copies"]
    # Six show clothes that are in the data twice: trousers of one cut, and a hooded jacket.
    assert found == pytest.approx(twins / 300)
    assert found <= 6 / 300


def test_blurred_images_are_near_many_images_and_no_copies(clothes: tuple[Tensor, Tensor]) -> None:
    training, unseen = clothes
    means = torch.stack([training[start : start + 20].mean(0) for start in range(0, 2000, 20)])
    soft = functional.avg_pool2d(training[:100], 5, 1, 2)
    for blurred in (means, soft):
        assert measured(blurred, *training.split(500))["copies"] == 0


@pytest.mark.parametrize(("others", "share"), [(2.02, 1), (1.98, 0)])
def test_a_copy_is_nearer_than_half_the_mean_distance_to_its_other_neighbours(others: float, share: int) -> None:
    training = torch.tensor([1.0, others - 0.3, others + 0.3]).view(3, 1, 1, 1).expand(3, 1, 6, 6)
    found = measured(torch.zeros(1, 1, 6, 6), training)
    assert found == pytest.approx({"nearest_training": 1, "copies": share})


def test_an_image_that_occurs_often_is_copied_like_any_other() -> None:
    training = drawn(200, seed=1)
    twenty_times = torch.cat([training, training[:1].expand(19, -1, -1, -1)])
    assert measured(training[:1] + 1e-3, twenty_times)["copies"] == 1
    # Nearer than to all others, but not by much.
    assert measured((training[:1] + training[1:2]) / 2, twenty_times)["copies"] == 0


@pytest.mark.parametrize("count", [3, 4, 20])
def test_with_few_training_images_all_of_them_are_neighbours(count: int) -> None:
    training, other = drawn(count, seed=1), drawn(count, seed=2)
    assert measured(training + 0.01, *training.split(1))["copies"] == 1
    assert measured(other, *training.split(2))["copies"] == 0


def test_metrics_without_enough_items_are_left_out() -> None:
    assert set(measured(drawn(5), drawn(2, seed=1))) == {"nearest_training"}
    assert measured(drawn(5)) == {}
    assert measured(drawn(5), drawn(0), drawn(0)) == {}
    assert measured(drawn(0), drawn(9)) == {}


def test_points_are_at_the_distance_of_their_nearest_neighbour() -> None:
    points = [torch.rand(200, 2, generator=torch.Generator().manual_seed(seed)) for seed in (1, 2)]
    expected = cdist(*points).min(1).mean() / 2**0.5
    assert nearest_training(nearest_distances(points[0], [points[1]])) == {"nearest_training": pytest.approx(expected)}


def test_large_images_have_no_distance_to_themselves() -> None:
    bright = 0.9 + 0.1 * drawn(10, channels=3, side=64)
    assert nearest_distances(bright, [bright])[:, 0].tolist() == pytest.approx([0] * 10, abs=1e-6)
