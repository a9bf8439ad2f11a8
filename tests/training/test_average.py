"""Moving averages: one for each player that asks for it, used wherever the model is looked at."""

from pathlib import Path

import pytest
import torch
from torch import nn

from genlab.contract import Batch, Model, Player, Result, Shared
from genlab.registry import ConfigError
from genlab.training import checkpoint
from genlab.training.average import Average, Averages
from genlab.training.settings import PlayerSettings, TrainerSettings
from genlab.training.trainer import Trainer
from genlab.training.validation import Quick
from tests.fixtures.toys import ToyGame, seeded, toy_images

SGD = PlayerSettings(optimizer="sgd", lr=0.1)


def newest(folder: Path) -> checkpoint.Checkpoint:
    found = checkpoint.newest(folder / "checkpoints")
    assert found
    return found


def averaging(model: Model, steps: int = 5, *, quick: Quick | None = None, **decays: float) -> Trainer:
    """Make a trainer whose players have these decays, 0 unless given."""
    players = {name: PlayerSettings(optimizer="sgd", lr=0.1, ema=decays.get(name, 0.0)) for name in model.players()}
    settings = TrainerSettings(batch_size=4, steps=steps, checkpoint_every=100)
    return Trainer(model, toy_images(), settings, players, quick=quick)


def test_the_average_is_the_recursion_of_its_decay() -> None:
    model = nn.BatchNorm1d(1)
    average = Average(model.state_dict(keep_vars=True), decay=0.9)
    expected = float(model.weight.detach())
    for count in range(30):
        with torch.no_grad():
            model.weight.add_(1.0)
            assert model.num_batches_tracked is not None
            model.num_batches_tracked.add_(1)
        average.update()
        decay = min(0.9, (1 + count) / (10 + count))
        expected = decay * expected + (1 - decay) * float(model.weight.detach())
    assert float(average.average["weight"]) == pytest.approx(expected, 1e-5)
    assert int(average.average["num_batches_tracked"]) == 30


def test_only_players_with_a_decay_have_an_average_and_each_has_its_own(tmp_path: Path) -> None:
    one = averaging(seeded(ToyGame), generator=0.9)
    one.fit(tmp_path / "one")
    found = newest(tmp_path / "one")
    assert set(found.part("ema")) == {"generator.weight"}
    assert found.facts["ema"] == {"generator": 5}
    both = averaging(seeded(ToyGame), generator=0.9, discriminator=0.01)
    both.fit(tmp_path / "both")
    assert newest(tmp_path / "both").facts["ema"] == {"discriminator": 5, "generator": 5}
    averages = newest(tmp_path / "both").part("ema")
    assert torch.equal(averages["generator.weight"], found.part("ema")["generator.weight"])
    # With this decay nearly the live weight is left.
    torch.testing.assert_close(
        averages["discriminator.weight"], both.model.state_dict()["discriminator.weight"], rtol=0.02, atol=0
    )
    none = averaging(seeded(ToyGame))
    none.fit(tmp_path / "none")
    assert not newest(tmp_path / "none").part("ema")
    assert newest(tmp_path / "none").facts["ema"] == {}


class Looking(ToyGame):
    """A toy game that records the weights with which it is looked at."""

    def __init__(self) -> None:
        super().__init__()
        self.validated: list[dict[str, float]] = []
        self.sampled: list[dict[str, float]] = []

    def weights(self) -> dict[str, float]:
        return {name: float(weight.detach()) for name, weight in self.named_parameters()}

    def validate(self, batch: Batch) -> Result:
        self.validated.append(self.weights())
        return super().validate(batch)

    def sample(
        self, count: int, condition: Batch | None = None, generator: torch.Generator | None = None
    ) -> torch.Tensor:
        self.sampled.append(self.weights())
        return torch.zeros(count, 1, 2, 2)


def test_validation_previews_and_quick_looks_use_all_averages_and_training_the_live_weights(tmp_path: Path) -> None:
    model = seeded(Looking)
    assert isinstance(model, Looking)
    quick: list[dict[str, float]] = []

    def measure(looked_at: Model) -> dict[str, float]:
        quick.append(model.weights())
        return {"FD": 1.0}

    averaging(model, quick=Quick(measure, lambda name: False), generator=0.9, discriminator=0.8).fit(tmp_path)
    live, found = model.weights(), newest(tmp_path)
    averages = {name: float(value) for name, value in found.part("ema").items()}
    assert model.validated[-1] == model.sampled[-1] == quick[-1] == averages
    assert averages.keys() == live.keys()
    assert all(averages[name] != live[name] for name in live)
    assert {name: float(value) for name, value in found.part("model").items()} == live


class Nested(Model):
    """A player that owns a normalisation with buffers, and one that shares it."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.head = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2)), nn.Linear(2, 1)

    def players(self) -> dict[str, Player]:
        return {"first": self.body, "second": (self.head, Shared(self.body))}


def test_an_average_covers_weights_and_buffers_under_the_names_of_the_models_state() -> None:
    model = seeded(Nested)
    averages = Averages(model, {"first": PlayerSettings(ema=0.9), "second": PlayerSettings(ema=0.5)})
    owned = {player: set(average.average) for player, average in averages.players.items()}
    assert owned["first"] == {name for name in model.state_dict() if name.startswith("body.")}
    assert "body.1.running_mean" in owned["first"]
    # The owner averages what it shares.
    assert owned["second"] == {"head.weight", "head.bias"}
    assert averages.tensors().keys() == model.state_dict().keys()


def test_other_first_weights_begin_other_averages(tmp_path: Path) -> None:
    trainer = averaging(seeded(ToyGame), generator=0.9)
    trainer.begin_with({name: torch.full_like(value, 3.0) for name, value in trainer.model.state_dict().items()})
    assert float(trainer.averages.tensors()["generator.weight"]) == 3.0
    assert trainer.averages.counts() == {"generator": 0}


@pytest.mark.parametrize("decay", [-0.1, 1.0, 2.0])
def test_a_decay_lies_between_0_and_1(decay: float) -> None:
    with pytest.raises(ConfigError, match=r"ema must be at least 0 and below 1, got "):
        PlayerSettings(ema=decay)


def test_a_run_with_an_average_does_not_continue_without_it(tmp_path: Path) -> None:
    averaging(seeded(ToyGame), steps=2, generator=0.9).fit(tmp_path)
    with pytest.raises(ConfigError, match="its ema lists generator, and here it lists none"):
        averaging(seeded(ToyGame), steps=4).take_up(tmp_path)
