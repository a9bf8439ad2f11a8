"""The metrics that a search improves: which there are, in which direction, and whether a search may compare them."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import fields, replace
from typing import Any

from genlab.build import build_data, build_features, build_model, build_trainer
from genlab.comparison.differing import objective
from genlab.comparison.measured import direction, is_objective
from genlab.config.schema import Config
from genlab.data.dataset import Dataset
from genlab.extractors import quick
from genlab.randomness import reseed
from genlab.registry import ConfigError, suggestion
from genlab.search.decisions import Direction, Space
from genlab.search.study import Plan, as_argument
from genlab.training.console import Console
from genlab.training.settings import LoadingSettings
from genlab.training.trainer import Trainer

Compose = Callable[[Sequence[str]], Config]
"""A function that composes a config from the arguments of a trial."""
Measured = dict[str, float]

# Settings of data that change the training alone, so that metrics on different values compare.
_OF_TRAINING = [f"data.{field.name}" for field in fields(LoadingSettings) if field.name != "binarize"]


def better(metric: str) -> Direction:
    """Return the direction of a metric of the validation; a metric without a better direction is minimised."""
    return "maximize" if direction(f"validation/{metric}") == "higher" else "minimize"


def checked(plan: Plan, compose: Compose, console: Console) -> Plan:
    """Return the plan with the arguments that its metrics need; raise a ConfigError if it cannot be searched."""
    _check_values(plan, compose)
    config = compose([*plan.arguments, *_chosen_recipes(plan.space)])
    probe = _Probe(config, console)
    if not plan.metrics:
        raise ConfigError(
            f"model {config.model['name']!r} has no metric that chooses its best checkpoint. Give one, such as "
            f"search.metric={_suggested(probe.names, probe)}. Available: {', '.join(probe.names)}"
        )
    _check_names(plan.metrics, probe)
    for key in plan.space:
        if unfit := [metric for metric in plan.metrics if probe.contains(metric, key, plan, compose)]:
            raise _refusal(key, unfit, probe, plan, compose)
    evaluated = set(plan.metrics) & set(probe.quick)
    return replace(plan, arguments=[*plan.arguments, *_needed(plan, evaluated)])


def _needed(plan: Plan, evaluated: set[str]) -> list[str]:
    """Return the arguments with which each trial measures its metrics, and keeps the checkpoint with its value."""
    given = {argument.partition("=")[0] for argument in plan.arguments}
    # A metric that is measured when the clock allows would make the search depend on the speed of the machine.
    needed = ["trainer.evaluate=always"] if evaluated else []
    if len(plan.metrics) == 1 and "model.best" not in given and plan.base.get("model.best") != plan.metrics[0]:
        needed.append(f"model.best={plan.metrics[0]}")
    return needed


def _chosen_recipes(space: Space) -> list[str]:
    """Return the first choice of each recipe that is searched; a setting keeps the value of its recipe."""
    return [f"{key}={first(one)}" for key, one in space.items() if _is_recipe(key)]


def _is_recipe(key: str) -> bool:
    return "." not in key and key not in ("seed", "device")


def first(one: Any) -> str:
    """Return the first value of a range or of a list of choices, as an argument."""
    return as_argument(one.choices[0] if hasattr(one, "choices") else one.low)


def last(one: Any) -> str:
    """Return the last value of a range or of a list of choices, as an argument."""
    return as_argument(one.choices[-1] if hasattr(one, "choices") else one.high)


def _check_values(plan: Plan, compose: Compose) -> None:
    """Raise a ConfigError if neither the first nor the last values make a config, for example by their types."""
    errors = list[ConfigError]()
    for end in (first, last):
        try:
            config = compose([*plan.arguments, *(f"{key}={end(one)}" for key, one in plan.space.items())])
            dataset = build_data(config)
            build_model(config, dataset.kinds, build_features(config, dataset, _cpu(), Console()))
            return
        except ConfigError as error:
            errors.append(error)
    raise ConfigError(f"{errors[0]}{_whole_numbers(str(errors[0]), plan.space)}")


def _whole_numbers(error: str, space: Space) -> str:
    """Return advice if a setting must be an integer, and an interval of other numbers is searched."""
    one: Any
    for key, one in space.items():
        name = key.rpartition(".")[2]
        if f"{name} must be an integer" in error and isinstance(getattr(one, "low", None), float):
            return f" Write {key}=int(interval({one.low:g},{one.high:g}))."
    return ""


def _cpu() -> Any:
    import torch

    return torch.device("cpu")


class _Probe:
    """A model of the search before its training, which tells the metrics that validations have."""

    def __init__(self, config: Config, console: Console) -> None:
        self.dataset: Dataset = build_data(config)
        trainer = _trainer(config, self.dataset, console)
        self.own = list(_validated(trainer))
        self.quick = quick.names(trainer.model, self.dataset)
        self._measured: dict[str, list[Measured]] = {}

    @property
    def names(self) -> list[str]:
        """The metrics that a search can improve."""
        return [*self.own, *(name for name in self.quick if direction(name))]

    def contains(self, metric: str, key: str, plan: Plan, compose: Compose) -> bool:
        """Return True if the setting is part of what the metric means, so that its values do not compare.

        By the rule of `genlab compare`, a setting of the model that is not about its size gives the loss and its terms
        their meaning. The exception is a term that equal weights have equally, whatever the value of the setting.
        """
        name = key.replace("/", ".")
        if name == "data" or (name.startswith("data.") and name not in _OF_TRAINING):
            return True
        if not is_objective(f"validation/{metric}") or not (name == "model" or objective({name: None})):
            return False
        if key not in self._measured:
            self._measured[key] = _with_each_value(key, plan, compose)
        found = self._measured[key]
        return not found or any(one.get(metric) != found[0].get(metric) for one in found)


def _with_each_value(key: str, plan: Plan, compose: Compose) -> list[Measured]:
    """Return the metrics of untrained models with equal weights and different values of a setting.

    The list is empty if the setting changes the weights themselves.
    """
    one = plan.space[key]
    values = [as_argument(choice) for choice in one.choices] if hasattr(one, "choices") else [first(one), last(one)]
    others = _chosen_recipes({name: other for name, other in plan.space.items() if name != key})
    measured, weights = list[Measured](), list[dict[str, Any]]()
    with suppress(ConfigError):
        for value in values:
            config = compose([*plan.arguments, *others, f"{key}={value}"])
            trainer = _trainer(config, build_data(config), Console())
            measured.append(_validated(trainer))
            weights.append(trainer.model.state_dict())
        if all(_equal(weights[0], other) for other in weights[1:]):
            return measured
    return []


def _equal(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    return one.keys() == other.keys() and all(bool(one[name].equal(other[name])) for name in one)


def _trainer(config: Config, dataset: Dataset, console: Console) -> Trainer:
    """Build the loop without the metrics that cost time, and without a metric that chooses."""
    quiet = replace(config.trainer, evaluate=None)
    return build_trainer(replace(config, trainer=quiet, best=None, fitted_prior=()), dataset, console)


def _validated(trainer: Trainer) -> Measured:
    validation = trainer.validation
    with validation.looking():
        reseed(trainer.engine.device, 0, "search")
        result = trainer.model.validate(validation.gallery)
    return {"loss": float(result.loss), **{name: float(value) for name, value in result.shown.items()}}


def _check_names(metrics: Iterable[str], probe: _Probe) -> None:
    names = [*probe.own, *probe.quick]
    if not len(probe.dataset.splits["validation"]):
        raise ConfigError("genlab search needs validation data, and this data has none.")
    for metric in metrics:
        if metric not in names:
            raise ConfigError(f"Unknown metric {metric!r}. {suggestion(metric, names)}Available: {', '.join(names)}")
        if metric not in probe.own and direction(metric) is None:
            raise ConfigError(f"Neither direction of {metric} is better. Available: {', '.join(probe.names)}")


def _suggested(names: Sequence[str], probe: _Probe) -> str:
    """Return the metric that suits most searches: a quick one if there is one."""
    return next((name for name in names if name in probe.quick), names[0])


def _refusal(key: str, unfit: Sequence[str], probe: _Probe, plan: Plan, compose: Compose) -> ConfigError:
    fit = [name for name in probe.names if not probe.contains(name, key, plan, compose)]
    named = " and ".join(unfit)
    if key.partition(".")[0] == "data":
        return ConfigError(
            f"Cannot search {key}: it changes the validation data, so the values of {named} do not compare."
        )
    reason = f"Cannot search {key} by {named}: the meaning of {named} depends on it, so its values do not compare."
    if not fit:
        return ConfigError(f"{reason} No other metric is measured while this model trains.")
    return ConfigError(
        f"{reason} Choose a metric that does not depend on it, such as search.metric={_suggested(fit, probe)}. "
        f"Available: {', '.join(fit)}"
    )
