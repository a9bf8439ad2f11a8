"""Optimizer and learning-rate schedule of each player; only the mover's weights can move."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence

import torch
from torch import Tensor, nn

from genlab import distributed
from genlab.contract import Model, modules_of
from genlab.contract import Player as Modules
from genlab.registry import ConfigError, suggestion
from genlab.training.settings import PlayerSettings


def lr_at(settings: PlayerSettings, step: int, total: int) -> float:
    """Return the learning rate of a step: linear warm-up, then constant, a half cosine to zero or a line to zero."""
    if step < settings.warmup:
        return settings.lr * (step + 1) / settings.warmup
    done = (step - settings.warmup) / max(1, total - settings.warmup)
    left = {"constant": 1.0, "cosine": (1 + math.cos(math.pi * done)) / 2, "linear": 1 - done}
    return settings.lr * max(0.0, left[settings.schedule])


OPTIMIZERS: dict[str, Callable[[list[nn.Parameter], PlayerSettings], torch.optim.Optimizer]] = {
    "adam": lambda weights, player: torch.optim.Adam(
        weights, player.lr, player.betas or (0.9, 0.999), weight_decay=player.weight_decay, fused=True
    ),
    "adamw": lambda weights, player: torch.optim.AdamW(
        weights, player.lr, player.betas or (0.9, 0.999), weight_decay=player.weight_decay, fused=True
    ),
    # Capturable: the count of steps lies beside the weights, so that a skipped step can be taken back there.
    "rmsprop": lambda weights, player: torch.optim.RMSprop(
        weights,
        player.lr,
        momentum=player.momentum or 0.0,
        weight_decay=player.weight_decay,
        capturable=any(weight.is_cuda for weight in weights),
    ),
    # Not fused: if its first step is skipped, the fused kernel leaves a momentum that was never initialised.
    "sgd": lambda weights, player: torch.optim.SGD(
        weights, player.lr, momentum=player.momentum or 0.0, weight_decay=player.weight_decay
    ),
}
_BITS = {2: torch.int16, 4: torch.int32, 8: torch.int64}
"""The type of whole numbers with as many bytes as a type of floats."""


def total_norm(gradients: list[Tensor]) -> Tensor:
    """Return the norm of all gradients as one vector; on a CPU by dot products, in half of torch's time."""
    if not gradients or gradients[0].device.type != "cpu":
        return torch.nn.utils.get_total_norm(gradients)
    flat = [gradient.flatten() for gradient in gradients]
    return torch.stack([torch.dot(values, values) for values in flat]).sum().sqrt()


class Player:
    """One player's weights, by their names in the model, and the optimizer that moves them."""

    def __init__(self, weights: dict[str, nn.Parameter], settings: PlayerSettings, total: int) -> None:
        self.weights, self.settings, self.total = weights, settings, total
        self.began: int | None = None
        """The step of the first move, from which the learning-rate schedule counts."""
        self.rate: Tensor | None = None
        """The learning rate, if it lies on the device."""
        self.rate_factor = 1.0
        """The factor of the learning rate, below 1 after a return to an earlier checkpoint."""
        self.optimizer = OPTIMIZERS[settings.optimizer](list(weights.values()), settings)
        self.fused = bool(self.optimizer.defaults.get("fused"))
        self.on_cpu = all(weight.device.type == "cpu" for weight in weights.values())

    def move(self, loss: Tensor, step: int, shown: Sequence[Tensor] = ()) -> tuple[Tensor, Tensor]:
        """Take one optimizer step; return the gradient's norm, and True if it and the loss were finite.

        If they were not, the weights stay as they are. Both results stay on the device, so nothing waits for it.
        Several processes average their gradients, and in the same message the scalars that are shown.
        """
        loss.backward()  # type: ignore[no-untyped-call]
        gradients = [weight.grad for weight in self.weights.values() if weight.grad is not None]
        loss = loss.detach().clone() if distributed.count() > 1 else loss.detach()
        # With the loss: if it is not finite in one process, no process moves its weights.
        distributed.average([*gradients, loss, *shown])
        norm = total_norm(gradients)
        finite = torch.isfinite(norm + loss)
        if self.settings.clip is not None:
            torch._foreach_mul_(gradients, (self.settings.clip / (norm + 1e-6)).clamp(max=1.0))
        if self.rate is None:
            self.set_rate(step)
        self._step(finite)
        # The memory is freed here, not before the next backward pass, so that the next forward pass can use it.
        self.optimizer.zero_grad()
        return norm, finite

    def set_rate(self, step: int) -> None:
        """Set the learning rate of a step."""
        self.began = step if self.began is None else self.began
        rate = self.rate_factor * lr_at(self.settings, step - self.began, self.total - self.began)
        if self.rate is not None:
            self.rate.fill_(rate)
            return
        for group in self.optimizer.param_groups:
            group["lr"] = rate

    def keep_rate_on_device(self) -> None:
        """Keep the learning rate beside the weights from now on, where a recorded move reads it.

        A move then leaves the rate as it is: `set_rate` is called before it.
        """
        if self.rate is None and self.weights:
            self.rate = torch.zeros((), device=next(iter(self.weights.values())).device)
            for group in self.optimizer.param_groups:
                group["lr"] = self.rate
                if self.rate.is_cuda:
                    group["capturable"] = True

    def _step(self, finite: Tensor) -> None:
        """Let the optimizer step; leave weights and state as they are if `finite` is false."""
        if self.fused:
            # The fused kernels leave weights and state alone if this is 1: torch's own way to skip a step.
            self.optimizer.found_inf = (~finite).to(torch.float32)  # type: ignore[attr-defined]
            self.optimizer.step()
        elif self.on_cpu:
            # Reading a number waits for nothing here.
            if finite:
                self.optimizer.step()
        else:
            self._step_and_choose(finite)

    @torch.no_grad()
    def _step_and_choose(self, finite: Tensor) -> None:
        """Let the optimizer step, then take back what it changed if `finite` is false, without reading it.

        A zero gradient would not do: momentum and weight decay move the weights without one. The numbers are chosen
        by their bits, because 0 * NaN is NaN.
        """
        before = self._moved()
        kept = torch._foreach_mul(list(before.values()), (~finite).to(torch.int32))
        self.optimizer.step()
        after = self._moved()
        # State that this step has made becomes zero, as it is before the first step.
        torch._foreach_mul_(list(after.values()), finite.to(torch.int32))
        torch._foreach_add_([after[key] for key in before], kept)

    def _moved(self) -> dict[tuple[str, str], Tensor]:
        """Return the bits of all tensors that a step changes: the weights, and the state beside them."""
        found = {}
        for name, weight in self.weights.items():
            for entry, value in {"": weight, **self.optimizer.state.get(weight, {})}.items():
                if value.device == weight.device:
                    found[name, entry] = value.detach().view(_BITS[value.element_size()])
        return found

    def state(self) -> dict[str, Tensor]:
        """Return the optimizer's tensors as `<weight>/<name>`."""
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

    def restore(self, state: Mapping[str, Tensor], began: int | None) -> None:
        """Restore the result of `state`, after its names, shapes and types were checked against `wanted`.

        The fused kernels do not check shapes: with a wrong shape they read and write out of bounds.
        """
        self.began = began
        self.optimizer.state.clear()
        for path, value in state.items():
            name, entry = path.rsplit("/", 1)
            weight = self.weights[name]
            if value.shape == weight.shape and value.dim():
                value = torch.empty_like(weight).copy_(value)
            elif self.fused or self.optimizer.defaults.get("capturable"):
                value = value.to(weight.device)
            self.optimizer.state[weight][entry] = value.clone()


def _entries(weight: nn.Parameter, settings: PlayerSettings) -> dict[str, Tensor]:
    """Return the state that the optimizer keeps of one weight, found by moving a small one of the same type."""
    small = nn.Parameter(torch.zeros(2, dtype=weight.dtype))
    small.grad = torch.zeros_like(small)
    optimizer = OPTIMIZERS[settings.optimizer]([small], settings)
    optimizer.step()
    # Entries of the small weight's shape have the large weight's shape; a count of steps is a scalar for both.
    return {
        entry: value.to("meta").new_empty(weight.shape if value.shape == small.shape else value.shape)
        for entry, value in optimizer.state[small].items()
    }


class Players:
    """All players; before each move, the weights of all players but one are frozen."""

    def __init__(self, model: Model, settings: Mapping[str, PlayerSettings], total: int) -> None:
        modules = model.players()
        _check_names(modules, settings)
        names = {id(weight): name for name, weight in model.named_parameters()}
        weights: dict[str, dict[str, nn.Parameter]] = {}
        owners: dict[str, set[str]] = {name: set() for name in names.values()}
        for player, part in modules.items():
            weights[player] = {}
            for module, shared in modules_of(part):
                trainable = {names[id(weight)]: weight for weight in module.parameters() if weight.requires_grad}
                weights[player] |= trainable
                for name in trainable if not shared else ():
                    owners[name].add(player)
        _check_owners(model, owners)
        self.players = {name: Player(weights[name], settings[name], total) for name in modules}
        self._floor = next(iter(modules)) if len(modules) == 1 else None

    def give_floor(self, name: str) -> Player:
        """Return the player, after freezing the weights of all others; do nothing if they are frozen already."""
        if name not in self.players:
            raise ConfigError(f"A turn names {name!r}, which is not among the players: {', '.join(self.players)}.")
        if name != self._floor:
            for player in self.players.values():
                _require_grad(player, False)
            # After the others, because a shared weight is among theirs, too.
            _require_grad(self.players[name], True)
            self._floor = name
        return self.players[name]

    def set_rate_factor(self, factor: float) -> None:
        """Multiply the learning rates of all players by this factor from now on."""
        for player in self.players.values():
            player.rate_factor = factor


def _require_grad(player: Player, required: bool) -> None:
    for weight in player.weights.values():
        weight.requires_grad_(required)


def _check_names(modules: Mapping[str, Modules], settings: Mapping[str, PlayerSettings]) -> None:
    for name in settings:
        if name not in modules:
            hint = suggestion(name, modules)
            raise ConfigError(f"The model has no player {name!r}. {hint}Its players: {', '.join(modules)}.")
    for name in modules:
        if name not in settings:
            raise ConfigError(f"The player {name!r} has no optimizer: add it under optimizers in the model's YAML.")


def _check_owners(model: Model, owners: Mapping[str, set[str]]) -> None:
    for name, weight in model.named_parameters():
        if weight.requires_grad and len(owners[name]) != 1:
            found = " and ".join(sorted(owners[name])) or "no player"
            raise ConfigError(
                f"The weight {name!r} belongs to {found}; it must belong to one player, or be frozen. "
                "Further players name its module as Shared."
            )
