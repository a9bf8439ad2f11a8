"""A run that was interrupted and resumed ends bit for bit like one that was not."""

import os
import signal
from pathlib import Path

import pytest
import torch
from torch import nn

from genlab.contract import Batch, Player, Result, Turn
from genlab.networks.extractor import Extractor
from genlab.registry import ConfigError
from genlab.training import checkpoint
from genlab.training.journal import read
from genlab.training.settings import PlayerSettings, TrainerSettings
from genlab.training.trainer import Trainer
from tests.fixtures.toys import ToyGame, seeded, toy_images


class Normed(ToyGame):
    """The toy game with buffers: a batch normalisation counts its batches and keeps their means."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(1, affine=False)

    def players(self) -> dict[str, Player]:
        return {**super().players(), "discriminator": (self.discriminator, self.norm)}

    def _record(self, player: str, batch: Batch) -> Result:
        self.norm(batch["x"].mean(dim=(2, 3)))
        return super()._record(player, batch)


def trainer(optimizer: str = "adam", **settings: object) -> Trainer:
    chosen = {"batch_size": 4, "steps": 10, "validate_every": 4, "checkpoint_every": 3, "log_every": 3}
    model = seeded(Normed)
    player = PlayerSettings(optimizer=optimizer, lr=0.01, schedule="cosine", warmup=3, ema=0.9)  # type: ignore[arg-type]
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
    return [{name: value for name, value in line.items() if name != "items_per_second"} for line in read(folder)]


class Stopping(Normed):
    """A game that receives a signal to stop just before a step, as a cluster sends it."""

    stop_at = 0
    signal = signal.SIGTERM

    def turns(self, step: int) -> list[Turn]:
        if step == self.stop_at:
            os.kill(os.getpid(), self.signal)
        return super().turns(step)


@pytest.mark.parametrize(
    ("optimizer", "number", "stop_at"),
    [
        ("adam", signal.SIGTERM, 0),
        ("adam", signal.SIGINT, 5),
        ("adam", signal.SIGTERM, 8),
        ("adamw", signal.SIGINT, 4),
        ("rmsprop", signal.SIGTERM, 1),
        ("rmsprop", signal.SIGINT, 8),
        ("sgd", signal.SIGTERM, 4),
        ("sgd", signal.SIGINT, 0),
    ],
)
def test_a_run_that_was_stopped_and_resumed_ends_bit_for_bit_alike(
    tmp_path: Path, optimizer: str, number: int, stop_at: int
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
        players = {name: PlayerSettings(lr=0.01, ema=0.9) for name in model.players()}
        return Trainer(model, toy_images(), TrainerSettings(batch_size=4, steps=steps), players)

    constant(10).fit(tmp_path / "one")
    constant(5).fit(tmp_path / "two")
    constant(10).fit(tmp_path / "two")
    ours, theirs = state(tmp_path / "one"), state(tmp_path / "two")
    assert all(torch.equal(value, theirs[name]) for name, value in ours.items())


def test_the_journal_is_cut_back_to_the_checkpoint_that_is_used(tmp_path: Path) -> None:
    trainer().fit(tmp_path / "whole")
    trainer().fit(tmp_path / "parts")
    last = checkpoint.steps(tmp_path / "parts" / "checkpoints")[10]
    last.write_bytes(b"damaged")
    with pytest.warns(UserWarning, match="damaged"):
        trainer().fit(tmp_path / "parts")
    assert without_speed(tmp_path / "whole") == without_speed(tmp_path / "parts")


def test_tensorboard_shows_the_lines_of_the_journal_and_no_abandoned_future(tmp_path: Path) -> None:
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


def test_a_finished_run_trains_no_further(tmp_path: Path) -> None:
    trainer().fit(tmp_path)
    before = state(tmp_path)
    again = trainer()
    again.fit(tmp_path)
    assert isinstance(again.model, Normed)
    assert again.model.moves == []
    assert all(torch.equal(value, before[name]) for name, value in state(tmp_path).items())


class Judging(ToyGame):
    """The toy game with two frozen networks, which no checkpoint stores."""

    def __init__(self, first: float = 1.0, second: float | None = 2.0) -> None:
        super().__init__()
        self.features = frozen(first)
        self.judges = nn.ModuleList([] if second is None else [frozen(second)])


def frozen(value: float) -> Extractor:
    """Make an extractor with one weight."""
    extractor = Extractor("constant")
    extractor.register_buffer("weight", torch.tensor([value]), persistent=False)
    return extractor


def judging_trainer(steps: int, **values: float | None) -> Trainer:
    model = seeded(Judging, **values)
    players = {name: PlayerSettings() for name in model.players()}
    return Trainer(model, toy_images(), TrainerSettings(batch_size=4, steps=steps), players)


def test_a_checkpoint_keeps_the_digest_of_every_frozen_extractor(tmp_path: Path) -> None:
    judging_trainer(2).fit(tmp_path)
    found = checkpoint.newest(tmp_path / "checkpoints")
    assert found
    assert found.facts["extractors"] == {"features": frozen(1.0).digest, "judges.0": frozen(2.0).digest}
    assert not any("features" in name or "judges" in name for name in found.tensors)
    assert judging_trainer(4).fit(tmp_path).state == "finished"


@pytest.mark.parametrize(
    ("values", "path"), [({"first": 1.5}, "features"), ({"second": 2.5}, "judges.0"), ({"second": None}, "judges.0")]
)
def test_a_run_does_not_continue_with_other_extractors(
    tmp_path: Path, values: dict[str, float | None], path: str
) -> None:
    judging_trainer(2).fit(tmp_path)
    with pytest.raises(ConfigError, match=f"The run was trained with other {path}: their digest was [0-9a-f]{{16}}, "):
        judging_trainer(4, **values).take_up(tmp_path)
