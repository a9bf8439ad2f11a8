"""The networks of StyleGAN, beside their formulas written out item by item."""

import math

import pytest
import torch
from torch.nn import functional

from genlab.kinds import Image
from genlab.networks.equalized import EqualizedLinear, Resize
from genlab.networks.style import Mapping, ModulatedConv, StyleDiscriminator, Synthesis, spread, start_of
from genlab.registry import ConfigError


@pytest.mark.parametrize("blur", [None, True, False])
@pytest.mark.parametrize("demodulate", [True, False])
def test_modulated_activations_are_weights_modulated_for_each_item(blur: bool | None, demodulate: bool) -> None:
    torch.manual_seed(0)
    up = None if blur is None else Resize(blur)
    conv = ModulatedConv(4, 6, 5, demodulate=demodulate, up=up)
    maps, styles = torch.randn(3, 4, 8, 8), torch.randn(3, 5)
    found = conv(maps, styles)
    for item in range(3):
        factors = conv.affine.weight @ styles[item] / math.sqrt(5) + 1
        weight = conv.weights.weight / math.sqrt(4 * 9) * factors.view(1, -1, 1, 1)
        if demodulate:
            weight = weight / weight.square().sum((1, 2, 3), keepdim=True).add(1e-8).sqrt()
        one = maps[item, None]
        expected = functional.conv2d(one, weight, padding=1) if up is None else up.convolved_up(one, weight)
        torch.testing.assert_close(found[item, None], expected, rtol=1e-4, atol=1e-5)


def test_demodulation_gives_unit_variance_whatever_the_style() -> None:
    torch.manual_seed(0)
    maps, styles = torch.randn(4, 32, 32, 32), 3 * torch.randn(4, 8)
    plain, demodulated = ModulatedConv(32, 64, 8, demodulate=False), ModulatedConv(32, 64, 8)
    inside = demodulated(maps, styles)[:, :, 1:-1, 1:-1]
    torch.testing.assert_close(inside.square().mean((2, 3)).mean(1), torch.ones(4), rtol=0.05, atol=0)
    assert plain(maps, styles)[:, :, 1:-1, 1:-1].square().mean((1, 2, 3)).max() > 2


def test_the_cheap_order_of_doubling_and_convolving_is_the_plain_one() -> None:
    """Without blur: repeat pixels, then convolve. With blur: put zeros between pixels, convolve, then filter."""
    torch.manual_seed(0)
    maps, weight = torch.randn(2, 3, 6, 6), torch.randn(5, 3, 3, 3)
    repeated = functional.conv2d(functional.interpolate(maps, scale_factor=2), weight.flip(2, 3), padding=1)
    torch.testing.assert_close(Resize(blur=False).convolved_up(maps, weight), repeated, rtol=1e-4, atol=1e-4)
    doubled = Resize(blur=True).doubled(maps)
    bilinear = functional.interpolate(maps, scale_factor=2, mode="bilinear", align_corners=False)
    torch.testing.assert_close(doubled[:, :, 1:-1, 1:-1], bilinear[:, :, 1:-1, 1:-1])
    torch.testing.assert_close(Resize(blur=False).halved(maps), functional.avg_pool2d(maps, 2))


def test_the_filter_takes_out_the_finest_stripes() -> None:
    stripes = torch.tensor([1.0, -1.0]).repeat(8).expand(1, 1, 16, 16)
    for blur in (True, False):
        assert Resize(blur).halved(stripes)[:, :, :, 1:-1].abs().max() < 1e-6


def test_an_equalised_layer_has_unit_variance_and_moves_by_its_rate() -> None:
    torch.manual_seed(0)
    values = torch.randn(4096, 64)
    for rate in (1.0, 0.01):
        layer = EqualizedLinear(64, 32, rate=rate)
        before = layer(values)
        assert abs(float(before.detach().var()) - 1) < 0.1
        assert abs(float(layer.weight.detach().std()) * rate - 1) < 0.1
        with torch.no_grad():
            # A step of an optimizer such as Adam has one size, whatever the weights are.
            layer.weight.add_(0.5)
        moved = (layer(values) - before).detach()
        torch.testing.assert_close(moved, (0.5 * rate / 8 * values.sum(1, keepdim=True)).expand(-1, 32))


def test_the_mapping_depends_on_the_direction_of_the_noise_only() -> None:
    torch.manual_seed(0)
    mapping, codes = Mapping(16, 3, 0.01), torch.randn(4, 16)
    torch.testing.assert_close(mapping(codes, None), mapping(3 * codes, None), rtol=1e-4, atol=1e-5)
    told = Mapping(16, 3, 0.01, classes=3)
    assert (told(codes, torch.zeros(4).long()) - told(codes, torch.ones(4).long())).abs().max() > 0.1


def test_the_spread_is_that_of_groups_of_four() -> None:
    torch.manual_seed(0)
    maps = torch.randn(8, 3, 4, 4)
    found = spread(maps)
    for first in (0, 4):
        std = maps[first : first + 4].std(0, correction=0).mean()
        torch.testing.assert_close(found[first : first + 4], std.expand(4, 1, 4, 4))
    assert spread(maps[:6]).shape == (6, 1, 4, 4)
    assert float(spread(maps[:1].repeat(4, 1, 1, 1)).max()) < 1e-3


@pytest.mark.parametrize(("size", "start", "layers"), [(16, 4, 6), (28, 7, 6), (64, 4, 10), (256, 4, 14)])
@pytest.mark.parametrize("outputs", ["skip", "residual"])
def test_images_grow_from_four_or_seven_pixels(size: int, start: int, layers: int, outputs: str) -> None:
    kind = Image(3, size, size)
    network = Synthesis(kind, 8, 4, 8, outputs=outputs, blur=True, noisy=True).eval()  # type: ignore[arg-type]
    images = network(torch.randn(2, layers, 8))
    assert (start_of(kind), network.count, images.shape) == (start, layers, (2, 3, size, size))
    assert network.affine(range(layers)).shape[1] == 8
    assert StyleDiscriminator(kind, 4, 8, blur=True)(images).shape == (2,)


@pytest.mark.parametrize(("height", "width", "advice"), [(48, 48, 32), (30, 30, 32), (32, 64, 32), (100, 100, 128)])
def test_other_sizes_are_refused(height: int, width: int, advice: int) -> None:
    with pytest.raises(ConfigError, match=f"got {height} x {width}.*data.size={advice}"):
        start_of(Image(3, height, width))
