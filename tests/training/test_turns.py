"""Pure turns: a loss changes no batch, and only later turns of a step see what it hands on."""

from pathlib import Path

import torch
from torch import nn

from genlab.contract import Batch, Model, Player, Result, Turn
from genlab.training.settings import PlayerSettings, TrainerSettings
from genlab.training.trainer import Trainer
from tests.fixtures.toys import seeded, toy_images


class Relay(Model):
    """A first player that hands on, and a second one that records what it gets."""

    def __init__(self, *, first_repeat: int = 1, second_repeat: int = 1) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(1, 1, bias=False), nn.Linear(1, 1, bias=False)
        self.repeats = first_repeat, second_repeat
        self.batches: list[tuple[str, Batch]] = []

    def players(self) -> dict[str, Player]:
        return {"first": self.first, "second": self.second}

    def turns(self, step: int) -> list[Turn]:
        first, second = self.repeats
        return [Turn("first", self.first_loss, first), Turn("second", self.second_loss, second)]

    def first_loss(self, batch: Batch) -> Result:
        self.batches.append(("first", batch))
        scores = self.first(batch["x"].mean(dim=(1, 2, 3)).unsqueeze(1))
        return Result(scores.square().mean(), handed_on={"scores": scores, "x": batch["x"] + 1})

    def second_loss(self, batch: Batch) -> Result:
        self.batches.append(("second", batch))
        return Result(self.second(batch["x"].mean(dim=(1, 2, 3)).unsqueeze(1)).square().mean())

    def validate(self, batch: Batch) -> Result:
        return Result(batch["x"].mean())


def played(folder: Path, steps: int = 1, **repeats: int) -> tuple[Trainer, list[tuple[str, Batch]]]:
    """Train a relay; return its trainer and the batches of its moves."""
    model = seeded(Relay, **repeats)
    assert isinstance(model, Relay)
    players = {name: PlayerSettings(optimizer="sgd", lr=0.1) for name in model.players()}
    trainer = Trainer(model, toy_images(), TrainerSettings(batch_size=4, steps=steps), players)
    trainer.fit(folder)
    return trainer, model.batches


def test_turns_leave_the_batches_of_earlier_turns_as_they_were(tmp_path: Path) -> None:
    trainer, batches = played(tmp_path, steps=3)
    for number, (player, batch) in enumerate(batches):
        if player == "first":
            assert set(batch) == {"x", "step"}
            assert float(batch["step"]) == number // 2
            assert torch.equal(batch["x"], trainer.data.batch(number // 2)["x"])


def test_later_turns_of_a_step_get_what_was_handed_on_without_gradients(tmp_path: Path) -> None:
    _, batches = played(tmp_path)
    (_, given), (_, received) = batches
    assert set(received) == {"x", "step", "scores"}
    assert not received["scores"].requires_grad
    # An entry that has the name of a column replaces it.
    assert torch.equal(received["x"], given["x"] + 1)


def test_nothing_is_handed_on_to_the_next_step(tmp_path: Path) -> None:
    _, batches = played(tmp_path, steps=2)
    assert [(player, "scores" in batch) for player, batch in batches] == [("first", False), ("second", True)] * 2
    assert not torch.equal(batches[0][1]["x"], batches[2][1]["x"])


def test_repeated_moves_on_new_batches_get_nothing_and_hand_nothing_on(tmp_path: Path) -> None:
    trainer, batches = played(tmp_path, first_repeat=2, second_repeat=2)
    assert [(player, "scores" in batch) for player, batch in batches] == [
        ("first", False),
        ("first", False),
        ("second", True),
        ("second", False),
    ]
    dealt = [trainer.data.batch(number)["x"] for number in range(3)]
    seen = [batch["x"] for _, batch in batches]
    for found, expected in zip(seen, (dealt[0], dealt[1], dealt[0] + 1, dealt[2]), strict=True):
        assert torch.equal(found, expected)
