"""Denoising against closed forms; the filters against scipy, scikit-image and a slow version."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.ndimage import median_filter
from skimage.restoration import denoise_nl_means
from torch import Tensor

from genlab.contract import Batch
from genlab.metrics import filters
from genlab.metrics.denoising import LEVELS, denoised
from genlab.metrics.filters import DISTANCE, PATCH, STRENGTH, median, non_local_means
from genlab.registry import ConfigError
from tests.metrics.test_pixels import pair


class Answers:
    """Returns a given answer, or its input, and records its inputs."""

    def __init__(self, answer: Tensor | None = None) -> None:
        self.answer, self.inputs = answer, list[Tensor]()

    def reconstruct(self, batch: Batch) -> Tensor:
        self.inputs.append(batch["x"])
        return batch["x"] if self.answer is None else self.answer


def batches(*images: Tensor) -> list[Batch]:
    return [{"x": part} for part in images]


def grey(count: int = 40, side: int = 16, value: float = 0.5) -> Tensor:
    return torch.full((count, 1, side, side), value)


def noisy_photo(height: int, width: int, channels: int, level: float) -> Tensor:
    _, truth = pair(height, width, channels)
    return truth + level * torch.randn(truth.shape, generator=torch.Generator().manual_seed(4))


def test_noise_of_std_a_tenth_has_20_decibels_and_a_median_of_nine_removes_7() -> None:
    # Large, because at a border the median is of fewer numbers.
    found = denoised(Answers(), batches(grey(4, 96)), seed=0, levels=(0.1,))
    assert found["PSNR-noise-0.1-input"] == pytest.approx(20, abs=0.1)
    # The variance of the median of nine normal numbers is 0.1661.
    assert found["PSNR-noise-0.1-median"] == pytest.approx(20 - 10 * np.log10(0.1661), abs=0.2)
    # The mean of 169 equal pixels removes 22 decibels; fewer remove less.
    assert 30 < found["PSNR-noise-0.1-nlmeans"] < 42.3


def test_each_level_has_psnr_and_ssim_of_the_model_the_input_and_two_filters() -> None:
    found = denoised(Answers(), batches(grey(2)), seed=0)
    kinds = ("", "-input", "-median", "-nlmeans")
    assert set(found) == {
        f"{name}-noise-{level}{kind}" for name in ("PSNR", "SSIM") for level in LEVELS for kind in kinds
    }


def test_a_model_that_changes_nothing_has_the_metrics_of_its_input() -> None:
    found = denoised(Answers(), batches(noisy_photo(24, 24, 3, 0).clamp(0, 1)), seed=0)
    for level in LEVELS:
        for name in ("PSNR", "SSIM"):
            assert found[f"{name}-noise-{level}"] == found[f"{name}-noise-{level}-input"]


def test_reconstructions_are_compared_with_the_clean_images() -> None:
    clean = grey(3)
    found = denoised(Answers(clean + 0.01), batches(clean), seed=0, levels=(0.5,))
    assert found["PSNR-noise-0.5"] == pytest.approx(40, abs=0.01)
    assert found["PSNR-noise-0.5-input"] < 10


def test_inputs_are_not_clamped_and_outputs_are() -> None:
    model = Answers()
    found = denoised(model, batches(grey(value=1.0)), seed=0, levels=(0.3,))
    (noisy,) = model.inputs
    assert float((noisy - 1).std()) == pytest.approx(0.3, rel=0.02)
    # White is the maximum, so half of the noise is clamped.
    assert found["PSNR-noise-0.3"] == pytest.approx(-10 * np.log10(0.3**2 / 2), abs=0.2)


def test_noise_is_a_function_of_seed_level_and_image_only() -> None:
    def noisy(sizes: list[int], seed: int, levels: tuple[float, ...]) -> Tensor:
        model = Answers()
        denoised(model, batches(*grey(6, 8).split(sizes)), seed, levels)
        return torch.cat(model.inputs)

    first = noisy([6], 0, (0.1,))
    assert torch.equal(noisy([1, 3, 2], 0, (0.1,)), first)
    assert torch.equal(noisy([6], 0, (0.3, 0.1))[6:], first)
    assert not torch.equal(noisy([6], 1, (0.1,)), first)
    assert not torch.allclose((noisy([6], 0, (0.2,)) - 0.5) / 2, first - 0.5, atol=1e-3)
    assert not torch.equal(first[0], first[1])


def test_metrics_do_not_depend_on_the_batches() -> None:
    images = noisy_photo(20, 22, 3, 0).clamp(0, 1).repeat(5, 1, 1, 1)
    whole = denoised(Answers(), batches(images), 0, (0.3,))
    parts = denoised(Answers(), batches(*images.split([2, 3])), 0, (0.3,))
    assert parts == pytest.approx(whole, rel=1e-5)


def test_metrics_and_filters_that_need_larger_images_are_left_out() -> None:
    assert set(denoised(Answers(), batches(grey(2, 8)), 0, (0.1,))) == {
        f"PSNR-noise-0.1{kind}" for kind in ("", "-input", "-median", "-nlmeans")
    }
    assert set(denoised(Answers(), batches(grey(2, 2)), 0, (0.1,))) == {
        f"PSNR-noise-0.1{kind}" for kind in ("", "-input", "-median")
    }


@pytest.mark.parametrize("level", [0.0, -0.1, float("nan")])
def test_noise_levels_that_are_not_above_0_are_refused(level: float) -> None:
    with pytest.raises(ConfigError, match="Noise levels must be above 0, got"):
        denoised(Answers(), batches(grey(1)), 0, (0.1, level))


@pytest.mark.parametrize(("height", "width", "channels"), [(9, 14, 1), (8, 8, 3), (2, 3, 1)])
def test_the_median_equals_scipys(height: int, width: int, channels: int) -> None:
    noisy = noisy_photo(height, width, channels, 0.3)
    expected = median_filter(noisy.numpy(), size=(1, 1, 3, 3))
    assert np.array_equal(median(noisy).numpy(), expected)


def by_hand(noisy: NDArray[np.float64], std: float) -> NDArray[np.float64]:
    """Filter pixel by pixel as Buades et al. 2005 write it, with the noise's part of the distance subtracted."""
    channels, height, width = noisy.shape
    places = np.arange(PATCH) - PATCH // 2
    window = np.exp(-(places[:, None] ** 2 + places**2) / 2 / ((PATCH - 1) / 4) ** 2)
    window /= window.sum()
    padded = np.pad(noisy, ((0, 0), (PATCH // 2,) * 2, (PATCH // 2,) * 2), mode="reflect")
    filtered = np.empty_like(noisy)
    for row, column in np.ndindex(height, width):
        total, weights = np.zeros(channels), 0.0
        for other_row in range(max(0, row - DISTANCE), min(height, row + DISTANCE + 1)):
            for other_column in range(max(0, column - DISTANCE), min(width, column + DISTANCE + 1)):
                one = padded[:, row : row + PATCH, column : column + PATCH]
                other = padded[:, other_row : other_row + PATCH, other_column : other_column + PATCH]
                distance = (window * (one - other) ** 2).sum((1, 2)).mean() - 2 * std**2
                weight = np.exp(-max(0, distance) / (STRENGTH * std) ** 2)
                total, weights = total + weight * noisy[:, other_row, other_column], weights + weight
        filtered[:, row, column] = total / weights
    return filtered


@pytest.mark.parametrize(
    ("height", "width", "channels", "level"), [(9, 15, 1, 0.05), (3, 8, 1, 0.3), (10, 8, 3, 0.3), (8, 9, 3, 0.05)]
)
def test_non_local_means_is_the_papers_formula(height: int, width: int, channels: int, level: float) -> None:
    noisy = noisy_photo(height, width, channels, level)
    expected = by_hand(noisy[0].double().numpy(), level)
    assert np.abs(non_local_means(noisy, level)[0].numpy() - expected).max() < 1e-5


@pytest.mark.parametrize("channels", [1, 3])
def test_non_local_means_is_close_to_scikit_image(channels: int) -> None:
    noisy = noisy_photo(30, 33, channels, 0.2)
    settings = {"patch_size": PATCH, "patch_distance": DISTANCE, "h": STRENGTH * 0.2, "sigma": 0.2, "fast_mode": False}
    theirs = denoise_nl_means(noisy[0].double().permute(1, 2, 0).numpy(), channel_axis=-1, **settings)
    # scikit-image approximates the exponential, and cuts off small weights.
    difference = np.abs(non_local_means(noisy, 0.2)[0].permute(1, 2, 0).numpy() - np.atleast_3d(theirs))
    assert difference.max() < 0.03
    assert difference.mean() < 0.002


def test_an_image_is_filtered_the_same_in_any_block(monkeypatch: pytest.MonkeyPatch) -> None:
    noisy = torch.cat([noisy_photo(12, 13, 3, level) for level in (0.1, 0.2, 0.4)])
    whole = non_local_means(noisy, 0.2)
    monkeypatch.setattr(filters, "_AT_ONCE", 1)
    assert torch.allclose(non_local_means(noisy, 0.2), whole, atol=1e-6)
