"""Settings of the loop and of each player, as a YAML file gives them; free of heavy imports."""

from dataclasses import dataclass
from typing import Literal

from genlab.registry import ConfigError

Choice = bool | Literal["auto"]


def _at_least(low: float, **values: float | None) -> None:
    for name, value in values.items():
        if value is not None and value < low:
            raise ConfigError(f"{name} must be at least {low}, got {value}.")


@dataclass(frozen=True, kw_only=True)
class TrainerSettings:
    """Length of the training, intervals between logs and checkpoints, and how a step runs."""

    batch_size: int = 128
    epochs: int | None = None
    steps: int | None = None
    validate_every: int = 500
    checkpoint_every: int = 1000
    log_every: int = 50
    keep: int = 2
    precision: Literal["auto", "float32", "tf32", "bfloat16"] = "auto"
    compile: Choice = "auto"
    channels_last: Choice = "auto"
    cuda_graphs: Choice = False
    deterministic: Choice = False
    """False, unlike `auto` in the recipes, because runs of earlier versions have no such setting."""
    evaluate: Literal["quick", "always"] | None = None
    patience: int | None = None
    """Number of validations in a row without a better model after which the training ends; None always goes on."""
    rollback: bool | int = False
    """Number of returns to an earlier checkpoint that losses which are not finite may cause; True allows three."""

    def __post_init__(self) -> None:
        if (self.epochs is None) == (self.steps is None):
            found = "neither" if self.epochs is None else "both; set the other to null"
            raise ConfigError(f"give epochs or steps, not both; got {found}.")
        _at_least(1, batch_size=self.batch_size, epochs=self.epochs, steps=self.steps, log_every=self.log_every)
        _at_least(1, validate_every=self.validate_every, checkpoint_every=self.checkpoint_every)
        _at_least(2, keep=self.keep)
        _at_least(1, patience=self.patience)
        _at_least(0, rollback=self.rollback)

    @property
    def returns(self) -> int:
        """Number of times that the training may return to an earlier checkpoint."""
        return 3 if self.rollback is True else int(self.rollback)


@dataclass(frozen=True, kw_only=True)
class LoadingSettings:
    """Memory that holds the training items, the order of their batches, and random changes of images."""

    residence: Literal["auto", "device", "host", "disk"] = "auto"
    keep_last: bool = False
    balance: bool = False
    flip: bool = False
    shift: int = 0
    zoom: float = 1.0
    jitter: float = 0.0
    binarize: bool = False

    def __post_init__(self) -> None:
        _at_least(0, shift=self.shift, jitter=self.jitter)
        if not 0 < self.zoom <= 1:
            raise ConfigError(f"zoom must be above 0 and at most 1, got {self.zoom}.")


@dataclass(frozen=True, kw_only=True)
class PlayerSettings:
    """Optimizer of one player, the schedule of its learning rate, and the moving average of its weights."""

    optimizer: Literal["adam", "adamw", "rmsprop", "sgd"] = "adam"
    lr: float = 1e-3
    betas: tuple[float, float] | None = None
    momentum: float | None = None
    weight_decay: float = 0.0
    schedule: Literal["constant", "cosine", "linear"] = "constant"
    warmup: int = 0
    clip: float | None = None
    ema: float = 0.0
    """Share of the moving average that is kept in each step; 0 keeps no average."""

    def __post_init__(self) -> None:
        _at_least(0, lr=self.lr, momentum=self.momentum, weight_decay=self.weight_decay, warmup=self.warmup)
        if self.clip is not None and self.clip <= 0:
            raise ConfigError(f"clip must be above 0, got {self.clip}; null clips nothing.")
        if not 0 <= self.ema < 1:
            raise ConfigError(f"ema must be at least 0 and below 1, got {self.ema}; 0 keeps no average.")
        if self.betas is not None and not all(0 <= beta < 1 for beta in self.betas):
            raise ConfigError(f"betas must be at least 0 and below 1, got {list(self.betas)}.")
        moments = ("adam", "adamw")
        if self.betas is not None and self.optimizer not in moments:
            raise ConfigError(f"{self.optimizer} takes no betas; set them to null.")
        if self.momentum is not None and self.optimizer in moments:
            raise ConfigError(f"{self.optimizer} takes no momentum; set it to null, and use betas.")
