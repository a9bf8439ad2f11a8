"""Composes plain YAML with Hydra, reads it into typed dataclasses once, and says what is wrong."""

import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from genlab.registry import ConfigError, check, suggestion, unknown
from genlab.training.settings import LoadingSettings, PlayerSettings, TrainerSettings

Plain = dict[str, Any]
GROUPS = {"model": "model", "model/network": "network", "model/features": "features", "data": "data set"}
GROUPS |= {"trainer": "trainer recipe", "experiment": "experiment"}
PARTS = tuple(group.rpartition("/")[2] for group in GROUPS if group.startswith("model/"))
"""What a model's settings hold besides its own: each a recipe of its own, too."""
BATCH_SIZE = 128
LOADING = tuple(field.name for field in fields(LoadingSettings))
"""The settings of `data` that every set has."""


@dataclass(frozen=True, kw_only=True)
class Config:
    """A run as it was asked for."""

    model: Plain
    data: Plain
    loading: LoadingSettings
    trainer: TrainerSettings
    players: dict[str, PlayerSettings]
    best: str | None
    seed: int
    device: str
    run: str | None
    start: str | None
    plugins: list[str] = field(default_factory=list)
    plain: Plain = field(repr=False)
    """The same as it was composed, which a run keeps."""

    @property
    def name(self) -> str:
        """The model's name and the data's."""
        return f"{self.model['name']}-{self.data['name']}"


def directory() -> Path:
    """Where the YAML files are: beside the package in a checkout, within it in an installed wheel."""
    package = Path(__file__).parents[1]
    checkout = package.parent
    if (checkout / "pyproject.toml").is_file() and (checkout / "configs" / "train.yaml").is_file():
        return checkout / "configs"
    return package / "configs"


def choices(group: str, folders: Sequence[Path] = ()) -> dict[str, Path]:
    """The recipes of a group, in our own folder and in others, by name."""
    files = [path for folder in [directory(), *folders] for path in (folder / group).glob("*.yaml")]
    return {path.stem: path for path in sorted(files, key=lambda path: path.stem)}


def compose(overrides: Sequence[str], folders: Sequence[Path] = (), plugins: Sequence[str] = ()) -> Config:
    """The config that the YAML files and the overrides of the command line give together."""
    from hydra import compose as hydra_compose
    from hydra import initialize_config_dir
    from omegaconf import OmegaConf

    try:
        with _translated(), initialize_config_dir(str(directory()), version_base="1.3"):
            composed = hydra_compose("train", [*_prepared(overrides), _search(folders)], return_hydra_config=True)
            chosen = composed.hydra.runtime.choices
            settings = OmegaConf.masked_copy(composed, [str(key) for key in composed if key != "hydra"])
    except (ValueError, TypeError, AttributeError, KeyError) as error:  # Hydra's ways to say that it is lost
        raise ConfigError(f"These settings cannot be composed: {error}") from None
    return read(_plain(settings, chosen), plugins)


def _plain(composed: Any, chosen: Mapping[str, str]) -> Plain:
    """The composed config as plain values, with the names that were chosen."""
    from omegaconf import OmegaConf

    with _translated():
        plain: Any = OmegaConf.to_container(composed, resolve=True)
    for part in ("model", "data"):
        if not isinstance(plain.get(part), dict):
            raise ConfigError(f"{part} must be the name of a recipe. Known: {', '.join(choices(part))}")
        if "name" in plain[part]:
            raise ConfigError(f"{part}.name is the name of the recipe, and cannot be set; say {part}=NAME.")
        plain[part] = {"name": chosen[part], **plain[part]}
    for part in PARTS:
        if f"model/{part}" in chosen and isinstance(plain["model"].get(part), dict):
            plain["model"][part] = {"name": chosen[f"model/{part}"], **plain["model"][part]}
    batch_size = plain["model"].pop("batch_size", BATCH_SIZE)
    if isinstance(plain.get("trainer"), dict) and plain["trainer"].get("batch_size") is None:
        plain["trainer"]["batch_size"] = batch_size
    return dict(plain)


def read(plain: Plain, plugins: Sequence[str] = ()) -> Config:
    """Typed settings from plain ones, every key accounted for."""
    known = ("model", "data", "trainer", "seed", "device", "run", "start", "plugins")
    for key in plain:
        if key not in known:
            raise ConfigError(
                f"genlab has no setting {key!r}. {suggestion(key, known)}It takes: {', '.join(known[:-1])}"
            )
    for key in ("model", "data", "trainer"):
        _settings(key, plain.get(key))
    model = dict(plain["model"])
    players = _settings("model.players", model.pop("players", {}))
    best, average = model.pop("best", None), model.pop("average", 0.0)
    data = dict(plain["data"])
    loading = {name: data.pop(name) for name in LOADING if name in data}
    files = plain.get("plugins", list(plugins))
    free = {key: plain[key] for key in plain if key in ("seed", "device", "run", "start")}
    typed = check("genlab", _top, {"start": None, **free, "best": best, "plugins": files})
    trainer = _typed("trainer", TrainerSettings, plain["trainer"])
    if trainer.average is None:
        trainer = _typed("model", TrainerSettings, {**plain["trainer"], "average": average})
    return Config(
        model=model,
        data=data,
        loading=_typed("data", LoadingSettings, loading),
        trainer=trainer,
        players={name: _typed(f"player {name!r}", PlayerSettings, settings) for name, settings in players.items()},
        plain={**plain, "plugins": files},
        **typed,
    )


def _top(*, seed: int, device: str, run: str | None, start: str | None, best: str | None, plugins: list[str]) -> None:
    """The schema of the settings that belong to no part."""


def _settings(label: str, value: Any) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise ConfigError(f"{label} must be settings, and {value!r} is not.")
    return value


def _typed(label: str, kind: Callable[..., Any], settings: Any) -> Any:
    typed = check(label, kind, _settings(label, settings))
    try:
        return kind(**typed)
    except ConfigError as error:
        raise ConfigError(f"{label}: {error}") from None


def changed(config: Config, overrides: Sequence[str]) -> Config:
    """The config of a run, with another budget or on another device."""
    from omegaconf import OmegaConf

    allowed = ("trainer.epochs", "trainer.steps", "device")
    for override in overrides:
        key = override.partition("=")[0]
        if key not in allowed or "=" not in override:
            raise ConfigError(f"A run goes on as it was begun; only {', '.join(allowed)} may change, not {override!r}.")
    with _translated():
        merged = OmegaConf.merge(config.plain, OmegaConf.from_dotlist(_one_budget(overrides)))
    return replace(read(dict(OmegaConf.to_container(merged))), run=config.run)  # type: ignore[arg-type]


def differences(ours: Plain, theirs: Plain) -> list[str]:
    """The dotted keys whose values differ."""
    mine, other = flatten(ours), flatten(theirs)
    return [key for key in sorted(set(mine) | set(other)) if mine.get(key) != other.get(key)]


def flatten(plain: Mapping[str, Any], prefix: str = "") -> Plain:
    """`{"a": {"b": 1}}` as `{"a.b": 1}`."""
    flat: Plain = {}
    for key, value in plain.items():
        flat |= flatten(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {f"{prefix}{key}": value}
    return flat


def as_yaml(plain: Plain) -> str:
    """Plain settings as YAML."""
    from omegaconf import OmegaConf

    return OmegaConf.to_yaml(OmegaConf.create(plain))


def load(path: Path) -> Config:
    """The config that a run keeps."""
    from omegaconf import OmegaConf

    try:
        with _translated():
            plain: Any = OmegaConf.to_container(OmegaConf.load(path))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be read: {error}") from None
    return read(dict(_settings(str(path), plain)))


def sweep(
    overrides: Sequence[str],
    folder: Path,
    task: Callable[[Config, Path], float | None],
    folders: Sequence[Path] = (),
    plugins: Sequence[str] = (),
) -> None:
    """Run the task for every combination that the overrides name, each in a folder of its own, through Hydra."""
    import hydra
    from hydra.core.hydra_config import HydraConfig
    from hydra.core.override_parser.overrides_parser import OverridesParser

    prepared = _prepared(overrides)
    with _translated():
        parsed = OverridesParser.create().parse_overrides(prepared)
    fixed = {override.input_line for override in parsed if not override.is_sweep_override()}

    def job(composed: Any) -> float | None:
        settings = HydraConfig.get()
        swept = [override.lstrip("+") for override in settings.overrides.task if override not in fixed]
        return task(read(_plain(composed, settings.runtime.choices), plugins), folder / _folder_name(swept))

    quiet = ["hydra/hydra_logging=disabled", "hydra/job_logging=disabled", "hydra.output_subdir=null"]
    place = [_readable(f"hydra.sweep.dir={folder}"), "hydra.sweep.subdir=."]
    arguments, os.environ["HYDRA_FULL_ERROR"] = sys.argv, "1"
    sys.argv = ["genlab", "--multirun", *quiet, *place, _search(folders), *prepared]
    try:
        with _translated():
            hydra.main(version_base="1.3", config_path=str(directory()), config_name="train")(job)()
    finally:
        sys.argv = arguments


def _folder_name(swept: Sequence[str]) -> str:
    """The swept settings as the name of one folder."""
    return re.sub(r"[^\w.=,+-]", "-", ",".join(swept)) or "job"


def _prepared(overrides: Sequence[str]) -> list[str]:
    """Overrides of settings are forced, so that a wrong name reaches our own check and its suggestion."""
    forced = []
    for override in _one_budget(overrides):
        key, equals, value = override.partition("=")
        if key.replace(".", "/") in GROUPS:
            # model.network=conv means what model/network=conv does.
            key = key.replace(".", "/")
            override = f"{key}={value}"
        if not equals and not key.startswith("~"):
            raise ConfigError(f"{override!r} is neither GROUP=NAME nor SETTING=VALUE.")
        setting = equals and re.fullmatch(r"[\w.-]+", key) and key not in GROUPS and key.split(".")[0] != "hydra"
        forced.append(_readable(f"++{override}") if setting else override)
    return forced


def _readable(override: str) -> str:
    """What Hydra's grammar cannot read, such as ~/photos, #ff8000 or it's, is a text as it stands."""
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    try:
        OverridesParser.create().parse_override(override)
    except HydraException:
        key, _, value = override.partition("=")
        # In quotes a backslash is one, unless a quote follows.
        escaped = re.sub(r"(\\*)'", r"\1\1\\'", value)
        escaped = re.sub(r"(\\+)$", r"\1\1", escaped)
        return f"{key}='{escaped}'"
    return override


def _one_budget(overrides: Sequence[str]) -> list[str]:
    """Whoever asks for steps alone does not also want the epochs of the recipe, and the other way round."""
    keys = {override.lstrip("+").partition("=")[0] for override in overrides}
    other = {"trainer.steps": "trainer.epochs", "trainer.epochs": "trainer.steps"}
    return [*overrides, *(f"{other[key]}=null" for key in sorted(keys & set(other)) if other[key] not in keys)]


def _search(folders: Sequence[Path]) -> str:
    return "hydra.searchpath=[" + ",".join(f"'file://{folder.resolve()}'" for folder in folders) + "]"


@contextmanager
def _translated() -> Iterator[None]:
    """Hydra's and OmegaConf's complaints as ours."""
    import yaml
    from hydra.errors import HydraException, MissingConfigException
    from omegaconf.errors import OmegaConfBaseException

    try:
        yield
    except MissingConfigException as error:
        group, _, name = str(error.missing_cfg_file).rpartition("/")
        if group in GROUPS:
            raise unknown(GROUPS[group], name, error.options or ()) from None
        raise ConfigError(str(error).strip()) from None
    except (HydraException, OmegaConfBaseException, yaml.YAMLError) as error:
        if missing := re.match(r"Could not override 'model/(\w+)'", str(error)):
            raise ConfigError(
                f"This model takes no {missing[1]}; `genlab train --help model=NAME` shows what it takes."
            ) from None
        raise ConfigError(" ".join(str(error).split())) from None
