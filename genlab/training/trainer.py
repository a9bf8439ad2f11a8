"""The training loop: it deals batches and runs the turns of all players; it depends on no concrete model."""

import time
from bisect import bisect_left
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from genlab import distributed
from genlab.contract import Batch, Model, Turn
from genlab.data.batches import Table
from genlab.data.dataset import Dataset
from genlab.kinds import Augmentation
from genlab.networks.extractor import Extractor
from genlab.randomness import reseed
from genlab.registry import ConfigError
from genlab.training import checkpoint, rollback
from genlab.training.average import Averages
from genlab.training.console import Console, Plan
from genlab.training.engine import Engine
from genlab.training.graphs import Graphs, Moved
from genlab.training.interruption import Interruption
from genlab.training.journal import Journal, Silent, read
from genlab.training.monitors import warning
from genlab.training.players import Player, Players
from genlab.training.position import Position, engine_facts_of, position_of
from genlab.training.settings import LoadingSettings, PlayerSettings, TrainerSettings
from genlab.training.shared_norm import share_norms
from genlab.training.tally import NotFiniteError, Tally
from genlab.training.validation import Metrics, Quick, Validation

_COUNTED = 100_000
"""Steps whose batches are counted one by one to find the number of steps in some epochs."""
_NEVER = 10**9
"""A step that no training reaches."""


@dataclass(frozen=True)
class Outcome:
    """The end of a call of `fit`."""

    state: str
    """`finished` or `stopped`."""
    step: int
    seconds: float
    items_per_second: float
    validation: Metrics
    test: Metrics
    best: dict[str, Any] | None
    """`step`, `metric` and `value` of the best checkpoint."""
    warnings: dict[str, int]
    """The step of each warning of the monitors, and of each return to an earlier checkpoint."""
    signal: int | None
    """The signal that stopped the run."""
    returns: list[dict[str, Any]] = field(default_factory=list)
    """The returns to earlier checkpoints: `from` which step, `to` which step, and the `reason`."""


@dataclass
class Session:
    """One call of `fit`: its folder, its console and journal, and a clock for its speed."""

    folder: Path
    console: Console
    open_journal: Callable[[int], Journal]
    """Opens the journal, cut back to a step."""
    journal: Journal
    first: int
    """The number of batches that were dealt before this call; fewer if batches are dealt again after a return."""
    saved: int
    """The step of the newest checkpoint; -1 if there is none."""
    clock: tuple[float, int]
    """The time, and the number of batches that were dealt by then, from which the speed is measured."""
    after_saving: Callable[[], None]
    """Called after each checkpoint."""

    def restart_clock(self, batches: int) -> None:
        """Measure the speed from now on, so that validations and checkpoints do not count."""
        self.clock = (time.perf_counter(), batches)

    def batches_per_second(self, batches: int) -> float:
        """Return the speed since the clock was restarted."""
        return (batches - self.clock[1]) / (time.perf_counter() - self.clock[0])


class Trainer:
    """Trains a model on a data set, from the newest checkpoint of a folder on."""

    def __init__(
        self,
        model: Model,
        dataset: Dataset,
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
        self.extractors = _digests(model)
        dataset, loading = _dealt(model, dataset, loading or LoadingSettings())
        self.data = _training_data(dataset, settings.batch_size, seed, self.engine.device, loading)
        self.total = model.total = settings.steps or self._steps_in(settings.epochs or 0)
        self.engine.expect(self.total)
        self.players = Players(model, players, self.total)
        self.graphs = Graphs(self.engine.device) if self.engine.graphs else None
        self.averages = Averages(model, players)
        self.validation = Validation(
            model,
            dataset,
            settings.batch_size,
            seed=seed,
            engine=self.engine,
            averages=self.averages,
            residence=self.data.residence,
            quick=quick,
        )
        self.validation.check_best(best)
        if settings.patience is not None and (best is None or "validation" not in self.validation.splits):
            lacking = "model.best is null" if best is None else "the data has no validation items"
            raise ConfigError(f"trainer.patience needs the best validation, and {lacking}. Set trainer.patience=null.")
        self.position, self.tally = Position(), Tally()
        self.folder: Path | None = None
        """The folder whose newest checkpoint this trainer has taken up."""

    def take_up(self, folder: Path) -> None:
        """Restore the newest checkpoint of a folder; raise a ConfigError if the run cannot continue from there."""
        with distributed.in_turn():
            found = checkpoint.newest(folder / "checkpoints", set_aside=True)
        if found:
            self._restore(found)
        reached = max((line["step"] for line in read(folder)), default=0)
        if reached and not found:
            raise ConfigError(
                f"{folder} had reached step {reached}, but its checkpoints are gone. To start again, "
                "train in another folder."
            )
        if self.position.step > self.total:
            raise ConfigError(
                f"The run is at step {self.position.step}, which is past the requested total of {self.total}. "
                "Set a larger trainer.steps or trainer.epochs."
            )
        check_alike("step", self.position.step)
        self.folder = folder

    def begin_with(self, weights: Mapping[str, Tensor]) -> None:
        """Replace the initial weights by others."""
        self.model.load_state_dict(weights)
        self.averages.restart()

    def fit(
        self,
        folder: Path,
        console: Console | None = None,
        texts: Mapping[str, str] | None = None,
        settings: Mapping[str, Any] | None = None,
        saved: Callable[[], None] | None = None,
    ) -> Outcome:
        """Train to the end, or until a signal asks to stop; call `saved` after each checkpoint.

        Texts and settings are shown in TensorBoard.
        """
        began = time.perf_counter()
        if self.folder != folder:
            self.take_up(folder)
        self._share()
        test, first = Metrics(), self.position.batches
        kind = Journal if distributed.first() else Silent
        session = Session(
            folder=folder,
            console=console or Console(),
            open_journal=lambda step: kind(folder, step, texts or {}, settings or {}),
            journal=kind(folder, self.position.step, texts or {}, settings or {}),
            first=first,
            saved=max(checkpoint.steps(folder / "checkpoints"), default=-1),
            clock=(began, first),
            after_saving=saved or (lambda: None),
        )
        try:
            with Interruption().listening() as interruption, session.console.watching(self._plan()):
                self._run(session, interruption)
                if self._ended():
                    test = self._measure(session, "test")
            session.journal.animate()
        finally:
            session.journal.close()
        seconds, position = time.perf_counter() - began, self.position
        return Outcome(
            state="finished" if self._ended() else "stopped",
            step=position.step,
            seconds=seconds,
            items_per_second=(position.batches - session.first) * self.settings.batch_size / seconds,
            validation=position.validation,
            test=test,
            best=position.best,
            warnings=position.warnings | rollback.warnings(position.returns),
            returns=position.returns,
            signal=interruption.signal,
        )

    def check_parts(self, processes: int) -> None:
        """Raise a ConfigError if the batches cannot be split evenly between so many processes."""
        size = self.data.batch_size
        if size % processes:
            near = max(size // processes, 1) * processes
            raise ConfigError(
                f"trainer.batch_size is {size}, which {processes} processes cannot share evenly. "
                f"Set trainer.batch_size={near}: it is the size of the whole batch."
            )
        if self.data.keep_last and (self.data.count % size) % processes:
            raise ConfigError(
                f"The last batch of an epoch has {self.data.count % size} items, which {processes} processes cannot "
                "share evenly. Set data.keep_last=false."
            )

    def _share(self) -> None:
        """Prepare to train together with other processes, if there are any."""
        if distributed.count() == 1:
            return
        self.check_parts(distributed.count())
        total = sum(float(value.double().sum()) for value in self.model.state_dict().values())
        # Rounded, because processors of different kinds add in different orders.
        check_alike(
            "weights", f"{total:.4e}", "Draw the first weights of a model only through torch, which is seeded for it."
        )
        self.data.take_part(distributed.rank(), distributed.count())
        share_norms(self.model, self.engine.device)

    def _run(self, session: Session, interruption: Interruption) -> None:
        self.model.train()
        for player in self._idle():
            session.console.say(self._about(player))
        left, dealt = self.total - self.position.step, self.position.batches
        self.engine.settle(self.model, self.players, lambda: self._batch(dealt), self.position.step, left)
        self._say_notices(session)
        self._save(session)  # At step 0 this proves that the disk can be written, before hours of work.
        session.restart_clock(self.position.batches)
        signals = distributed.Vote()  # A signal to one process stops all of them after the same step.
        while True:
            try:
                self._train(session, lambda: signals.any_of(bool(interruption)))
                return
            except NotFiniteError as error:
                self._return(session, error)

    def _train(self, session: Session, stopped: Callable[[], bool]) -> None:
        """Train and save, to the end or until it is stopped; raise a NotFiniteError if a loss is not finite."""
        while not self._ended() and not stopped():
            with distributed.sharing():
                self._take_step()
            if self._due(self.settings.log_every):
                self._log(session)
            improved = self._due(self.settings.validate_every) and self._validate(session)
            if improved or self._due(self.settings.checkpoint_every):
                self._save(session)
        if self._gave_up():
            session.console.say(self._about_end())
        self._save(session)

    def _return(self, session: Session, error: NotFiniteError) -> None:
        """Return to the last good checkpoint with lower learning rates; raise an error if that is not allowed.

        The checkpoint is written again with the number of returns, in place of itself and of all later ones. So a run
        that is killed before or after that ends in the same way.
        """
        before, folder = self.position, session.folder / "checkpoints"
        rollback.check_allowed(error, before, self.settings.returns)
        with distributed.in_turn():
            found = rollback.good(folder, error, before, calm=self.settings.log_every)
        self._restore(found)
        self.position.returns = [*before.returns, {"from": error.step, "to": found.step, "reason": str(error)}]
        self.players.set_rate_factor(rollback.rate_factor(self.position.returns))
        best = self.position.best
        if best and best["step"] not in checkpoint.steps(folder):
            self.position.best, self.position.stale = None, 0
        # Recorded moves hold the addresses of optimizer states that exist no more.
        self.graphs = Graphs(self.engine.device) if self.graphs else None
        if distributed.first():
            checkpoint.delete_beside(checkpoint.save(folder, found.step, *self._state()))
        # Opened first: if it cannot be opened, the old one is closed once, at the end.
        old, session.journal = session.journal, session.open_journal(found.step)
        old.close()
        session.first -= before.batches - self.position.batches
        session.saved = found.step
        session.console.say(f"step {error.step:,}: {rollback.sentence(self.position.returns)}")
        session.console.restarted(found.step)
        session.after_saving()
        session.restart_clock(self.position.batches)

    def _ended(self) -> bool:
        return self.position.step == self.total or self._gave_up()

    def _gave_up(self) -> bool:
        """Return True if the model has not become better for as many validations as `patience` allows."""
        return self.settings.patience is not None and self.position.stale >= self.settings.patience

    def _about_end(self) -> str:
        """Return a sentence about a training that ended because the model did not become better."""
        best = self.position.best
        since = f" since step {best['step']:,} ({self.best} {best['value']:.4g})" if best else ""
        return (
            f"Ended at step {self.position.step:,} of {self.total:,}: the model has not become better{since} "
            f"in {self.position.stale} validations (trainer.patience={self.settings.patience})."
        )

    def _idle(self) -> list[str]:
        """Return the players without a turn in the whole training.

        The last step is asked first: a player that begins late then is found at once.
        """
        idle = dict.fromkeys(self.players.players)
        for step in (self.total - 1, *range(min(self.total, _COUNTED))):
            for turn in self.model.turns(step):
                idle.pop(turn.player, None)
            if not idle:
                break
        return list(idle)

    def _about(self, player: str) -> str:
        """Return a sentence about a player that does not move."""

        def moves(step: int) -> bool:
            return any(turn.player == player for turn in self.model.turns(step))

        steps = "the only step" if self.total == 1 else f"the {self.total:,} steps"
        # A player that begins moves from then on, so its first turn can be found by bisection.
        first = bisect_left(range(_NEVER), True, key=moves)
        begins = f" Its training begins after step {first:,}." if first < _NEVER else ""
        return f"The {player} is not trained in {steps} of this run.{begins}"

    def _due(self, every: int) -> bool:
        return self.position.step % every == 0 or self.position.step == self.total

    def _take_step(self) -> None:
        """Deal one batch to the first move of every turn, and a new one to each repeated move.

        Tensors that a turn passes on belong to the items of the step's first batch. So later turns find them in that
        batch, and repeated moves neither see them nor hand any on.
        """
        first = self._deal()
        for number, turn in enumerate(self.model.turns(self.position.step)):
            for again in range(turn.repeat):
                batch = self._deal() if again else first
                reseed(self.engine.device, self.seed, "move", self.position.step, number, again)
                handed_on = self._move(turn, batch)
                if not again:
                    first = {**first, **handed_on}
        self.averages.update()
        self.position.step += 1

    def _deal(self) -> Batch:
        self.position.batches += 1
        return self._batch(self.position.batches - 1)

    def _batch(self, number: int) -> Batch:
        batch = self.engine.arrange(self.data.batch(number))
        # Filled on the device: a number that is copied there would make the loop wait.
        return batch | {"step": torch.full((), float(self.position.step), device=self.engine.device)}

    def _move(self, turn: Turn, batch: Batch) -> Batch:
        """Let a player move once; return the tensors that its loss passes on, without gradients."""
        player, step = self.players.give_floor(turn.player), self.position.step
        move = partial(self._moved, turn, player)
        moved = self.graphs.move(turn, player, step, batch, move) if self.graphs else move(batch)
        if turn.after:
            with torch.no_grad():
                turn.after()
        self.tally.add(turn.player, moved.shown, moved.finite, step + 1)
        return moved.handed_on

    def _moved(self, turn: Turn, player: Player, batch: Batch) -> Moved:
        result = self.engine.result(turn, batch)
        shown = {"loss": result.loss, **result.shown}
        if distributed.count() > 1:
            # Copies, which become the means over all processes.
            shown = {name: value.detach().float().clone() for name, value in shown.items()}
        norm, finite = player.move(result.loss, self.position.step, list(shown.values()))
        terms = {name: value.detach() for name, value in {**shown, "gradient_norm": norm}.items()}
        return Moved(terms, finite, {name: value.detach() for name, value in result.handed_on.items()})

    def _say_notices(self, session: Session) -> None:
        for notice in [*self.engine.unsaid(), *(self.graphs.unsaid() if self.graphs else [])]:
            session.console.say(notice)

    def _log(self, session: Session) -> None:
        self._say_notices(session)
        metrics = self.tally.read()
        speed = session.batches_per_second(self.position.batches) * self.settings.batch_size
        metrics["items_per_second"] = round(speed, 1)
        if self.position.returns:
            metrics["rate_factor"] = rollback.rate_factor(self.position.returns)
        self._write(session, "train", metrics)
        session.console.progress(self.position.step, self._epoch(), metrics)
        session.restart_clock(self.position.batches)

    def _validate(self, session: Session) -> bool:
        """Write validation metrics and previews; return True if the model is the best so far."""
        metrics = self.position.validation = self._measure(session, "validation")
        if distributed.first():
            for name, exhibit in self.validation.previews().items():
                session.journal.exhibit(name, self.position.step, exhibit)
        improved = self.validation.improves(self.best, metrics, self.position.best)
        if self.best and improved:
            self.position.best = {"step": self.position.step, "metric": self.best, "value": metrics[self.best]}
        if improved or self._expected():
            self.position.stale = 0
        elif self.best in metrics and self.position.step % self.settings.validate_every == 0:
            # The validation at the end does not count: a run that is resumed for more steps would not have had it.
            self.position.stale += 1
        if metrics:
            session.console.validated(self.position.step, metrics, improved)
        session.restart_clock(self.position.batches)
        return improved

    def _expected(self) -> bool:
        """Return True if a player of this training has not moved yet; with it, the model can still become better."""
        waiting = [name for name, player in self.players.players.items() if player.began is None]
        return bool(set(waiting) - set(self._idle())) if waiting else False

    def _measure(self, session: Session, split: str) -> Metrics:
        metrics = self.validation.measure(split, last=self.position.step == self.total)
        if metrics:
            self._write(session, split, metrics)
        return metrics

    def _write(self, session: Session, split: str, metrics: Mapping[str, float | None]) -> None:
        session.journal.write({"step": self.position.step, "epoch": self._epoch(), "split": split, **metrics})
        found = warning(session.journal.recent)
        if found and found not in self.position.warnings:
            self.position.warnings[found] = self.position.step
            session.console.say(f"step {self.position.step:,}: {found}")

    def _save(self, session: Session) -> None:
        """Write everything up to this step to the disk, and only then delete older checkpoints."""
        position = self.position
        if position.step == session.saved:
            return
        self.tally.check()
        session.journal.sync()
        if distributed.first():
            tensors, facts = self._state()
            checkpoint.save(session.folder / "checkpoints", position.step, tensors, facts)
            self._prune(session.folder / "checkpoints")
        session.saved = position.step
        session.after_saving()
        session.restart_clock(self.position.batches)

    def _prune(self, folder: Path) -> None:
        """Delete older checkpoints but the best one, and those that were best when a return could lead there."""
        keep, best = self.settings.keep, self.position.best
        also = {best["step"]} if best else set()
        checkpoint.prune(folder, keep, also | checkpoint.bests(folder, keep) if self.settings.returns else also)

    def _state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        sums, tally = self.tally.state()
        parts = {"model": self.model.state_dict(), "tally": sums, "ema": self.averages.tensors()}
        parts |= {f"player/{name}": player.state() for name, player in self.players.players.items()}
        tensors = {f"{part}/{name}": value for part, values in parts.items() for name, value in values.items()}
        facts = {
            "position": asdict(self.position),
            "tally": tally,
            "ema": self.averages.counts(),
            "players": {name: {"began": player.began} for name, player in self.players.players.items()},
            "extractors": self.extractors,
            "engine": self.engine.facts(),
        }
        return tensors, facts

    def _restore(self, found: checkpoint.Checkpoint) -> None:
        position = position_of(found)
        _check_extractors(found.facts["extractors"], self.extractors)
        facts = engine_facts_of(found)
        for fact, expected in (("ema", self.averages.players), ("players", self.players.players)):
            if found.facts[fact].keys() != expected.keys():
                had, has = (", ".join(names) or "none" for names in (found.facts[fact], expected))
                raise checkpoint.misfit(found, f"its {fact} lists {had}, and here it lists {has}")
        wanted = {"model": self.model.state_dict(), "tally": Tally.wanted(found), "ema": self.averages.tensors()}
        for name, player in self.players.players.items():
            wanted[f"player/{name}"] = player.wanted(found.part(f"player/{name}"))
        # Everything is checked before anything is restored.
        parts = checkpoint.all_fitted(found, wanted)
        self.model.load_state_dict(parts["model"])
        for name, player in self.players.players.items():
            player.restore(parts[f"player/{name}"], found.facts["players"][name]["began"])
        self.averages.restore(parts["ema"], found.facts["ema"])
        self.tally.restore(parts["tally"], found.facts["tally"], self.engine.device)
        self.engine.take_over(facts)
        self.position = position
        self.players.set_rate_factor(rollback.rate_factor(position.returns))

    def _epoch(self) -> float:
        return round(self.position.batches / self.data.batches_per_epoch, 3)

    def _plan(self) -> Plan:
        return Plan(self.total, self.position.step, self.settings.epochs, self.data.kinds["x"].plural)

    def _steps_in(self, epochs: int) -> int:
        """Return the number of steps that deal the batches of this many epochs.

        A model may deal other numbers in other steps, so the first steps are counted one by one. All later ones are
        taken to deal as many as the one after these; otherwise a million epochs would take minutes to count.
        """
        batches, step = epochs * self.data.batches_per_epoch, 0
        while batches > 0 and step < _COUNTED:
            batches -= self._dealt_in(step)
            step += 1
        return step + max(0, -(-batches // self._dealt_in(step)))

    def _dealt_in(self, step: int) -> int:
        """Return the number of batches that a step deals: one for all first moves, and one for each repeated move."""
        return 1 + sum(turn.repeat - 1 for turn in self.model.turns(step))


def _dealt(model: Model, dataset: Dataset, loading: LoadingSettings) -> tuple[Dataset, LoadingSettings]:
    """Return the items and the order that a model needs which is trained on some classes, in equal parts."""
    if not model.dealt:
        return dataset, loading
    assert dataset.labels is not None
    for number in model.dealt:
        if not (dataset.labels[dataset.splits["train"]] == number).any():
            raise ConfigError(f"The data has no training {dataset.kind.plural} of class {dataset.classes[number]!r}.")
    return dataset.of_classes(model.dealt), replace(loading, balance=True)


def _training_data(
    dataset: Dataset, batch_size: int, seed: int, device: torch.device, loading: LoadingSettings
) -> Table:
    changes = Augmentation(
        flip=loading.flip,
        shift=loading.shift,
        zoom=loading.zoom,
        jitter=loading.jitter,
        binarize=loading.binarize,
    )
    return dataset.batches(
        "train",
        batch_size,
        seed=seed,
        device=device,
        residence=loading.residence,
        keep_last=loading.keep_last,
        augmentation=changes,
        balance=loading.balance,
    )


def check_alike(
    name: str, value: object, advice: str = "All machines must see the same folder of the run, and the same data."
) -> None:
    """Raise a ConfigError if the processes that train together do not find the same value."""
    found = distributed.collected(value)
    if any(other != found[0] for other in found):
        listed = ", ".join(f"process {rank}: {other}" for rank, other in enumerate(found))
        raise ConfigError(f"The processes of this run find different values of its {name} ({listed}). {advice}")


def _digests(model: Model) -> dict[str, str]:
    """Return the digests of frozen networks, which no checkpoint stores, by their attribute paths."""
    return {path: module.digest for path, module in model.named_modules() if isinstance(module, Extractor)}


def _check_extractors(before: Mapping[str, str], now: Mapping[str, str]) -> None:
    for path in {**before, **now}:
        had, has = before.get(path), now.get(path)
        if had != has:
            raise ConfigError(f"The run was trained with other {path}: their digest was {had}, and now it is {has}.")
