"""Players: shared weights, optimizer states of their own, and schedules that count from the first turn."""

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from genlab.contract import Batch, Model, Player, Result, Shared, Turn
from genlab.registry import ConfigError
from genlab.training import checkpoint
from genlab.training.players import Players, lr_at
from genlab.training.settings import PlayerSettings, TrainerSettings
from genlab.training.trainer import Trainer
from tests.fixtures.toys import seeded, toy_images

ADAM = PlayerSettings(lr=0.01)


class Sharing(Model):
    """An autoencoder whose encoder is also moved by a second player, as in an adversarial autoencoder."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder, self.decoder = nn.Linear(1, 1, bias=False), nn.Linear(1, 1, bias=False)
        self.learning: list[tuple[str, set[str]]] = []

    def players(self) -> dict[str, Player]:
        return {"autoencoder": (self.encoder, self.decoder), "encoder": Shared(self.encoder)}

    def turns(self, step: int) -> list[Turn]:
        return [Turn("autoencoder", self.reconstruction_loss), Turn("encoder", self.encoder_loss)]

    def reconstruction_loss(self, batch: Batch) -> Result:
        self._record("autoencoder")
        values = self._values(batch)
        return Result((self.decoder(self.encoder(values)) - values).square().mean())

    def encoder_loss(self, batch: Batch) -> Result:
        self._record("encoder")
        return Result((self.decoder(self.encoder(self._values(batch))) - 1).square().mean())

    def validate(self, batch: Batch) -> Result:
        return Result(self._values(batch).mean())

    def _values(self, batch: Batch) -> Tensor:
        return batch["x"].mean(dim=(1, 2, 3)).unsqueeze(1) + 1

    def _record(self, player: str) -> None:
        self.learning.append((player, {name for name, weight in self.named_parameters() if weight.requires_grad}))


def sharing_trainer(steps: int = 3, **settings: object) -> Trainer:
    model = seeded(Sharing)
    players = dict.fromkeys(model.players(), PlayerSettings(lr=0.01, **settings))  # type: ignore[arg-type]
    return Trainer(model, toy_images(), TrainerSettings(batch_size=4, steps=steps, checkpoint_every=2), players)


def newest(folder: Path) -> checkpoint.Checkpoint:
    found = checkpoint.newest(folder / "checkpoints")
    assert found
    return found


def test_a_shared_weight_learns_in_the_turns_of_both_players_and_others_only_in_their_own(tmp_path: Path) -> None:
    trainer = sharing_trainer()
    trainer.fit(tmp_path)
    assert isinstance(trainer.model, Sharing)
    both = ("autoencoder", {"encoder.weight", "decoder.weight"}), ("encoder", {"encoder.weight"})
    assert trainer.model.learning == [*both] * 3


def test_each_player_keeps_its_own_optimizer_state_for_a_shared_weight(tmp_path: Path) -> None:
    sharing_trainer().fit(tmp_path)
    states = [newest(tmp_path).part(f"player/{name}") for name in ("autoencoder", "encoder")]
    assert not torch.equal(*(state["encoder.weight/exp_avg"] for state in states))
    assert "decoder.weight/exp_avg" not in states[1]


def test_two_optimizers_on_a_shared_weight_move_it_as_torch_does(tmp_path: Path) -> None:
    trainer = sharing_trainer()
    twin = seeded(Sharing)
    assert isinstance(twin, Sharing)
    optimizers = [torch.optim.Adam(twin.parameters(), 0.01), torch.optim.Adam(twin.encoder.parameters(), 0.01)]
    for step in range(3):
        batch = trainer.data.batch(step)
        for optimizer, turn in zip(optimizers, twin.turns(step), strict=True):
            twin.zero_grad()
            turn.loss(batch).loss.backward()
            optimizer.step()
    trainer.fit(tmp_path)
    for name, value in trainer.model.state_dict().items():
        torch.testing.assert_close(value, twin.state_dict()[name])


def test_a_game_with_shared_weights_resumes_bit_for_bit(tmp_path: Path) -> None:
    sharing_trainer(6, ema=0.9).fit(tmp_path / "whole")
    sharing_trainer(3, ema=0.9).fit(tmp_path / "parts")
    sharing_trainer(6, ema=0.9).fit(tmp_path / "parts")
    ours, theirs = newest(tmp_path / "whole").tensors, newest(tmp_path / "parts").tensors
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(value, theirs[name]) for name, value in ours.items())


@pytest.mark.parametrize(
    ("owners", "named"),
    [
        ({"a": "encoder", "b": "encoder"}, "a and b"),
        ({"a": "all", "b": "encoder"}, "a and b"),
        ({"a": "decoder", "b": "shared encoder"}, "no player"),
    ],
)
def test_a_weight_needs_exactly_one_player_that_does_not_name_it_as_shared(owners: dict[str, str], named: str) -> None:
    model = seeded(Sharing)
    assert isinstance(model, Sharing)
    parts: dict[str, Player] = {
        "encoder": model.encoder,
        "decoder": model.decoder,
        "all": (model.encoder, model.decoder),
        "shared encoder": Shared(model.encoder),
    }
    model.players = lambda: {player: parts[part] for player, part in owners.items()}  # type: ignore[method-assign]
    with pytest.raises(ConfigError, match=f"'encoder.weight' belongs to {named}; it must belong to one player"):
        Players(model, {"a": ADAM, "b": ADAM}, 10)


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
def test_the_learning_rate_is_a_function_of_the_step(schedule: str, step: int, share: float) -> None:
    settings = PlayerSettings(lr=0.2, schedule=schedule, warmup=10)  # type: ignore[arg-type]
    assert lr_at(settings, step, total=100) == pytest.approx(0.2 * share)


class Late(Sharing):
    """A game whose second player joins at a later step."""

    begins = 4

    def turns(self, step: int) -> list[Turn]:
        return super().turns(step)[: 2 if step >= self.begins else 1]


def late_trainer(steps: int) -> Trainer:
    model = seeded(Late)
    settings = PlayerSettings(lr=0.1, schedule="linear", warmup=2)
    players = dict.fromkeys(model.players(), settings)
    return Trainer(model, toy_images(), TrainerSettings(batch_size=4, steps=steps, checkpoint_every=3), players)


def rates_of(trainer: Trainer, folder: Path) -> list[tuple[str, int, float]]:
    """Train; return the learning rate of every move with its player and step."""
    found = []
    for name, player in trainer.players.players.items():
        move = player.move

        def recorded(
            loss: Tensor, step: int, shown: object, name: str = name, player: object = player, move: object = move
        ) -> tuple[Tensor, Tensor]:
            result: tuple[Tensor, Tensor] = move(loss, step, shown)  # type: ignore[operator]
            found.append((name, step, player.optimizer.param_groups[0]["lr"]))  # type: ignore[attr-defined]
            return result

        player.move = recorded  # type: ignore[method-assign,assignment]
    trainer.fit(folder)
    return found


def test_a_schedule_counts_from_the_players_first_turn(tmp_path: Path) -> None:
    rates = rates_of(late_trainer(10), tmp_path)
    settings = PlayerSettings(lr=0.1, schedule="linear", warmup=2)
    assert [rate for name, _, rate in rates if name == "autoencoder"] == [
        lr_at(settings, step, 10) for step in range(10)
    ]
    late = [(step, rate) for name, step, rate in rates if name == "encoder"]
    # From step 4 on there are 6 steps: two of warm-up, then a line from 0.1 to zero.
    assert [step for step, _ in late] == [4, 5, 6, 7, 8, 9]
    assert [rate for _, rate in late] == pytest.approx([0.05, 0.1, 0.1, 0.075, 0.05, 0.025])


@pytest.mark.parametrize("stopped_at", [3, 5])
def test_a_resumed_schedule_remembers_the_first_turn(tmp_path: Path, stopped_at: int) -> None:
    whole = rates_of(late_trainer(10), tmp_path / "whole")
    stopped = late_trainer(10)
    stopped.settings = TrainerSettings(batch_size=4, steps=10, checkpoint_every=stopped_at, keep=5)
    stopped.fit(tmp_path / "parts")
    # The run is cut back to one of its checkpoints, as a crash would.
    for step, path in checkpoint.steps(tmp_path / "parts" / "checkpoints").items():
        if step > stopped_at:
            path.unlink()
    began = newest(tmp_path / "parts").facts["players"]
    assert began == {"autoencoder": {"began": 0}, "encoder": {"began": 4 if stopped_at > 4 else None}}
    rest = rates_of(late_trainer(10), tmp_path / "parts")
    assert rest == [entry for entry in whole if entry[1] >= stopped_at]


@pytest.mark.parametrize(
    ("players", "sentence"),
    [
        ({"autoencoder": {"began": 0}, "encoder": {"began": 3}}, "its facts about players and averages are not in"),
        ({"autoencoder": {"began": -1}, "encoder": {"began": 0}}, "its facts about players and averages are not in"),
        ({"autoencoder": {"began": True}, "encoder": {"began": 0}}, "its facts about players and averages are not in"),
        ({"autoencoder": 0, "encoder": 0}, "its facts about players and averages are not in"),
        (None, "its facts about players and averages are not in"),
        ({"autoencoder": {"began": 0}}, "its players lists autoencoder, and here it lists autoencoder, encoder"),
    ],
)
def test_first_turns_that_cannot_be_are_refused_before_anything_is_restored(
    tmp_path: Path, players: object, sentence: str
) -> None:
    sharing_trainer(3).fit(tmp_path)
    found = newest(tmp_path)
    checkpoint.steps(tmp_path / "checkpoints")[3].unlink()
    checkpoint.save(tmp_path / "checkpoints", 3, found.tensors, {**found.facts, "players": players})
    again = sharing_trainer(6)
    before = {name: value.clone() for name, value in again.model.state_dict().items()}
    with pytest.raises(ConfigError, match=sentence):
        again.take_up(tmp_path)
    assert all(torch.equal(value, before[name]) for name, value in again.model.state_dict().items())
