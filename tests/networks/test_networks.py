"""Every network builds encoders and decoders that fit the items, of any size."""

import math
from collections.abc import Callable
from functools import partial
from typing import get_args

import pytest
import torch
from torch import Tensor, nn

from genlab.kinds import Image, Points, fit
from genlab.networks import NETWORKS, Network
from genlab.networks.convolutional import NORMALIZATIONS, Conv, Normalization, Residual, Resnet, plan
from genlab.networks.dcgan import Dcgan
from genlab.networks.mlp import ACTIVATIONS, Mlp
from genlab.networks.resnet_gan import ResnetGan
from genlab.registry import ConfigError, build

IMAGES = [Image(1, 8, 8), Image(3, 9, 13), Image(1, 28, 28), Image(3, 32, 32), Image(1, 31, 64), Image(3, 256, 256)]
SMALLEST = Image(1, 8, 8)
BY_HAND = {"leaky": lambda values: values.clamp(min=0) + 0.2 * values.clamp(max=0)}
FEATURES = 5

SMALL: dict[str, Callable[[], Network]] = {"mlp": lambda: Mlp(hidden=[32])}
for _norm in get_args(Normalization):
    SMALL[f"conv-{_norm}"] = partial(Conv, width=4, most=16, normalization=_norm)
    SMALL[f"resnet-{_norm}"] = partial(Resnet, width=4, most=16, normalization=_norm)
SMALL["dcgan"] = lambda: Dcgan(width=4, most=16)
SMALL["dcgan-nearest"] = lambda: Dcgan(width=4, most=16, upsampling="nearest", encoder_width=2, dropout=0.2)
SMALL["resnet-gan"] = lambda: ResnetGan(width=4, most=16)
SMALL["resnet-deep"] = lambda: Resnet(width=4, most=16, blocks=2)

HALVING = [Image(3, 8, 16), *[Image(1, side, side) for side in (14, 16, 28, 32, 56, 64, 112, 128)]]
CASES: list[tuple[str, Image | Points]] = [(name, kind) for name in SMALL if "dcgan" not in name for kind in IMAGES]
CASES += [
    ("mlp", Points(1)),
    ("mlp", Points(4)),
    *[(name, kind) for name in ("dcgan", "dcgan-nearest") for kind in HALVING],
]


def label(value: object) -> str:
    return "x".join(map(str, value.shape)) if isinstance(value, Image | Points) else str(value)


def count(*modules: nn.Module) -> int:
    return sum(weight.numel() for module in modules for weight in module.parameters())


def gradients(module: nn.Module, given: Tensor) -> dict[str, Tensor | None]:
    """Return the gradient of each parameter for a loss that no normalisation makes constant."""
    output = module(given)
    (output * torch.randn_like(output)).sum().backward()
    return {name: weight.grad for name, weight in module.named_parameters()}


def test_every_network_of_the_registry_is_tested() -> None:
    assert {type(SMALL[name]()) for name in SMALL} == set(NETWORKS.values())


@pytest.mark.parametrize(("name", "kind"), CASES, ids=label)
def test_encoder_and_decoder_fit_the_items(name: str, kind: Image | Points) -> None:
    network, items = SMALL[name](), torch.rand(2, *kind.shape)
    codes = network.encoder(kind, FEATURES)(items)
    assert codes.shape == (2, FEATURES)
    decoded = network.decoder(FEATURES, kind)(codes)
    assert decoded.shape == items.shape
    assert codes.isfinite().all()
    assert decoded.isfinite().all()


@pytest.mark.parametrize("name", SMALL)
def test_gradients_reach_every_parameter(name: str) -> None:
    torch.manual_seed(0)
    network, kind = SMALL[name](), Image(3, 8, 16)
    for module, given in (
        (network.encoder(kind, FEATURES), torch.randn(4, *kind.shape)),
        (network.decoder(FEATURES, kind), torch.randn(4, FEATURES)),
    ):
        for parameter, gradient in gradients(module, given).items():
            assert gradient is not None, parameter
            assert gradient.isfinite().all(), parameter
            # A normalisation cancels the bias before it, whose gradient is then only rounding.
            assert gradient.dim() == 1 or gradient.abs().max() > 1e-6, parameter


@pytest.mark.parametrize("name", SMALL)
def test_each_image_is_encoded_by_itself(name: str) -> None:
    network = SMALL[name]()
    encoder, decoder = network.encoder(SMALLEST, FEATURES).eval(), network.decoder(FEATURES, SMALLEST).eval()
    images = torch.rand(3, *SMALLEST.shape)
    alone = torch.cat([decoder(encoder(image)) for image in images.split(1)])
    torch.testing.assert_close(decoder(encoder(images)), alone, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", SMALL)
def test_two_modules_of_one_network_share_no_weights(name: str) -> None:
    network = SMALL[name]()
    modules = [network.encoder(SMALLEST, FEATURES) for _ in range(2)] + [network.decoder(FEATURES, SMALLEST)]
    owners = [id(weight) for module in modules for weight in module.parameters()]
    assert len(owners) == len(set(owners))


def test_the_vae_of_784_400_20_has_652824_weights() -> None:
    network, kind = Mlp(hidden=[400]), Image(1, 28, 28)
    encoder, decoder = network.encoder(kind, 2 * 20), network.decoder(20, kind)
    by_hand = (784 * 400 + 400) + (400 * 40 + 40) + (20 * 400 + 400) + (400 * 784 + 784)
    assert count(encoder, decoder) == by_hand == 652_824


def test_the_decoder_has_the_hidden_widths_in_reverse_order() -> None:
    network = Mlp(hidden=[7, 6])

    def widths(module: nn.Module) -> list[tuple[int, int]]:
        return [(layer.in_features, layer.out_features) for layer in module.modules() if isinstance(layer, nn.Linear)]

    assert widths(network.encoder(Image(1, 2, 4), 3)) == [(8, 7), (7, 6), (6, 3)]
    assert widths(network.decoder(3, Image(1, 2, 4))) == [(3, 6), (6, 7), (7, 8)]


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_an_mlp_activates_every_layer_but_the_last(activation: str) -> None:
    encoder = Mlp(hidden=[7], activation=activation).encoder(Image(1, 2, 4), 3)  # type: ignore[arg-type]
    first, second = (layer for layer in encoder if isinstance(layer, nn.Linear))
    images, function = torch.randn(5, 1, 2, 4), BY_HAND.get(activation) or getattr(torch.nn.functional, activation)
    by_hand = function(images.reshape(5, 8) @ first.weight.T + first.bias) @ second.weight.T + second.bias
    torch.testing.assert_close(encoder(images), by_hand)


def test_without_hidden_layers_an_mlp_is_one_linear_layer() -> None:
    network, kind = Mlp(hidden=[]), Image(2, 3, 4)
    encoder, decoder = network.encoder(kind, FEATURES), network.decoder(FEATURES, kind)
    images, codes = torch.randn(6, *kind.shape), torch.randn(6, FEATURES)
    assert count(encoder) == 24 * FEATURES + FEATURES
    assert count(decoder) == FEATURES * 24 + 24
    weight, bias = encoder.parameters()
    torch.testing.assert_close(encoder(images), images.flatten(1) @ weight.T + bias)
    weight, bias = decoder.parameters()
    torch.testing.assert_close(decoder(codes), (codes @ weight.T + bias).view(6, *kind.shape))


@pytest.mark.parametrize("kind", IMAGES, ids=label)
@pytest.mark.parametrize("network", [Conv, Resnet])
def test_stages_end_with_a_smaller_side_between_4_and_7(network: type[Conv | Resnet], kind: Image) -> None:
    decoder = network(width=4, most=16).decoder(FEATURES, kind)
    (start,) = (layer.unflattened_size for layer in decoder if isinstance(layer, nn.Unflatten))
    stages = round(math.log2(min(kind.height, kind.width) / min(start[1:])))
    assert 4 <= min(start[1:]) <= 7
    assert start[1:] == (kind.height // 2**stages, kind.width // 2**stages)
    assert start == plan(kind.shape, 4, 16)[-1]


def test_each_stage_doubles_the_channels_up_to_the_maximum() -> None:
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
    kind = Image(1, 7, 30)
    for network in (Conv(width=4, most=16), Resnet(width=4, most=16)):
        images = torch.rand(2, *kind.shape)
        codes = network.encoder(kind, FEATURES)(images)
        assert network.decoder(FEATURES, kind)(codes).shape == images.shape


@pytest.mark.parametrize("blocks", [1, 3])
def test_each_stage_has_the_given_number_of_blocks(blocks: int) -> None:
    network, kind = Resnet(width=4, most=16, blocks=blocks), Image(1, 28, 28)
    for module in (network.encoder(kind, FEATURES), network.decoder(FEATURES, kind)):
        assert sum(isinstance(layer, Residual) for layer in module.modules()) == 2 * blocks


@pytest.mark.parametrize("after", [4, 6])
def test_a_block_adds_two_convolutions_to_its_input(after: int) -> None:
    block, images = Residual(4, after, NORMALIZATIONS["none"]), torch.randn(2, 4, 5, 5)
    change = block.second(torch.relu(block.first(torch.relu(images))))
    torch.testing.assert_close(block(images), change + block.skip(images))
    assert isinstance(block.skip, nn.Identity) == (after == 4)


def test_each_further_block_adds_the_same_weights() -> None:
    encoders = [Resnet(width=4, most=16, blocks=blocks).encoder(Image(1, 28, 28), FEATURES) for blocks in (1, 2, 3)]
    one, two, three = map(count, encoders)
    # Each of the two stages, with 4 and 8 channels, has two 3x3 convolutions with biases and two norms.
    by_hand = sum(2 * (9 * wide * wide + wide) + 2 * 2 * wide for wide in (4, 8))
    assert two - one == three - two == by_hand


@pytest.mark.parametrize("normalization", NORMALIZATIONS)
@pytest.mark.parametrize("width", [1, 6, 12])
def test_any_width_can_be_normalised(width: int, normalization: Normalization) -> None:
    kind = Image(1, 16, 16)
    for architecture in (Conv, Resnet):
        network = architecture(width=width, most=20, normalization=normalization)
        images = torch.rand(2, *kind.shape)
        codes = network.encoder(kind, FEATURES)(images)
        assert network.decoder(FEATURES, kind)(codes).shape == images.shape


@pytest.mark.parametrize("network", [Conv, Resnet])
def test_with_group_normalisation_an_image_does_not_depend_on_its_batch(network: type[Conv | Resnet]) -> None:
    encoder = network(width=4, most=16, normalization="group").encoder(Image(1, 16, 16), FEATURES).train()
    images = torch.rand(4, 1, 16, 16)
    torch.testing.assert_close(encoder(images)[:2], encoder(images[:2]), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("mlp", {"hidden": [400, 0]}, "hidden[1] must be at least 1, got 0."),
        ("conv", {"width": 0}, "width must be at least 1, got 0."),
        ("conv", {"width": 32, "most": 8}, "most must be at least 32, got 8."),
        ("resnet", {"width": -1}, "width must be at least 1, got -1."),
        ("resnet", {"blocks": 0}, "blocks must be at least 1, got 0."),
        ("resnet", {"width": 32, "most": 8}, "most must be at least 32, got 8."),
        ("resnet-gan", {"width": 64, "most": 8}, "most must be at least 64, got 8."),
        ("dcgan", {"encoder_width": 0}, "encoder_width must be at least 1, got 0."),
    ],
)
def test_a_setting_out_of_range_is_refused(name: str, settings: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        build("network", name, NETWORKS, {"class": name, **settings})
    assert str(caught.value) == f"network {name!r}: {message}"


@pytest.mark.parametrize(
    "kind",
    [Image(1, 30, 30), Image(3, 9, 13), Image(1, 4, 4), Image(1, 20, 28), Image(1, 1, 2), Image(3, 48, 48)],
    ids=label,
)
def test_dcgan_refuses_images_that_do_not_halve_to_4_or_7(kind: Image) -> None:
    message = f"which is not possible with {kind.height}x{kind.width}. Choose a size such as 16, 28"
    for part in (lambda: Dcgan().encoder(kind, 1), lambda: Dcgan().decoder(100, kind)):
        with pytest.raises(ValueError, match=message):
            part()


@pytest.mark.parametrize("network", [Conv(), Resnet(), Dcgan()])
def test_a_convolutional_network_is_refused_for_points(network: Conv | Resnet | Dcgan) -> None:
    for build_part in (network.encoder, network.decoder):
        with pytest.raises(ConfigError) as caught:
            fit("network 'mine'", build_part, {"kind": Points(2)}, "ring")
        assert str(caught.value) == "network 'mine' takes images, and data 'ring' holds points (2 numbers each)."


def test_an_mlp_takes_images_and_points() -> None:
    for kind in (Image(1, 2, 2), Points(2)):
        assert fit("network 'mlp'", Mlp(hidden=[]).encoder, {"kind": kind}, "mine") == {"kind": kind}


def test_dcgan_has_the_sizes_and_the_initial_weights_of_the_paper() -> None:
    torch.manual_seed(0)
    kind = Image(3, 32, 32)
    generator, discriminator = Dcgan().decoder(100, kind), Dcgan().encoder(kind, 1)
    doubling = [layer for layer in generator if isinstance(layer, nn.ConvTranspose2d)]
    assert [layer.in_channels for layer in doubling] == [512, 256, 128]
    halving = [layer for layer in discriminator if isinstance(layer, nn.Conv2d)]
    assert [layer.out_channels for layer in halving] == [128, 256, 512]
    assert all(layer.kernel_size == (4, 4) and layer.stride == (2, 2) for layer in doubling + halving)
    # A dense layer of 100 x 4 x 4 x 512, three transposed convolutions, three norms with scale and shift, one bias.
    assert count(generator) == 100 * 8192 + 16 * (512 * 256 + 256 * 128 + 128 * 3) + 2 * (512 + 256 + 128) + 3
    assert sum(isinstance(layer, nn.BatchNorm2d) for layer in discriminator) == 2
    for layer in [*doubling, *halving]:
        assert float(layer.weight.detach().mean()) == pytest.approx(0, abs=2e-3)
        assert float(layer.weight.detach().std()) == pytest.approx(0.02, rel=0.05)


def test_with_nearest_upsampling_the_last_feature_maps_have_the_size_of_the_image() -> None:
    decoder = Dcgan(width=64, most=128, upsampling="nearest").decoder(100, Image(1, 28, 28))
    convolutions = [layer for layer in decoder if isinstance(layer, nn.Conv2d)]
    assert [(layer.in_channels, layer.out_channels) for layer in convolutions] == [(128, 128), (128, 64), (64, 1)]
    assert all(layer.kernel_size == (3, 3) for layer in convolutions)
    sides = list[tuple[int, ...]]()
    for layer in convolutions:
        layer.register_forward_hook(lambda _, __, images: sides.append(tuple(images.shape[2:])))
    decoder(torch.randn(2, 100))
    assert sides == [(14, 14), (28, 28), (28, 28)]


def test_the_encoder_of_dcgan_can_have_a_width_of_its_own() -> None:
    network = Dcgan(width=8, most=32, encoder_width=4)
    assert [layer.out_channels for layer in network.encoder(Image(1, 28, 28), 1) if isinstance(layer, nn.Conv2d)] == [
        4,
        8,
    ]
    assert [
        layer.in_channels for layer in network.decoder(3, Image(1, 28, 28)) if isinstance(layer, nn.ConvTranspose2d)
    ] == [16, 8]
