"""The loop, tested on a game small enough to compute by hand."""

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from genlab.contract import Batch, Result, Turn
from genlab.registry import ConfigError, RunError
from genlab.training import checkpoint
from genlab.training.journal import read
from genlab.training.settings import PlayerSettings, TrainerSettings
from genlab.training.trainer import Trainer
from tests.fixtures.toys import ToyGame, seeded, toy_images, toy_trainer


def weights_of(trainer: Trainer) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in trainer.model.state_dict().items()}


def newest(folder: Path) -> checkpoint.Checkpoint:
    found = checkpoint.newest(folder / "checkpoints")
    assert found
    return found


def test_the_players_move_in_the_order_of_the_turns(tmp_path: Path) -> None:
    trainer = toy_trainer(steps=2)
    trainer.fit(tmp_path)
    assert isinstance(trainer.model, ToyGame)
    assert [player for player, _ in trainer.model.moves] == ["discriminator", "discriminator", "generator"] * 2


def test_a_repeated_move_is_dealt_another_batch_and_the_step_shares_its_first(tmp_path: Path) -> None:
    trainer = toy_trainer(seeded(ToyGame, discriminator_turns=3), steps=2)
    trainer.fit(tmp_path)
    assert isinstance(trainer.model, ToyGame)
    batches = [batch for _, batch in trainer.model.moves]
    expected = [tuple((trainer.data.batch(n)["x"].mean(dim=(1, 2, 3)) * 255).round().tolist()) for n in range(6)]
    assert batches == [*expected[:3], expected[0], *expected[3:], expected[3]]
    assert len(set(expected)) == 6


def test_only_the_mover_can_move(tmp_path: Path) -> None:
    trainer = toy_trainer(steps=2)
    trainer.fit(tmp_path)
    assert isinstance(trainer.model, ToyGame)
    for (player, _), learning in zip(trainer.model.moves, trainer.model.seen, strict=True):
        assert learning == {
            "discriminator.weight": player == "discriminator",
            "generator.weight": player == "generator",
        }


def test_a_step_is_plain_gradient_descent_computed_by_hand(tmp_path: Path) -> None:
    trainer = toy_trainer(steps=1)
    discriminator, generator = (float(weight) for weight in trainer.model.state_dict().values())
    trainer.fit(tmp_path)
    assert isinstance(trainer.model, ToyGame)
    for (player, batch), noise in zip(trainer.model.moves, trainer.model.noise_drawn, strict=True):
        inputs = [value / 255 + 1 + 0.1 * noise for value in batch]
        other = generator if player == "discriminator" else discriminator
        slope = sum(2 * (discriminator * generator * x - 1) * other * x for x in inputs) / len(inputs)
        discriminator, generator = (
            (discriminator - 0.05 * slope, generator)
            if player == "discriminator"
            else (discriminator, generator - 0.05 * slope)
        )
    assert [float(weight) for weight in trainer.model.state_dict().values()] == pytest.approx(
        [discriminator, generator], 1e-5
    )


def test_clipping_comes_after_the_weights_have_moved(tmp_path: Path) -> None:
    trainer = toy_trainer(seeded(ToyGame, discriminator_turns=1, clip=0.01), steps=1)
    before = float(trainer.model.state_dict()["discriminator.weight"])
    trainer.fit(tmp_path)
    assert isinstance(trainer.model, ToyGame)
    names = [player for player, _ in trainer.model.moves]
    assert names == ["discriminator", "clip", "generator"]
    moved = trainer.model.moves[1][1][0]
    assert moved != pytest.approx(before)
    assert abs(float(trainer.model.state_dict()["discriminator.weight"])) == pytest.approx(0.01)


def test_every_move_draws_noise_of_its_own_that_the_seed_fixes(tmp_path: Path) -> None:
    drawn = []
    for folder in ("a", "b"):
        trainer = toy_trainer(steps=3)
        trainer.fit(tmp_path / folder)
        assert isinstance(trainer.model, ToyGame)
        drawn.append(trainer.model.noise_drawn)
    assert drawn[0] == drawn[1]
    assert len(set(drawn[0])) == len(drawn[0])


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adamw", "rmsprop"])
@pytest.mark.parametrize("term", ["loss", "shown"])
def test_a_loss_that_is_not_finite_never_reaches_the_weights(tmp_path: Path, optimizer: str, term: str) -> None:
    game = seeded(ToyGame, discriminator_turns=1)
    assert isinstance(game, ToyGame)
    game.poison = {3: term}
    players = {name: PlayerSettings(optimizer=optimizer, lr=0.01) for name in game.players()}  # type: ignore[arg-type]
    settings = TrainerSettings(batch_size=4, steps=10, log_every=10, checkpoint_every=2)
    trainer = Trainer(game, toy_images(), settings, players)
    if term == "shown":
        trainer.fit(tmp_path)
        assert [line for line in read(tmp_path) if line["split"] == "train"][-1]["discriminator/shown"] is None
    else:
        with pytest.raises(RunError, match=r"discriminator: loss was not finite at step 3"):
            trainer.fit(tmp_path)
        assert newest(tmp_path).step == 2
    assert all(torch.isfinite(value).all() for value in trainer.model.state_dict().values())


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adamw", "rmsprop"])
def test_a_step_that_is_not_finite_is_not_taken(optimizer: str) -> None:
    from genlab.training.players import Players

    game = seeded(ToyGame)
    settings = PlayerSettings(optimizer=optimizer, lr=0.01)  # type: ignore[arg-type]
    discriminator = Players(game, {"discriminator": settings, "generator": settings}, 10).give_floor("discriminator")
    weight = game.state_dict()["discriminator.weight"]
    before = weight.clone()
    _, finite = discriminator.move(next(iter(discriminator.weights.values())).sum() * torch.nan, 0)
    assert not finite
    assert torch.equal(weight, before)
    _, finite = discriminator.move(next(iter(discriminator.weights.values())).sum(), 1)
    assert finite
    assert torch.isfinite(weight).all()
    assert not torch.equal(weight, before)


def test_the_terms_of_a_log_line_are_the_means_since_the_last(tmp_path: Path) -> None:
    trainer = toy_trainer(steps=6, log_every=3)
    singles = toy_trainer(steps=6, log_every=1)
    trainer.fit(tmp_path / "a")
    singles.fit(tmp_path / "b")
    means = [line for line in read(tmp_path / "a") if line["split"] == "train"]
    each = [line for line in read(tmp_path / "b") if line["split"] == "train"]
    assert [line["step"] for line in means] == [3, 6]
    for line, part in ((means[0], each[:3]), (means[1], each[3:])):
        for term in ("discriminator/loss", "generator/loss", "generator/gradient_norm", "discriminator/shown"):
            assert line[term] == pytest.approx(sum(single[term] for single in part) / 3, rel=1e-5)


def test_validation_is_the_mean_over_every_image_of_the_split(tmp_path: Path) -> None:
    trainer = toy_trainer(steps=1, batch_size=3)
    outcome = trainer.fit(tmp_path)
    weight = float(trainer.model.state_dict()["discriminator.weight"])
    assert outcome.validation["loss"] == pytest.approx(weight * sum(range(24, 32)) / 8 / 255, rel=1e-5)
    assert outcome.test["loss"] == pytest.approx(weight * sum(range(32, 40)) / 8 / 255, rel=1e-5)


def test_the_test_split_is_touched_once_at_the_end(tmp_path: Path) -> None:
    trainer = toy_trainer(steps=6, validate_every=2, checkpoint_every=2)
    trainer.fit(tmp_path)
    splits = [line["split"] for line in read(tmp_path)]
    assert splits.count("test") == 1
    assert splits[-1] == "test"
    assert splits.count("validation") == 3


def test_validating_more_often_changes_no_result(tmp_path: Path) -> None:
    seldom, often = toy_trainer(steps=6), toy_trainer(steps=6, validate_every=1, log_every=1, checkpoint_every=1)
    seldom.fit(tmp_path / "a")
    often.fit(tmp_path / "b")
    assert all(torch.equal(a, b) for a, b in zip(weights_of(seldom).values(), weights_of(often).values(), strict=True))


def test_the_last_two_checkpoints_and_the_best_stay(tmp_path: Path) -> None:
    class Worsening(ToyGame):
        def validate(self, batch: Batch) -> Result:
            return Result(torch.tensor(float(len(self.moves))))

    trainer = toy_trainer(seeded(Worsening), steps=6, validate_every=2, checkpoint_every=1)
    outcome = trainer.fit(tmp_path)
    assert outcome.best == {"step": 2, "metric": "loss", "value": 6.0}
    assert list(checkpoint.steps(tmp_path / "checkpoints")) == [2, 5, 6]


def test_epochs_count_dealt_batches() -> None:
    # 24 images in batches of 4 are 6 batches; a step of the toy game with two discriminator moves deals 2.
    assert toy_trainer(steps=None, epochs=3).total == 9
    assert toy_trainer(seeded(ToyGame, discriminator_turns=1), steps=None, epochs=3).total == 18


def test_many_epochs_are_counted_at_once_and_exactly_where_a_model_changes_its_turns_early(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Eager(ToyGame):
        """Moves the discriminator four times in each of the first two steps."""

        def turns(self, step: int) -> list[Turn]:
            discriminator, generator = super().turns(step)
            return [replace(discriminator, repeat=4 if step < 2 else 2), generator]

    # 6 batches an epoch: two steps of four batches, and one of two for each two of the rest.
    for counted in (2, 3, 1000):
        monkeypatch.setattr("genlab.training.trainer._COUNTED", counted)
        totals = [toy_trainer(seeded(Eager), steps=None, epochs=epochs).total for epochs in (1, 2, 3)]
        assert totals == [2, 4, 7]
    assert toy_trainer(seeded(Eager), steps=None, epochs=10**12).total == 2 + (6 * 10**12 - 8) // 2


def test_a_metric_that_is_not_measured_cannot_choose_the_best() -> None:
    game = seeded(ToyGame)
    players = {name: PlayerSettings() for name in game.players()}
    with pytest.raises(ConfigError, match=r"a metric of the validation \(loss\), got 'los'"):
        Trainer(game, toy_images(), TrainerSettings(batch_size=4, steps=1), players, best="los")


def test_the_yaml_must_name_the_players_of_the_model() -> None:
    game = seeded(ToyGame)
    with pytest.raises(ConfigError, match="no player 'discrimnator'. Did you mean 'discriminator'"):
        Trainer(game, toy_images(), TrainerSettings(batch_size=4, steps=1), {"discrimnator": PlayerSettings()})
    with pytest.raises(ConfigError, match="The player 'generator' has no optimizer"):
        Trainer(game, toy_images(), TrainerSettings(batch_size=4, steps=1), {"discriminator": PlayerSettings()})


def test_a_weight_that_belongs_to_nobody_is_an_error_and_a_frozen_one_is_not() -> None:
    game = seeded(ToyGame)
    game.stray = torch.nn.Parameter(torch.zeros(2))
    players = {name: PlayerSettings() for name in ("discriminator", "generator")}
    with pytest.raises(ConfigError, match="'stray' belongs to no player"):
        Trainer(game, toy_images(), TrainerSettings(batch_size=4, steps=1), players)
    game.stray.requires_grad_(False)
    Trainer(game, toy_images(), TrainerSettings(batch_size=4, steps=1), players)


def test_a_clipped_gradient_is_no_longer_than_the_clip(tmp_path: Path) -> None:
    game = seeded(ToyGame, discriminator_turns=1)
    before = {name: value.clone() for name, value in game.state_dict().items()}
    players = {name: PlayerSettings(optimizer="sgd", lr=1.0, clip=0.001) for name in game.players()}
    Trainer(game, toy_images(), TrainerSettings(batch_size=4, steps=1), players).fit(tmp_path)
    for name, value in game.state_dict().items():
        assert math.isclose(float((value - before[name]).norm()), 0.001, rel_tol=0.01)


def test_few_images_and_an_empty_validation_split_are_enough(tmp_path: Path) -> None:
    images = toy_images(20)
    everything = {"train": torch.arange(20), "validation": torch.arange(0), "test": torch.arange(0)}
    few = images.with_splits(everything)
    game = seeded(ToyGame)
    players = {name: PlayerSettings() for name in game.players()}
    trainer = Trainer(game, few, TrainerSettings(batch_size=4, steps=1), players, best=None)
    assert len(trainer.validation.gallery["x"]) == 8
    assert trainer.fit(tmp_path).state == "finished"
