"""The residual networks of SNGAN: shapes of any size, the papers' layout, and conditional batch normalisation."""

import pytest
import torch
from torch import Tensor, nn

from genlab.kinds import Image
from genlab.networks.condition import ClassNorm, decoder_with_class, with_class
from genlab.networks.mlp import Mlp
from genlab.networks.network import TakesClasses
from genlab.networks.resnet_gan import Growing, ResnetGan, Shrinking, Sum
from genlab.training.shared_norm import SharedNorm, share_norms


def told(labels: Tensor, classes: int) -> Tensor:
    return torch.nn.functional.one_hot(labels, classes).float()


def test_a_conditional_norm_is_a_scale_and_a_shift_of_each_class() -> None:
    torch.manual_seed(0)
    norm, images, labels = ClassNorm(3, 4), 2 + 3 * torch.randn(8, 3, 5, 5), torch.tensor([0, 3, 3, 1, 2, 0, 1, 3])
    nn.init.normal_(norm.scale.weight)
    nn.init.normal_(norm.shift.weight)
    found = norm(images, told(labels, 4))
    mean, variance = images.mean((0, 2, 3)), images.var((0, 2, 3), correction=0)
    for place, label in enumerate(labels.tolist()):
        for channel in range(3):
            normal = (images[place, channel] - mean[channel]) / (variance[channel] + 1e-5).sqrt()
            expected = normal * norm.scale.weight[label, channel] + norm.shift.weight[label, channel]
            torch.testing.assert_close(found[place, channel], expected)


def test_a_conditional_norm_uses_its_running_statistics_in_evaluation() -> None:
    norm, images = ClassNorm(3, 2), torch.randn(8, 3, 5, 5)
    norm(images, told(torch.tensor([0, 1] * 4), 2))
    norm.eval()
    one = norm(images[:1], told(torch.tensor([1]), 2))
    torch.testing.assert_close(norm(images, told(torch.ones(8, dtype=torch.long), 2))[:1], one)


def test_without_classes_it_is_the_batch_normalisation_of_torch() -> None:
    images = 2 + torch.randn(8, 3, 5, 5)
    torch.testing.assert_close(ClassNorm(3, 0)(images, torch.empty(8, 0)), nn.BatchNorm2d(3)(images))


def test_several_processes_share_conditional_norms_under_the_same_names() -> None:
    decoder = ResnetGan(width=4, most=8).class_decoder(3, Image(1, 16, 16), 2)
    names = list(decoder.state_dict())
    share_norms(decoder, torch.device("cpu"))
    assert list(decoder.state_dict()) == names
    norms = [part for part in decoder.modules() if isinstance(part, nn.modules.batchnorm._BatchNorm)]
    assert norms
    assert all(isinstance(part, SharedNorm) for part in norms)


@pytest.mark.parametrize("side", [16, 20, 28, 32, 45, 64, 128])
def test_images_of_any_size_are_generated_and_scored(side: int) -> None:
    network, kind = ResnetGan(width=4, most=8, attention=16), Image(3, side, side)
    images = network.class_decoder(5, kind, 2)(torch.randn(2, 7))
    assert images.shape == (2, *kind.shape)
    assert network.encoder(kind, 1)(images).shape == (2, 1)


def test_the_networks_have_the_blocks_and_widths_of_the_paper_for_128_pixels() -> None:
    network, kind = ResnetGan(width=64, most=1024), Image(3, 128, 128)
    with torch.device("meta"):
        generator, discriminator = network.decoder(128, kind), network.encoder(kind, 1)
    growing = [part for part in generator.modules() if isinstance(part, Growing)]
    assert [block.first.in_channels for block in growing] == [1024, 1024, 512, 256, 128]
    assert [block.first.out_channels for block in growing] == [1024, 512, 256, 128, 64]
    shrinking = [part for part in discriminator.modules() if isinstance(part, Shrinking)]
    assert [block.first.out_channels for block in shrinking] == [64, 128, 256, 512, 1024, 1024]
    assert [block.halves for block in shrinking] == [True] * 5 + [False]
    assert not any(isinstance(part, nn.modules.batchnorm._BatchNorm) for part in discriminator.modules())


def test_blocks_compute_what_the_paper_says() -> None:
    torch.manual_seed(0)
    images, none = torch.randn(3, 4, 6, 6), torch.empty(3, 0)
    grow = Growing(4, 5, (12, 12), 0)
    doubled = nn.Upsample(scale_factor=2)
    inner = nn.Conv2d.forward(
        grow.first,
        doubled(torch.relu(grow.norm_first(images, none))),
    )
    inner = grow.second(torch.relu(grow.norm_second(inner, none)))
    torch.testing.assert_close(grow(images, none), inner + grow.skip(doubled(images)), rtol=1e-4, atol=1e-5)
    shrink, pool = Shrinking(4, 5, first=False, halves=True), nn.AvgPool2d(2)
    inner = nn.Conv2d.forward(shrink.second, torch.relu(shrink.first(torch.relu(images))))
    torch.testing.assert_close(shrink(images), pool(inner) + pool(shrink.skip(images)), rtol=1e-4, atol=1e-5)


def test_the_score_is_a_layer_of_sums_over_pixels() -> None:
    images = torch.randn(2, 3, 4, 5)
    torch.testing.assert_close(Sum()(images), images.flatten(2).sum(2))


def test_only_a_network_that_takes_classes_builds_another_decoder_for_them() -> None:
    network, kind, labels = ResnetGan(width=4, most=8), Image(1, 8, 8), torch.tensor([0, 1, 2])
    assert isinstance(network, TakesClasses)
    codes = with_class(torch.zeros(3, 5), labels, 3)
    decoder = decoder_with_class(network, 5, kind, 3).eval()
    assert any(isinstance(part, ClassNorm) and hasattr(part, "scale") for part in decoder.modules())
    # The same noise: only the norms tell the classes apart.
    images = decoder(codes)
    assert not torch.allclose(images[0], images[1])
    plain = decoder_with_class(Mlp(hidden=[4]), 5, kind, 3)
    assert plain(codes).shape == (3, *kind.shape)
    assert isinstance(plain, nn.Sequential)
