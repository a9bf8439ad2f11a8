"""Settings of a search, as `search.NAME=VALUE` gives them; free of heavy imports."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, Literal

from genlab.config.schema import value_of
from genlab.registry import ConfigError, check, suggestion

PREFIX = "search."
NONE: Literal["none"] = "none"

HELP = {
    "trials": "number of trials; more trials continue a finished search",
    "metric": "validation metric to improve, or several as [a,b] for a front; null is model.best",
    "prune": "none, median or hyperband: stop trials that are worse than others at the same step",
    "sampler": "tpe, gp or random: the method that chooses the next values",
    "jobs": "trials at once; more than 1 needs a launcher, such as hydra/launcher=joblib",
    "seed": "seed of the chosen values; `seed` is that of each training",
}


@dataclass(frozen=True, kw_only=True)
class SearchSettings:
    """Number of trials, metric, and methods of a search."""

    trials: int = 20
    metric: str | list[str] | None = None
    prune: Literal["none", "median", "hyperband"] = NONE
    sampler: Literal["tpe", "gp", "random"] = "tpe"
    jobs: int = 1
    seed: int = 0

    def __post_init__(self) -> None:
        for name, least in (("trials", 1), ("jobs", 1), ("seed", 0)):
            if getattr(self, name) < least:
                raise ConfigError(f"search.{name} must be at least {least}, got {getattr(self, name)}.")
        if len(set(self.metrics)) < len(self.metrics) or self.metric == []:
            raise ConfigError(f"search.metric must name one metric or several different ones, got {self.metric}.")
        if len(self.metrics) > 1 and self.prune != NONE:
            raise ConfigError(
                f"search.prune={self.prune} needs a single search.metric: of two trials on a front, none is worse. "
                "Leave search.prune out."
            )

    @property
    def metrics(self) -> list[str]:
        """The names of the metrics; empty if none is given."""
        return self.metric.split(",") if isinstance(self.metric, str) else list(self.metric or [])


def default(name: str) -> str:
    """Return the default of a setting as a user types it."""
    value = getattr(SearchSettings(), name)
    return "null" if value is None else str(value)


def split(overrides: Sequence[str]) -> tuple[SearchSettings, list[str]]:
    """Return the settings of the search, and the other arguments."""
    known, values = [field.name for field in fields(SearchSettings)], dict[str, Any]()
    own = [override for override in overrides if override.partition("=")[0].partition(".")[0] == "search"]
    for override in own:
        key = override.partition("=")[0]
        name = key.removeprefix(PREFIX)
        if name not in known:
            listed = ", ".join(PREFIX + one for one in known)
            meant = suggestion(key, map(PREFIX.__add__, known)) if name != key else ""
            raise ConfigError(f"Unknown setting {key!r}. {meant}Available: {listed}")
        values[name] = value_of(override)
    if "prune" in values and values["prune"] is None:
        values["prune"] = NONE
    typed = check("search", SearchSettings, values)
    return SearchSettings(**typed), [override for override in overrides if override not in own]
