"""Convolutions that double or halve give what the two separate operations give."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from genlab.networks.resampled import PooledConv, UpsampledConv


def assert_same_values_and_gradients(
    module: nn.Conv2d, images: Tensor, plain: Callable[[Tensor, Tensor, Tensor], Tensor]
) -> None:
    images = images.double().requires_grad_()
    module.double()
    assert module.bias is not None
    given = [images, module.weight, module.bias]
    found, expected = module(images), plain(*given)
    torch.testing.assert_close(found, expected)
    weights = torch.randn_like(found)
    gradients = [torch.autograd.grad((result * weights).sum(), given) for result in (found, expected)]
    for ours, theirs in zip(*gradients, strict=True):
        torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize(("size", "images"), [((8, 10), (4, 5)), ((7, 11), (3, 5))], ids=["doubled", "odd"])
def test_an_upsampled_convolution_is_nearest_neighbour_and_a_convolution(
    size: tuple[int, int], images: tuple[int, int]
) -> None:
    torch.manual_seed(0)

    def plain(values: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        return functional.conv2d(functional.interpolate(values, size), weight, bias, padding=1)

    assert_same_values_and_gradients(UpsampledConv(3, 2, size), torch.randn(2, 3, *images), plain)


@pytest.mark.parametrize("sides", [(8, 6), (7, 6), (8, 5)])
def test_a_pooled_convolution_is_a_convolution_and_a_mean(sides: tuple[int, int]) -> None:
    torch.manual_seed(0)

    def plain(values: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        return functional.avg_pool2d(functional.conv2d(values, weight, bias, padding=1), 2)

    assert_same_values_and_gradients(PooledConv(3, 2), torch.randn(2, 3, *sides), plain)


def test_only_the_3x3_kernel_is_in_a_checkpoint() -> None:
    assert {name: tuple(value.shape) for name, value in UpsampledConv(3, 2, (4, 4)).state_dict().items()} == {
        "weight": (2, 3, 3, 3),
        "bias": (2,),
    }
