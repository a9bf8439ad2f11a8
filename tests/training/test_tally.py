"""The means of a log line."""

import pytest
import torch

from genlab.training.tally import Tally

FINE = torch.tensor(True)


def add(tally: Tally, step: int, **terms: float) -> None:
    tally.add("model", {name: torch.tensor(value) for name, value in terms.items()}, FINE, step)


def test_a_term_of_some_steps_is_averaged_over_those_steps_and_the_loss_over_all() -> None:
    tally = Tally()
    add(tally, 1, loss=1.0, r1=10.0)
    for step in (2, 3, 4):
        add(tally, step, loss=3.0)
    add(tally, 5, loss=4.0, r1=30.0)
    add(tally, 6, loss=10.0, pixels=7.0)
    assert tally.read() == pytest.approx({"model/loss": 24 / 6, "model/r1": 20.0, "model/pixels": 7.0})
    assert tally.read() == {}


def test_the_terms_of_players_are_kept_apart() -> None:
    tally = Tally()
    for player, value in (("generator", 1.0), ("discriminator", 5.0), ("discriminator", 7.0)):
        tally.add(player, {"loss": torch.tensor(value)}, FINE, 1)
    assert tally.read() == {"generator/loss": 1.0, "discriminator/loss": 6.0}


def test_the_means_are_the_same_if_a_checkpoint_lies_between() -> None:
    whole, first, second = Tally(), Tally(), Tally()
    for step, terms in enumerate([{"loss": 1.0, "r1": 2.0}, {"loss": 3.0}, {"loss": 0.1, "r1": 0.3}, {"loss": 0.7}]):
        add(whole, step, **terms)
        add(first if step < 2 else second, step, **terms)
        if step == 1:
            sums, facts = first.state()
            second.restore(sums, facts, torch.device("cpu"))
    assert second.read() == whole.read()
