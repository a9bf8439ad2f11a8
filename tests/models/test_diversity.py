"""Diversity of a GAN's samples, and what a GAN measures in validation."""

import itertools

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from genlab.models.gan import GAN, diversity
from genlab.networks.mlp import Mlp
from tests.fixtures.tiny import TINY, batch


def mean_distance(images: Tensor) -> float:
    """Compute the mean distance of all pairs, one pair after the other."""
    pairs = list(itertools.combinations(images.flatten(1).double(), 2))
    return sum(float((first - second).norm()) for first, second in pairs) / len(pairs)


def test_diversity_is_the_mean_distance_of_samples_over_that_of_real_images() -> None:
    samples, real = torch.rand(9, 2, 3, 4), 2 * torch.rand(9, 2, 3, 4)
    assert float(diversity(samples, real)) == pytest.approx(mean_distance(samples) / mean_distance(real), rel=1e-5)


def test_diversity_is_1_for_the_same_images_and_0_for_one_repeated_image() -> None:
    images = torch.rand(30, 1, 8, 8)
    assert float(diversity(images.flip(0), images)) == pytest.approx(1, rel=1e-5)
    assert float(diversity(images[:1].expand(30, -1, -1, -1), images)) == pytest.approx(0, abs=1e-3)


def test_with_labels_diversity_compares_images_of_one_class() -> None:
    labels = torch.arange(12) % 3
    real, noise = torch.rand(12, 1, 4, 4), torch.rand(12, 1, 4, 4)
    # A generator that makes one image per class, whatever the noise.
    one_each = noise[labels]
    assert float(diversity(one_each, real)) > 0.5
    assert float(diversity(one_each, real, labels)) == pytest.approx(0, abs=1e-3)
    within = [
        sum(float((a - b).norm()) for k in range(3) for a, b in itertools.combinations(these[labels == k].double(), 2))
        for these in (noise, real)
    ]
    assert float(diversity(noise, real, labels)) == pytest.approx(within[0] / within[1], rel=1e-5)
    # If no class occurs twice, all pairs count.
    assert float(diversity(noise, real, torch.arange(12))) == pytest.approx(float(diversity(noise, real)), rel=1e-5)


def test_diversity_of_equal_real_images_is_finite_and_a_single_image_has_none() -> None:
    one = torch.rand(1, 1, 8, 8)
    assert diversity(torch.rand(3, 1, 8, 8), one.expand(3, -1, -1, -1)).isfinite()
    model = GAN(x=TINY, network=Mlp(hidden=[3]), latent_dim=2).eval()
    assert "diversity" in model.validate(batch(count=2)).shown
    assert "diversity" not in model.validate(batch(count=1)).shown


def test_validation_measures_the_diversity_and_the_discriminators_loss_without_penalties_and_noise() -> None:
    model = GAN(x=TINY, network=Mlp(hidden=[3]), latent_dim=2, penalty=9.0, r1=9.0, instance_noise=0.5).eval()
    images = batch()["x"]
    torch.manual_seed(3)
    result = model.validate({"x": images})
    torch.manual_seed(3)
    samples = model.sample(len(images))
    # The discriminator sees images in [-1, 1].
    real, generated = (model.discriminator(2 * these - 1, None) for these in (images, samples))
    expected = functional.softplus(-real).mean() + functional.softplus(generated).mean()
    torch.testing.assert_close(result.loss, expected)
    torch.testing.assert_close(result.shown["diversity"], diversity(samples, images))
    assert float(result.shown["real_accuracy"]) == sum(score > 0 for score in real.tolist()) / len(images)
