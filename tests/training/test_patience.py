"""A training with patience ends when the model does not become better, and not before."""

from pathlib import Path

import pytest

from genlab.contract import Batch, Model, Result, Turn
from genlab.registry import ConfigError
from genlab.training import checkpoint
from genlab.training.settings import PlayerSettings, TrainerSettings
from genlab.training.trainer import Trainer
from tests.fixtures.toys import ToyGame, toy_images

EVERY = 5
"""Steps between two validations."""


class Scripted(ToyGame):
    """A game whose validation loss follows a list."""

    def __init__(self, losses: list[float], generator_from: int = 0) -> None:
        super().__init__(discriminator_turns=1)
        self.losses, self.generator_from, self.training_steps = losses, generator_from, 0

    def turns(self, step: int) -> list[Turn]:
        self.training_steps = step
        return super().turns(step) if step >= self.generator_from else super().turns(step)[:1]

    def validate(self, batch: Batch) -> Result:
        place = min((self.training_steps + 1) // EVERY, len(self.losses)) - 1
        return Result(batch["x"].new_tensor(self.losses[max(place, 0)]))


def trainer(model: Model, patience: int | None = 3, best: str | None = "loss", steps: int = 60) -> Trainer:
    settings = TrainerSettings(
        batch_size=4, steps=steps, validate_every=EVERY, checkpoint_every=7, log_every=4, patience=patience
    )
    return Trainer(model, toy_images(), settings, dict.fromkeys(model.players(), PlayerSettings()), best=best)


def test_it_ends_after_as_many_validations_without_a_better_one(tmp_path: Path) -> None:
    outcome = trainer(Scripted([5, 4, 4.5, 3, 3.5, 3.2, 3, 1])).fit(tmp_path)
    # The best is the fourth validation, at step 20; an equal loss is not better.
    assert (outcome.state, outcome.step) == ("finished", 35)
    assert outcome.best == {"step": 20, "metric": "loss", "value": 3.0}
    assert outcome.test
    assert {20, 35} <= set(checkpoint.steps(tmp_path / "checkpoints"))


def test_it_does_not_end_before_every_player_has_moved(tmp_path: Path) -> None:
    outcome = trainer(Scripted([5, *[6] * 20], generator_from=32)).fit(tmp_path)
    # Counted from the validation at step 35, the first after the generator's first move.
    assert outcome.step == 45


def test_a_resumed_run_ends_where_one_that_was_not_interrupted_does(tmp_path: Path) -> None:
    losses = [5.0, 4.0, *[6.0] * 20]
    whole = trainer(Scripted(losses)).fit(tmp_path / "whole")
    trainer(Scripted(losses), steps=17).fit(tmp_path / "two")
    resumed = trainer(Scripted(losses)).fit(tmp_path / "two")
    assert whole.step == resumed.step == 25


def test_without_a_metric_that_chooses_the_best_model_it_is_refused() -> None:
    with pytest.raises(ConfigError, match="model.best is null"):
        trainer(Scripted([1]), best=None)
