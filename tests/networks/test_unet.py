"""The U-Net and the patch discriminator: sizes, and what an output sees."""

import pytest
import torch

from genlab.kinds import Image
from genlab.networks.patch import PatchDiscriminator
from genlab.networks.translator import Translator
from genlab.networks.unet import UNet, depth_of
from genlab.registry import ConfigError


@pytest.mark.parametrize(
    ("height", "width", "depth"),
    [(8, 8, 2), (16, 16, 3), (28, 28, 4), (30, 45, 4), (32, 32, 4), (64, 96, 5), (128, 128, 6), (256, 256, 7)],
)
def test_the_result_of_a_unet_has_the_size_of_its_input(height: int, width: int, depth: int) -> None:
    kind = Image(1, height, width)
    assert depth_of(kind) == depth
    network = UNet(kind, Image(3, height, width), 2, 4).eval()
    with torch.no_grad():
        assert network(torch.rand(2, 1, height, width)).shape == (2, 3, height, width)
    assert len(network.down) == depth


@pytest.mark.parametrize("side", [28, 32])
def test_every_pixel_of_a_result_depends_on_the_opposite_corner(side: int) -> None:
    torch.manual_seed(0)
    network = UNet(Image(1, side, side), Image(1, side, side), 4, 8, norm="none").eval()
    images = torch.rand(1, 1, side, side, requires_grad=True)
    network(images)[0, 0, 0, 0].backward()
    assert images.grad is not None
    assert images.grad[0, 0, -4:, -4:].any()


@pytest.mark.parametrize(("depth", "most"), [(5, 4), (0, 4)])
def test_a_depth_that_does_not_fit_is_refused_with_the_largest(depth: int, most: int) -> None:
    with pytest.raises(ConfigError, match=f"depth must be between 1 and {most}.*32 x 32.*got {depth}"):
        depth_of(Image(3, 32, 32), depth)
    with pytest.raises(ConfigError, match="at least 8 x 8 pixels, got 6 x 20"):
        depth_of(Image(3, 6, 20))


@pytest.mark.parametrize("patch", [16, 34, 70])
def test_a_score_sees_a_patch_of_the_stated_size(patch: int) -> None:
    network = PatchDiscriminator(Image(1, 128, 128), 2, patch, "none")  # type: ignore[arg-type]
    images = torch.rand(1, 1, 128, 128, requires_grad=True)
    scores = network(images)
    middle = scores.shape[2] // 2
    scores[0, 0, middle, middle].backward()
    assert images.grad is not None
    seen = images.grad[0, 0].ne(0)
    assert int(seen.any(0).sum()) == int(seen.any(1).sum()) == patch


def test_a_patch_larger_than_the_image_allows_is_refused_with_those_that_fit() -> None:
    with pytest.raises(ConfigError, match=r"patch 70 needs images of at least 24 x 24.*Set model.patch to 16 or 34"):
        PatchDiscriminator(Image(1, 16, 16), 2, 70, "none")
    assert PatchDiscriminator(Image(1, 24, 24), 2, 70, "none")(torch.rand(1, 1, 24, 24)).shape == (1, 1, 1, 1)


def test_a_translator_begins_near_its_input_if_that_is_its_base() -> None:
    torch.manual_seed(0)
    images = torch.rand(2, 3, 28, 32) * 2 - 1
    network = Translator(Image(3, 28, 32), 4, 1, "instance", "input")
    assert 0 < (network(images) - images).abs().mean() < 0.05
    assert (Translator(Image(3, 28, 32), 4, 1, "instance", "none")(images) - images).abs().mean() > 0.2
    with pytest.raises(ConfigError, match=r"multiples of 4 from 8 on; got 30 x 30. Set data.size=28"):
        Translator(Image(3, 30, 30), 4, 1, "instance", "input")
