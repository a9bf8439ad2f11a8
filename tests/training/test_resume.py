"""A run that is interrupted and goes on ends as one that never was."""

import os
import signal
from pathlib import Path

import pytest
import torch
from torch import nn

from genlab.contract import Batch, Model, Terms, Turn
from genlab.training import checkpoint
from genlab.training.average import Average
from genlab.training.journal import read
from genlab.training.players import rate_at
from genlab.training.settings import PlayerSettings, TrainerSettings
from genlab.training.trainer import Trainer
from tests.fixtures.toys import ToyGame, seeded, toy_images


class Normed(ToyGame):
    """The toy game with buffers: a batch norm counts its batches and remembers their means."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(1, affine=False)

    def _note(self, player: str, batch: Batch, module: nn.Module) -> Terms:
        self.norm(batch["image"].mean(dim=(2, 3)))
        return super()._note(player, batch, module)


def trainer(optimizer: str = "adam", **settings: object) -> Trainer:
    chosen = {"batch_size": 4, "steps": 10, "validate_every": 4, "checkpoint_every": 3, "log_every": 3, "average": 0.9}
    model = seeded(Normed)
    player = PlayerSettings(optimizer=optimizer, rate=0.01, schedule="cosine", warmup=3)  # type: ignore[arg-type]
    players = dict.fromkeys(model.players(), player)
    return Trainer(model, toy_images(), TrainerSettings(**{**chosen, **settings}), players)  # type: ignore[arg-type]


def state(folder: Path) -> dict[str, torch.Tensor]:
    found = checkpoint.newest(folder / "checkpoints")
    assert found
    return found.tensors


def assert_same_end(one: Path, other: Path) -> None:
    assert checkpoint.steps(one / "checkpoints").keys() == checkpoint.steps(other / "checkpoints").keys()
    ours, theirs = state(one), state(other)
    assert ours.keys() == theirs.keys()
    for name, value in ours.items():
        assert torch.equal(value, theirs[name]), name


def without_speed(folder: Path) -> list[dict[str, object]]:
    return [{name: value for name, value in line.items() if name != "images_per_second"} for line in read(folder)]


class Stopping(Normed):
    """Asks to stop, as a cluster does, when a step is about to be taken."""

    stop_at = 0
    signal = signal.SIGTERM

    def turns(self, step: int) -> list[Turn]:
        if step == self.stop_at:
            os.kill(os.getpid(), self.signal)
        return super().turns(step)


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "rmsprop", "sgd"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("stop_at", [0, 1, 4, 5, 8])
def test_a_run_that_was_stopped_and_goes_on_ends_bit_for_bit_alike(
    tmp_path: Path, stop_at: int, number: int, optimizer: str
) -> None:
    trainer(optimizer).fit(tmp_path / "whole")
    first = trainer(optimizer)
    first.model.__class__ = type("StoppingHere", (Stopping,), {"stop_at": stop_at, "signal": number})
    outcome = first.fit(tmp_path / "parts")
    assert (outcome.state, outcome.step, outcome.signal) == ("stopped", stop_at + 1, number)
    assert trainer(optimizer).fit(tmp_path / "parts").state == "finished"
    assert_same_end(tmp_path / "whole", tmp_path / "parts")
    assert without_speed(tmp_path / "whole") == without_speed(tmp_path / "parts")


def test_two_runs_of_five_steps_equal_one_run_of_ten(tmp_path: Path) -> None:
    def constant(steps: int) -> Trainer:
        model = seeded(Normed)
        players = {name: PlayerSettings(rate=0.01) for name in model.players()}
        return Trainer(model, toy_images(), TrainerSettings(batch_size=4, steps=steps, average=0.9), players)

    constant(10).fit(tmp_path / "one")
    constant(5).fit(tmp_path / "two")
    constant(10).fit(tmp_path / "two")
    ours, theirs = state(tmp_path / "one"), state(tmp_path / "two")
    assert all(torch.equal(value, theirs[name]) for name, value in ours.items())


def test_the_journal_is_cut_back_to_the_checkpoint_that_serves(tmp_path: Path) -> None:
    trainer().fit(tmp_path / "whole")
    trainer().fit(tmp_path / "parts")
    last = checkpoint.steps(tmp_path / "parts" / "checkpoints")[10]
    last.write_bytes(b"damaged")
    (tmp_path / "parts" / "images" / "samples-0000000009.png").touch()
    (tmp_path / "parts" / "images" / "samples-0000000010.png").touch()
    (tmp_path / "parts" / "images" / "samples-0000000009.png").unlink()
    with pytest.warns(UserWarning, match="damaged"):
        trainer().fit(tmp_path / "parts")
    assert without_speed(tmp_path / "whole") == without_speed(tmp_path / "parts")
    assert not list((tmp_path / "parts" / "images").iterdir())


def test_tensorboard_shows_what_the_journal_says_and_no_abandoned_future(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    trainer().fit(tmp_path)
    checkpoint.steps(tmp_path / "checkpoints")[10].unlink()
    trainer().fit(tmp_path)
    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    for split in ("train", "validation", "test"):
        lines = [line for line in read(tmp_path) if line["split"] == split]
        assert lines
        for name in lines[0].keys() - {"step", "epoch", "split"}:
            shown = [(event.step, pytest.approx(event.value)) for event in events.Scalars(f"{split}/{name}")]
            assert [(line["step"], line[name]) for line in lines] == shown


def test_a_second_look_at_a_finished_run_trains_no_further(tmp_path: Path) -> None:
    trainer().fit(tmp_path)
    before = state(tmp_path)
    again = trainer()
    again.fit(tmp_path)
    assert isinstance(again.model, Normed)
    assert again.model.moves == []
    assert all(torch.equal(value, before[name]) for name, value in state(tmp_path).items())


def test_the_average_is_the_recursion_of_its_decay() -> None:
    model = nn.BatchNorm1d(1)
    average = Average(model, decay=0.9)
    expected = float(model.weight.detach())
    for count in range(30):
        with torch.no_grad():
            model.weight.add_(1.0)
            model.num_batches_tracked.add_(1)
        average.update()
        decay = min(0.9, (1 + count) / (10 + count))
        expected = decay * expected + (1 - decay) * float(model.weight.detach())
    assert float(average.average["weight"]) == pytest.approx(expected, 1e-5)
    assert int(average.average["num_batches_tracked"]) == 30


def test_the_average_is_worn_only_while_looking(tmp_path: Path) -> None:
    class Looking(Normed):
        worn: list[float]

        def validate(self, batch: Batch) -> Terms:
            self.worn.append(float(self.critic.weight.detach()))
            return super().validate(batch)

    Looking.worn = []
    model: Model = seeded(Looking)
    players = {name: PlayerSettings(optimizer="sgd", rate=0.1) for name in model.players()}
    run = Trainer(model, toy_images(), TrainerSettings(batch_size=4, steps=5, average=0.9), players)
    run.fit(tmp_path)
    live, saved = float(model.state_dict()["critic.weight"]), state(tmp_path)
    assert run.average
    assert Looking.worn[-1] == float(run.average.average["critic.weight"]) != live
    assert float(saved["model/critic.weight"]) == live
    assert float(saved["average/critic.weight"]) == Looking.worn[-1]


@pytest.mark.parametrize(
    ("schedule", "step", "share"),
    [
        ("constant", 0, 0.1),
        ("constant", 9, 1.0),
        ("constant", 99, 1.0),
        ("linear", 10, 1.0),
        ("linear", 55, 0.5),
        ("linear", 100, 0.0),
        ("cosine", 4, 0.5),
        ("cosine", 10, 1.0),
        ("cosine", 55, 0.5),
        ("cosine", 100, 0.0),
    ],
)
def test_the_rate_is_a_function_of_the_step(schedule: str, step: int, share: float) -> None:
    settings = PlayerSettings(rate=0.2, schedule=schedule, warmup=10)  # type: ignore[arg-type]
    assert rate_at(settings, step, total=100) == pytest.approx(0.2 * share)
