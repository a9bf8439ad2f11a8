"""A file of somebody's own whose MODELS, NETWORKS or SOURCES join ours."""

import importlib.util
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from genlab.registry import ConfigError

Tables = Mapping[str, dict[str, Callable[..., Any]]]


def load(file: str | Path, tables: Tables) -> None:
    """Run the file and add what its own tables hold; a name that is taken is refused."""
    path = Path(file).expanduser().resolve()
    if not path.is_file():
        raise ConfigError(f"The plugin {str(file)!r} is not a file.")
    name = f"genlab_plugin_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ConfigError(f"The plugin {str(file)!r} is not a Python file.")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:  # whatever somebody's own file raises, the file is what is wrong
        raise ConfigError(f"The plugin {str(file)!r} does not load: {type(error).__name__}: {error}") from error
    offered = {table: getattr(module, table) for table in tables if hasattr(module, table)}
    if not offered:
        raise ConfigError(f"The plugin {str(file)!r} defines none of {', '.join(tables)}.")
    for table, entries in offered.items():
        if not isinstance(entries, dict):
            raise ConfigError(f"The plugin {str(file)!r}: {table} must be a dict of names and classes.")
        _join(str(file), table, tables[table], entries)


def _join(file: str, table: str, ours: dict[str, Callable[..., Any]], theirs: Mapping[str, Callable[..., Any]]) -> None:
    for key, value in theirs.items():
        if not isinstance(key, str) or not callable(value):
            raise ConfigError(f"The plugin {file!r}: {table}[{key!r}] must be a class or a function.")
        known = ours.get(key)
        if known and not known.__module__.startswith("genlab_plugin_"):
            raise ConfigError(f"The plugin {file!r} defines {table}[{key!r}], a name that genlab has already.")
        ours[key] = value


def config_folder(file: str | Path) -> list[Path]:
    """The configs/ beside a plugin, where there is one."""
    folder = Path(file).expanduser().resolve().parent / "configs"
    return [folder] if folder.is_dir() else []
