"""Runs on a GPU: bfloat16, compiled turns, and the same exactness as on a CPU."""

import json
from pathlib import Path

import pytest
import torch

from genlab.config.compose import choices
from genlab.training.journal import read
from tests.fixtures.program import assert_resumed_exactly, genlab

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")]
SMALL = ["data=fashion-mini", "trainer=smoke", "device=cuda"]
# The weights of VGG19 are a download of 548 MB. The second of the two steps is one against the discriminator.
LIGHT = {"srgan": ["model/features=pixels", "model.pixel_steps=1"]}


@pytest.mark.parametrize("model", choices("model"))
def test_every_recipe_trains_in_bfloat16_and_compiled(tmp_path: Path, model: str) -> None:
    done = genlab(tmp_path, "train", f"model={model}", *LIGHT.get(model, []), *SMALL, "run=mine")
    assert done.returncode == 0, done.stderr
    assert "bfloat16, compiled: yes" in done.stdout
    losses = [value for line in read(tmp_path / "mine") for name, value in line.items() if name.endswith("loss")]
    assert losses
    assert all(loss is not None for loss in losses)


@pytest.mark.parametrize(
    ("model", "player", "settings"),
    [
        ("dcgan", "generator", []),
        ("wgan-gp", "generator", []),
        ("cgan", "generator", []),
        ("vae", "model", []),
        ("vq-vae", "prior", ["model.code_steps=3"]),
        ("vae-gan", "autoencoder", []),
    ],
)
def test_two_runs_of_five_steps_equal_one_of_ten(tmp_path: Path, model: str, player: str, settings: list[str]) -> None:
    ema = f"model.optimizers.{player}.ema=0.9"
    assert_resumed_exactly(tmp_path, f"model={model}", *SMALL, "trainer.compile=false", ema, *settings)


def test_metrics_on_a_gpu_equal_those_on_a_cpu(tmp_path: Path) -> None:
    assert genlab(tmp_path, "train", "model=vae", *SMALL, "run=mine").returncode == 0
    few = ["--count", "300", "--images", "300", "--draws", "1", "--features", "random"]
    found = []
    for device in ("cpu", "cuda"):
        done = genlab(tmp_path, "evaluate", "mine", "--device", device, *few)
        assert done.returncode == 0, done.stderr
        record = json.loads((tmp_path / "mine/evaluation.json").read_text())
        found.append({name: metric["mean"] for name, metric in record["last"]["metrics"].items()})
    assert found[1] == pytest.approx(found[0], rel=0.02, abs=0.02)
