"""Every recipe through the whole program: a run that goes on equals one that was never interrupted."""

from pathlib import Path

import pytest

from genlab.config.compose import choices
from tests.fixtures.program import assert_resumed_exactly

ARCHITECTURES = [name for name in choices("model/network") if not name.endswith("-small")]
ENLARGING = ["srgan", "srresnet"]
RECIPES = [
    (model, network, "seed=0") for model in choices("model") if model not in ENLARGING for network in ARCHITECTURES
]
RECIPES += [("vae", "conv", f"data.{change}") for change in ("flip=true", "shift=1", "zoom=0.8", "jitter=0.2")]
RECIPES += [("ae", "mlp", "data.keep_last=true")]
SHORT = [
    "data=digits",
    "trainer=smoke",
    "trainer.average=0.9",
    "trainer.validate_every=4",
    "trainer.checkpoint_every=3",
]
SHORT += ["device=cpu"]


@pytest.mark.parametrize(("model", "network", "setting"), RECIPES)
def test_two_runs_of_five_steps_equal_one_of_ten(tmp_path: Path, model: str, network: str, setting: str) -> None:
    assert_resumed_exactly(tmp_path, f"model={model}", f"model/network={network}", setting, *SHORT)


@pytest.mark.parametrize("settings", [
    ["model=srresnet", "model.quality=50", "model.noise=0.1", "model.blur=1"],
    # Stopped after five of ten steps, it is resumed before the critic comes, and behind it.
    ["model=srgan", "model.features=pixels", "model.pixel_steps=7"],
    ["model=srgan", "model.features=pixels", "model.pixel_steps=3"],
])  # fmt: skip
def test_an_enlarger_goes_on_as_it_would_have(tmp_path: Path, settings: list[str]) -> None:
    small = ["model.blocks=1", "model.width=8", "model.critic_width=4", "model.scale=2"]
    assert_resumed_exactly(tmp_path, *settings, *small, *SHORT)
