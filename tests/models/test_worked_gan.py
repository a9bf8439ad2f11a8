"""The GAN on one number that is worked by hand in the reference, and what it becomes when it is trained on."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from genlab.contract import Shape
from genlab.data.sources.gaussian import gaussian
from genlab.models.gan import GAN
from genlab.networks.mlp import Mlp
from genlab.training.players import Players
from genlab.training.settings import PlayerSettings, TrainerSettings
from genlab.training.trainer import Trainer

POINT = Shape(1, 1, 1)
# G(z) = z / 2 and D(x) = sigmoid(x - 2).
START = {
    "generator.0.weight": [0.5],
    "generator.0.bias": [0.0],
    "critic.encoder.1.weight": [1.0],
    "critic.encoder.1.bias": [-2.0],
}
REAL = torch.tensor([2.1, 1.8, 2.3, 1.9]).view(4, *POINT)
NOISE = torch.tensor([0.5, -0.3, 1.2, -0.8]).view(4, 1)


def worked(monkeypatch: pytest.MonkeyPatch) -> GAN:
    """The players of the example at its starting point, and its noise."""
    model = GAN(shape=POINT, classes=0, network=Mlp(hidden=[]), latent_dim=1)
    weights = {name: torch.tensor(values) for name, values in START.items()}
    model.load_state_dict({name: weights[name].view_as(value) for name, value in model.state_dict().items()})
    monkeypatch.setattr(model, "noise", lambda *size, **_: NOISE.view(size))
    return model


def assert_close(seen: Tensor, expected: list[float]) -> None:
    """Equal in all 8 digits, as far as float32 holds them."""
    torch.testing.assert_close(seen.detach().flatten(), torch.tensor(expected), rtol=2e-7, atol=6e-8)


def test_what_the_worked_players_make_and_say_comes_out_digit_by_digit(monkeypatch: pytest.MonkeyPatch) -> None:
    model = worked(monkeypatch)
    fake = model.sample(4)
    assert_close(fake, [0.25, -0.15, 0.6, -0.4])
    assert_close(model.critic(REAL, None).sigmoid(), [0.52497919, 0.45016600, 0.57444252, 0.47502081])
    assert_close(model.critic(fake, None).sigmoid(), [0.14804720, 0.10433122, 0.19781611, 0.08317270])
    assert_close(model.critic_loss({"image": REAL})["loss"], [0.82973744])
    assert_close(model.generator_loss({"image": REAL})["loss"], [2.06941558])
    assert_close(model.validate({"image": REAL})["loss"], [0.82973744])


MOVED = {
    "critic": {"critic.encoder.1.weight": [1.00964176], "critic.encoder.1.bias": [-1.99639487]},
    "generator": {"generator.0.weight": [0.50096609], "generator.0.bias": [0.00866658]},
}


def test_one_step_of_each_worked_player_comes_out_digit_by_digit(monkeypatch: pytest.MonkeyPatch) -> None:
    turns = [(turn.player, number) for number, turn in enumerate(worked(monkeypatch).turns(0))]
    assert [player for player, _ in turns] == ["generator", "critic"]
    for name, number in turns:
        model = worked(monkeypatch)  # Both from the starting point.
        players = Players(model, dict.fromkeys(MOVED, PlayerSettings(optimizer="sgd", rate=0.01)), 1)
        mover = players.give_floor(name)
        mover.move(model.turns(0)[number].loss({"image": REAL})["loss"], 0)
        for weight, value in model.state_dict().items():
            assert_close(value, MOVED[name].get(weight, START[weight]))


def test_a_whole_step_moves_both_worked_players_from_the_starting_point(monkeypatch: pytest.MonkeyPatch) -> None:
    model, batch = worked(monkeypatch), {"image": REAL}
    players = Players(model, dict.fromkeys(MOVED, PlayerSettings(optimizer="sgd", rate=0.01)), 1)
    for turn in model.turns(0):
        # The critic judges what the generator made before it moved, and the generator met the critic before it moved.
        players.give_floor(turn.player).move(turn.loss(batch)["loss"], 0)
    for name, value in model.state_dict().items():
        assert_close(value, {**MOVED["critic"], **MOVED["generator"]}[name])


def trained(folder: Path, steps: int) -> tuple[Tensor, Tensor]:
    """Samples of a small GAN that was trained on N(2, 0.5^2), and what its critic thinks within two deviations."""
    images = gaussian(count=20_000, means=[[2.0]], deviation=0.5, seed=0, validation=1000, test=1000)
    torch.manual_seed(0)
    network = Mlp(hidden=[16], activation="tanh")
    model = GAN(shape=POINT, classes=0, network=network, latent_dim=1, critic_normalization="none", r1=0.1)
    players = {
        name: PlayerSettings(rate=rate, betas=(0.5, 0.99), schedule="cosine")
        for name, rate in (("critic", 0.01), ("generator", 0.003))
    }
    seldom = {"log_every": 500, "validate_every": 10**6, "checkpoint_every": 10**6}
    settings = TrainerSettings(batch_size=256, steps=steps, average=0.99, **seldom)
    trainer = Trainer(model, images, settings, players, best=None)
    trainer.fit(folder)
    assert trainer.average
    with torch.no_grad(), trainer.average.worn():
        places = torch.linspace(1, 3, 41).view(-1, *POINT)
        samples = model.sample(40_000, generator=torch.Generator().manual_seed(1))
        return samples, model.critic(places, None).sigmoid()


def test_trained_on_the_samples_come_near_mean_2_and_deviation_a_half(tmp_path: Path) -> None:
    samples, _ = trained(tmp_path, steps=800)
    assert float(samples.mean()) == pytest.approx(2, abs=0.1)
    assert float(samples.std()) == pytest.approx(0.5, abs=0.1)


@pytest.mark.slow
def test_trained_to_the_end_the_samples_are_the_data_and_the_critic_can_only_guess(tmp_path: Path) -> None:
    samples, guesses = trained(tmp_path, steps=5000)
    assert float(samples.mean()) == pytest.approx(2, abs=0.05)
    assert float(samples.std()) == pytest.approx(0.5, abs=0.05)
    torch.testing.assert_close(guesses, torch.full((41,), 0.5), rtol=0, atol=0.05)
