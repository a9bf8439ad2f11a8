"""A sweeper for Hydra that searches: it launches the trials that genlab.search asks for, by any launcher.

Hydra finds this file by the name of its folder. It is loaded by every command that composes a config, so Optuna is
imported only when a search begins.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.config_store import ConfigStore
from hydra.core.override_parser.types import IntervalSweep, Override, RangeSweep, ValueType
from hydra.core.plugins import Plugins
from hydra.plugins.sweeper import Sweeper

from genlab.registry import ConfigError, suggestion

if TYPE_CHECKING:
    from hydra.types import HydraContext, TaskFunction
    from optuna.distributions import BaseDistribution

NAME = "genlab_search"
_TAGS = ("log",)

ConfigStore.instance().store(
    group="hydra/sweeper", name=NAME, node={"_target_": "hydra_plugins.genlab_search.Search"}, provider="genlab"
)


class Search(Sweeper):
    """The sweeper of `genlab search`; the plan is in the folder of the sweep."""

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: Any) -> None:
        """Take what Hydra gives to a sweeper, and build the launcher."""
        self.folder = Path(str(config.hydra.sweep.dir))
        self.launcher: Any = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )

    def sweep(self, arguments: list[str]) -> None:
        """Launch group after group until the search has its trials."""
        from genlab.search.progress import Progress
        from genlab.search.study import assigned_run, open_search

        search = open_search(self.folder)
        assert search, "the command has written the plan"
        progress = Progress(search)
        for group in search.groups():
            jobs = [
                [*arguments, *map(_forced, [*search.arguments(trial), assigned_run(search.run(trial.number))])]
                for trial in group
            ]
            progress.begin(group)
            reports = [_report(one) for one in self.launcher.launch(jobs, initial_job_idx=group[0].number)]
            for trial, report in zip(group, reports, strict=True):
                search.tell(trial.number, report)
                progress.show(trial.number, report)
            progress.raise_if_stopped(reports)


def _report(returned: Any) -> Mapping[str, Any]:
    """Return the report of a trial; one that has ended without a report was stopped or has failed."""
    ended = returned.return_value
    if ended.stopped:
        return {"state": "stopped", "signal": int(signal.SIGINT)}
    if ended.error:
        if ended.trace:
            print(ended.trace, file=sys.stderr)
        return {"state": "failed", "reason": ended.error}
    report: Mapping[str, Any] = ended.value
    return report


def _forced(argument: str) -> str:
    """Return an argument that Hydra accepts even if no recipe lists the setting; a recipe is chosen as it is."""
    from genlab.config.compose import GROUPS

    return argument if argument.partition("=")[0] in GROUPS else f"++{argument}"


def space_of(overrides: Sequence[Override]) -> dict[str, BaseDistribution]:
    """Return the range of each searched setting, for Optuna."""
    return {override.key_or_group: distribution(override) for override in overrides}


def distribution(override: Override) -> BaseDistribution:
    """Convert interval(a,b), int(interval(a,b)), tag(log,...), range(a,b,c), choice(a,b) and a,b,c for Optuna."""
    given = str(override.input_line).lstrip("+")
    value = override.value()
    tags = sorted(getattr(value, "tags", ()))
    if unknown := [tag for tag in tags if tag not in _TAGS]:
        raise ConfigError(f"{given}: unknown tag {unknown[0]!r}. {suggestion(unknown[0], _TAGS)}Available: log")
    if isinstance(value, IntervalSweep):
        return _interval(given, value, log="log" in tags)
    if tags:
        raise ConfigError(f"{given}: tag(log,...) takes an interval: tag(log,interval(LOW,HIGH)).")
    if isinstance(value, RangeSweep):
        return _steps(given, value)
    if override.value_type == ValueType.GLOB_CHOICE_SWEEP:
        raise ConfigError(f"{given}: glob cannot be searched. List the names: {override.key_or_group}=a,b,c")
    return _choices(given, override)


def _interval(given: str, value: IntervalSweep, *, log: bool) -> BaseDistribution:
    from optuna.distributions import FloatDistribution, IntDistribution

    low, high = value.start, value.end
    assert low is not None
    assert high is not None
    if not low < high:
        raise ConfigError(f"{given}: an interval begins below its end, got {low} and {high}.")
    if log and low <= 0:
        raise ConfigError(f"{given}: a logarithmic interval begins above 0, got {low}.")
    if isinstance(low, int) and isinstance(high, int):
        return IntDistribution(low, high, log=log)
    return FloatDistribution(float(low), float(high), log=log)


def _steps(given: str, value: RangeSweep) -> BaseDistribution:
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    numbers = list(value.range()) if value.step else []
    if not numbers:
        raise ConfigError(f"{given}: the range is empty.")
    low, high, step = min(numbers), max(numbers), abs(value.step)
    if all(isinstance(number, int) for number in numbers):
        return IntDistribution(int(low), int(high), step=int(step))
    if low == high:
        return CategoricalDistribution([repr(low)])
    return FloatDistribution(float(low), float(high), step=float(step))


def _choices(given: str, override: Override) -> BaseDistribution:
    from optuna.distributions import CategoricalDistribution

    # Python's True and False are true and false in YAML.
    texts = override.sweep_string_iterator()
    values = list(dict.fromkeys(text.lower() if text in ("True", "False") else text for text in texts))
    if len(values) < 2:
        raise ConfigError(f"{given}: give at least two different values.")
    return CategoricalDistribution(values)
