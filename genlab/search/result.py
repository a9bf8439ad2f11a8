"""The result of a search: its best trials, how much each setting matters, and the lines that train them again."""

import shlex
import warnings
from dataclasses import asdict, dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from genlab.config.compose import is_hydras
from genlab.search.progress import best_of
from genlab.search.study import REASON, Search

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

_LEAST = 4
"""Smallest number of finished trials from which importances are estimated."""


@dataclass(frozen=True)
class Finding:
    """One of the best trials."""

    trial: int
    run: str
    settings: dict[str, Any]
    values: dict[str, float]
    """The value of each metric."""
    train: str
    """The command that trains it again."""


@dataclass(frozen=True)
class Result:
    """The result of a search."""

    best: list[Finding]
    """The best trial; with several metrics, the trials that no other trial beats in all of them."""
    importances: dict[str, dict[str, float]]
    """For each metric, the share of its variance that each setting explains."""
    counts: dict[str, int]
    """The number of trials by their state."""
    reasons: list[str]
    """The reasons of failed trials."""

    def as_json(self) -> dict[str, Any]:
        """Return the result as JSON holds it."""
        return asdict(self)


def result(search: Search) -> Result:
    """Return the result of the trials so far."""
    done = completed(search)
    best = [one] if (one := best_of(search)) else []
    chosen = best if len(search.plan.metrics) == 1 else front(search)
    counts: dict[str, int] = {}
    for trial in search.trials:
        counts[trial.state.name.lower()] = counts.get(trial.state.name.lower(), 0) + 1
    reasons = dict.fromkeys(str(trial.user_attrs[REASON]) for trial in search.finished if REASON in trial.user_attrs)
    return Result([_finding(search, trial) for trial in chosen], _importances(search, done), counts, list(reasons))


def completed(search: Search) -> list["FrozenTrial"]:
    """Return the trials that have a value."""
    return [trial for trial in search.finished if trial.state.name == "COMPLETE"]


def front(search: Search) -> list["FrozenTrial"]:
    """Return the trials that no other trial beats in all metrics, in the order of the first metric."""
    signs = [-1 if way == "maximize" else 1 for way in search.plan.directions]
    costs = {
        trial.number: [sign * value for sign, value in zip(signs, trial.values, strict=True)]
        for trial in completed(search)
    }

    def beaten(number: int) -> bool:
        mine = costs[number]
        return any(other != mine and all(a <= b for a, b in zip(other, mine, strict=True)) for other in costs.values())

    found = [trial for trial in completed(search) if not beaten(trial.number)]
    return sorted(found, key=lambda trial: costs[trial.number])


def _finding(search: Search, trial: "FrozenTrial") -> Finding:
    plan = search.plan
    values = dict(zip(plan.metrics, trial.values, strict=True))
    return Finding(
        trial.number, str(search.run(trial.number).path), dict(trial.params), values, train_line(search, trial)
    )


def train_line(search: Search, trial: "FrozenTrial") -> str:
    """Return the command that trains a trial again, in a new folder."""
    kept = [argument for argument in search.plan.arguments if not is_hydras(argument)]
    return shlex.join(["genlab", "train", *search.plan.options, *kept, *search.arguments(trial)])


def _importances(search: Search, done: list["FrozenTrial"]) -> dict[str, dict[str, float]]:
    """Estimate how much of the variance of each metric each setting explains; nothing from too few trials."""
    import optuna
    from optuna.importance import FanovaImportanceEvaluator, get_param_importances

    plan = search.plan
    if len(done) < _LEAST or len(plan.space) < 2:
        return {}
    study = optuna.create_study(directions=list(plan.directions))
    study.add_trials(done)
    found = {}
    for place, metric in enumerate(plan.metrics):
        if len({trial.values[place] for trial in done}) < 2:
            continue
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            evaluator = FanovaImportanceEvaluator(seed=0)
            found[metric] = get_param_importances(study, evaluator=evaluator, target=partial(_value, place))
    return {metric: {name: float(value) for name, value in one.items()} for metric, one in found.items()}


def _value(place: int, trial: "FrozenTrial") -> float:
    return float(trial.values[place])
