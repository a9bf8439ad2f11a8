"""Runs on a GPU: bfloat16, compiled turns, and the same exactness as on a CPU."""

import json
from pathlib import Path

import pytest
import torch

from genlab.config.compose import choices
from genlab.data import residence
from genlab.data.batches import Table
from genlab.training.journal import read
from genlab.training.players import Player
from genlab.training.settings import PlayerSettings
from tests.data.test_residence import images_in
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


@pytest.mark.parametrize("place", ["host", "disk"])
def test_batches_that_are_copied_beside_the_computation_are_complete(
    tmp_path: Path, place: residence.Residence
) -> None:
    images = images_in(tmp_path, 20_000)
    resident, streamed = (
        Table(images, "train", 32, seed=3, device="cuda", residence=where) for where in ("device", place)
    )
    busy = torch.rand(2048, 2048, device="cuda")
    same = []
    for number in range(200):
        one, other = resident.batch(number), streamed.batch(number)
        # The GPU is busy while later batches arrive, and a batch is still read when its name is free.
        busy = (busy @ busy).clamp(0, 1)
        same.append((one["x"] == other["x"]).all() & (one["label"] == other["label"]).all())
    same += [(one["x"] == other["x"]).all() for one, other in zip(resident.once(), streamed.once(), strict=True)]
    assert bool(torch.stack(same).all())


@pytest.mark.parametrize(
    ("model", "settings"),
    [
        ("vae", []),
        ("dcgan", ["model.r1=1", "model.discriminator_normalization=none"]),
        ("wgan-gp", []),
        ("wgan", []),
        ("vq-vae", []),
    ],
)
@pytest.mark.parametrize("compiled", [False, True])
def test_recorded_moves_give_what_eager_ones_give(
    tmp_path: Path, model: str, settings: list[str], compiled: bool
) -> None:
    losses = []
    for graphs in (False, True):
        speed = [f"trainer.cuda_graphs={graphs}", f"trainer.compile={compiled}", "trainer.steps=8"]
        name = f"run-{graphs}"
        done = genlab(tmp_path, "train", f"model={model}", *settings, *SMALL, *speed, f"run={name}")
        assert done.returncode == 0, done.stderr
        assert "cannot be recorded" not in done.stdout
        assert ("CUDA graphs" in done.stdout) is graphs
        losses.append([value for line in read(tmp_path / name) for key, value in line.items() if key.endswith("loss")])
    assert losses[1] == pytest.approx(losses[0], rel=1e-3)


@pytest.mark.parametrize("optimizer", ["rmsprop", "sgd"])
def test_a_step_that_is_not_finite_changes_nothing(optimizer: str) -> None:
    settings = PlayerSettings(optimizer=optimizer, momentum=0.9, weight_decay=0.1)  # type: ignore[arg-type]
    weight = torch.nn.Parameter(torch.ones(5, device="cuda"))
    player = Player({"weight": weight}, settings, 10)
    for factor in (1.0, torch.nan, 1.0):
        before = {"weight": weight.detach().clone(), **{name: value.clone() for name, value in player.state().items()}}
        _, finite = player.move((weight.square() * factor).sum(), 0)
        after = {"weight": weight.detach(), **player.state()}
        unchanged = all(torch.equal(value, after[name]) for name, value in before.items())
        assert bool(finite) is not unchanged
