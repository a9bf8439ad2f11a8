"""Recipes of GANs learn in a short training."""

import math
from pathlib import Path

import pytest
import torch

from genlab import build
from genlab.config import compose
from genlab.models.gan import GAN


@pytest.mark.slow
@pytest.mark.parametrize("recipe", ["lsgan", "acgan", "sngan", "sagan"])
def test_each_recipe_learns_the_mean_and_the_spread_of_digits(recipe: str, tmp_path: Path) -> None:
    """A short training moves the mean and the spread of the samples' pixels most of the way to those of the data."""
    small = ["width=16", "most=16"]
    settings = [f"model.network.{setting}" for setting in small]
    often = [f"trainer.{every}_every=100000" for every in ("validate", "checkpoint", "log")]
    rates = [f"model.optimizers.{player}.lr=1e-3" for player in ("discriminator", "generator")]
    rates += ["model.optimizers.generator.ema=0.9", "trainer.batch_size=32", "trainer.epochs=null", "device=cpu"]
    config = compose.compose([f"model={recipe}", "data=digits", "trainer.steps=150", *settings, *often, *rates])
    dataset = build.build_data(config)
    trainer = build.build_trainer(config, dataset)
    real = dataset.columns["x"].rows.float().div(255)

    def distance() -> float:
        with trainer.validation.looking():
            assert isinstance(trainer.model, GAN)
            samples = trainer.model.sample(300, generator=torch.Generator().manual_seed(0))
        return math.hypot(
            float((samples.mean(0) - real.mean(0)).norm() / real.mean(0).norm()),
            float((samples.std(0) - real.std(0)).norm() / real.std(0).norm()),
        )

    before = distance()
    trainer.fit(tmp_path)
    assert distance() < before / 2
