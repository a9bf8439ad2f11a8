"""The optimiser and schedule of each player; only the mover may move."""

import math
from collections.abc import Callable, Iterable, Mapping

import torch
from torch import Tensor, nn

from genlab.contract import Model
from genlab.registry import ConfigError, suggestion
from genlab.training.settings import PlayerSettings


def rate_at(settings: PlayerSettings, step: int, total: int) -> float:
    """The learning rate of a step: linear warm-up, then constant, a half cosine to zero or a line to zero."""
    if step < settings.warmup:
        return settings.rate * (step + 1) / settings.warmup
    done = (step - settings.warmup) / max(1, total - settings.warmup)
    left = {"constant": 1.0, "cosine": (1 + math.cos(math.pi * done)) / 2, "linear": 1 - done}
    return settings.rate * max(0.0, left[settings.schedule])


OPTIMIZERS: dict[str, Callable[[list[nn.Parameter], PlayerSettings], torch.optim.Optimizer]] = {
    "adam": lambda weights, player: torch.optim.Adam(
        weights, player.rate, player.betas or (0.9, 0.999), weight_decay=player.weight_decay, fused=True
    ),
    "adamw": lambda weights, player: torch.optim.AdamW(
        weights, player.rate, player.betas or (0.9, 0.999), weight_decay=player.weight_decay, fused=True
    ),
    "rmsprop": lambda weights, player: torch.optim.RMSprop(
        weights, player.rate, momentum=player.momentum or 0.0, weight_decay=player.weight_decay
    ),
    # Not fused: where its first step is skipped, the fused kernel leaves a momentum that nobody has written.
    "sgd": lambda weights, player: torch.optim.SGD(
        weights, player.rate, momentum=player.momentum or 0.0, weight_decay=player.weight_decay
    ),
}


def total_norm(gradients: list[Tensor]) -> Tensor:
    """The length of all gradients as one vector; on a CPU by dot products, in half of torch's time."""
    if not gradients or gradients[0].device.type != "cpu":
        return torch.nn.utils.get_total_norm(gradients)
    flat = [gradient.flatten() for gradient in gradients]
    return torch.stack([torch.dot(values, values) for values in flat]).sum().sqrt()


class Player:
    """One player's weights, by their names in the model, and the optimiser that moves them."""

    def __init__(self, weights: dict[str, nn.Parameter], settings: PlayerSettings, total: int) -> None:
        self.weights, self.settings, self.total = weights, settings, total
        self.optimizer = OPTIMIZERS[settings.optimizer](list(weights.values()), settings)
        self.fused = bool(self.optimizer.defaults.get("fused"))

    def move(self, loss: Tensor, step: int) -> tuple[Tensor, Tensor]:
        """Take one optimiser step; return the gradient's norm and whether it and the loss were finite.

        Where they were not the weights stay as they are, and nothing waits for the device to find out.
        """
        loss.backward()  # type: ignore[no-untyped-call]
        gradients = [weight.grad for weight in self.weights.values() if weight.grad is not None]
        norm = total_norm(gradients)
        finite = torch.isfinite(norm + loss.detach())
        if self.settings.clip is not None:
            torch._foreach_mul_(gradients, (self.settings.clip / (norm + 1e-6)).clamp(max=1.0))
        if self.fused:
            # The fused kernels leave weights and state alone where this is 1: it is how torch skips a step.
            self.optimizer.found_inf = (~finite).to(torch.float32)  # type: ignore[attr-defined]
        else:
            for gradient in gradients:
                gradient.copy_(torch.where(finite, gradient, 0))
        for group in self.optimizer.param_groups:
            group["lr"] = rate_at(self.settings, step, self.total)
        self.optimizer.step()
        # Freed here and not before the next backward pass, the memory serves the next forward pass.
        self.optimizer.zero_grad()
        return norm, finite

    def state(self) -> dict[str, Tensor]:
        """The optimiser's tensors as `<weight>/<name>`."""
        return {
            f"{name}/{entry}": value
            for name, weight in self.weights.items()
            for entry, value in self.optimizer.state[weight].items()
        }

    def wanted(self, found: Iterable[str]) -> dict[str, Tensor]:
        """Return the names, shapes and types that a state must have, as tensors without content.

        A weight that has never moved has no state, so the names that were found say which weights have moved.
        """
        moved = {path.rpartition("/")[0] for path in found}
        return {
            f"{name}/{entry}": value
            for name, weight in self.weights.items()
            if name in moved
            for entry, value in _entries(weight, self.settings).items()
        }

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Put back what `state` gave, after its names, shapes and types were checked against `wanted`.

        The fused kernels do not check them: of another shape, they read and write beyond the end.
        """
        self.optimizer.state.clear()
        for path, value in state.items():
            name, entry = path.rsplit("/", 1)
            weight = self.weights[name]
            if value.shape == weight.shape and value.dim():
                value = torch.empty_like(weight).copy_(value)
            elif self.fused:
                value = value.to(weight.device)
            self.optimizer.state[weight][entry] = value.clone()


def _entries(weight: nn.Parameter, settings: PlayerSettings) -> dict[str, Tensor]:
    """Return the state that the optimiser keeps of one weight, found by moving a small one of the same type."""
    small = nn.Parameter(torch.zeros(2, dtype=weight.dtype))
    small.grad = torch.zeros_like(small)
    optimizer = OPTIMIZERS[settings.optimizer]([small], settings)
    optimizer.step()
    # What is as long as the small weight is of the shape of the large one; a count of steps is a scalar for both.
    return {
        entry: value.to("meta").new_empty(weight.shape if value.shape == small.shape else value.shape)
        for entry, value in optimizer.state[small].items()
    }


class Players:
    """All who play; before each move the floor is given to one, and the others are frozen."""

    def __init__(self, model: Model, settings: Mapping[str, PlayerSettings], total: int) -> None:
        modules = model.players()
        _check_names(modules, settings)
        names = {id(weight): name for name, weight in model.named_parameters()}
        owned: dict[str, dict[str, nn.Parameter]] = {
            player: {names[id(weight)]: weight for weight in module.parameters() if weight.requires_grad}
            for player, module in modules.items()
        }
        _check_owners(model, owned)
        self.players = {name: Player(owned[name], settings[name], total) for name in modules}
        self._floor = next(iter(owned)) if len(owned) == 1 else None

    def give_floor(self, name: str) -> Player:
        """Freeze everyone else; nothing is done where the floor does not change hands."""
        if name not in self.players:
            raise ConfigError(f"A turn is given to {name!r}, who is not among the players: {', '.join(self.players)}")
        if name != self._floor:
            for other, player in self.players.items():
                for weight in player.weights.values():
                    weight.requires_grad_(other == name)
            self._floor = name
        return self.players[name]


def _check_names(modules: Mapping[str, nn.Module], settings: Mapping[str, PlayerSettings]) -> None:
    for name in settings:
        if name not in modules:
            hint = suggestion(name, modules)
            raise ConfigError(f"The model has no player {name!r}. {hint}Its players: {', '.join(modules)}")
    for name in modules:
        if name not in settings:
            raise ConfigError(f"The player {name!r} has no optimiser: add it under players in the model's YAML.")


def _check_owners(model: Model, owned: Mapping[str, Mapping[str, nn.Parameter]]) -> None:
    for name, weight in model.named_parameters():
        owners = [player for player, weights in owned.items() if name in weights]
        if weight.requires_grad and len(owners) != 1:
            found = " and ".join(owners) or "no player"
            raise ConfigError(f"The weight {name!r} belongs to {found}; it must belong to one player, or be frozen.")
