"""Self-attention is that of torch, and stands where the setting says."""

import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.nn.utils.parametrize import is_parametrized

from genlab.kinds import Image
from genlab.networks.attention import Attention
from genlab.networks.discriminator import Discriminator
from genlab.networks.network import Network
from genlab.networks.resnet_gan import ResnetGan


def seen_by_attention(module: nn.Module, given: torch.Tensor) -> list[tuple[int, ...]]:
    """Return the sides of the feature maps that each attention block sees."""
    sides = list[tuple[int, ...]]()
    for part in module.modules():
        if isinstance(part, Attention):
            part.register_forward_hook(lambda _, inputs, __: sides.append(tuple(inputs[0].shape[2:])))
    module(given)
    return sides


def test_attention_is_that_of_torch_times_gamma_beside_its_input() -> None:
    torch.manual_seed(0)
    block, images = Attention(16).double(), torch.randn(3, 16, 4, 5, dtype=torch.float64)
    nn.init.constant_(block.gamma, 0.7)
    query, key, value = (part(images).flatten(2).mT for part in (block.query, block.key, block.value))
    gathered = functional.scaled_dot_product_attention(query, key, value, scale=1.0)
    expected = images + 0.7 * block.output(gathered.mT.unflatten(2, (4, 5)))
    torch.testing.assert_close(block(images), expected)


def test_attention_starts_as_the_identity() -> None:
    images = torch.randn(2, 16, 4, 4)
    assert torch.equal(Attention(16)(images), images)


@pytest.mark.parametrize(
    ("side", "wanted", "found"), [(28, 14, 14), (28, 16, 14), (32, 8, 8), (64, 100, 32), (128, 32, 32), (16, 4, 4)]
)
def test_both_players_attend_at_the_largest_maps_that_are_no_larger(side: int, wanted: int, found: int) -> None:
    network, kind = ResnetGan(width=8, most=8, attention=wanted), Image(1, side, side)
    assert seen_by_attention(network.encoder(kind, 1), torch.randn(2, 1, side, side)) == [(found, found)]
    assert seen_by_attention(network.decoder(3, kind), torch.randn(2, 3)) == [(found, found)]


def test_attention_below_the_smallest_maps_is_refused_with_the_sides_there_are() -> None:
    message = r"attention=3 is below the sides of all feature maps \(14, 7\)\. Set model\.network\.attention to one"
    for build in (
        lambda: ResnetGan(attention=3).encoder(Image(1, 28, 28), 1),
        lambda: _decoder(ResnetGan(attention=3)),
    ):
        with pytest.raises(ValueError, match=message):
            build()


def _decoder(network: Network) -> nn.Module:
    return network.decoder(3, Image(1, 28, 28))


def test_without_a_resolution_nothing_attends() -> None:
    network = ResnetGan(width=8, most=8)
    for module in (network.encoder(Image(1, 16, 16), 1), network.decoder(3, Image(1, 16, 16))):
        assert not any(isinstance(part, Attention) for part in module.modules())


@pytest.mark.parametrize("spectral", [True, False])
def test_attention_is_spectrally_normalised_if_the_discriminator_is(spectral: bool) -> None:
    network = ResnetGan(width=8, most=8, attention=8)
    discriminator = Discriminator(network, Image(1, 16, 16), 0, "none", "none", spectral)
    (block,) = (part for part in discriminator.modules() if isinstance(part, Attention))
    for part in (block.query, block.key, block.value, block.output):
        assert is_parametrized(part, "weight") == spectral
    if spectral:
        for _ in range(30):  # Each call improves the estimate of the largest singular value.
            discriminator(torch.randn(2, 1, 16, 16), None)
        assert float(torch.linalg.matrix_norm(block.value.weight.flatten(1), 2).detach()) == pytest.approx(1, abs=0.05)
