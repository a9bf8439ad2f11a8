"""A network that is trained once on a data set, kept in the cache folder, and found there from then on."""

import hashlib
import shutil
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

import torch

from genlab.contract import Model
from genlab.data.batches import Loader
from genlab.data.dataset import Images
from genlab.data.files.cache import cache_folder, lock
from genlab.randomness import reseed
from genlab.registry import ConfigError, RunError
from genlab.training import checkpoint
from genlab.training.console import Console
from genlab.training.journal import read
from genlab.training.settings import LoadingSettings, PlayerSettings, TrainerSettings
from genlab.training.trainer import Trainer

Network = TypeVar("Network", bound=Model)


@dataclass(frozen=True, kw_only=True)
class Recipe(Generic[Network]):
    """All that decides what a network learns, so that a change to any of it is another network."""

    name: str
    """What the user reads of it, with an `a` before it."""
    images: Images
    untrained: Callable[[], Network]
    layers: tuple[object, ...]
    """What `untrained` builds: its sizes, and the text of its classes."""
    settings: TrainerSettings
    loading: LoadingSettings
    player: PlayerSettings
    seed: int

    @property
    def folder(self) -> Path:
        """Where it is kept; another for other images, settings or layers."""
        recipe = [self.seed, self.settings, self.loading, self.player, *self.layers]
        version = hashlib.sha256(repr(recipe).encode()).hexdigest()[:8]
        return cache_folder() / f"{self.name.replace(' ', '-')}s" / f"{self.images.fingerprint}-{version}"

    def trained(self, device: torch.device, console: Console) -> Network:
        """The network that has learnt its data, in evaluation mode; trained where it is not there yet."""
        # Whether it was trained now or long ago, the caller's own draws stay the same.
        with torch.random.fork_rng([device] if device.type == "cuda" else []):
            # Before any lock: what is there may lie in a folder that nobody may write to.
            network = self._found() or self._made(device, console)
        network.to(device).eval().requires_grad_(False)
        return network

    def accuracy(self, network: Network) -> float | None:
        """The share of right answers on test images, on validation images where there are none, None without either."""
        split = next((split for split in ("test", "validation") if len(self.images.splits[split])), None)
        if split is None:
            return None
        # What the journal says of the end of the training; measured where it says nothing.
        noted = self.noted(split, "accuracy")
        return self._measured(network, split) if noted is None else noted

    def noted(self, split: str, figure: str) -> float | None:
        """What the journal says of the last step, None where it does not."""
        last = (self.settings.steps, split)
        noted = [line.get(figure) for line in read(self.folder) if (line["step"], line["split"]) == last]
        return noted[-1] if noted and isinstance(noted[-1], float) else None

    def _measured(self, network: Network, split: str) -> float:
        home = next(network.parameters()).device
        loader, right = Loader(self.images, split, self.settings.batch_size, device=home), 0.0
        with torch.no_grad():
            for batch in loader.once():
                right += float(network.validate(batch)["accuracy"]) * len(batch["image"])
        return right / loader.count

    def _found(self) -> Network | None:
        """The network that is kept there, if it is whole and has been trained to the end."""
        path = checkpoint.steps(self.folder / "checkpoints").get(self.settings.steps or 0)
        try:
            kept = checkpoint.load(path) if path else None
        except (checkpoint.BrokenError, FileNotFoundError):
            return None
        if kept is None:
            return None
        network = self._untrained()
        network.load_state_dict(checkpoint.fitted(kept, "model", network.state_dict()))
        return network

    def _made(self, device: torch.device, console: Console) -> Network:
        folder = self.folder
        try:
            folder.parent.mkdir(parents=True, exist_ok=True)
            with lock(folder.parent, folder.name, work=f"training a {self.name} of the same images"):
                if found := self._found():
                    return found
                self._train(device, console)
                # Read back, so that the first call gives bit for bit what all later ones give.
                made = self._found()
        except OSError as error:
            reason = f"{error.strerror or error}. GENLAB_CACHE=FOLDER names another place."
            raise ConfigError(f"The {self.name} cannot be kept in {folder}: {reason}") from None
        assert made
        return made

    def _train(self, device: torch.device, console: Console) -> None:
        """Train to the end, from where a process that was stopped has left it."""
        trainer = self._trainer(device)
        try:
            trainer.take_up(self.folder)
        except ConfigError as error:
            warnings.warn(f"{error} The {self.name} is trained anew.", stacklevel=4)
            shutil.rmtree(self.folder)
            trainer = self._trainer(device)
        console.say(f"Training a {self.name} of the data, once; it is kept in {self.folder}")
        outcome = trainer.fit(self.folder, console)
        if outcome.state != "finished":
            done = f"step {outcome.step:,} of {trainer.total:,}"
            raise RunError(
                f"The training of the {self.name} was stopped at {done}; the next time it goes on from there."
            )

    def _trainer(self, device: torch.device) -> Trainer:
        return Trainer(
            self._untrained(),
            self.images,
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
