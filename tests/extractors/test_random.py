"""The random network: the same weights everywhere, the layers of torch, and distances that grow with damage."""

import numpy as np
import pytest
import scipy.linalg
import torch
from torch import Tensor, nn
from torch.nn import functional

from genlab.data.sources.built_in import fashion_mini
from genlab.extractors.random import STAGES, drawn, outputs, random, summary
from genlab.kinds import Image
from genlab.networks.extractor import digest_of


def test_the_weights_are_the_same_on_every_machine() -> None:
    grey, colour = drawn(1), drawn(3)
    assert digest_of((str(depth), stage) for depth, stage in enumerate(grey)) == "93a2d431b439cfaa"
    assert [tuple(stage.shape) for stage in colour] == [(16, 3, 3, 3), (32, 16, 3, 3), (48, 32, 3, 3)]
    # He et al. 2015: the variance keeps the scale of rectified layers.
    for stage in colour:
        assert float(stage.std()) == pytest.approx((2 / stage[0].numel()) ** 0.5, rel=0.1)


def test_the_network_equals_layers_of_torch() -> None:
    images, weights = torch.rand(4, 3, 12, 8), drawn(3)
    layer, expected = 2 * images - 1, []
    for (width, stride), stage in zip(STAGES, weights, strict=True):
        convolution = nn.Conv2d(stage.shape[1], width, 3, stride, 1, bias=False, padding_mode="replicate")
        convolution.weight = nn.Parameter(stage, requires_grad=False)
        layer = convolution(layer).clamp(min=0)
        height, across = (-(-side // 2) for side in layer.shape[2:])
        quarters = [
            part.mean((2, 3))
            for down in (layer[:, :, :height], layer[:, :, -height:])
            for part in (down[..., :across], down[..., -across:])
        ]
        std = (layer - layer.mean((2, 3), keepdim=True)).square().mean((2, 3)).sqrt()
        expected += [torch.stack(quarters, 2).flatten(1), std]
    assert torch.allclose(summary(outputs(images, weights)), torch.cat(expected, 1), atol=1e-5)
    extractor = random(x=Image(3, 12, 8))
    assert torch.equal(extractor.vector(images), summary(outputs(images, weights)))
    assert [tuple(each.shape[1:]) for each in extractor.maps(images)] == [(16, 12, 8), (32, 6, 4), (48, 3, 2)]


@pytest.mark.parametrize("size", [(1, 2, 2), (3, 9, 13), (4, 40, 64), (3, 300, 300)], ids=str)
def test_images_of_every_size_have_vectors(size: tuple[int, int, int]) -> None:
    rows = random(x=Image(*size)).vector(torch.rand(7, *size))
    assert rows.shape == (7, 480)
    assert bool(rows.isfinite().all())


def frechet(first: Tensor, second: Tensor) -> float:
    """Return the Frechet distance of the Gaussians that fit two sets of rows."""
    rows = [these.double().numpy() for these in (first, second)]
    gap = rows[0].mean(0) - rows[1].mean(0)
    covariances = [np.cov(these, rowvar=False) for these in rows]
    values, vectors = scipy.linalg.eigh(covariances[0])
    root = (vectors * np.sqrt(values.clip(0))) @ vectors.T
    between = np.sqrt(scipy.linalg.eigvalsh(root @ covariances[1] @ root).clip(0)).sum()
    return float(gap @ gap + np.trace(covariances[0]) + np.trace(covariances[1]) - 2 * between)


def test_more_damage_gives_a_larger_distance_to_real_images() -> None:
    data = fashion_mini(validation=1000)
    assert data.labels is not None
    rows = data.splits["train"][:1600]
    images, labels = data.columns["x"].rows[rows] / 255, data.labels[rows]
    vector = random(x=Image(1, 28, 28)).vector
    (real, other), rest = vector(images).chunk(2), images[800:]
    noise = torch.randn(rest.shape, generator=torch.Generator().manual_seed(0))
    noisy = [frechet(real, vector((rest + much * noise).clamp(0, 1))) for much in (0.05, 0.1, 0.3)]
    blurred = [frechet(real, vector(_blurred(rest, side))) for side in (3, 5)]
    baseline = frechet(real, other)
    # Measured 2.4, 6.5, 52 and 13, 32 times the baseline.
    assert 1.5 * baseline < noisy[0] < noisy[1] / 2 < noisy[2] / 4
    assert 5 * baseline < blurred[0] < blurred[1] / 2
    # Without sandals, sneakers and boots 20 times.
    shoes = torch.isin(labels[800:], torch.tensor([5, 7, 9]))
    assert frechet(real, vector(rest)[~shoes]) > 5 * baseline


def _blurred(images: Tensor, side: int) -> Tensor:
    return functional.avg_pool2d(functional.pad(images, [side // 2] * 4, mode="replicate"), side, 1)
