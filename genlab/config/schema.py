"""The typed form of a config, and how two configs differ; plain values in, dataclasses out."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

from genlab.registry import ConfigError, check, unknown
from genlab.training.settings import LoadingSettings, PlayerSettings, TrainerSettings

Plain = dict[str, Any]
"""Settings as dictionaries, lists, texts, numbers, booleans and null."""
TOP = ("model", "data", "trainer", "seed", "device", "devices", "run", "start", "plugins")
"""The keys at the top of a config."""
LOADING = ("keep", *(field.name for field in fields(LoadingSettings)))
"""The settings of `data` that belong to no source but apply to all of them."""
PARTS = ("network", "features")
"""The parts of a model's settings that are recipes of their own."""
BESIDE_MODEL = ("optimizers", "best", "fitted_prior", "batch_size")
"""The settings of `model` that belong to training; no model class takes them."""
RESUMABLE = ("trainer.epochs", "trainer.steps", "trainer.patience", "trainer.rollback", "device", "devices")
"""The settings that can change when a run is resumed."""
WHERE = ("run", "devices")
"""The settings that say where a run is and how many processes train it; they change no result."""


@dataclass(frozen=True, kw_only=True)
class Config:
    """The settings of a run."""

    model: Plain
    data: Plain
    keep: tuple[int | str, ...]
    """The classes of which training and validation have items, by name or number; empty for all."""
    loading: LoadingSettings
    trainer: TrainerSettings
    optimizers: dict[str, PlayerSettings]
    """The optimizer settings of each player."""
    best: str | None
    fitted_prior: tuple[int, ...] = ()
    """The numbers of Gaussians to try for a prior of the codes when the training has finished; empty fits none."""
    seed: int
    device: str
    devices: int = 1
    """Number of processes that train the run together."""
    run: str | None
    start: str | None
    plugins: list[str] = field(default_factory=list)
    plain: Plain = field(repr=False)
    """All settings as they were composed; a run keeps them in config.yaml."""

    @property
    def name(self) -> str:
        """The names of the model and of the data, such as vae-fashion-mini."""
        return f"{self.model['name']}-{self.data['name']}"


def read(plain: Plain, plugins: Sequence[str] = ()) -> Config:
    """Convert plain settings to typed ones; raise a ConfigError for an unknown key or a wrong type."""
    for key in plain:
        if key not in TOP:
            raise unknown("setting", key, TOP[:-1])
    for key in ("model", "data", "trainer"):
        settings_of(key, plain.get(key))
    model = dict(plain["model"])
    optimizers = settings_of("model.optimizers", model.pop("optimizers", {}))
    best = model.pop("best", None)
    # Recipes of models without codes, and runs of earlier versions, have no such setting.
    fitted_prior = check("model", _model, {"fitted_prior": model.pop("fitted_prior", [])})["fitted_prior"]
    for number in fitted_prior:
        if number < 1:
            raise ConfigError(f"model: fitted_prior must be a list of integers of at least 1, got {number} in it.")
    # Runs of earlier versions have no such setting; a single class needs no brackets.
    keep = check("data", _data, {"keep": plain["data"].get("keep", [])})["keep"]
    keep = keep if isinstance(keep, tuple) else (keep,)
    plain = {**plain, "data": {**plain["data"], "keep": list(keep)}}
    data = {key: value for key, value in plain["data"].items() if key != "keep"}
    loading = {name: data.pop(name) for name in LOADING if name in data}
    files = plain.get("plugins", list(plugins))
    free = {key: plain[key] for key in plain if key in ("seed", "device", "devices", "run", "start")}
    # Runs of earlier versions lack some of them.
    typed = check("genlab", _top, {"start": None, "devices": 1, **free, "best": best, "plugins": files})
    if typed["devices"] < 1:
        raise ConfigError(f"devices must be at least 1, got {typed['devices']}.")
    return Config(
        model=model,
        data=data,
        keep=keep,
        loading=_typed("data", LoadingSettings, loading),
        trainer=_typed("trainer", TrainerSettings, plain["trainer"]),
        optimizers={
            name: _typed(f"model.optimizers.{name}", PlayerSettings, settings) for name, settings in optimizers.items()
        },
        fitted_prior=fitted_prior,
        plain={**plain, "plugins": files},
        **typed,
    )


def _top(
    *, seed: int, device: str, devices: int, run: str | None, start: str | None, best: str | None, plugins: list[str]
) -> None:
    """Declare the types of the settings that belong to no part."""


def _model(*, fitted_prior: tuple[int, ...]) -> None:
    """Declare the type of the setting that fits a prior after the training of any model."""


def _data(*, keep: tuple[int | str, ...] | int | str) -> None:
    """Declare the type of the setting that chooses among the items of any data set."""


def settings_of(label: str, value: Any) -> Mapping[str, Any]:
    """Return the value if it is a mapping; raise a ConfigError otherwise."""
    if not isinstance(value, Mapping):
        raise ConfigError(f"{label} must be settings, got {value!r}.")
    return value


def _typed(label: str, kind: Callable[..., Any], settings: Any) -> Any:
    typed = check(label, kind, settings_of(label, settings))
    try:
        return kind(**typed)
    except ConfigError as error:
        raise ConfigError(f"{label}: {error}") from None


def changed(config: Config, overrides: Sequence[str], anew: str = "") -> Config:
    """Return the config of a run with another length, or on other devices.

    `anew` is a sentence for a user who wants to change something else.
    """
    values = {}
    for override in overrides:
        key = override.partition("=")[0]
        if key not in RESUMABLE:
            can = f"{', '.join(RESUMABLE[:-1])} and {RESUMABLE[-1]}"
            meant = f" Did you mean trainer.{override}?" if f"trainer.{key}" in RESUMABLE else ""
            raise ConfigError(f"Cannot change {key} when resuming; only {can} can change.{meant or anew}")
        values[key] = value_of(override)
    values = one_budget(values)
    trainer = {key.removeprefix("trainer."): value for key, value in values.items() if key.startswith("trainer.")}
    plain = {**config.plain, "trainer": {**config.plain["trainer"], **trainer}}
    plain |= {key: values[key] for key in ("device", "devices") if key in values}
    return replace(read(plain), run=config.run)


def value_of(override: str) -> Any:
    """Return the value of an argument KEY=VALUE, read as YAML; a text that is no YAML stands for itself."""
    import yaml

    key, equals, value = override.partition("=")
    if not equals:
        raise ConfigError(f"Cannot read the argument {override!r}. Write {key}=VALUE.")
    try:
        return yaml.safe_load(value)
    except yaml.YAMLError:
        return value


def one_budget(values: Mapping[str, Any]) -> Plain:
    """Set trainer.epochs to null if only trainer.steps is given, and the other way round."""
    other = {"trainer.steps": "trainer.epochs", "trainer.epochs": "trainer.steps"}
    return {**{other[key]: None for key in values if key in other}, **values}


def differences(ours: Plain, theirs: Plain) -> list[str]:
    """Return the dotted keys whose values differ, sorted."""
    mine, other = flatten(ours), flatten(theirs)
    return [key for key in sorted(set(mine) | set(other)) if _differ(mine.get(key), other.get(key))]


def _differ(one: Any, other: Any) -> bool:
    """Return True if two values differ; to Python alone, true equals 1."""
    return bool(one != other) or isinstance(one, bool) != isinstance(other, bool)


def shown(value: Any) -> str:
    """Return a value for a message: as a user types it, or `not set` for null."""
    return "not set" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def flatten(plain: Mapping[str, Any], prefix: str = "") -> Plain:
    """Convert nested settings to dotted keys: `{"a": {"b": 1}}` becomes `{"a.b": 1}`."""
    flat: Plain = {}
    for key, value in plain.items():
        flat |= flatten(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {f"{prefix}{key}": value}
    return flat
