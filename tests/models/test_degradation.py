"""Degradations of photographs against other libraries."""

import io

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.ndimage import gaussian_filter
from sklearn.datasets import load_sample_images

from genlab.models.degradation import Compression, blurred, noisy

CHINA = torch.from_numpy(load_sample_images().images[0][:120, :203].copy()).permute(2, 0, 1).unsqueeze(0) / 255


def by_pillow(image: torch.Tensor, quality: int) -> torch.Tensor:
    """Write an image as a JPEG file and read it back."""
    array = (image[0] * 255).round().byte().permute(1, 2, 0).numpy()
    file = io.BytesIO()
    Image.fromarray(array[..., 0] if array.shape[2] == 1 else array).save(file, "JPEG", quality=quality, subsampling=0)
    read = np.asarray(Image.open(file))
    return torch.from_numpy(read.reshape(array.shape).copy()).permute(2, 0, 1).unsqueeze(0) / 255


@pytest.mark.parametrize("quality", [5, 30, 50, 75, 95])
@pytest.mark.parametrize("channels", [1, 3])
def test_quantisation_is_that_of_jpeg(quality: int, channels: int) -> None:
    image = CHINA[:, :channels]
    ours = Compression(channels)(image, torch.tensor([float(quality)])).clamp(0, 1)
    theirs = by_pillow(image, quality)
    # Pillow rounds to whole numbers, so the two differ, but by far less than both lose.
    lost = (theirs - image).square().mean().sqrt()
    assert float((ours - theirs).square().mean().sqrt()) < max(0.2 * float(lost), 1 / 255)


def test_each_image_has_a_quality_of_its_own() -> None:
    twice = Compression(3)(CHINA.repeat(2, 1, 1, 1), torch.tensor([10.0, 90.0]))
    for one, quality in zip(twice, (10.0, 90.0), strict=True):
        torch.testing.assert_close(one, Compression(3)(CHINA, torch.tensor([quality]))[0])


def test_blur_is_a_gaussian_with_the_std_of_each_image() -> None:
    stds = torch.tensor([0.0, 0.7, 2.5])
    ours = blurred(CHINA.repeat(3, 1, 1, 1), stds)
    torch.testing.assert_close(ours[0], CHINA[0])
    for image, std in zip(ours[1:], (0.7, 2.5), strict=True):
        theirs = gaussian_filter(CHINA[0].numpy(), (0, std, std), mode="mirror", radius=12)
        np.testing.assert_allclose(image.numpy(), theirs, atol=1e-5)


def test_noise_has_the_std_of_each_image() -> None:
    torch.manual_seed(0)
    noise = noisy(torch.full((2, 3, 200, 200), 0.5), torch.tensor([0.1, 0.02])) - 0.5
    assert noise[0].std().item() == pytest.approx(0.1, rel=0.02)
    assert noise[1].std().item() == pytest.approx(0.02, rel=0.02)
