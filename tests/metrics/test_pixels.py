"""PSNR and SSIM against closed forms, and against a slow version with scipy's filter."""

import math

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.ndimage import correlate1d
from torch import Tensor

from genlab.metrics import pixels
from genlab.metrics.pixels import psnr, rgb_and_luma, ssim
from genlab.registry import ConfigError
from tests.fixtures.upscaling import photo


def pair(height: int = 32, width: int = 41, channels: int = 3) -> tuple[Tensor, Tensor]:
    """Return a noisy photograph and the clean one."""
    truth = photo(height, width, channels).reshape(height, width, channels).astype(np.float32) / 255
    noise = np.random.default_rng(3).normal(0, 0.05, truth.shape)
    both = (np.clip(truth + noise, 0, 1), truth)
    first, second = (torch.from_numpy(np.ascontiguousarray(array.transpose(2, 0, 1)[None])) for array in both)
    return first.float(), second.float()


def ssim_of_a_plane(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    """Return equations 13 to 17 of Wang et al. 2004, over the windows wholly inside."""
    weights = np.exp(-(np.arange(-5, 6) ** 2) / (2 * 1.5**2))
    weights /= weights.sum()

    def smooth(values: NDArray[np.float64]) -> NDArray[np.float64]:
        smoothed: NDArray[np.float64] = correlate1d(correlate1d(values, weights, axis=0), weights, axis=1)
        return smoothed[5:-5, 5:-5]

    mean_1, mean_2 = smooth(first), smooth(second)
    variance_1, variance_2 = smooth(first**2) - mean_1**2, smooth(second**2) - mean_2**2
    covariance = smooth(first * second) - mean_1 * mean_2
    c_1, c_2 = 0.01**2, 0.03**2
    product = (2 * mean_1 * mean_2 + c_1) * (2 * covariance + c_2)
    return float((product / ((mean_1**2 + mean_2**2 + c_1) * (variance_1 + variance_2 + c_2))).mean())


def cut(images: Tensor, border: int) -> NDArray[np.float64]:
    height, width = images.shape[2:]
    return images[0, :, border : height - border, border : width - border].double().numpy()


@pytest.mark.parametrize("difference", [0.5, 0.1, 1 / 255])
def test_psnr_of_a_constant_difference_is_minus_20_times_its_logarithm(difference: float) -> None:
    truth = torch.full((1, 3, 8, 8), 0.25)
    assert float(psnr(truth + difference, truth)) == pytest.approx(-20 * math.log10(difference), abs=1e-4)


def test_psnr_uses_the_mean_squared_error_over_all_channels() -> None:
    first, second = pair()
    for border in (0, 4):
        error = ((cut(first, border) - cut(second, border)) ** 2).mean()
        assert float(psnr(first, second, border)) == pytest.approx(-10 * math.log10(error), abs=1e-4)


def test_equal_images_have_infinite_psnr_and_ssim_1() -> None:
    _, truth = pair()
    assert float(psnr(truth, truth)) == math.inf
    assert float(ssim(truth, truth)) == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize(("channels", "border"), [(1, 0), (3, 2), (1, 4)])
def test_ssim_is_the_papers_formula_over_windows_wholly_inside(channels: int, border: int) -> None:
    first, second = pair(channels=channels)
    planes = zip(cut(first, border), cut(second, border), strict=True)
    expected = np.mean([ssim_of_a_plane(*planes_of_both) for planes_of_both in planes])
    assert float(ssim(first, second, border)) == pytest.approx(expected, abs=2e-5)


def test_ssim_of_two_flat_images_is_the_brightness_term() -> None:
    first, second = (torch.full((1, 1, 12, 12), value) for value in (0.2, 0.6))
    expected = (2 * 0.2 * 0.6 + 1e-4) / (0.2**2 + 0.6**2 + 1e-4)
    # The variance is rounding alone, about 1e-7 beside a constant of 9e-4.
    assert float(ssim(first, second)) == pytest.approx(expected, abs=2e-4)


def test_ssim_in_bands_equals_ssim_of_the_whole_image(monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = pair()
    whole = ssim(first, second)
    monkeypatch.setattr(pixels, "_AT_ONCE", 41 * 5)
    assert torch.allclose(ssim(first, second), whole, atol=1e-6)


def test_an_image_has_the_same_metrics_in_any_batch() -> None:
    first, second = pair()
    others = torch.cat([first.flip(3), first, second]), torch.cat([second.flip(3), second, second])
    alone, among = rgb_and_luma(first, second, border=2), rgb_and_luma(*others, border=2)
    assert all(torch.allclose(alone[name][0], among[name][1], atol=1e-4) for name in alone)
    assert all(values.shape == (3,) for values in among.values())


def test_brightness_is_the_y_channel() -> None:
    first, second = pair()
    found = rgb_and_luma(first, second, border=4)
    y = [16 / 255 + cut(images, 4).T @ (np.array([65.481, 128.553, 24.966]) / 255) for images in (first, second)]
    assert float(found["PSNR-Y"]) == pytest.approx(-10 * math.log10(((y[0] - y[1]) ** 2).mean()), abs=1e-3)
    assert float(found["SSIM-Y"]) == pytest.approx(ssim_of_a_plane(y[0], y[1]), abs=2e-5)
    assert float(found["PSNR-RGB"]) == float(psnr(first, second, 4))


def test_grey_images_have_the_same_metrics_in_colour() -> None:
    first, second = pair(channels=1)
    found = rgb_and_luma(first, second, border=1)
    coloured = rgb_and_luma(first.expand(-1, 3, -1, -1), second.expand(-1, 3, -1, -1), border=1)
    assert {name: float(value) for name, value in found.items()} == pytest.approx(
        {name: float(value) for name, value in coloured.items()}, abs=1e-4
    )


def test_images_of_different_or_too_small_shapes_are_refused() -> None:
    with pytest.raises(
        ConfigError, match="must have the same shape to be compared, got 1 x 3 x 8 x 8 and 1 x 1 x 8 x 8"
    ):
        psnr(torch.zeros(1, 3, 8, 8), torch.zeros(1, 1, 8, 8))
    with pytest.raises(ConfigError, match="must have at least 19 pixels each way"):
        ssim(torch.zeros(1, 1, 18, 40), torch.zeros(1, 1, 18, 40), border=4)
