"""Who copies training images: a model that does is caught, and what is blurred or unseen is no copy."""

import pytest
import torch
from scipy.spatial.distance import cdist
from torch import Tensor
from torch.nn import functional

from genlab.data.sources.built_in import fashion_mini
from genlab.metrics import memory
from genlab.metrics.memory import memorised, nearest_distances


def drawn(count: int, channels: int = 1, side: int = 6, seed: int = 0) -> Tensor:
    return torch.rand(count, channels, side, side, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module")
def clothes() -> tuple[Tensor, Tensor]:
    """3,000 training images, and 300 that are none."""
    images = fashion_mini(validation=500)
    training, unseen = (
        images.pixels[images.splits[split]][:count] for split, count in (("train", 3000), ("test", 300))
    )
    return training / 255, unseen / 255


@pytest.mark.parametrize("channels", [1, 3])
def test_distances_are_the_smallest_of_all_as_root_mean_square_per_pixel(
    monkeypatch: pytest.MonkeyPatch, channels: int
) -> None:
    samples, training = drawn(31, channels, seed=1), drawn(140, channels, seed=2)
    apart = torch.from_numpy(cdist(samples.flatten(1), training.flatten(1))) / (36 * channels) ** 0.5
    expected = apart.sort(1).values[:, :50]
    found = nearest_distances(samples, training.split(33))
    assert torch.allclose(found, expected, rtol=1e-9)
    # However the images come, and however many samples are looked at together.
    monkeypatch.setattr(memory, "_AT_ONCE", 7)
    assert torch.allclose(nearest_distances(samples, iter(training.flip(0).split(64))), found, rtol=1e-9)
    copies = expected[:, 0] < 0.5 * expected[:, 1:].mean(1)
    assert memorised(samples, [training]) == pytest.approx(
        {"nearest_training": float(expected[:, 0].mean()), "copies": float(copies.double().mean())}
    )


def test_a_model_that_remembers_is_caught(clothes: tuple[Tensor, Tensor]) -> None:
    training, _ = clothes
    noise = 0.01 * torch.randn(200, 1, 28, 28, generator=torch.Generator().manual_seed(3))
    found = memorised(training[:200] + noise, training.split(500))
    assert found["copies"] == 1
    assert found["nearest_training"] == pytest.approx(0.01, rel=0.02)
    exact = memorised(training[:200], training.split(500))
    assert exact["copies"] == 1
    assert exact["nearest_training"] == pytest.approx(0, abs=1e-7)


def test_the_share_of_copies_is_theirs_alone(clothes: tuple[Tensor, Tensor]) -> None:
    training, unseen = clothes
    alone = memorised(unseen, training.split(500))["copies"]
    mixed = memorised(torch.cat([unseen, training[:100]]), training.split(500))["copies"]
    assert mixed == pytest.approx((300 * alone + 100) / 400)


def test_images_that_nobody_has_seen_are_no_copies(clothes: tuple[Tensor, Tensor]) -> None:
    training, unseen = clothes
    apart = torch.from_numpy(cdist(unseen.flatten(1), training.flatten(1))).sort(1).values[:, :50]
    twins = int((apart[:, 0] < 0.5 * apart[:, 1:].mean(1)).sum())
    found = memorised(unseen, training.split(500))["copies"]
    # Six are of clothes that are in the shop twice: trousers of one cut, and a hooded jacket.
    assert found == pytest.approx(twins / 300)
    assert found <= 6 / 300


def test_what_is_blurred_lies_near_many_and_is_no_copy(clothes: tuple[Tensor, Tensor]) -> None:
    training, unseen = clothes
    means = torch.stack([training[start : start + 20].mean(0) for start in range(0, 2000, 20)])
    soft = functional.avg_pool2d(training[:100], 5, 1, 2)
    for blurred in (means, soft):
        assert memorised(blurred, training.split(500))["copies"] == 0


@pytest.mark.parametrize(("others", "copies"), [(2.02, 1), (1.98, 0)])
def test_a_copy_is_nearer_than_half_of_how_far_the_others_are_on_average(others: float, copies: int) -> None:
    training = torch.tensor([1.0, others - 0.3, others + 0.3]).view(3, 1, 1, 1).expand(3, 1, 6, 6)
    found = memorised(torch.zeros(1, 1, 6, 6), [training])
    assert found == pytest.approx({"nearest_training": 1, "copies": copies})


def test_an_image_that_is_there_often_is_copied_like_any_other() -> None:
    training = drawn(200, seed=1)
    twenty_times = torch.cat([training, training[:1].expand(19, -1, -1, -1)])
    assert memorised(training[:1] + 1e-3, [twenty_times])["copies"] == 1
    # Nearer than to all others, and yet not much.
    assert memorised((training[:1] + training[1:2]) / 2, [twenty_times])["copies"] == 0


@pytest.mark.parametrize("count", [3, 4, 20])
def test_few_training_images_are_compared_with_as_many_as_there_are(count: int) -> None:
    training, other = drawn(count, seed=1), drawn(count, seed=2)
    assert memorised(training + 0.01, training.split(1))["copies"] == 1
    assert memorised(other, training.split(2))["copies"] == 0


def test_where_a_figure_means_nothing_it_is_left_out() -> None:
    assert set(memorised(drawn(5), [drawn(2, seed=1)])) == {"nearest_training"}
    assert memorised(drawn(5), []) == {}
    assert memorised(drawn(5), [drawn(0), drawn(0)]) == {}
    assert memorised(drawn(0), [drawn(9)]) == {}
    # Of points on a plane the nearest of fifty is always much nearer than the others are.
    points = [torch.rand(200, 1, 1, 2, generator=torch.Generator().manual_seed(seed)) for seed in (1, 2)]
    assert set(memorised(points[0], [points[1]])) == {"nearest_training"}


def test_images_of_many_pixels_are_at_no_distance_of_themselves() -> None:
    bright = 0.9 + 0.1 * drawn(10, channels=3, side=64)
    assert nearest_distances(bright, [bright])[:, 0].tolist() == pytest.approx([0] * 10, abs=1e-6)
