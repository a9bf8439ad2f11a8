"""Compose a config from YAML files and arguments; the only file that knows Hydra and OmegaConf."""

import re
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from genlab.config.engines import missing
from genlab.config.hints import refuse_recipe, refuse_setting, refuse_word
from genlab.config.schema import PARTS, Config, Plain, flatten, one_budget, read, settings_of
from genlab.registry import ConfigError

GROUPS = {"model": "model", "model/network": "network", "model/features": "features", "data": "data set"}
GROUPS |= {"trainer": "trainer recipe", "experiment": "experiment"}
"""The folders of configs/, and the noun for one of their files."""
BATCH_SIZE = 128
"""Items per batch if neither the trainer's recipe nor the model's recipe says it."""
HIDDEN = ("name", "class", "plugins")
"""Keys of a composed config that are not typed as settings."""

Composed = tuple[Any, Mapping[str, str]]
"""Composed settings, and the name of the chosen recipe of each group."""


def directory() -> Path:
    """Return the folder of the YAML files: beside the package in a checkout, inside it in an installed wheel."""
    package = Path(__file__).parents[1]
    checkout = package.parent
    if (checkout / "pyproject.toml").is_file() and (checkout / "configs" / "train.yaml").is_file():
        return checkout / "configs"
    return package / "configs"


def choices(group: str, folders: Sequence[Path] = ()) -> dict[str, Path]:
    """Return the recipes of a group by name: genlab's and those of further folders."""
    files = [path for folder in [directory(), *folders] for path in (folder / group).glob("*.yaml")]
    return {path.stem: path for path in sorted(files, key=lambda path: path.stem)}


def compose(overrides: Sequence[str], folders: Sequence[Path] = (), plugins: Sequence[str] = ()) -> Config:
    """Compose the YAML files and the arguments of the command line to a config."""
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException

    if own := next((text for text in overrides if is_hydras(text)), None):
        key = own.lstrip("+~").partition("=")[0]
        raise ConfigError(f"{key} is for commands that train several models. Add -m for a sweep, or leave it out.")
    prepared = _prepared(overrides, folders)
    with composer(folders) as composed:
        try:
            found = composed(prepared)
        except (HydraException, OmegaConfBaseException):
            # Hydra refuses a setting that no recipe lists. We suggest a listed one, or let the class accept it.
            _refuse(prepared, composed)
            found = composed([_forced(override) for override in prepared])
        plain = plain_of(*found)
    return read(plain, plugins)


@contextmanager
def composer(folders: Sequence[Path], *, whole: bool = False) -> Iterator[Callable[[Sequence[str]], Composed]]:
    """Give a function that composes overrides to settings and to the names that were chosen.

    Hydra's own settings are left out, unless the whole config is wanted.
    """
    from hydra import compose as hydra_compose
    from hydra import initialize_config_dir
    from omegaconf import OmegaConf

    def composed(overrides: Sequence[str]) -> Composed:
        found = hydra_compose("train", [*overrides, search_path(folders)], return_hydra_config=True)
        settings = OmegaConf.masked_copy(found, [str(key) for key in found if whole or key != "hydra"])
        return settings, found.hydra.runtime.choices

    try:
        with translated(folders), initialize_config_dir(str(directory()), version_base="1.3"):
            yield composed
    except (ValueError, TypeError, AttributeError, KeyError) as error:  # Hydra raises these for values that it misreads
        raise ConfigError(f"Cannot compose these settings: {error}") from None


def plain_of(composed: Any, chosen: Mapping[str, str]) -> Plain:
    """Convert a composed config to plain values, with the names of the chosen recipes."""
    from omegaconf import OmegaConf

    plain: Any = OmegaConf.to_container(composed, resolve=True)
    for part in ("model", "data"):
        if not isinstance(plain.get(part), dict):
            raise ConfigError(f"{part} must be the name of a recipe. Available: {', '.join(choices(part))}")
        if "name" in plain[part]:
            raise ConfigError(f"{part}.name cannot be set; it is the name of the recipe. Write {part}=NAME.")
        plain[part] = {"name": chosen[part], **plain[part]}
    for part in PARTS:
        if f"model/{part}" in chosen and isinstance(plain["model"].get(part), dict):
            plain["model"][part] = {"name": chosen[f"model/{part}"], **plain["model"][part]}
    batch_size = plain["model"].pop("batch_size", BATCH_SIZE)
    if isinstance(plain.get("trainer"), dict) and plain["trainer"].get("batch_size") is None:
        plain["trainer"]["batch_size"] = batch_size
    return dict(plain)


def as_yaml(plain: Plain) -> str:
    """Convert plain settings to YAML."""
    from omegaconf import OmegaConf

    return OmegaConf.to_yaml(OmegaConf.create(plain))


def load(path: Path) -> Config:
    """Read the config.yaml of a run."""
    from omegaconf import OmegaConf

    try:
        with translated():
            plain: Any = OmegaConf.to_container(OmegaConf.load(path))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be read: {error}") from None
    return read(dict(settings_of(str(path), plain)))


def searched(overrides: Sequence[str], folders: Sequence[Path] = ()) -> tuple[list[str], list[Any]]:
    """Return the arguments that are the same for all trials of a search, and the parsed ones with several values."""
    _, parsed = parsed_overrides(overrides, folders)
    pairs = zip(overrides, parsed, strict=False)
    fixed = [text for text, override in pairs if not override.is_sweep_override()]
    # Arguments that follow from others, such as trainer.epochs=null, come last. Those that follow from a range do not
    # follow from the arguments of a trial alone.
    implied = one_budget(dict.fromkeys(text.partition("=")[0] for text in fixed))
    more = [override for override in parsed[len(overrides) :] if override.key_or_group not in implied]
    fixed += [override.input_line.lstrip("+") for override in more]
    return fixed, [override for override in parsed if override.is_sweep_override()]


def parsed_overrides(overrides: Sequence[str], folders: Sequence[Path]) -> tuple[list[str], list[Any]]:
    """Return the overrides of a sweep for Hydra, as texts and parsed; raise a ConfigError for a mistyped setting."""
    from hydra.core.global_hydra import GlobalHydra
    from hydra.core.override_parser.overrides_parser import OverridesParser

    prepared = _prepared(overrides, folders)
    with composer(folders) as composed:
        # The loader lists the recipes that model=glob(*) means.
        parser = OverridesParser.create(GlobalHydra.instance().config_loader())
        given = parser.parse_overrides(prepared)
        own = {text: override for text, override in zip(prepared, given, strict=True) if is_hydras(text)}
        _refuse_hydras(own)
        # Composed now, so that a mistake in it is reported before the sweep begins.
        if sweepers := [text for text in own if "sweeper" in text]:
            composed(sweepers)
        _refuse([first_value(override) for override in given], composed)
    forced = [_forced(override) for override in prepared]
    with translated(folders):
        return forced, parser.parse_overrides(forced)


def _prepared(overrides: Sequence[str], folders: Sequence[Path]) -> list[str]:
    """Rewrite arguments so that Hydra can read them; raise a ConfigError for one that cannot be valid."""
    prepared = []
    for override in overrides:
        key, equals, value = override.partition("=")
        if group := _group_of(override):
            # model.network=conv is accepted for model/network=conv.
            key, override = group, f"{group}={value}"
        if not equals and not key.startswith("~"):
            chosen = [other for other in overrides if _group_of(other)]
            raise refuse_word(override, _recipes(folders), _listed(compose(chosen, folders).plain))
        if not key:
            raise ConfigError(f"Cannot read the argument {override!r}. Arguments are GROUP=NAME or SETTING=VALUE.")
        if key in GROUPS and re.fullmatch(r"null|~|[\d.]+", value):
            raise refuse_recipe(key, GROUPS[key], value, _recipes(folders))
        prepared.append(readable(override) if _is_setting(override) else override)
    keys = [override.lstrip("+").partition("=")[0] for override in prepared]
    # With steps alone the recipe's epochs do not apply, and the other way round.
    return [*prepared, *(f"{key}=null" for key in one_budget(dict.fromkeys(keys)) if key not in keys)]


def _group_of(override: str) -> str | None:
    """Return the group whose recipe an override chooses, or None if it sets a setting."""
    key, equals, _ = override.partition("=")
    group = key.replace(".", "/")
    return group if equals and group in GROUPS else None


def _is_setting(override: str) -> bool:
    key, equals, _ = override.partition("=")
    return bool(equals and re.fullmatch(r"[\w.-]+", key)) and key not in GROUPS and key.split(".")[0] != "hydra"


def is_hydras(override: str) -> bool:
    """Return True if an override is for Hydra itself."""
    return bool(re.match(r"hydra[./=]", override.lstrip("+~")))


def _refuse_hydras(overrides: Mapping[str, Any]) -> None:
    """Raise a ConfigError for settings of Hydra that a sweep cannot take."""
    for text, override in overrides.items():
        key, _, value = text.lstrip("+~").partition("=")
        if not re.match(r"hydra[./](launcher|sweeper)\b", key):
            raise ConfigError(
                f"{key} cannot be set. run=FOLDER chooses the folder, and a sweep takes hydra/launcher, "
                "hydra.launcher.* and hydra.sweeper.*."
            )
        if override.is_sweep_override() or text.startswith("~") or (value in ("", "null") and "/" in key):
            raise ConfigError(f"{key} takes one value, got {text!r}.")
        if key == "hydra.sweeper.max_batch_size" and not re.fullmatch(r"[1-9]\d*|null", value):
            raise ConfigError(f"{key} must be an integer of at least 1 or null, got {value!r}.")


def refuse_range(override: str) -> ConfigError:
    """Return the error for a range of values in a command that does not search."""
    key, _, value = override.partition("=")
    return ConfigError(
        f"{key} takes one value, or with -m a list such as {key}=1,2,4, got {value!r}. A range is for a search: "
        f"genlab search {shlex.quote(override)}"
    )


def _forced(override: str) -> str:
    """Make Hydra accept a setting that no recipe lists; the class later refuses an unknown one with a suggestion.

    The settings of Ray are dictionaries, in which Hydra would ask for a plus.
    """
    return f"++{override}" if _is_setting(override) or override.startswith("hydra.launcher.ray.") else override


def first_value(override: Any) -> str:
    """Return an override with only the first of the swept values."""
    if not override.is_discrete_sweep():
        return str(override.input_line)
    for value in override.sweep_string_iterator():
        return f"{override.key_or_group}={value}"
    raise ConfigError(f"{override.input_line}: there is no such recipe. glob is for recipes, such as model=glob(*vae).")


def _refuse(overrides: Sequence[str], composed: Callable[[Sequence[str]], Composed]) -> None:
    """Raise a ConfigError with a suggestion for the first setting that is surely misplaced or mistyped."""
    chosen = [override for override in overrides if _group_of(override)]
    listed = _listed(plain_of(*composed(chosen)))
    for override in overrides:
        key, _, value = override.partition("=")
        if _is_setting(override) and (error := refuse_setting(key, value, listed, GROUPS)):
            raise error


def listed(overrides: Sequence[str], folders: Sequence[Path] = ()) -> list[str]:
    """Return the dotted keys of the settings that these recipes list."""
    return _listed(compose(overrides, folders).plain)


def _listed(plain: Plain) -> list[str]:
    return [key for key in flatten(plain) if key.rpartition(".")[2] not in HIDDEN]


def _recipes(folders: Sequence[Path]) -> dict[str, dict[str, Path]]:
    return {group: choices(group, folders) for group in GROUPS}


def readable(override: str) -> str:
    """Quote a value that Hydra's grammar cannot read, such as ~/photos, #ff8000 or it's."""
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    try:
        OverridesParser.create().parse_override(override)
    except HydraException:
        key, _, value = override.partition("=")
        return f"{key}={quoted(value)}"
    return override


def quoted(value: str) -> str:
    """Quote a text for an argument, so that Hydra reads no number, list or choice in it."""
    # Between quotes a backslash stands for itself, unless a quote follows.
    escaped = re.sub(r"(\\*)'", r"\1\1\\'", value)
    escaped = re.sub(r"(\\+)$", r"\1\1", escaped)
    return f"'{escaped}'"


def search_path(folders: Sequence[Path]) -> str:
    return "hydra.searchpath=[" + ",".join(f"'file://{folder.resolve()}'" for folder in folders) + "]"


_SENTENCES = {
    r"Could not override 'model/(\w+)'": (
        "This model takes no {0}. `genlab train --help model=NAME` lists the settings of a model."
    ),
    r"Could not override '(.+?)'": "Unknown setting {0!r}. `genlab train --help` lists all settings.",
    r"Could not append to config. An item is already at '(.+?)'": "{0} exists already; write it without +.",
    r"Could not delete from config. '(.+?)' does not exist": "Cannot remove {0!r}: there is no such setting.",
    r"Multiple values for (\S+)\. ": "{0} is chosen already; write {0}=NAME without +.",
    r"force-add of config groups is not supported: '\+\+(.+?)'": "Write {0} without +.",
    r"Ambiguous value for argument '\+*device=(.*?)' 1\.": (
        "device takes one value, got {0!r}. Add -m to train once on each of them, or write devices=2 to train one "
        "model on two GPUs."
    ),
    r"Ambiguous value for argument '\+*(.+?)=(.*?)' 1\.": (
        "{0} takes one value, got {1!r}. Add -m to train with each of them; a list needs brackets: [{1}]."
    ),
    r"Sweep parameters '\+*(.+?)=(.*)' requires --multirun": (
        "{0} takes one value, got {1!r}. Add -m to train with several values; a range is for `genlab search`."
    ),
    r"Value '(.*?)' .*could not be converted to Integer full_key: (\S+)": "{1} must be an integer, got {0!r}.",
    r"Value '(.*?)' .*could not be converted to (\w+) full_key: (\S+)": "{2} must be of type {1}, got {0!r}.",
    r"Interpolation key '(.+?)' not found full_key: (\S+)": "{1} refers to {0!r}, and there is no such setting.",
}
"""Messages of Hydra, and what they mean for a user of genlab."""


@contextmanager
def translated(folders: Sequence[Path] = ()) -> Iterator[None]:
    """Turn the errors of Hydra, OmegaConf and YAML into a ConfigError with a plain sentence."""
    import yaml
    from hydra.errors import HydraException, MissingConfigException, OverrideParseException
    from omegaconf.errors import OmegaConfBaseException

    try:
        yield
    except MissingConfigException as error:
        raise _missing(str(error.missing_cfg_file), str(error), folders) from None
    except OverrideParseException as error:
        raise ConfigError(f"Cannot read the argument {error.override!r}.") from None
    except yaml.YAMLError as error:
        raise ConfigError(f"A YAML file cannot be read: {' '.join(str(error).split())}") from None
    except (HydraException, OmegaConfBaseException) as error:
        reason = error.__cause__ if str(error).startswith("Error merging override") else None
        text = " ".join(str(reason or error).split())
        for pattern, sentence in _SENTENCES.items():
            if match := re.search(pattern, text):
                raise ConfigError(sentence.format(*match.groups())) from None
        raise ConfigError(text) from None


def _missing(file: str, text: str, folders: Sequence[Path]) -> ConfigError:
    """Return the error for a file of a group that does not exist."""
    group, _, name = file.rpartition("/")
    if group in GROUPS:
        return refuse_recipe(group, GROUPS[group], name, _recipes(folders))
    if group == "hydra/launcher":
        return missing(name)
    if group == "hydra/sweeper":
        return ConfigError(f"Unknown sweeper {name!r}. To search for good settings, use `genlab search`.")
    return ConfigError(text.strip())
