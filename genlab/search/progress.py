"""The lines that a search prints: one for each trial."""

import shlex
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from genlab.registry import ConfigError
from genlab.search.decisions import combinations
from genlab.search.study import REASON, Search
from genlab.training.console import number

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial


class StoppedError(KeyboardInterrupt):
    """A signal has stopped the running trials, which have saved; carries its number.

    No Exception, because those are taken for errors of the engine.
    """

    def __init__(self, signal: int) -> None:
        super().__init__(signal)
        self.signal = signal


class Progress:
    """The progress of a search, printed as plain lines."""

    def __init__(self, search: Search) -> None:
        self.search = search
        self.total = search.plan.settings.trials
        different = combinations(search.plan.space)
        if different < self.total:
            print(
                f"The ranges have {different} different settings, so some of the {self.total} trials repeat another. "
                "`genlab train -m` trains each of them once.",
                flush=True,
            )
        if done := len(search.finished):
            print(f"{done} of {self.total} trials are done; the search continues.", flush=True)

    def begin(self, group: Sequence["FrozenTrial"]) -> None:
        """Say which trials train now; several at once print nothing until all of them have ended."""
        if self.search.plan.settings.jobs > 1:
            names = ", ".join(self.search.run(trial.number).path.name for trial in group)
            print(f"Training {names}; progress is in the log.txt of each.", flush=True)

    def show(self, trial: int, report: Mapping[str, Any]) -> None:
        """Print the number of a trial, its values, its result, and the best value so far."""
        told = self.search.trials[trial]
        best = self._best()
        name = f"{self.search.run(trial).path.name} ({trial + 1} of {self.total})"
        line = f"{name}: {described(told)}  {_result(self.search, told, report)}{best}"
        print(line, flush=True)

    def _best(self) -> str:
        plan = self.search.plan
        found = best_of(self.search)
        if len(plan.metrics) > 1 or found is None:
            return ""
        return f"  (best so far: {number(found.values[0])}, {self.search.run(found.number).path.name})"

    def raise_if_stopped(self, reports: Sequence[Mapping[str, Any]]) -> None:
        """Raise an error if a trial was stopped by a signal, or because its files cannot be written."""
        for report in reports:
            if report["state"] == "stopped":
                if "signal" in report:
                    raise StoppedError(report["signal"])
                raise ConfigError(
                    f"{report['reason']} To continue, repeat the command with run={shlex.quote(str(self.search.path))}"
                )


def described(trial: "FrozenTrial") -> str:
    """Return the values of a trial, such as `model.beta 2.1, lr 0.003`."""
    return ", ".join(f"{name} {shown(value)}" for name, value in trial.params.items())


def shown(value: Any) -> str:
    """Return a value with four significant digits."""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def best_of(search: Search) -> "FrozenTrial | None":
    """Return the trial with the best value of the first metric; the earliest of equal ones."""
    done = [trial for trial in search.finished if trial.state.name == "COMPLETE"]
    sign = -1 if search.plan.directions[0] == "maximize" else 1
    return min(done, key=lambda trial: sign * trial.values[0], default=None)


def _result(search: Search, trial: "FrozenTrial", report: Mapping[str, Any]) -> str:
    if report["state"] == "stopped":
        return "stopped"
    if trial.state.name == "COMPLETE":
        named = zip(search.plan.metrics, trial.values, strict=True)
        return "  ".join(f"{name} {number(value)}" for name, value in named)
    if trial.state.name == "PRUNED":
        return f"pruned at step {max(trial.intermediate_values, default=0):,}"
    return f"failed: {trial.user_attrs.get(REASON, '')}"
