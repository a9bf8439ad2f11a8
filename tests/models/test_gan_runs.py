"""Runs of a GAN: the moving average of its generator, and resuming after a stop or a kill."""

import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from torch import Tensor

from genlab import build
from genlab.config import compose
from genlab.contract import Turn
from genlab.models.gan import GAN
from genlab.training import checkpoint
from genlab.training.trainer import Trainer
from tests.fixtures.program import assert_same_end, genlab

TINY_DCGAN = ["model=dcgan", "data=digits", "model.network.width=4", "model.network.most=8", "device=cpu"]
OFTEN = ["trainer.epochs=null", "trainer.batch_size=16", "trainer.validate_every=4", "trainer.checkpoint_every=3"]


def trainer(*settings: str, steps: int = 8) -> Trainer:
    config = compose.compose([*TINY_DCGAN, *OFTEN, f"trainer.steps={steps}", *settings])
    return build.build_trainer(config, build.build_data(config))


def state(folder: Path) -> dict[str, Tensor]:
    found = checkpoint.newest(folder / "checkpoints")
    assert found
    return found.tensors


@pytest.mark.parametrize("recipe", ["gan", "dcgan", "wgan", "wgan-gp", "cgan", "lsgan", "sngan", "sagan", "acgan"])
def test_every_recipe_averages_the_generator_and_not_the_discriminator(recipe: str) -> None:
    optimizers = compose.compose([f"model={recipe}"]).optimizers
    assert {player: settings.ema for player, settings in optimizers.items()} == {"discriminator": 0, "generator": 0.999}


def test_an_ema_of_0_keeps_no_average(tmp_path: Path) -> None:
    plain = trainer("model.optimizers.generator.ema=0", steps=1)
    plain.fit(tmp_path)
    assert plain.averages.players == {}
    assert not [name for name in state(tmp_path) if name.startswith("ema/")]


def test_the_average_contains_the_weights_and_buffers_of_the_generator_only(tmp_path: Path) -> None:
    seen: dict[int, dict[str, Tensor]] = {}

    class Watched(GAN):
        def turns(self, step: int) -> list[Turn]:
            seen[step] = {name: value.clone() for name, value in self.generator.state_dict().items()}
            return super().turns(step)

    run = trainer()
    run.model.__class__ = Watched
    run.fit(tmp_path)
    assert isinstance(run.model, GAN)
    # The states before the first step and after each step.
    moments = [*(seen[step] for step in range(8)), run.model.generator.state_dict()]
    assert len(seen) == 8
    expected = dict(moments[0])
    for count, after in enumerate(moments[1:]):
        decay = min(0.999, (1 + count) / (10 + count))
        expected = {name: decay * expected[name] + (1 - decay) * value for name, value in after.items()}
    expected |= {name: value for name, value in moments[-1].items() if name.endswith("num_batches_tracked")}
    expected = {f"ema/generator.{name}": value for name, value in expected.items()}
    kept = {name: value for name, value in state(tmp_path).items() if name.startswith("ema/")}
    assert any(name.endswith("running_var") for name in kept)
    assert kept.keys() == expected.keys()
    for name, value in kept.items():
        torch.testing.assert_close(value, expected[name], rtol=1e-4, atol=1e-6)


def samples(run: Trainer) -> Tensor:
    """Return samples as validation makes them."""
    assert isinstance(run.model, GAN)
    with run.validation.looking():
        return run.model.sample(20, generator=torch.Generator().manual_seed(5))


def test_samples_come_from_the_average_and_training_continues_with_the_live_weights(tmp_path: Path) -> None:
    run = trainer()
    run.fit(tmp_path)
    live = {name: value.clone() for name, value in run.model.state_dict().items()}
    averaged = samples(run)
    assert all(torch.equal(value, live[name]) for name, value in run.model.state_dict().items())
    average = run.averages.players.pop("generator").average
    assert not torch.allclose(samples(run), averaged, atol=1e-4)
    run.model.load_state_dict({**live, **average})
    assert torch.equal(samples(run), averaged)


def test_after_a_stop_the_samples_of_the_average_are_bit_for_bit_the_same(tmp_path: Path) -> None:
    whole, first, second, opened = trainer(), trainer(steps=5), trainer(), trainer()
    whole.fit(tmp_path / "whole")
    first.fit(tmp_path / "parts")
    assert second.fit(tmp_path / "parts").step == 8
    opened.take_up(tmp_path / "parts")
    assert not torch.equal(samples(first), samples(whole))
    for run in (second, opened):
        assert torch.equal(samples(run), samples(whole))
        for name, value in whole.model.state_dict().items():
            assert torch.equal(run.model.state_dict()[name], value), name


SMOOTH = ["model.r1=1", "model.r1_every=7", "model.augment=[color,cutout]", "model.spectral_norm=true"]
KILLED = [pytest.param("dcgan", SMOOTH)]
KILLED += [pytest.param(name, [], marks=pytest.mark.slow) for name in ("gan", "wgan", "wgan-gp", "cgan")]


@pytest.mark.parametrize(("name", "settings"), KILLED)
def test_a_gan_that_was_killed_and_resumed_ends_like_one_that_was_not(
    tmp_path: Path, name: str, settings: list[str]
) -> None:
    long = [f"model={name}", "model/network=dcgan", *TINY_DCGAN[1:], *OFTEN[:2], *settings]
    long += ["trainer.steps=80", "trainer.validate_every=60", "trainer.checkpoint_every=10"]
    assert genlab(tmp_path, "train", *long, "run=whole").returncode == 0
    command = [sys.executable, "-m", "genlab", "train", *long, "run=parts"]
    process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.DEVNULL)
    folder = tmp_path / "parts" / "checkpoints"
    while process.poll() is None and max(checkpoint.steps(folder), default=0) < 10:
        time.sleep(0.002)
    process.kill()
    process.wait()
    assert 10 <= max(checkpoint.steps(folder)) < 80
    assert genlab(tmp_path, "resume", "parts").returncode == 0
    assert_same_end(tmp_path / "whole", tmp_path / "parts", step=80)
