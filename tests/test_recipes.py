"""Every recipe through the whole program: a run that goes on equals one that was never interrupted."""

from pathlib import Path

import pytest

from genlab.config import choices
from tests.program import assert_resumed_exactly

ARCHITECTURES = [name for name in choices("model/network") if not name.endswith("-small")]
RECIPES = [(model, network, "seed=0") for model in choices("model") for network in ARCHITECTURES]
RECIPES += [("vae", "conv", f"data.{change}") for change in ("flip=true", "shift=1", "zoom=0.8", "jitter=0.2")]
RECIPES += [("ae", "mlp", "data.keep_last=true")]


@pytest.mark.parametrize(("model", "network", "setting"), RECIPES)
def test_two_runs_of_five_steps_equal_one_of_ten(tmp_path: Path, model: str, network: str, setting: str) -> None:
    recipe = [
        f"model={model}",
        f"model/network={network}",
        setting,
        "data=digits",
        "trainer=smoke",
        "trainer.average=0.9",
    ]
    recipe += ["trainer.validate_every=4", "trainer.checkpoint_every=3", "device=cpu"]
    assert_resumed_exactly(tmp_path, *recipe)
