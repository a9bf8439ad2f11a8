"""Decisions of a search: the values of a trial, and whether to prune it.

Each decision is a function of the trials that were finished when the trial's group began, of the trial's number and of
its own validations. So a search that is killed and started again decides as one that was never interrupted.
"""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from genlab.search.settings import SearchSettings

if TYPE_CHECKING:
    from optuna import Study
    from optuna.distributions import BaseDistribution
    from optuna.pruners import BasePruner
    from optuna.samplers import BaseSampler
    from optuna.trial import FrozenTrial

Direction = Literal["minimize", "maximize"]
Space = Mapping[str, "BaseDistribution"]
Values = Mapping[int, float]
"""The metric of each validation of a trial, by its step."""

RUNGS = "rungs"
"""The attribute of a trial that keeps what the pruner `hyperband` notes about it."""
_STARTUP = 4
"""Finished trials that the pruner `median` waits for."""
_RUNG = "completed_rung_"


class Verdict(NamedTuple):
    """The decision about a trial after its last validation."""

    prune: bool
    rungs: dict[str, Any]


def chosen(
    before: Sequence["FrozenTrial"],
    number: int,
    space: Space,
    settings: SearchSettings,
    directions: Sequence[Direction],
) -> dict[str, Any]:
    """Return the values that trial `number` tries, given the trials that finished before its group began."""
    study = _memory(before, number, directions, sampler=_sampler(settings, number))
    return dict(study.ask(dict(space)).params)


def combinations(space: Space) -> float:
    """Return the number of different trials; it is infinite if a range has all numbers between two."""
    return math.prod(map(_values_of, space.values()))


def _values_of(one: Any) -> float:
    if hasattr(one, "choices"):
        return len(one.choices)
    return math.inf if one.step is None else round((one.high - one.low) / one.step) + 1


def judged(
    before: Sequence["FrozenTrial"],
    trial: "FrozenTrial",
    values: Values,
    settings: SearchSettings,
    directions: Sequence[Direction],
    resources: tuple[int, int],
) -> Verdict:
    """Decide whether to prune a trial after these validations; `resources` are the first step and the last one."""
    study = _memory(before, trial.number, directions, pruner=_pruner(settings, resources))
    copy, prune = study.ask(trial.distributions), False
    for step, value in sorted(values.items()):
        copy.report(value, step)
        prune = copy.should_prune()
    noted = study.trials[trial.number].system_attrs
    return Verdict(prune, {key: value for key, value in noted.items() if key.startswith(_RUNG)})


def _memory(before: Sequence["FrozenTrial"], number: int, directions: Sequence[Direction], **methods: Any) -> "Study":
    """Return a study in memory with the trials below this number; those that are not known yet count as failed."""
    import optuna
    from optuna.trial import TrialState, create_trial

    study = optuna.create_study(study_name="search", directions=list(directions), **methods)
    known = {trial.number: trial for trial in before}
    for other in range(number):
        trial = known.get(other)
        if trial is None or trial.state == TrialState.FAIL:
            study.add_trial(create_trial(state=TrialState.FAIL))
            continue
        pruned = trial.state == TrialState.PRUNED
        study.add_trial(
            create_trial(
                state=trial.state,
                values=None if pruned else trial.values,
                params=trial.params,
                distributions=trial.distributions,
                intermediate_values=trial.intermediate_values,
                system_attrs=trial.user_attrs.get(RUNGS, {}),
            )
        )
    return study


def _sampler(settings: SearchSettings, number: int) -> "BaseSampler":
    """Return a sampler whose draws depend on the seed and the trial's number alone."""
    from optuna import samplers

    seed = (settings.seed * 1_000_003 + number * 7_919) % 2**32
    if settings.sampler == "random":
        return samplers.RandomSampler(seed=seed)
    if settings.sampler == "gp":
        return samplers.GPSampler(seed=seed)
    return samplers.TPESampler(seed=seed)


def _pruner(settings: SearchSettings, resources: tuple[int, int]) -> "BasePruner":
    from optuna import pruners

    if settings.prune == "median":
        return pruners.MedianPruner(n_startup_trials=_STARTUP)
    if settings.prune == "hyperband":
        return pruners.HyperbandPruner(min_resource=resources[0], max_resource=resources[1])
    return pruners.NopPruner()
