"""A step whose loss or gradient is not finite leaves the weights and the state of every optimizer as they are."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from genlab.training.players import Player
from genlab.training.settings import PlayerSettings

SETTINGS: dict[str, dict[str, Any]] = {
    "adam": {"optimizer": "adam"},
    "adam with all": {"optimizer": "adam", "betas": (0.5, 0.9), "weight_decay": 0.1, "clip": 0.5},
    "adamw": {"optimizer": "adamw", "weight_decay": 0.1},
    "rmsprop": {"optimizer": "rmsprop"},
    "rmsprop with all": {"optimizer": "rmsprop", "momentum": 0.9, "weight_decay": 0.1, "clip": 0.5},
    "sgd": {"optimizer": "sgd"},
    "sgd with momentum": {"optimizer": "sgd", "momentum": 0.9},
    "sgd with decay": {"optimizer": "sgd", "weight_decay": 0.1},
    "sgd with all": {"optimizer": "sgd", "momentum": 0.9, "weight_decay": 0.1, "clip": 0.5},
}


def player_of(settings: dict[str, Any], on_cpu: bool) -> Player:
    torch.manual_seed(0)
    layers = nn.Sequential(nn.Conv2d(2, 3, 3), nn.Flatten(), nn.Linear(12, 2))
    layers.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    player = Player(dict(layers.named_parameters()), PlayerSettings(lr=0.1, **settings), 10)
    # False: the way of a GPU, where the loop must not wait to learn if the step counts.
    player.on_cpu = on_cpu
    return player


def loss_of(player: Player, kind: str) -> Tensor:
    total = torch.stack([(weight - 1).square().sum() for weight in player.weights.values()]).sum()
    if kind == "not a number":
        return total * torch.nan
    # The loss is finite; the gradient of a root at 0 is not.
    return total + (total - total.detach()).sqrt() if kind == "infinite gradient" else total


def tensors_of(player: Player) -> dict[str, Tensor]:
    weights = {name: weight.detach() for name, weight in player.weights.items()}
    return {name: value.clone() for name, value in {**weights, **player.state()}.items()}


def moved(player: Player, *kinds: str) -> tuple[dict[str, Tensor], list[bool]]:
    finite = [bool(player.move(loss_of(player, kind), 3)[1]) for kind in kinds]
    return tensors_of(player), finite


@pytest.mark.parametrize("on_cpu", [True, False])
@pytest.mark.parametrize("bad", ["not a number", "infinite gradient"])
@pytest.mark.parametrize("name", SETTINGS)
def test_a_step_that_is_not_finite_changes_nothing(name: str, bad: str, on_cpu: bool) -> None:
    for before in ([], ["fine"], ["fine", "fine"]):
        player, twin = player_of(SETTINGS[name], on_cpu), player_of(SETTINGS[name], on_cpu)
        was, _ = moved(player, *before)
        moved(twin, *before)
        now, finite = moved(player, bad)
        assert finite == [False]
        assert all(torch.equal(value, now[key]) for key, value in was.items())
        # State that the first step makes is zero until a step counts.
        assert not any(value.any() for key, value in now.items() if key not in was)
        after, finite = moved(player, "fine")
        expected, _ = moved(twin, "fine")
        assert finite == [True]
        assert after.keys() == expected.keys()
        assert all(torch.equal(value, expected[key]) for key, value in after.items())


@pytest.mark.parametrize("name", ["rmsprop with all", "sgd with all"])
def test_both_ways_of_skipping_give_the_same(name: str) -> None:
    kinds = ["fine", "not a number", "fine", "infinite gradient", "fine"]
    here, there = (moved(player_of(SETTINGS[name], on_cpu), *kinds)[0] for on_cpu in (True, False))
    assert all(torch.equal(value, there[key]) for key, value in here.items())
