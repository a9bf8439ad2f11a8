"""The distance between images by what a network sees in them."""

import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from genlab.extractors.features import FEATURES
from genlab.kinds.resampling import enlarged, shrunk
from genlab.metrics import perceptual
from genlab.metrics.perceptual import distance, name_of
from genlab.networks.extractor import Features
from genlab.registry import ConfigError
from tests.fixtures.photographs import photographs


class Toy(Features):
    """Two layers that can be reckoned by hand."""

    def layers(self, images: Tensor) -> list[Tensor]:
        """The images, and sums and differences at half the size."""
        small = functional.avg_pool2d(images, 2)
        return [images - 0.5, torch.cat([small, small.flip(1) - small], dim=1)]


@pytest.fixture(scope="module")
def lite0() -> Features:
    return FEATURES["lite0"]()


@pytest.fixture(scope="module")
def parts() -> Tensor:
    """A part of each photograph."""
    china, flower = photographs()
    return torch.cat([china[:, :, 150:278, 200:328], flower[:, :, 150:278, 250:378]])


def test_it_is_what_a_loop_over_all_places_makes_it() -> None:
    first, second = torch.rand(2, 3, 3, 6, 4)
    features, expected = Toy("toy"), []
    for one, other in zip(first, second, strict=True):
        means = []
        for layer, against in zip(features.layers(one[None]), features.layers(other[None]), strict=True):
            total = 0.0
            for down in range(layer.shape[2]):
                for right in range(layer.shape[3]):
                    vectors = [seen[0, :, down, right].tolist() for seen in (layer, against)]
                    lengths = [math.hypot(*vector) for vector in vectors]
                    total += sum((a / lengths[0] - b / lengths[1]) ** 2 for a, b in zip(*vectors, strict=True))
            means.append(total / (layer.shape[2] * layer.shape[3]))
        expected.append(sum(means) / len(means))
    assert distance(features, first, second).tolist() == pytest.approx(expected, rel=1e-5)


def test_opposite_everywhere_is_four_and_a_black_place_is_no_accident() -> None:
    first = torch.rand(1, 3, 4, 4) + 1
    assert float(distance(_Straight("straight"), first, -first)) == pytest.approx(4)
    assert float(distance(_Straight("straight"), first, 0 * first)) == pytest.approx(1)
    assert float(distance(_Straight("straight"), 0 * first, 0 * first)) == 0


def test_of_a_large_image_each_tile_counts_as_much_as_it_is_large(monkeypatch: pytest.MonkeyPatch) -> None:
    # Whatever looks at each place by itself sees the same in tiles; the last tiles are smaller than the others.
    first, second = torch.rand(2, 2, 3, 11, 8)
    whole = distance(_Straight("straight"), first, second)
    monkeypatch.setattr(perceptual, "TILE", 4)
    assert torch.allclose(distance(_Straight("straight"), first, second), whole)
    halves = [distance(Toy("toy"), first[:, :, :4, side], second[:, :, :4, side]) for side in (slice(4), slice(4, 8))]
    assert torch.allclose(distance(Toy("toy"), first[:, :, :4], second[:, :, :4]), sum(halves) / 2)


class _Straight(Features):
    def layers(self, images: Tensor) -> list[Tensor]:
        return [images]


def test_the_same_is_at_no_distance_and_both_ways_are_one(lite0: Features, parts: Tensor) -> None:
    other = enlarged(shrunk(parts, 2), 2)
    assert distance(lite0, parts, parts).tolist() == [0, 0]
    assert torch.allclose(distance(lite0, parts, other), distance(lite0, other, parts))
    assert torch.equal(distance(lite0, parts, other)[1:], distance(lite0, parts[1:], other[1:]))
    assert distance(lite0, parts[:0], other[:0]).shape == (0,)


def test_the_more_a_photograph_is_blurred_or_full_of_noise_the_further_away_it_is(
    lite0: Features, parts: Tensor
) -> None:
    blurred = [distance(lite0, parts, enlarged(shrunk(parts, scale), scale)) for scale in (2, 4, 8)]
    noise = torch.randn(parts.shape, generator=torch.Generator().manual_seed(0))
    noisy = [distance(lite0, parts, (parts + much * noise).clamp(0, 1)) for much in (0.02, 0.1, 0.3)]
    for row in (blurred, noisy):
        assert all((less < more).all() for less, more in zip(row, row[1:], strict=False))
    # To the eye, too, a photograph that is a bit darker is nearer than one that is blurred to a quarter.
    assert (distance(lite0, parts, 0.9 * parts) < blurred[1]).all()


def test_its_name_says_by_what_it_was_measured(lite0: Features) -> None:
    assert name_of(lite0) == "distance-lite0"


def test_one_channel_has_no_direction_and_so_no_distance() -> None:
    with pytest.raises(ConfigError, match="No distance can be measured by pixels"):
        distance(FEATURES["pixels"](), torch.rand(1, 1, 8, 8), torch.rand(1, 1, 8, 8))
