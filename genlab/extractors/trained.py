"""Networks that are trained once on a data set, and loaded from the cache folder afterwards."""

import hashlib
import re
import shutil
import warnings
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Generic, Literal, TypeVar, get_args

import torch

from genlab.contract import Model, home
from genlab.data.dataset import Dataset
from genlab.data.files.cache import cache_folder, lock, size
from genlab.randomness import reseed
from genlab.registry import ConfigError, RunError
from genlab.training import checkpoint
from genlab.training.console import Console
from genlab.training.journal import read
from genlab.training.settings import LoadingSettings, PlayerSettings, TrainerSettings
from genlab.training.trainer import Trainer

Network = TypeVar("Network", bound=Model)
Name = Literal["classifier", "attribute classifier", "rotation network"]
"""The names of all recipes, whose networks `clean` removes."""
_FOLDER = re.compile("[0-9a-f]{16}-[0-9a-f]{8}")


def stored() -> list[Path]:
    """Return the folders of all networks in the cache, also of those that are not trained to the end."""
    families = [_family(name) for name in get_args(Name)]
    found = [path for family in families if family.is_dir() for path in sorted(family.iterdir())]
    # The user may have chosen a folder as the cache that holds other things, too.
    return [path for path in found if _FOLDER.fullmatch(path.name)]


def clean() -> int:
    """Remove all networks from the cache but those that are being trained; return the bytes that this frees."""
    freed = 0
    for folder in stored():
        with lock(folder.parent, folder.name, wait=False) as ours:
            if ours:
                freed += size([folder])
                shutil.rmtree(folder)
    for name in get_args(Name):
        with suppress(OSError):  # rmdir refuses a folder that is not empty
            _family(name).rmdir()
    return freed


def _changed(settings: TrainerSettings | LoadingSettings | PlayerSettings) -> dict[str, Any]:
    """Return the settings that differ from their defaults: a new setting then invalidates no cache."""
    values = {field: getattr(settings, field.name) for field in fields(settings)}
    return {field.name: value for field, value in values.items() if value != field.default}


def _family(name: Name) -> Path:
    """Return the folder of all networks with this name."""
    return cache_folder() / f"{name.replace(' ', '-')}s"


@dataclass(frozen=True, kw_only=True)
class Recipe(Generic[Network]):
    """Everything that determines a trained network; a change to any of it gives another network."""

    name: Name
    """The name in messages, which put `a` or `an` before it."""
    dataset: Dataset
    untrained: Callable[[], Network]
    layers: tuple[object, ...]
    """Sizes and code of the network that `untrained` builds."""
    settings: TrainerSettings
    loading: LoadingSettings
    player: PlayerSettings
    seed: int

    @property
    def folder(self) -> Path:
        """The folder of the network in the cache; it depends on the data, the settings and the layers."""
        settings = [_changed(part) for part in (self.settings, self.loading, self.player)]
        recipe = [self.seed, *settings, *self.layers]
        version = hashlib.sha256(repr(recipe).encode()).hexdigest()[:8]
        return _family(self.name) / f"{self.dataset.fingerprint}-{version}"

    def trained(self, device: torch.device, console: Console) -> Network:
        """Return the trained network in evaluation mode; train it if the cache does not have it."""
        # The caller's random draws must not depend on whether the network is trained now.
        with torch.random.fork_rng([device] if device.type == "cuda" else []):
            # Without a lock first: the cache may be a folder that cannot be written to.
            network = self._loaded() or self._created(device, console)
        network.to(device).eval().requires_grad_(False)
        return network

    def accuracy(self, network: Network) -> float | None:
        """Return the accuracy on test items, or on validation items if there are none; None without either."""
        split = next((split for split in ("test", "validation") if len(self.dataset.splits[split])), None)
        if split is None:
            return None
        recorded = self.recorded(split, "accuracy")
        return self._measured(network, split) if recorded is None else recorded

    def recorded(self, split: str, metric: str) -> float | None:
        """Return a metric of the last step from the journal, None if it is not there."""
        last = (self.settings.steps, split)
        values = [line.get(metric) for line in read(self.folder) if (line["step"], line["split"]) == last]
        return values[-1] if values and isinstance(values[-1], float) else None

    def _measured(self, network: Network, split: str) -> float:
        batches, right = self.dataset.batches(split, self.settings.batch_size, device=home(network)), 0.0
        with torch.no_grad():
            for batch in batches.once():
                right += float(network.validate(batch).shown["accuracy"]) * len(batch["x"])
        return right / batches.count

    def _loaded(self) -> Network | None:
        """Load the network from the cache if it is undamaged and trained to the end."""
        path = checkpoint.steps(self.folder / "checkpoints").get(self.settings.steps or 0)
        try:
            found = checkpoint.load(path) if path else None
        except (checkpoint.BrokenError, FileNotFoundError):
            return None
        if found is None:
            return None
        network = self._untrained()
        network.load_state_dict(checkpoint.fitted(found, "model", network.state_dict()))
        return network

    def _created(self, device: torch.device, console: Console) -> Network:
        folder = self.folder
        try:
            folder.parent.mkdir(parents=True, exist_ok=True)
            with lock(folder.parent, folder.name, work=f"training the {self.name} of the same data"):
                if network := self._loaded():
                    return network
                self._train(device, console)
                # Loaded from the file, so that the first call gives bit for bit what all later ones give.
                network = self._loaded()
        except OSError as error:
            reason = f"{error.strerror or error}. Set GENLAB_CACHE=FOLDER to use another folder."
            raise ConfigError(f"Cannot store the {self.name} in {folder}: {reason}") from None
        assert network
        return network

    def _train(self, device: torch.device, console: Console) -> None:
        """Train to the end, from the newest checkpoint of a process that was stopped."""
        trainer = self._trainer(device)
        try:
            trainer.take_up(self.folder)
        except ConfigError as error:
            warnings.warn(f"{error} The {self.name} is trained from the beginning.", stacklevel=4)
            shutil.rmtree(self.folder)
            trainer = self._trainer(device)
        console.say(f"Training the {self.name} of the data, only once; it is stored in {self.folder}")
        outcome = trainer.fit(self.folder, console)
        if outcome.state != "finished":
            done = f"step {outcome.step:,} of {trainer.total:,}"
            raise RunError(f"The training of the {self.name} was stopped at {done}. Run the command again to continue.")

    def _trainer(self, device: torch.device) -> Trainer:
        return Trainer(
            self._untrained(),
            self.dataset,
            self.settings,
            {"model": self.player},
            seed=self.seed,
            device=device,
            best=None,
            loading=self.loading,
        )

    def _untrained(self) -> Network:
        reseed(torch.device("cpu"), self.seed, "weights")
        return self.untrained()
