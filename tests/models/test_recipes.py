"""Every recipe through the whole program: a run that is resumed equals one that was never interrupted."""

from pathlib import Path

import pytest

from genlab.config.compose import choices, compose
from tests.fixtures.program import assert_resumed_exactly

UPSCALERS = ["srgan", "srresnet"]
# The length of a training decides its phases, and test_vqvae.py resumes it.
PHASED = ["vq-vae"]
# Recipes that differ from another one in numbers only.
ALIKE = {"beta-vae", "tc-vae", "denoising-ae", "sparse-ae", "rae", "dcgan", "wgan", "lsgan", "sngan"}
# The usual patches are larger than digits.
SETTINGS = dict.fromkeys(("pix2pix", "cyclegan"), "model.patch=16")
RECIPES = [
    pytest.param(name, "", SETTINGS.get(name, "seed=0"), marks=[pytest.mark.slow] if name in ALIKE else [])
    for name in choices("model")
    if name not in UPSCALERS + PHASED
]
# The other networks, each with an autoencoder and with a GAN.
RECIPES += [pytest.param("vae", name, "seed=0") for name in ("conv", "resnet", "dcgan", "mlp-deep")]
RECIPES += [pytest.param("gan", name, "seed=0") for name in ("conv", "resnet")]
RECIPES += [
    pytest.param("vae", "conv", f"data.{change}") for change in ("flip=true", "shift=1", "zoom=0.8", "jitter=0.2")
]
RECIPES += [pytest.param("ae", "mlp", "data.keep_last=true")]
SHORT = ["data=digits", "trainer=smoke", "trainer.validate_every=4", "trainer.checkpoint_every=3", "device=cpu"]


def averaged(*arguments: str) -> list[str]:
    """Return settings that average the weights of every player, at a learning rate that no length changes."""
    players = compose(arguments).optimizers
    settings = {"ema": "0.9", "schedule": "constant"}
    return [f"model.optimizers.{player}.{key}={value}" for player in players for key, value in settings.items()]


@pytest.mark.parametrize(("model", "network", "setting"), RECIPES)
def test_two_runs_of_five_steps_equal_one_of_ten(tmp_path: Path, model: str, network: str, setting: str) -> None:
    chosen = [f"model={model}", *([f"model/network={network}"] if network else [])]
    assert_resumed_exactly(tmp_path, *chosen, setting, *averaged(*chosen), *SHORT)


@pytest.mark.parametrize("settings", [
    ["model=srresnet", "model.quality=50", "model.noise=0.1", "model.blur=1"],
    # The run is stopped after five steps: before the discriminator starts, and after it has started.
    ["model=srgan", "model/features=pixels", "model.discriminator_width=4", "model.pixel_steps=7"],
    ["model=srgan", "model/features=pixels", "model.discriminator_width=4", "model.pixel_steps=3"],
])  # fmt: skip
def test_two_runs_of_an_upscaler_equal_one(tmp_path: Path, settings: list[str]) -> None:
    small = ["model.blocks=1", "model.width=8", "model.scale=2"]
    assert_resumed_exactly(tmp_path, *settings, *averaged(*settings), *small, *SHORT)
