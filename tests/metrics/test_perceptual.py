"""The perceptual distance against a loop over all positions, and on blurred and noisy photographs."""

import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from genlab.extractors import EXTRACTORS
from genlab.kinds.resampling import enlarged, shrunk
from genlab.metrics import perceptual
from genlab.metrics.perceptual import distance, name_of
from genlab.networks.extractor import Extractor
from genlab.registry import ConfigError
from tests.fixtures.photographs import photographs


class Toy(Extractor):
    """Two maps that can be computed by hand."""

    def maps(self, images: Tensor) -> list[Tensor]:
        """Return the images, and sums and differences at half the size."""
        small = functional.avg_pool2d(images, 2)
        return [images - 0.5, torch.cat([small, small.flip(1) - small], dim=1)]


@pytest.fixture(scope="module")
def lite0() -> Extractor:
    return EXTRACTORS["lite0"]()


@pytest.fixture(scope="module")
def parts() -> Tensor:
    """Return a part of each photograph."""
    china, flower = photographs()
    return torch.cat([china[:, :, 150:278, 200:328], flower[:, :, 150:278, 250:378]])


def test_the_distance_equals_a_loop_over_all_positions() -> None:
    first, second = torch.rand(2, 3, 3, 6, 4)
    extractor, expected = Toy("toy"), []
    for one, other in zip(first, second, strict=True):
        means = []
        for layer, against in zip(extractor.maps(one[None]), extractor.maps(other[None]), strict=True):
            total = 0.0
            for down in range(layer.shape[2]):
                for right in range(layer.shape[3]):
                    vectors = [each[0, :, down, right].tolist() for each in (layer, against)]
                    lengths = [math.hypot(*vector) for vector in vectors]
                    total += sum((a / lengths[0] - b / lengths[1]) ** 2 for a, b in zip(*vectors, strict=True))
            means.append(total / (layer.shape[2] * layer.shape[3]))
        expected.append(sum(means) / len(means))
    assert distance(extractor, first, second).tolist() == pytest.approx(expected, rel=1e-5)


def test_the_distance_is_4_if_opposite_everywhere_and_defined_for_black() -> None:
    first = torch.rand(1, 3, 4, 4) + 1
    assert float(distance(_Identity("identity"), first, -first)) == pytest.approx(4)
    assert float(distance(_Identity("identity"), first, 0 * first)) == pytest.approx(1)
    assert float(distance(_Identity("identity"), 0 * first, 0 * first)) == 0


def test_the_tiles_of_a_large_image_are_weighted_by_their_size(monkeypatch: pytest.MonkeyPatch) -> None:
    # An extractor without neighbourhoods gives the same in tiles; the last tiles are smaller.
    first, second = torch.rand(2, 2, 3, 11, 8)
    whole = distance(_Identity("identity"), first, second)
    monkeypatch.setattr(perceptual, "TILE", 4)
    assert torch.allclose(distance(_Identity("identity"), first, second), whole)
    halves = [distance(Toy("toy"), first[:, :, :4, side], second[:, :, :4, side]) for side in (slice(4), slice(4, 8))]
    assert torch.allclose(distance(Toy("toy"), first[:, :, :4], second[:, :, :4]), torch.stack(halves).mean(0))


class _Identity(Extractor):
    def maps(self, images: Tensor) -> list[Tensor]:
        return [images]


def test_equal_images_have_no_distance_and_the_order_does_not_matter(lite0: Extractor, parts: Tensor) -> None:
    other = enlarged(shrunk(parts, 2), 2)
    assert distance(lite0, parts, parts).tolist() == [0, 0]
    assert torch.allclose(distance(lite0, parts, other), distance(lite0, other, parts))
    assert torch.equal(distance(lite0, parts, other)[1:], distance(lite0, parts[1:], other[1:]))
    assert distance(lite0, parts[:0], other[:0]).shape == (0,)


def test_more_blur_and_more_noise_increase_the_distance(lite0: Extractor, parts: Tensor) -> None:
    blurred = [distance(lite0, parts, enlarged(shrunk(parts, scale), scale)) for scale in (2, 4, 8)]
    noise = torch.randn(parts.shape, generator=torch.Generator().manual_seed(0))
    noisy = [distance(lite0, parts, (parts + much * noise).clamp(0, 1)) for much in (0.02, 0.1, 0.3)]
    for row in (blurred, noisy):
        assert all((less < more).all() for less, more in zip(row, row[1:], strict=False))
    # A slightly darker photograph also looks nearer than one blurred to a quarter.
    assert (distance(lite0, parts, 0.9 * parts) < blurred[1]).all()


def test_the_name_of_the_metric_names_the_extractor(lite0: Extractor) -> None:
    assert name_of(lite0) == "distance-lite0"


def test_maps_of_one_channel_are_refused_because_they_have_no_direction() -> None:
    with pytest.raises(ConfigError, match="features 'pixels' give no perceptual distance"):
        distance(EXTRACTORS["pixels"](), torch.rand(1, 1, 8, 8), torch.rand(1, 1, 8, 8))
