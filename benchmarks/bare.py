"""A bare loop: a model's turns and optimizers on one batch in memory, with nothing around them."""

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from genlab.training.trainer import Trainer


def bare_step(trainer: "Trainer") -> Callable[[int], None]:
    """Return a function that takes the turns of a step: forward, backward, fused Adam."""
    import torch

    batch = trainer.engine.arrange(trainer.data.batch(0))
    optimizers = {
        name: torch.optim.Adam(player.weights.values(), 2e-4, (0.5, 0.999), fused=True)
        for name, player in trainer.players.players.items()
    }

    def step(number: int) -> None:
        seen = dict(batch)
        for turn in trainer.model.turns(number):
            trainer.players.give_floor(turn.player)
            result = trainer.engine.result(turn, seen)
            result.loss.backward()
            optimizers[turn.player].step()
            optimizers[turn.player].zero_grad()
            seen |= {key: value.detach() for key, value in result.handed_on.items()}

    return step
