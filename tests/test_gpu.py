"""What a GPU does to a run: half precision, compiled turns, and the same exactness."""

from pathlib import Path

import pytest
import torch

from genlab.config import choices
from genlab.training import checkpoint
from genlab.training.journal import read
from tests.program import genlab

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
    recipe = [f"model={model}", *SMALL, "trainer.compile=false"]
    for run, steps in (("one", 10), ("two", 5)):
        done = genlab(tmp_path, "train", *recipe, f"trainer.steps={steps}", f"run={run}")
        assert done.returncode == 0, done.stderr
    assert genlab(tmp_path, "resume", "two", "trainer.steps=10").returncode == 0
    ours, theirs = (checkpoint.newest(tmp_path / run / "checkpoints") for run in ("one", "two"))
    assert ours
    assert theirs
    assert [name for name, value in ours.tensors.items() if not torch.equal(value, theirs.tensors[name])] == []
