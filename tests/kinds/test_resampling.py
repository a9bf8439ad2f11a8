"""Resizing agrees with Pillow."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from sklearn.datasets import load_sample_images

from genlab.kinds.resampling import bicubic, enlarged, luma, shrunk

Pixels = NDArray[np.uint8]
PICTURES: dict[str, Pixels] = {
    "china": load_sample_images().images[0],
    "flower": load_sample_images().images[1],
    # The hardest case: a bicubic filter rings beyond black and white here.
    "noise": np.random.default_rng(0).integers(0, 2, (97, 130, 3), dtype=np.uint8) * np.uint8(255),
}


def as_tensor(picture: Pixels) -> torch.Tensor:
    return torch.from_numpy(picture.copy()).permute(2, 0, 1).unsqueeze(0) / 255


def by_pillow(picture: Pixels, width: int, height: int) -> torch.Tensor:
    return as_tensor(np.asarray(Image.fromarray(picture).resize((width, height), Image.Resampling.BICUBIC)))


@pytest.mark.parametrize("scale", [2, 4, 8])
@pytest.mark.parametrize("name", PICTURES)
def test_small_images_are_pillows_to_within_a_255th(name: str, scale: int) -> None:
    picture = PICTURES[name]
    height, width = picture.shape[0] // scale, picture.shape[1] // scale
    difference = (shrunk(as_tensor(picture), scale) - by_pillow(picture, width, height)).abs()
    assert difference.max() < 1.01 / 255
    assert (difference > 0.5 / 255).float().mean() < 0.01


@pytest.mark.parametrize("name", PICTURES)
def test_enlarged_images_are_pillows_nearly_everywhere(name: str) -> None:
    small = PICTURES[name][:60, :80]
    difference = (enlarged(as_tensor(small), 4) - by_pillow(small, 320, 240)).abs()
    assert difference.max() < 2.01 / 255
    assert (difference > 0.5 / 255).float().mean() < 0.01


@pytest.mark.parametrize("scale", [2, 4, 8])
@pytest.mark.parametrize("name", PICTURES)
def test_an_exported_filter_gives_the_same_bytes_up_to_the_edges(
    name: str, scale: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = as_tensor(PICTURES[name][:41, :30])
    wanted = enlarged(small, scale)
    monkeypatch.setattr(torch.compiler, "is_exporting", lambda: True)
    assert torch.equal(enlarged(small, scale), wanted)


def test_an_image_of_the_wanted_size_is_not_changed() -> None:
    image = torch.rand(2, 3, 9, 7)
    assert torch.equal(bicubic(image, 9, 7), image)


def test_brightness_goes_from_16_to_235_of_255() -> None:
    black, white = torch.zeros(1, 3, 1, 1), torch.ones(1, 3, 1, 1)
    assert luma(black).item() == pytest.approx(16 / 255)
    assert luma(white).item() == pytest.approx(235 / 255)
    grey = torch.rand(1, 1, 4, 4)
    torch.testing.assert_close(luma(grey), luma(grey.expand(1, 3, 4, 4)))


def test_brightness_is_pillows_but_for_its_range() -> None:
    picture = PICTURES["china"]
    theirs = np.asarray(Image.fromarray(picture).convert("YCbCr"))[..., 0] / 255
    ours = (luma(as_tensor(picture))[0, 0].numpy() * 255 - 16) / 219
    assert np.abs(ours - theirs).max() < 1.1 / 255
