"""The metrics of a model that upscales stand beside those of bicubic."""

import math

import numpy as np
import pytest
import torch
from PIL import Image

from genlab.evaluation.super_resolution import MODEL, Row, caption, measure, smallest, with_means
from genlab.extractors import EXTRACTORS
from genlab.kinds.resampling import enlarged, shrunk
from genlab.metrics.perceptual import distance
from genlab.metrics.pixels import rgb_and_luma
from genlab.registry import ConfigError
from tests.fixtures.upscaling import Bicubic, Nearest, photo, toy


def test_each_photograph_has_a_row_for_bicubic_and_one_for_the_model_and_the_means_come_last() -> None:
    rows = measure(toy(), [("a", photo(40, 50)), ("b", photo(33, 61, seed=1))])
    assert [row[:2] for row in rows] == [(name, by) for name in ("a", "b", "mean") for by in ("bicubic", "model")]
    for first, second, mean in zip(rows[:2], rows[2:4], rows[4:], strict=True):
        for name, value in mean.metrics.items():
            assert value == pytest.approx((first.metrics[name] + second.metrics[name]) / 2)


def test_bicubic_as_a_model_gets_the_metrics_of_bicubic() -> None:
    by_filter, by_model = measure(Bicubic(scale=3), [("a", photo(40, 50))])[:2]
    assert by_model.metrics == pytest.approx(by_filter.metrics, abs=0.01)


@pytest.mark.parametrize("scale", [2, 4])
def test_metrics_are_of_the_photograph_cut_to_a_multiple_of_the_scale_without_its_border(scale: int) -> None:
    pixels = photo(47, 50)
    rows = measure(Nearest(scale=scale), [("a", torch.from_numpy(pixels))])
    height, width = 47 // scale * scale, 50 // scale * scale
    truth = torch.from_numpy(pixels[:height, :width]).permute(2, 0, 1)[None].float() / 255
    small = shrunk(truth, scale)
    for row, upscaled in zip(rows[:2], (enlarged(small, scale), Nearest(scale=scale).upscale(small)), strict=True):
        expected = {name: float(value) for name, value in rgb_and_luma(upscaled, truth, scale).items()}
        assert row.metrics == pytest.approx(expected, abs=1e-4)


def test_a_distance_is_of_the_same_part_and_named_after_its_extractor() -> None:
    extractor, pixels = EXTRACTORS["pixels"](), photo(40, 52)
    rows = measure(Nearest(scale=4), [("a", pixels)], extractor)
    truth = torch.from_numpy(pixels).permute(2, 0, 1)[None].float() / 255
    upscaled = Nearest(scale=4).upscale(shrunk(truth, 4))
    expected = distance(extractor, upscaled[:, :, 4:-4, 4:-4], truth[:, :, 4:-4, 4:-4])
    assert rows[1].metrics["distance-pixels"] == pytest.approx(float(expected), rel=1e-4)
    assert all("distance-pixels" in row.metrics for row in rows)


def test_a_grey_photograph_gets_the_same_metrics_in_every_form() -> None:
    pixels = photo(40, 50, channels=1)
    stored = ((1, pixels), (3, pixels[..., None]), (3, np.repeat(pixels[..., None], 3, axis=2)))
    found = [measure(Nearest(), [("a", shaped)], channels=channels) for channels, shaped in stored]
    for rows in zip(*found, strict=True):
        for row in rows:
            assert row.metrics == pytest.approx(rows[0].metrics, rel=1e-4)
        # Brightness has 219 steps where the pixels have 255.
        wanted = rows[0].metrics["PSNR-RGB"] + 20 * math.log10(255 / 219)
        assert rows[0].metrics["PSNR-Y"] == pytest.approx(wanted, abs=1e-3)


def test_photographs_are_made_small_as_pillow_does() -> None:
    # The same metric with another library: the small image, upscaled by nearest neighbours.
    image = Image.fromarray(photo(64, 64))
    small = image.resize((16, 16), Image.Resampling.BICUBIC)
    inner = np.s_[4:-4, 4:-4]
    difference = (
        np.asarray(small.resize((64, 64), Image.Resampling.NEAREST))[inner] / 255 - np.asarray(image)[inner] / 255
    )
    model = measure(Nearest(scale=4), [("a", np.asarray(image))])[1]
    assert model.metrics["PSNR-RGB"] == pytest.approx(-10 * np.log10((difference**2).mean()), abs=0.01)


@pytest.mark.parametrize("scale", [2, 3, 4, 8])
def test_the_smallest_photograph_is_measured_and_a_smaller_one_is_refused(scale: int) -> None:
    least = smallest(scale)
    assert least - scale < 11 + 2 * scale <= least
    assert measure(Nearest(scale=scale), [("a", photo(least, least))])
    with pytest.raises(ConfigError, match=f"at least {least} pixels each way to measure upscaling by {scale}, got"):
        measure(Nearest(scale=scale), [("a", photo(least - 1, 90))])


def test_the_border_stands_in_the_caption() -> None:
    assert "4 pixels at each border are left out" in caption(4)


def test_a_flat_photograph_which_every_method_upscales_perfectly_does_not_make_the_mean_infinite() -> None:
    rows = [Row("flat", MODEL, {"PSNR-RGB": math.inf}), Row("other", MODEL, {"PSNR-RGB": 20.0})]
    assert with_means(rows)[-1] == Row("mean", MODEL, {"PSNR-RGB": 20.0})
    assert with_means(rows[:1])[-1].metrics["PSNR-RGB"] == math.inf
