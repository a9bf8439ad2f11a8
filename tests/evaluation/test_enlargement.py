"""The measures of a model that upscales, always beside those of the filter."""

import math

import numpy as np
import pytest
import torch
from PIL import Image

from genlab.evaluation.enlargement import caption, measure, smallest
from genlab.extractors.features import FEATURES
from genlab.kinds.resampling import enlarged, shrunk
from genlab.metrics.perceptual import distance
from genlab.metrics.pixels import compared
from genlab.registry import ConfigError
from tests.fixtures.enlarging import Bicubic, Nearest, photo, toy


def test_each_photograph_has_a_row_for_the_filter_and_one_for_the_model_and_the_means_come_last() -> None:
    rows = measure(toy(), [("a", photo(40, 50)), ("b", photo(33, 61, seed=1))])
    assert [row[:2] for row in rows] == [(name, by) for name in ("a", "b", "mean") for by in ("bicubic", "model")]
    for first, second, mean in zip(rows[:2], rows[2:4], rows[4:], strict=True):
        for name, figure in mean.figures.items():
            assert figure == pytest.approx((first.figures[name] + second.figures[name]) / 2)


def test_the_filter_for_a_model_measures_as_the_filter() -> None:
    by_filter, by_model = measure(Bicubic(scale=3), [("a", photo(40, 50))])[:2]
    assert by_model.figures == pytest.approx(by_filter.figures, abs=0.01)


@pytest.mark.parametrize("scale", [2, 4])
def test_the_figures_are_those_of_the_photograph_cut_to_a_multiple_without_a_border_of_the_scale(scale: int) -> None:
    pixels = photo(47, 50)
    rows = measure(Nearest(scale=scale), [("a", torch.from_numpy(pixels))])
    height, width = 47 // scale * scale, 50 // scale * scale
    truth = torch.from_numpy(pixels[:height, :width]).permute(2, 0, 1)[None].float() / 255
    small = shrunk(truth, scale)
    for row, made in zip(rows[:2], (enlarged(small, scale), Nearest(scale=scale).upscale(small)), strict=True):
        expected = {name: float(value) for name, value in compared(made, truth, scale).items()}
        assert row.figures == pytest.approx(expected, abs=1e-4)


def test_a_distance_is_measured_of_the_same_part_and_carries_the_name_of_its_features() -> None:
    features, pixels = FEATURES["pixels"](), photo(40, 52)
    rows = measure(Nearest(scale=4), [("a", pixels)], features)
    truth = torch.from_numpy(pixels).permute(2, 0, 1)[None].float() / 255
    made = Nearest(scale=4).upscale(shrunk(truth, 4))
    expected = distance(features, made[:, :, 4:-4, 4:-4], truth[:, :, 4:-4, 4:-4])
    assert rows[1].figures["distance-pixels"] == pytest.approx(float(expected), rel=1e-4)
    assert all("distance-pixels" in row.figures for row in rows)


def test_a_grey_photograph_measures_the_same_however_it_is_stored() -> None:
    pixels = photo(40, 50, channels=1)
    stored = ((1, pixels), (3, pixels[..., None]), (3, np.repeat(pixels[..., None], 3, axis=2)))
    found = [measure(Nearest(), [("a", shaped)], channels=channels) for channels, shaped in stored]
    for rows in zip(*found, strict=True):
        for row in rows:
            assert row.figures == pytest.approx(rows[0].figures, rel=1e-4)
        # Brightness has 219 steps where the pixels have 255.
        wanted = rows[0].figures["PSNR-RGB"] + 20 * math.log10(255 / 219)
        assert rows[0].figures["PSNR-Y"] == pytest.approx(wanted, abs=1e-3)


def test_small_photographs_measure_like_what_pillow_makes_small() -> None:
    # What the rows rest on, with another library: the small image, enlarged by its nearest pixels.
    image = Image.fromarray(photo(64, 64))
    small = image.resize((16, 16), Image.Resampling.BICUBIC)
    inner = np.s_[4:-4, 4:-4]
    difference = (
        np.asarray(small.resize((64, 64), Image.Resampling.NEAREST))[inner] / 255 - np.asarray(image)[inner] / 255
    )
    model = measure(Nearest(scale=4), [("a", np.asarray(image))])[1]
    assert model.figures["PSNR-RGB"] == pytest.approx(-10 * np.log10((difference**2).mean()), abs=0.01)


@pytest.mark.parametrize("scale", [2, 3, 4, 8])
def test_the_smallest_photograph_is_measured_and_a_smaller_one_gets_a_sentence(scale: int) -> None:
    least = smallest(scale)
    assert least - scale < 11 + 2 * scale <= least
    assert measure(Nearest(scale=scale), [("a", photo(least, least))])
    with pytest.raises(ConfigError, match=f"needs {least} pixels each way to be measured by {scale}, and one has"):
        measure(Nearest(scale=scale), [("a", photo(least - 1, 90))])


def test_the_border_stands_in_the_caption() -> None:
    assert "4 pixels at each border are left out" in caption(4)
