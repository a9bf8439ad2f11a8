"""A game small enough to reckon by hand, and data for it."""

from pathlib import Path

import torch
from torch import Tensor, nn

from genlab.data.images import Images
from genlab.game import Batch, Model, Terms, Turn
from genlab.training.settings import PlayerSettings, TrainerSettings
from genlab.training.trainer import Outcome, Trainer


def toy_images(count: int = 40, side: int = 2) -> Images:
    """Images of which each has a brightness of its own, so that a batch tells which images it holds."""
    pixels = torch.arange(count, dtype=torch.uint8).view(-1, 1, 1, 1).expand(count, 1, side, side).contiguous()
    held_out = count // 5
    order = torch.arange(count)
    splits = {
        "train": order[: -2 * held_out],
        "validation": order[-2 * held_out : -held_out],
        "test": order[-held_out:],
    }
    return Images(pixels, splits)


class ToyGame(Model):
    """A critic and a painter with one weight each, who note every move."""

    def __init__(self, critic_turns: int = 2, clip: float | None = None) -> None:
        super().__init__()
        self.critic, self.painter = nn.Linear(1, 1, bias=False), nn.Linear(1, 1, bias=False)
        self.critic_turns, self.clip = critic_turns, clip
        self.moves: list[tuple[str, tuple[float, ...]]] = []
        self.seen: list[dict[str, bool]] = []
        self.noise_drawn: list[float] = []
        self.poison: dict[int, str] = {}
        """By the number of the critic's move: what is made infinite in it."""

    def players(self) -> dict[str, nn.Module]:
        return {"critic": self.critic, "painter": self.painter}

    def turns(self, step: int) -> list[Turn]:
        clip = self.clip_weights if self.clip else None
        return [
            Turn("critic", self.critic_loss, times=self.critic_turns, after=clip),
            Turn("painter", self.painter_loss),
        ]

    def clip_weights(self) -> None:
        assert self.clip
        self.moves.append(("clip", (float(self.critic.weight.detach()),)))
        self.critic.weight.clamp_(-self.clip, self.clip)

    def critic_loss(self, batch: Batch) -> Terms:
        terms = self._note("critic", batch, self.critic)
        made = self.poison.get(sum(player == "critic" for player, _ in self.moves))
        if made:
            terms[made] = terms[made] * torch.inf
        return terms

    def painter_loss(self, batch: Batch) -> Terms:
        return self._note("painter", batch, self.painter)

    def validate(self, batch: Batch) -> Terms:
        return {"loss": batch["image"].mean() * self.critic.weight.squeeze()}

    def _note(self, player: str, batch: Batch, module: nn.Module) -> Terms:
        values = batch["image"].mean(dim=(1, 2, 3))
        self.moves.append((player, tuple((values * 255).round().tolist())))
        self.seen.append({name: weight.requires_grad for name, weight in self.named_parameters()})
        noise = torch.randn(())
        self.noise_drawn.append(float(noise))
        # Both weights are in the loss: only freezing keeps the other player still.
        scores: Tensor = self.painter(self.critic(values.unsqueeze(1) + 1 + 0.1 * noise))
        return {"loss": (scores - 1).square().mean(), "shown": scores.mean().detach()}


def toy_trainer(model: Model | None = None, **settings: object) -> Trainer:
    """A trainer of the toy game by plain gradient descent."""
    chosen = {"batch_size": 4, "steps": 5, "validate_every": 100, "checkpoint_every": 100, "log_every": 100}
    game = model or seeded(ToyGame)
    players = {name: PlayerSettings(optimizer="sgd", rate=0.05) for name in game.players()}
    return Trainer(game, toy_images(), TrainerSettings(**{**chosen, **settings}), players)  # type: ignore[arg-type]


def fit(trainer: Trainer, folder: Path) -> Outcome:
    """Train silently."""
    return trainer.fit(folder)


def seeded(kind: type[Model], **settings: object) -> Model:
    """A model whose first weights are the same each time."""
    torch.manual_seed(1)
    return kind(**settings)
