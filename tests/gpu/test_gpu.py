"""What a GPU does to a run: half precision, compiled turns, and the same exactness."""

import json
from pathlib import Path

import pytest
import torch

from genlab.config.compose import choices
from genlab.training.journal import read
from tests.fixtures.program import assert_resumed_exactly, genlab

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")]
SMALL = ["data=fashion-mini", "trainer=smoke", "device=cuda"]


@pytest.mark.parametrize("model", choices("model"))
def test_every_recipe_trains_in_bfloat16_and_compiled(tmp_path: Path, model: str) -> None:
    done = genlab(tmp_path, "train", f"model={model}", *SMALL, "run=mine")
    assert done.returncode == 0, done.stderr
    assert "bfloat16, compiled: yes" in done.stdout
    losses = [value for line in read(tmp_path / "mine") for name, value in line.items() if name.endswith("loss")]
    assert losses
    assert all(loss is not None for loss in losses)


@pytest.mark.parametrize("model", ["dcgan", "wgan-gp", "cgan", "vae"])
def test_two_runs_of_five_steps_equal_one_of_ten(tmp_path: Path, model: str) -> None:
    average = "trainer.average=0.9"
    assert_resumed_exactly(tmp_path, f"model={model}", *SMALL, "trainer.compile=false", average)


def test_what_a_gpu_measures_is_what_a_cpu_measures(tmp_path: Path) -> None:
    assert genlab(tmp_path, "train", "model=vae", *SMALL, "run=mine").returncode == 0
    few = ["--count", "300", "--images", "300", "--draws", "1", "--features", "random"]
    found = []
    for device in ("cpu", "cuda"):
        done = genlab(tmp_path, "evaluate", "mine", "--device", device, *few)
        assert done.returncode == 0, done.stderr
        record = json.loads((tmp_path / "mine/evaluation.json").read_text())
        found.append({name: figure["mean"] for name, figure in record["last"]["figures"].items()})
    assert found[1] == pytest.approx(found[0], rel=0.02, abs=0.02)
