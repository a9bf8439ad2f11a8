"""Reconstruction errors against closed forms, and MS-SSIM against the paper's formula and a second library."""

import math

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.ndimage import correlate1d
from torch import Tensor

from genlab.contract import Batch, Reconstructs
from genlab.metrics import reconstruction
from genlab.metrics.averages import Averages
from genlab.metrics.pixels import SCALES, ms_ssim, psnr, scales, ssim
from genlab.metrics.reconstruction import errors, image_similarity, measure
from genlab.registry import ConfigError
from tests.metrics.test_pixels import pair


class Brighter:
    """Returns brighter images, and records the size of each batch."""

    def __init__(self, by: float | Tensor) -> None:
        self.by, self.sizes = by, list[int]()

    def reconstruct(self, batch: Batch) -> Tensor:
        self.sizes.append(len(batch["x"]))
        return batch["x"] + (self.by if isinstance(self.by, float) else self.by[: len(batch["x"])])


def measured(model: Reconstructs, *images: Tensor) -> dict[str, float]:
    """Return the metrics of images, a batch each."""
    return measure(model, [{"x": part} for part in images], errors, image_similarity)


def some_images(*size: int) -> Tensor:
    return 0.5 * torch.rand(*size, generator=torch.Generator().manual_seed(2))


def test_the_metrics_of_a_constant_error_are_their_closed_forms() -> None:
    found = measured(Brighter(0.1), some_images(5, 3, 8, 8))
    assert found == pytest.approx({"squared_error": 0.01, "absolute_error": 0.1, "PSNR": 20}, rel=1e-5)


def test_psnr_is_averaged_over_images_and_not_computed_from_the_mean_error() -> None:
    by = torch.tensor([0.1, 0.01]).view(2, 1, 1, 1)
    found = measured(Brighter(by), some_images(2, 1, 8, 8))
    assert found["PSNR"] == pytest.approx(30, abs=1e-3)
    assert found["squared_error"] == pytest.approx((0.01 + 0.0001) / 2, rel=1e-4)


def test_every_image_has_the_same_weight_in_batches_of_any_size() -> None:
    class Darker:
        def reconstruct(self, batch: Batch) -> Tensor:
            return batch["x"] * 0.9

    images = pair(44, 46)[0].repeat(7, 1, 1, 1) * torch.linspace(0.3, 1, 7).view(7, 1, 1, 1)
    whole = measured(Darker(), images)
    parts = measured(Darker(), *images.split([1, 4, 2]))
    assert set(whole) == {"squared_error", "absolute_error", "PSNR", "SSIM", "MS-SSIM"}
    assert parts == pytest.approx(whole, rel=1e-5)
    assert whole["SSIM"] == pytest.approx(float(ssim(images * 0.9, images).mean()), rel=1e-5)
    assert whole["MS-SSIM"] == pytest.approx(float(ms_ssim(images * 0.9, images).mean()), rel=1e-5)


def test_large_images_are_reconstructed_in_small_parts_with_their_labels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reconstruction, "_AT_ONCE", 3 * 64)
    model = Brighter(0.1)
    measured(model, some_images(7, 1, 8, 8), some_images(2, 1, 8, 16))
    assert model.sizes == [3, 3, 1, 1, 1]
    labelled = [{"x": some_images(4, 1, 8, 8), "label": torch.arange(4)}]
    assert [part["label"].tolist() for part in reconstruction.in_parts(labelled)] == [[0, 1, 2], [3]]


def test_the_mean_psnr_leaves_out_pairs_of_equal_images() -> None:
    by = torch.tensor([0.1, 0.0]).view(2, 1, 1, 1)
    found = measured(Brighter(by), some_images(2, 1, 8, 8))
    assert found["PSNR"] == pytest.approx(20, abs=1e-4)
    assert found["absolute_error"] == pytest.approx(0.05)
    assert "PSNR" not in measured(Brighter(0.0), some_images(2, 1, 8, 8))


def test_points_have_errors() -> None:
    found = measure(Brighter(0.1), [{"x": some_images(5, 2)}], errors)
    assert found == pytest.approx({"squared_error": 0.01, "absolute_error": 0.1}, rel=1e-5)


def test_no_items_give_no_metrics_and_means_that_are_not_finite_are_refused() -> None:
    assert measured(Brighter(0.1)) == {}
    averages = Averages(skip_infinite=("third", "last"))
    averages.add({"one": torch.tensor([1.0, math.nan]), "other": torch.tensor([1.0, math.inf])})
    averages.add({"third-2": torch.tensor([1.0, math.nan]), "last": torch.tensor([1, 4, math.inf])})
    with pytest.raises(ConfigError, match="one, other, third-2: not finite"):
        averages.read()
    finite = Averages(skip_infinite=("last", "none"))
    finite.add({"last": torch.tensor([1, 4, math.inf]), "none": torch.tensor([math.inf])})
    assert finite.read() == {"last": 2.5}


@pytest.mark.parametrize(
    ("height", "width", "count"),
    [(8, 8, 0), (10, 64, 0), (11, 11, 1), (21, 64, 1), (22, 22, 2), (28, 28, 2), (32, 32, 2), (64, 64, 3), (88, 90, 4)]
    + [(175, 200, 4), (176, 176, 5), (256, 256, 5), (2000, 2000, 5)],
)
def test_the_number_of_scales_is_how_often_the_window_fits(height: int, width: int, count: int) -> None:
    assert scales(height, width) == scales(width, height) == count


def similarity(first: NDArray[np.float64], second: NDArray[np.float64]) -> tuple[float, float]:
    """Return SSIM and its contrast term by Wang et al. 2004, over the windows wholly inside."""
    weights = np.exp(-(np.arange(-5, 6) ** 2) / (2 * 1.5**2))
    weights /= weights.sum()

    def smooth(values: NDArray[np.float64]) -> NDArray[np.float64]:
        smoothed: NDArray[np.float64] = correlate1d(correlate1d(values, weights, axis=0), weights, axis=1)
        return smoothed[5:-5, 5:-5]

    mean_1, mean_2 = smooth(first), smooth(second)
    variances = smooth(first**2) - mean_1**2 + smooth(second**2) - mean_2**2
    contrast = (2 * (smooth(first * second) - mean_1 * mean_2) + 0.03**2) / (variances + 0.03**2)
    brightness = (2 * mean_1 * mean_2 + 0.01**2) / (mean_1**2 + mean_2**2 + 0.01**2)
    return float((brightness * contrast).mean()), float(contrast.mean())


def by_hand(first: NDArray[np.float64], second: NDArray[np.float64], count: int) -> float:
    """Return equation 7 of Wang et al. 2003, with the mean over windows at each scale."""
    total = 1.0
    for scale in range(count):
        both, contrast = similarity(first, second)
        total *= (contrast if scale < count - 1 else both) ** (SCALES[scale] / sum(SCALES[:count]))
        height, width = (side // 2 * 2 for side in first.shape)
        first, second = (
            plane[:height, :width].reshape(height // 2, 2, width // 2, 2).mean((1, 3)) for plane in (first, second)
        )
    return total


@pytest.mark.parametrize(("height", "width", "count"), [(28, 31, 2), (45, 60, 3), (90, 95, 4), (177, 180, 5)])
def test_ms_ssim_is_the_papers_formula_with_the_weights_of_the_scales_that_fit(
    height: int, width: int, count: int
) -> None:
    first, second = pair(height, width, channels=1)
    first = second + 3 * (first - second)
    expected = by_hand(first[0, 0].double().numpy(), second[0, 0].double().numpy(), count)
    assert expected < 0.97
    assert float(ms_ssim(first, second)) == pytest.approx(expected, abs=2e-5)


def test_ms_ssim_equals_torchmetrics_except_for_the_border_of_the_coarsest_scale() -> None:
    from torchmetrics.functional.image import multiscale_structural_similarity_index_measure as theirs

    first, second = pair(200, 240)
    assert float(ms_ssim(first, second)) == pytest.approx(float(theirs(first, second, data_range=1.0)), abs=2e-3)


def test_ms_ssim_is_one_for_equal_images_and_zero_for_opposite_ones() -> None:
    _, truth = pair(44, 46)
    assert float(ms_ssim(truth, truth)) == pytest.approx(1, abs=1e-6)
    assert float(ms_ssim(1 - truth, truth)) == 0


def test_ms_ssim_is_left_out_for_small_images() -> None:
    with pytest.raises(ConfigError, match="must have at least 22 pixels each way"):
        ms_ssim(some_images(1, 1, 21, 40), some_images(1, 1, 21, 40))
    assert set(measured(Brighter(0.1), some_images(2, 1, 21, 40))) == {
        "squared_error",
        "absolute_error",
        "PSNR",
        "SSIM",
    }


def test_an_image_has_the_same_metrics_alone_and_among_others() -> None:
    first, second = (images.repeat(40, 1, 1, 1) for images in pair(48, 50))
    second = second * torch.linspace(0.2, 1, 40).view(40, 1, 1, 1)
    for metric in (psnr, ssim, ms_ssim):
        alone = torch.cat([metric(one, other) for one, other in zip(first.split(1), second.split(1), strict=True)])
        torch.testing.assert_close(metric(first, second), alone, atol=1e-5, rtol=1e-5)
