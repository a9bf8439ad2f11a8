"""Every network builds what fits the images, of any shape."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from genlab.networks import NETWORKS, Network
from genlab.networks.convolutional import NORMALIZATIONS, Conv, Normalization, Residual, Resnet, plan
from genlab.networks.dcgan import Dcgan
from genlab.networks.mlp import ACTIVATIONS, Mlp
from genlab.networks.network import Size
from genlab.registry import ConfigError, build

SHAPES: list[Size] = [(1, 8, 8), (3, 9, 13), (1, 28, 28), (3, 32, 32), (1, 31, 64), (3, 256, 256)]
BY_HAND = {"leaky": lambda values: values.clamp(min=0) + 0.2 * values.clamp(max=0)}
FLAT: Size = (1, 1, 4)
FEATURES = 5

SMALL: dict[str, Callable[[], Network]] = {"mlp": lambda: Mlp(hidden=[32])}
for _norm in NORMALIZATIONS:
    SMALL[f"conv-{_norm}"] = lambda norm=_norm: Conv(width=4, most=16, normalization=norm)
    SMALL[f"resnet-{_norm}"] = lambda norm=_norm: Resnet(width=4, most=16, normalization=norm)
SMALL["dcgan"] = lambda: Dcgan(width=4, most=16)
SMALL["resnet-deep"] = lambda: Resnet(width=4, most=16, blocks=2)

HALVING: list[Size] = [(3, 8, 16), *[(1, side, side) for side in (14, 16, 28, 32, 56, 64, 112, 128)]]
CASES = [(name, shape) for name in SMALL if name != "dcgan" for shape in SHAPES]
CASES += [("mlp", FLAT), *[("dcgan", shape) for shape in HALVING]]


def label(value: object) -> str:
    return "x".join(map(str, value)) if isinstance(value, tuple) else str(value)


def count(*modules: nn.Module) -> int:
    return sum(weight.numel() for module in modules for weight in module.parameters())


def reached(module: nn.Module, given: Tensor) -> dict[str, Tensor | None]:
    """The gradient of each parameter for a loss that no normalisation can hide."""
    produced = module(given)
    (produced * torch.randn_like(produced)).sum().backward()
    return {name: weight.grad for name, weight in module.named_parameters()}


def test_every_network_of_the_registry_is_tested() -> None:
    assert {name.partition("-")[0] for name in SMALL} == set(NETWORKS)
    assert {type(SMALL[name]()) for name in SMALL} == set(NETWORKS.values())


@pytest.mark.parametrize(("name", "shape"), CASES, ids=label)
def test_encoder_and_decoder_fit_the_images(name: str, shape: Size) -> None:
    network, images = SMALL[name](), torch.rand(2, *shape)
    codes = network.encoder(shape, FEATURES)(images)
    assert codes.shape == (2, FEATURES)
    decoded = network.decoder(FEATURES, shape)(codes)
    assert decoded.shape == images.shape
    assert codes.isfinite().all()
    assert decoded.isfinite().all()


@pytest.mark.parametrize("name", SMALL)
def test_gradients_reach_every_parameter(name: str) -> None:
    torch.manual_seed(0)
    network, shape = SMALL[name](), (3, 8, 16)
    for module, given in (
        (network.encoder(shape, FEATURES), torch.randn(4, *shape)),
        (network.decoder(FEATURES, shape), torch.randn(4, FEATURES)),
    ):
        for parameter, gradient in reached(module, given).items():
            assert gradient is not None, parameter
            assert gradient.isfinite().all(), parameter
            # A normalisation takes a bias before it away, so only of the matrices is it sure to be more than rounding.
            assert gradient.dim() == 1 or gradient.abs().max() > 1e-6, parameter


@pytest.mark.parametrize("name", SMALL)
def test_each_image_is_encoded_by_itself(name: str) -> None:
    network, shape = SMALL[name](), (1, 8, 8)
    encoder, decoder = network.encoder(shape, FEATURES).eval(), network.decoder(FEATURES, shape).eval()
    images = torch.rand(3, *shape)
    alone = torch.cat([decoder(encoder(image)) for image in images.split(1)])
    torch.testing.assert_close(decoder(encoder(images)), alone, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", SMALL)
def test_two_modules_of_one_network_share_no_weights(name: str) -> None:
    network = SMALL[name]()
    modules = [network.encoder((1, 8, 8), FEATURES) for _ in range(2)] + [network.decoder(FEATURES, (1, 8, 8))]
    owners = [id(weight) for module in modules for weight in module.parameters()]
    assert len(owners) == len(set(owners))


def test_the_vae_of_784_400_20_has_652824_weights() -> None:
    network, shape = Mlp(hidden=[400]), (1, 28, 28)
    encoder, decoder = network.encoder(shape, 2 * 20), network.decoder(20, shape)
    by_hand = (784 * 400 + 400) + (400 * 40 + 40) + (20 * 400 + 400) + (400 * 784 + 784)
    assert count(encoder, decoder) == by_hand == 652_824


def test_the_decoder_has_the_hidden_widths_the_other_way_round() -> None:
    network = Mlp(hidden=[7, 6])

    def widths(module: nn.Module) -> list[tuple[int, int]]:
        return [(layer.in_features, layer.out_features) for layer in module.modules() if isinstance(layer, nn.Linear)]

    assert widths(network.encoder((1, 2, 4), 3)) == [(8, 7), (7, 6), (6, 3)]
    assert widths(network.decoder(3, (1, 2, 4))) == [(3, 6), (6, 7), (7, 8)]


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_an_mlp_activates_every_layer_but_the_last(activation: str) -> None:
    encoder = Mlp(hidden=[7], activation=activation).encoder((1, 2, 4), 3)  # type: ignore[arg-type]
    first, second = (layer for layer in encoder if isinstance(layer, nn.Linear))
    images, function = torch.randn(5, 1, 2, 4), BY_HAND.get(activation) or getattr(torch.nn.functional, activation)
    by_hand = function(images.reshape(5, 8) @ first.weight.T + first.bias) @ second.weight.T + second.bias
    torch.testing.assert_close(encoder(images), by_hand)


def test_without_hidden_layers_an_mlp_is_one_linear_layer() -> None:
    network, shape = Mlp(hidden=[]), (2, 3, 4)
    encoder, decoder = network.encoder(shape, FEATURES), network.decoder(FEATURES, shape)
    images, codes = torch.randn(6, *shape), torch.randn(6, FEATURES)
    assert count(encoder) == 24 * FEATURES + FEATURES
    assert count(decoder) == FEATURES * 24 + 24
    weight, bias = encoder.parameters()
    torch.testing.assert_close(encoder(images), images.flatten(1) @ weight.T + bias)
    weight, bias = decoder.parameters()
    torch.testing.assert_close(decoder(codes), (codes @ weight.T + bias).view(6, *shape))


@pytest.mark.parametrize("shape", SHAPES, ids=label)
@pytest.mark.parametrize("kind", [Conv, Resnet])
def test_stages_end_with_a_smaller_side_between_4_and_7(kind: type[Conv | Resnet], shape: Size) -> None:
    decoder = kind(width=4, most=16).decoder(FEATURES, shape)
    (start,) = (layer.unflattened_size for layer in decoder if isinstance(layer, nn.Unflatten))
    stages = round(math.log2(min(shape[1:]) / min(start[1:])))
    assert 4 <= min(start[1:]) <= 7
    assert start[1:] == (shape[1] // 2**stages, shape[2] // 2**stages)
    assert start == plan(shape, 4, 16)[-1]


def test_stages_grow_wider_up_to_the_most() -> None:
    sizes = plan((3, 256, 256), width=32, most=100)
    assert sizes == [
        (3, 256, 256),
        (32, 128, 128),
        (64, 64, 64),
        (100, 32, 32),
        (100, 16, 16),
        (100, 8, 8),
        (100, 4, 4),
    ]


def test_an_image_with_a_side_below_8_has_no_stages() -> None:
    assert plan((1, 7, 30), width=4, most=16) == [(1, 7, 30)]
    for kind in (Conv, Resnet):
        network, images = kind(width=4, most=16), torch.rand(2, 1, 7, 30)
        codes = network.encoder((1, 7, 30), FEATURES)(images)
        assert network.decoder(FEATURES, (1, 7, 30))(codes).shape == images.shape


@pytest.mark.parametrize("blocks", [1, 3])
def test_each_stage_has_the_blocks_that_were_asked_for(blocks: int) -> None:
    network, shape = Resnet(width=4, most=16, blocks=blocks), (1, 28, 28)
    for module in (network.encoder(shape, FEATURES), network.decoder(FEATURES, shape)):
        assert sum(isinstance(layer, Residual) for layer in module.modules()) == 2 * blocks


@pytest.mark.parametrize("after", [4, 6])
def test_a_block_adds_what_it_makes_to_what_it_was_given(after: int) -> None:
    block, images = Residual(4, after, NORMALIZATIONS["none"]), torch.randn(2, 4, 5, 5)
    made = block.second(torch.relu(block.first(torch.relu(images))))
    torch.testing.assert_close(block(images), made + block.skip(images))
    assert isinstance(block.skip, nn.Identity) == (after == 4)


def test_each_further_block_adds_the_same_weights() -> None:
    encoders = [Resnet(width=4, most=16, blocks=blocks).encoder((1, 28, 28), FEATURES) for blocks in (1, 2, 3)]
    one, two, three = map(count, encoders)
    # Two convolutions of 3x3 with biases and two norms in each of the two stages, of 4 and of 8 channels.
    by_hand = sum(2 * (9 * wide * wide + wide) + 2 * 2 * wide for wide in (4, 8))
    assert two - one == three - two == by_hand


@pytest.mark.parametrize("normalization", NORMALIZATIONS)
@pytest.mark.parametrize("width", [1, 6, 12])
def test_any_width_can_be_normalised(width: int, normalization: Normalization) -> None:
    for kind in (Conv, Resnet):
        network = kind(width=width, most=20, normalization=normalization)
        images = torch.rand(2, 1, 16, 16)
        codes = network.encoder((1, 16, 16), FEATURES)(images)
        assert network.decoder(FEATURES, (1, 16, 16))(codes).shape == images.shape


@pytest.mark.parametrize("kind", [Conv, Resnet])
def test_normalised_by_groups_an_image_does_not_see_its_batch(kind: type[Conv | Resnet]) -> None:
    encoder = kind(width=4, most=16, normalization="group").encoder((1, 16, 16), FEATURES).train()
    images = torch.rand(4, 1, 16, 16)
    torch.testing.assert_close(encoder(images)[:2], encoder(images[:2]), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("mlp", {"hidden": [400, 0]}, "hidden[1] must be at least 1, and 0 is not."),
        ("conv", {"width": 0}, "width must be at least 1, and 0 is not."),
        ("conv", {"width": 32, "most": 8}, "most must be at least 32, and 8 is not."),
        ("resnet", {"width": -1}, "width must be at least 1, and -1 is not."),
        ("resnet", {"blocks": 0}, "blocks must be at least 1, and 0 is not."),
        ("resnet", {"width": 32, "most": 8}, "most must be at least 32, and 8 is not."),
    ],
)
def test_a_setting_out_of_range_is_refused(name: str, settings: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        build("network", name, NETWORKS, {"class": name, **settings})
    assert str(caught.value) == f"network {name!r}: {message}"


@pytest.mark.parametrize("shape", [(1, 30, 30), (3, 9, 13), (1, 4, 4), (1, 20, 28), (1, 1, 2), (3, 48, 48)], ids=label)
def test_dcgan_refuses_images_that_do_not_halve_to_4_or_7(shape: Size) -> None:
    for part in (lambda: Dcgan().encoder(shape, 1), lambda: Dcgan().decoder(100, shape)):
        with pytest.raises(ValueError, match=f"and {shape[1]}x{shape[2]} cannot be; take such as 16, 28"):
            part()


def test_dcgan_has_the_sizes_of_the_paper_and_its_first_weights() -> None:
    torch.manual_seed(0)
    generator, critic = Dcgan().decoder(100, (3, 32, 32)), Dcgan().encoder((3, 32, 32), 1)
    doubling = [layer for layer in generator if isinstance(layer, nn.ConvTranspose2d)]
    assert [layer.in_channels for layer in doubling] == [512, 256, 128]
    halving = [layer for layer in critic if isinstance(layer, nn.Conv2d)]
    assert [layer.out_channels for layer in halving] == [128, 256, 512]
    assert all(layer.kernel_size == (4, 4) and layer.stride == (2, 2) for layer in doubling + halving)
    # 100 x 4 x 4 x 512, three transposed convolutions, three norms with scale and shift, the last bias.
    assert count(generator) == 100 * 8192 + 16 * (512 * 256 + 256 * 128 + 128 * 3) + 2 * (512 + 256 + 128) + 3
    assert sum(isinstance(layer, nn.BatchNorm2d) for layer in critic) == 2
    for layer in [*doubling, *halving]:
        assert float(layer.weight.detach().mean()) == pytest.approx(0, abs=2e-3)
        assert float(layer.weight.detach().std()) == pytest.approx(0.02, rel=0.05)
