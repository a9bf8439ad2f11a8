"""The one loop: it deals batches, gives each player its turn, and knows no model."""

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from genlab.contract import Batch, Model, Turn
from genlab.data.batches import Loader
from genlab.data.dataset import Images
from genlab.kinds.augmentation import Augmentation
from genlab.randomness import reseed
from genlab.registry import ConfigError
from genlab.training import checkpoint
from genlab.training.average import Average
from genlab.training.console import Console, Plan
from genlab.training.engine import Engine
from genlab.training.interruption import Interruption
from genlab.training.journal import Journal, read
from genlab.training.players import Players
from genlab.training.position import Position, position_of
from genlab.training.quick import Quick
from genlab.training.settings import LoadingSettings, PlayerSettings, TrainerSettings
from genlab.training.tally import Tally
from genlab.training.validation import Examiner, Figures


@dataclass(frozen=True)
class Outcome:
    """How a call of `fit` ended."""

    state: str
    """`finished` or `stopped`."""
    step: int
    seconds: float
    images_per_second: float
    validation: Figures
    test: Figures
    best: dict[str, Any] | None
    warnings: dict[str, int]
    """What the model found wrong with itself, and at which step."""
    signal: int | None
    """The signal that stopped it."""


class Trainer:
    """Trains a model on a data set, from the newest checkpoint of a folder on."""

    def __init__(
        self,
        model: Model,
        images: Images,
        settings: TrainerSettings,
        players: Mapping[str, PlayerSettings],
        *,
        seed: int = 0,
        device: torch.device | None = None,
        best: str | None = "loss",
        loading: LoadingSettings | None = None,
        quick: Quick | None = None,
    ) -> None:
        self.model, self.settings, self.seed, self.best = model, settings, seed, best
        self.engine = Engine(device or torch.device("cpu"), settings, model)
        self.data = _training_data(images, settings.batch_size, seed, self.engine.device, loading or LoadingSettings())
        self.total = settings.steps or self._steps_in(settings.epochs or 0)
        self.players = Players(model, players, self.total)
        self.average = Average(model.averaged(), settings.average) if settings.average else None
        self.examiner = Examiner(
            model,
            images,
            settings.batch_size,
            seed=seed,
            engine=self.engine,
            average=self.average,
            residence=self.data.residence,
            quick=quick,
        )
        self.examiner.check_best(best)
        self.position, self.tally = Position(), Tally()
        self._saved = -1
        self.folder: Path | None = None

    def take_up(self, folder: Path) -> None:
        """Stand where the newest checkpoint of a folder stands; what cannot go on from there is refused."""
        found = checkpoint.newest(folder / "checkpoints", set_aside=True)
        if found:
            self._restore(found)
        reached = max((line["step"] for line in read(folder)), default=0)
        if reached and not found:
            raise ConfigError(
                f"{folder} has come to step {reached}, and its checkpoints are gone. To begin anew, "
                "train in another folder."
            )
        if self.position.step > self.total:
            raise ConfigError(f"The run stands at step {self.position.step}, past the {self.total} that are asked for.")
        self.folder = folder

    def begin_with(self, weights: Mapping[str, torch.Tensor]) -> None:
        """Other first weights than the seed's."""
        self.model.load_state_dict(weights)
        if self.average:
            self.average.restore(self.model.averaged().state_dict(), 0)

    def fit(
        self,
        folder: Path,
        console: Console | None = None,
        texts: Mapping[str, str] | None = None,
        settings: Mapping[str, Any] | None = None,
    ) -> Outcome:
        """Train to the end, or until somebody asks to stop; texts and settings are for TensorBoard to show."""
        self.console = console or Console()
        began = time.perf_counter()
        if self.folder != folder:
            self.take_up(folder)
        position, test = self.position, Figures()
        first = position.batches
        self.journal = Journal(folder, position.step, texts or {}, settings or {})
        try:
            with Interruption().listening() as interruption, self.console.watching(self._plan()):
                self._run(interruption)
                if position.step == self.total:
                    test = self._record("test")
        finally:
            self.journal.close()
        seconds = time.perf_counter() - began
        return Outcome(
            state="finished" if position.step == self.total else "stopped",
            step=position.step,
            seconds=seconds,
            images_per_second=(position.batches - first) * self.settings.batch_size / seconds,
            validation=position.validation,
            test=test,
            best=position.best,
            warnings=position.warnings,
            signal=interruption.signal,
        )

    def _run(self, interruption: Interruption) -> None:
        self.model.train()
        self._save()  # At step 0 this proves the disk before hours of work.
        self._restart_clock()
        while self.position.step < self.total and not interruption:
            self._take_step()
            if self._due(self.settings.log_every):
                self._log()
            improved = self._due(self.settings.validate_every) and self._validate()
            if improved or self._due(self.settings.checkpoint_every):
                self._save()
        if interruption:
            self._save()

    def _due(self, every: int) -> bool:
        return self.position.step % every == 0 or self.position.step == self.total

    def _take_step(self) -> None:
        """Deal one batch to all turns, and another to each move that is repeated."""
        dealt = self._deal()
        for number, turn in enumerate(self.model.turns(self.position.step)):
            for again in range(turn.times):
                batch = self._deal() if again else dealt
                reseed(self.engine.device, self.seed, "move", self.position.step, number, again)
                self._move(turn, batch)
        if self.average:
            self.average.update()
        self.position.step += 1

    def _deal(self) -> Batch:
        self.position.batches += 1
        return self.data.batch(self.position.batches - 1)

    def _move(self, turn: Turn, batch: Batch) -> None:
        player = self.players.give_floor(turn.player)
        terms = self.engine.terms(turn, batch)
        norm, finite = player.move(terms["loss"], self.position.step)
        if turn.after:
            with torch.no_grad():
                turn.after()
        self.tally.add(turn.player, {**terms, "gradient_norm": norm}, finite, self.position.step + 1)

    def _log(self) -> None:
        figures = self.tally.read()
        seconds, batches = time.perf_counter() - self._since[0], self.position.batches - self._since[1]
        figures["images_per_second"] = round(batches * self.settings.batch_size / seconds, 1)
        self._write("train", figures)
        self.console.progress(self.position.step, self._epoch(), figures)
        self._restart_clock()

    def _validate(self) -> bool:
        """Look at the held-out images and the pictures; say whether it is the best so far."""
        figures = self.position.validation = self._record("validation")
        for name, grid in self.examiner.pictures().items():
            self.journal.picture(name, self.position.step, grid)
        improved = self.examiner.improves(self.best, figures, self.position.best)
        if self.best and improved:
            self.position.best = {"step": self.position.step, "figure": self.best, "value": figures[self.best]}
        if figures:
            self.console.validated(self.position.step, figures, improved)
        self._restart_clock()
        return improved

    def _record(self, split: str) -> Figures:
        figures = self.examiner.measure(split, last=self.position.step == self.total)
        if figures:
            self._write(split, figures)
        return figures

    def _write(self, split: str, figures: Mapping[str, float | None]) -> None:
        self.journal.write({"step": self.position.step, "epoch": self._epoch(), "split": split, **figures})
        warning = self.model.diagnose(self.journal.recent)
        if warning and warning not in self.position.warnings:
            self.position.warnings[warning] = self.position.step
            self.console.say(f"step {self.position.step:,}: {warning}")

    def _save(self) -> None:
        """Everything up to this step is on the disk, and only then do older files go."""
        position = self.position
        if position.step == self._saved:
            return
        assert self.folder
        self.tally.check()
        self.journal.sync()
        tensors, facts = self._state()
        checkpoint.save(self.folder / "checkpoints", position.step, tensors, facts)
        best = position.best["step"] if position.best else None
        checkpoint.prune(self.folder / "checkpoints", self.settings.keep, best)
        self._saved = position.step
        self._restart_clock()

    def _state(self) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
        sums, tally = self.tally.state()
        parts = {"model": self.model.state_dict(), "tally": sums}
        if self.average:
            parts["average"] = self.average.average
        parts |= {f"player/{name}": player.state() for name, player in self.players.players.items()}
        tensors = {f"{part}/{name}": value for part, values in parts.items() for name, value in values.items()}
        averaged = self.average.count if self.average else 0
        facts = {"position": asdict(self.position), "tally": tally, "averaged": averaged, "given": self.model.given()}
        return tensors, facts

    def _restore(self, found: checkpoint.Checkpoint) -> None:
        position, given = position_of(found), self.model.given()
        had = found.facts["given"]
        if other := next((name for name in had | given if had.get(name) != given.get(name)), None):
            raise ConfigError(f"The run was trained with other {other}: {had.get(other)}, and now {given.get(other)}.")
        wanted = {"model": self.model.state_dict(), "tally": Tally.wanted(found)}
        if self.average:
            wanted["average"] = self.average.average
        for name, player in self.players.players.items():
            wanted[f"player/{name}"] = player.wanted(found.part(f"player/{name}"))
        # All is checked before anything is put back.
        parts = checkpoint.all_fitted(found, wanted)
        self.model.load_state_dict(parts["model"])
        for name, player in self.players.players.items():
            player.restore(parts[f"player/{name}"])
        if self.average:
            self.average.restore(parts["average"], found.facts["averaged"])
        self.tally.restore(parts["tally"], found.facts["tally"], self.engine.device)
        self.position = position
        self._saved = position.step

    def _restart_clock(self) -> None:
        self._since = (time.perf_counter(), self.position.batches)

    def _epoch(self) -> float:
        return round(self.position.batches / self.data.batches_per_epoch, 3)

    def _plan(self) -> Plan:
        return Plan(self.total, self.position.step, self.settings.epochs)

    def _steps_in(self, epochs: int) -> int:
        """The steps that deal the batches of so many epochs."""
        batches, step = epochs * self.data.batches_per_epoch, 0
        while batches > 0:
            batches -= 1 + sum(turn.times - 1 for turn in self.model.turns(step))
            step += 1
        return step


def _training_data(
    images: Images, batch_size: int, seed: int, device: torch.device, loading: LoadingSettings
) -> Loader:
    changes = Augmentation(flip=loading.flip, shift=loading.shift, zoom=loading.zoom, jitter=loading.jitter)
    return Loader(
        images,
        "train",
        batch_size,
        seed=seed,
        device=device,
        residence=loading.residence,
        keep_last=loading.keep_last,
        augmentation=changes,
    )
