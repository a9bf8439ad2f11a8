"""One trial: a run that reports its validations to the search, and stops if the search prunes it."""

import math
import signal
import threading
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genlab.config.schema import Config
from genlab.config.trust import Trust
from genlab.lab.after_training import fit_asked_prior
from genlab.registry import ConfigError, RunError
from genlab.runs import lifecycle
from genlab.runs.run import Run
from genlab.search.decisions import RUNGS, Verdict, judged
from genlab.search.result import train_line
from genlab.search.settings import NONE
from genlab.search.study import Search, open_search
from genlab.training import checkpoint
from genlab.training.console import Console, Metrics
from genlab.training.journal import read

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial
    from rich.console import Console as Terminal

Report = dict[str, Any]
"""The result of a trial: its state, and its values, its reason or the signal that stopped it."""
PRUNED = "pruned"


def train(config: Config, terminal: "Terminal | None", trust: Trust) -> Report:
    """Train a trial in the folder that its config names; continue it if it has begun already."""
    run = Run(Path(str(config.run)))
    search = open_search(run.path.parent)
    if search is None:
        raise ConfigError(f"{run.path.parent} is not a search.")
    try:
        return _train(search, run, config, terminal, trust)
    except (ConfigError, RunError) as error:
        if isinstance(error.__cause__, OSError):
            return _unwritten(error.__cause__)
        return {"state": "failed", "reason": str(error)}
    except OSError as error:
        return _unwritten(error)
    except Exception as error:  # one bad combination must not end a night's search
        traceback.print_exc()
        return {"state": "failed", "reason": f"{type(error).__name__}: {error}"}


def _train(search: Search, run: Run, config: Config, terminal: "Terminal | None", trust: Trust) -> Report:
    console = Watching(search, number_of(run), config.trainer.validate_every, terminal)
    if console.ended_before(run):
        _record_pruned(run)
        return {"state": PRUNED}
    command = train_line(search, search.trials[number_of(run)])
    run, outcome = lifecycle.train(config, console, trust, command)
    if console.pruned:
        run.record(state=PRUNED)
        return {"state": PRUNED}
    if outcome and outcome.signal is not None:
        return {"state": "stopped", "signal": outcome.signal, "step": outcome.step}
    fit_asked_prior(run, outcome, console, trust)
    return {"state": "complete", "values": values(run, search.plan.metrics, search.plan.directions)}


def _unwritten(error: OSError) -> Report:
    """Return the report of a trial whose files cannot be written: a full disk is no fault of the trial."""
    named = f": {error.filename}" if error.filename else ""
    return {"state": "stopped", "reason": f"I/O error: {error.strerror or error}{named}."}


def _record_pruned(run: Run) -> None:
    """Record what the process that was killed could not: the state, and the results up to the newest checkpoint."""
    found = checkpoint.newest(run.path / "checkpoints")
    position = found.facts["position"] if found else {}
    known = {name: position[name] for name in ("step", "validation", "best", "warnings") if name in position}
    run.record(state=PRUNED, test={}, **known)


def number_of(run: Run) -> int:
    """Return the number of a trial by the name of its folder."""
    return int(run.path.name.rpartition("-")[2])


def values(run: Run, metrics: Sequence[str], directions: Sequence[str]) -> list[float]:
    """Return the value of a single metric at its best validation, or those of several at the last validation.

    Several metrics must belong to the same weights.
    """
    lines = [line for line in read(run.path) if line["split"] == "validation"]
    usable = [line for line in lines if all(_is_finite(line.get(name)) for name in metrics)]
    if not usable:
        raise RunError(f"{run.path} has no validation with {' and '.join(metrics)}.")
    if len(metrics) > 1:
        return [float(usable[-1][name]) for name in metrics]
    best = max if directions[0] == "maximize" else min
    return [best(float(line[metrics[0]]) for line in usable)]


def _is_finite(value: Any) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


class Watching(Console):
    """A console that reports each validation once, and stops the run when the search prunes it."""

    def __init__(self, search: Search, number: int, every: int, terminal: "Terminal | None") -> None:
        super().__init__(terminal)
        self.search, self.number, self.every = search, number, every
        self.pruned = False

    @property
    def active(self) -> bool:
        """True if this search prunes."""
        return self.search.plan.settings.prune != NONE

    def validated(self, step: int, metrics: Metrics, best: bool) -> None:
        """Show the metrics, report them, and stop the run if it is pruned."""
        super().validated(step, metrics, best)
        value = metrics.get(self.search.plan.metrics[0])
        if not self.active or value is None:
            return
        trial = self._trial()
        if step not in trial.intermediate_values:
            self.search.study._storage.set_trial_intermediate_value(trial._trial_id, step, value)
        trial = self._trial()
        # A run that repeats steps after a kill was not pruned at those; at its last step all steps are needed anyway.
        if step < max(trial.intermediate_values) or step >= self.plan.steps:
            return
        if self._judged(trial, self.plan.steps).prune:
            self.pruned = True
            self.say(f"Pruned at step {step:,}: other trials were better at this step.")
            self._stop()

    def _stop(self) -> None:
        """Stop the loop as Ctrl-C does: it saves a checkpoint, so that the run can be continued."""
        if threading.current_thread() is not threading.main_thread():
            raise ConfigError("search.prune works only where a trial runs in the main thread of a process.")
        signal.raise_signal(signal.SIGTERM)

    def ended_before(self, run: Run) -> bool:
        """Return True if an earlier process has pruned the trial and was killed before it could say so."""
        trial = self._trial()
        if not self.active or not trial.intermediate_values or not (run.path / "run.json").exists():
            return False
        reached = max(checkpoint.steps(run.path / "checkpoints"), default=0)
        facts = run.facts
        if facts.get("state") == "finished" or reached < max(trial.intermediate_values):
            return False
        return bool(trial.user_attrs.get(PRUNED)) or facts.get("state") == PRUNED

    def _judged(self, trial: "FrozenTrial", steps: int) -> Verdict:
        plan, storage = self.search.plan, self.search.study._storage
        before = self.search.before(self.number)
        resources = (min(self.every, steps), steps)
        verdict = judged(before, trial, trial.intermediate_values, plan.settings, plan.directions, resources)
        if verdict.rungs:
            storage.set_trial_user_attr(trial._trial_id, RUNGS, verdict.rungs)
        if verdict.prune:
            storage.set_trial_user_attr(trial._trial_id, PRUNED, max(trial.intermediate_values))
        return verdict

    def _trial(self) -> "FrozenTrial":
        return self.search.trials[self.number]
