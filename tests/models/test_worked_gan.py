"""The worked example of a GAN on one number, and the same game trained to its end."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from genlab import randomness
from genlab.data.sources.gaussian import gaussian
from genlab.kinds import Points
from genlab.models.gan import GAN
from genlab.networks.mlp import Mlp
from genlab.training.players import Players
from genlab.training.settings import PlayerSettings, TrainerSettings
from genlab.training.trainer import Trainer

POINT = Points(1)
# G(z) = z / 2 and D(x) = sigmoid(x - 2).
START = {
    "generator.0.weight": [0.5],
    "generator.0.bias": [0.0],
    "discriminator.encoder.1.weight": [1.0],
    "discriminator.encoder.1.bias": [-2.0],
}
REAL = torch.tensor([2.1, 1.8, 2.3, 1.9]).view(4, 1)
NOISE = torch.tensor([0.5, -0.3, 1.2, -0.8]).view(4, 1)


def worked(monkeypatch: pytest.MonkeyPatch) -> GAN:
    """Build the players of the example at the starting point, with its noise."""
    model = GAN(x=POINT, network=Mlp(hidden=[]), latent_dim=1)
    weights = {name: torch.tensor(values) for name, values in START.items()}
    model.load_state_dict({name: weights[name].view_as(value) for name, value in model.state_dict().items()})
    monkeypatch.setattr(randomness, "normal", lambda *size, **_: NOISE.view(size))
    return model


def assert_close(seen: Tensor, expected: list[float]) -> None:
    """Compare all 8 digits, as far as float32 holds them."""
    torch.testing.assert_close(seen.detach().flatten(), torch.tensor(expected), rtol=2e-7, atol=6e-8)


def test_the_results_of_the_worked_players_are_right_digit_by_digit(monkeypatch: pytest.MonkeyPatch) -> None:
    model = worked(monkeypatch)
    generated = model.sample(4)
    assert_close(generated, [0.25, -0.15, 0.6, -0.4])
    assert_close(model.discriminator(REAL, None).sigmoid(), [0.52497919, 0.45016600, 0.57444252, 0.47502081])
    assert_close(model.discriminator(generated, None).sigmoid(), [0.14804720, 0.10433122, 0.19781611, 0.08317270])
    assert_close(model.discriminator_loss({"x": REAL}).loss, [0.82973744])
    assert_close(model.generator_loss({"x": REAL}).loss, [2.06941558])
    assert_close(model.validate({"x": REAL}).loss, [0.82973744])


MOVED = {
    "discriminator": {"discriminator.encoder.1.weight": [1.00964176], "discriminator.encoder.1.bias": [-1.99639487]},
    "generator": {"generator.0.weight": [0.50096609], "generator.0.bias": [0.00866658]},
}


def test_one_step_of_each_worked_player_is_right_digit_by_digit(monkeypatch: pytest.MonkeyPatch) -> None:
    turns = [(turn.player, number) for number, turn in enumerate(worked(monkeypatch).turns(0))]
    assert [player for player, _ in turns] == ["generator", "discriminator"]
    for name, number in turns:
        model = worked(monkeypatch)  # Both from the starting point.
        players = Players(model, dict.fromkeys(MOVED, PlayerSettings(optimizer="sgd", lr=0.01)), 1)
        mover = players.give_floor(name)
        mover.move(model.turns(0)[number].loss({"x": REAL}).loss, 0)
        for weight, value in model.state_dict().items():
            assert_close(value, MOVED[name].get(weight, START[weight]))


def test_a_whole_step_moves_both_worked_players_from_the_starting_point(monkeypatch: pytest.MonkeyPatch) -> None:
    model, batch = worked(monkeypatch), {"x": REAL}
    players = Players(model, dict.fromkeys(MOVED, PlayerSettings(optimizer="sgd", lr=0.01)), 1)
    for turn in model.turns(0):
        # The items that the generator hands on come from its weights before the move.
        mover, result = players.give_floor(turn.player), turn.loss(batch)
        mover.move(result.loss, 0)
        batch = batch | result.handed_on
    for name, value in model.state_dict().items():
        assert_close(value, {**MOVED["discriminator"], **MOVED["generator"]}[name])


def trained(folder: Path, steps: int) -> tuple[Tensor, Tensor]:
    """Train a small GAN on N(2, 0.5^2); return samples, and its discriminator's outputs within two stds of the mean."""
    points = gaussian(count=20_000, means=[[2.0]], std=0.5, seed=0, validation=1000, test=1000)
    torch.manual_seed(0)
    network = Mlp(hidden=[16], activation="tanh")
    model = GAN(x=POINT, network=network, latent_dim=1, discriminator_normalization="none", r1=0.1)
    players = {
        name: PlayerSettings(lr=lr, betas=(0.5, 0.99), schedule="cosine", ema=ema)
        for name, lr, ema in (("discriminator", 0.01, 0.0), ("generator", 0.003, 0.99))
    }
    seldom = 10**6
    settings = TrainerSettings(
        batch_size=256, steps=steps, log_every=500, validate_every=seldom, checkpoint_every=seldom
    )
    trainer = Trainer(model, points, settings, players, best=None)
    trainer.fit(folder)
    with torch.no_grad(), trainer.averages.worn():
        places = torch.linspace(1, 3, 41).view(-1, 1)
        samples = model.sample(40_000, generator=torch.Generator().manual_seed(1))
        return samples, model.discriminator(places, None).sigmoid()


def test_after_training_the_samples_are_near_mean_2_and_std_a_half(tmp_path: Path) -> None:
    samples, _ = trained(tmp_path, steps=800)
    assert float(samples.mean()) == pytest.approx(2, abs=0.1)
    assert float(samples.std()) == pytest.approx(0.5, abs=0.1)


@pytest.mark.slow
def test_after_long_training_the_samples_are_like_the_data_and_the_discriminator_can_only_guess(tmp_path: Path) -> None:
    samples, guesses = trained(tmp_path, steps=5000)
    assert float(samples.mean()) == pytest.approx(2, abs=0.05)
    assert float(samples.std()) == pytest.approx(0.5, abs=0.05)
    torch.testing.assert_close(guesses, torch.full((41,), 0.5), rtol=0, atol=0.05)
