"""A search on disk: its plan in search.json, its trials in a journal, and a run folder for each trial."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genlab.config.compose import is_hydras, quoted
from genlab.config.schema import shown
from genlab.registry import ConfigError
from genlab.runs.run import Run
from genlab.search import decisions
from genlab.search.journal import open_journal
from genlab.search.settings import SearchSettings
from genlab.training.checkpoint import write_atomically

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

PLAN = "search.json"
FORMAT = 1
REASON = "reason"
"""The attribute of a failed trial that says why it failed."""
_SAME_REASON = 3
"""A search ends if at least this many trials are done, and all have failed for one reason."""
_MOST = 6
"""Differences that a message names."""
_FREE = ("trials",)
"""Settings of a search that may change when it continues."""


@dataclass(frozen=True)
class Plan:
    """Everything that decides the trials of a search."""

    settings: SearchSettings
    space: decisions.Space
    metrics: list[str]
    directions: list[decisions.Direction]
    arguments: list[str]
    """The arguments that are the same for all trials, as `genlab train` takes them."""
    base: dict[str, Any]
    """The settings of a trial by dotted keys, without those that are searched."""
    options: list[str]
    """The options of the command that a trial needs, such as `--plugin`."""

    def as_json(self) -> dict[str, Any]:
        """Return the plan as JSON holds it."""
        from optuna.distributions import distribution_to_json

        space = {name: json.loads(distribution_to_json(one)) for name, one in self.space.items()}
        plain = {field.name: getattr(self, field.name) for field in fields(self)}
        return {"format": FORMAT, **plain, "settings": asdict(self.settings), "space": space}


def of_json(facts: Mapping[str, Any]) -> Plan:
    """Return the plan that search.json holds."""
    from optuna.distributions import json_to_distribution

    space = {name: json_to_distribution(json.dumps(one)) for name, one in facts["space"].items()}
    plain = {field.name: facts[field.name] for field in fields(Plan)}
    return Plan(**{**plain, "settings": SearchSettings(**facts["settings"]), "space": space})


@dataclass(frozen=True)
class Search:
    """A search in its folder."""

    path: Path
    plan: Plan

    @cached_property
    def study(self) -> Any:
        """The study that the journal holds."""
        return open_journal(self.path, list(self.plan.directions))

    @property
    def trials(self) -> list["FrozenTrial"]:
        """All trials so far, by number."""
        found: list[FrozenTrial] = self.study.get_trials(deepcopy=False)
        return found

    @property
    def finished(self) -> list["FrozenTrial"]:
        """The trials that have a result or have failed."""
        return [trial for trial in self.trials if trial.state.is_finished()]

    def run(self, number: int) -> Run:
        """Return the run of a trial, which may not exist yet."""
        return Run(self.path / f"trial-{number:04}")

    def before(self, number: int) -> list["FrozenTrial"]:
        """Return the trials of all groups before that of a trial; a group is trained at once."""
        jobs = self.plan.settings.jobs
        return self.trials[: number // jobs * jobs]

    def groups(self) -> Iterator[list["FrozenTrial"]]:
        """Ask for the trials of each group; those that a killed process has left unfinished come first."""
        jobs, total = self.plan.settings.jobs, self.plan.settings.trials
        for first in range(0, total, jobs):
            for number in range(len(self.trials), min(first + jobs, total)):
                self._ask(number)
            if group := [trial for trial in self.trials[first : first + jobs] if not trial.state.is_finished()]:
                self._refuse_trained_elsewhere(group)
                yield group
                self._stop_if_all_fail()

    def _ask(self, number: int) -> None:
        """Add a trial with its values to the journal, in one line, so that no trial is ever without them."""
        from optuna.trial import TrialState, create_trial

        plan = self.plan
        values = decisions.chosen(self.before(number), number, plan.space, plan.settings, plan.directions)
        self.study.add_trial(create_trial(state=TrialState.RUNNING, params=values, distributions=dict(plan.space)))

    def _refuse_trained_elsewhere(self, group: Sequence["FrozenTrial"]) -> None:
        for trial in group:
            run = self.run(trial.number)
            if run.path.exists() and run.locked:
                raise ConfigError(
                    f"{run.path} is still being trained by a process of an earlier call. Wait until it ends, or end it."
                )

    def _stop_if_all_fail(self) -> None:
        reasons = {trial.user_attrs.get(REASON) for trial in self.finished}
        enough = min(_SAME_REASON, self.plan.settings.trials)
        if len(self.finished) >= enough and len(reasons) == 1 and (reason := reasons.pop()):
            raise ConfigError(f"All trials have failed for the same reason, so the search has ended. {reason}")

    def arguments(self, trial: "FrozenTrial") -> list[str]:
        """Return the values of a trial as arguments."""
        return [f"{name}={as_argument(value)}" for name, value in trial.params.items()]

    def tell(self, number: int, report: Mapping[str, Any]) -> None:
        """Record the result of a trial, unless it is recorded already."""
        from optuna.trial import TrialState

        trial = self.trials[number]
        if trial.state.is_finished() or report["state"] == "stopped":
            return
        if report["state"] == "complete":
            self.study.tell(number, report["values"])
        elif report["state"] == "pruned":
            self.study.tell(number, state=TrialState.PRUNED)
        else:
            self.study._storage.set_trial_user_attr(trial._trial_id, REASON, report["reason"])
            self.study.tell(number, state=TrialState.FAIL)

    def keep(self, **facts: Any) -> None:
        """Write search.json: the plan, and further facts."""
        text = json.dumps({**self.plan.as_json(), **facts}, indent=2) + "\n"
        write_atomically(self.path / PLAN, text.encode())


def as_argument(value: Any) -> str:
    """Return a value as an argument; every digit of a number is kept, so that it can be repeated exactly."""
    return repr(value) if isinstance(value, float) else str(value)


def assigned_run(run: Run) -> str:
    """Return the argument that names the folder of a trial."""
    return f"run={quoted(str(run.path))}"


def open_search(folder: Path) -> Search | None:
    """Return the search in a folder, or None if there is none."""
    file = folder / PLAN
    if not file.exists():
        return None
    try:
        facts = json.loads(file.read_text(encoding="utf-8"))
        if facts["format"] != FORMAT:
            raise ConfigError(f"{file} was written by another version of genlab. Choose another folder.")
        return Search(folder, of_json(facts))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ConfigError(f"{file} cannot be read ({error}). Restore it, or choose another folder.") from None


def continued(known: Search, asked: Plan) -> Search:
    """Return the search with the asked trials and launcher; raise a ConfigError if anything else differs."""
    there, here = _flat(known.plan), _flat(asked)
    keys = [key for key in {**there, **here} if there.get(key) != here.get(key)]
    if keys:
        named = [f"{key} ({shown(there.get(key))} there, {shown(here.get(key))} here)" for key in keys]
        more = f" and {len(keys) - _MOST} more" if len(keys) > _MOST else ""
        raise ConfigError(
            f"{known.path} holds another search; these differ: {', '.join(named[:_MOST])}{more}. Only search.trials "
            "and the launcher can change. Choose another folder."
        )
    settings = SearchSettings(**{**asdict(known.plan.settings), "trials": asked.settings.trials})
    # The launcher changes no result. The other arguments are those of the first call, with what its metrics need.
    arguments = [one for one in known.plan.arguments if not is_hydras(one)]
    arguments += [one for one in asked.arguments if is_hydras(one)]
    return Search(known.path, Plan(**{**_shallow(known.plan), "settings": settings, "arguments": arguments}))


def _flat(plan: Plan) -> dict[str, Any]:
    """Return what two equal searches share, by names that a user knows."""
    settings = {f"search.{key}": value for key, value in asdict(plan.settings).items() if key not in _FREE}
    # The metric may be the default, and the list names it in both cases.
    settings["search.metric"] = ", ".join(plan.metrics) or None
    # What the user gave comes first in the message.
    return {**{name: described(one) for name, one in plan.space.items()}, **settings, **plan.base}


def described(one: Any) -> str:
    """Return a range or choices as a user types them."""
    if hasattr(one, "choices"):
        return f"choice({','.join(one.choices)})"
    if isinstance(one.low, int):
        interval = (
            f"int(interval({one.low},{one.high}))" if one.step == 1 else f"range({one.low},{one.high + 1},{one.step})"
        )
    else:
        interval = (
            f"interval({one.low:g},{one.high:g})"
            if one.step is None
            else f"range({one.low:g}..{one.high:g},{one.step:g})"
        )
    return f"tag(log,{interval})" if one.log else interval


def _shallow(plan: Plan) -> dict[str, Any]:
    return {field.name: getattr(plan, field.name) for field in fields(plan)}
