"""Load plugins: Python files of the user whose tables, such as MODELS, extend those of genlab."""

import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from genlab.config.trust import Trust
from genlab.registry import ConfigError

Tables = Mapping[str, dict[str, Callable[..., Any]]]


def load(files: Sequence[str | Path], tables: Tables) -> dict[Path, bytes]:
    """Run the user's own files and add the entries of their tables; return the source of each."""
    paths = [Path(file).expanduser().resolve() for file in files]
    names = [path.name for path in paths]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise ConfigError(f"Two plugins are called {twice}. A run stores its plugins by name, so rename one of them.")
    sources = {path: _source(path, str(file)) for path, file in zip(paths, files, strict=True)}
    for (path, source), file in zip(sources.items(), files, strict=True):
        _run(path, source, str(file), tables)
    return sources


def load_from_run(folder: Path, files: Sequence[str], tables: Tables, trust: Trust) -> None:
    """Run the plugins stored in a run, if the user trusts them; `files` are their names in its config."""
    for path, source in trusted(folder, files, trust).items():
        _run(path, source, str(path), tables)


def trusted(folder: Path, files: Sequence[str], trust: Trust) -> dict[Path, bytes]:
    """Return the source of each plugin stored in a run; raise a ConfigError if the user does not trust one of them."""
    sources = {path: _source(path, str(path)) for path in (copy_of(folder, file) for file in files)}
    trust.require(folder, sources)
    return sources


def copy_of(folder: Path, file: str) -> Path:
    """Return the path of a plugin's copy in the folder of a run."""
    return folder / "plugins" / Path(file).name


def _source(path: Path, file: str) -> bytes:
    if not path.is_file():
        raise ConfigError(f"There is no plugin file {file!r}.")
    if path.suffix != ".py":
        raise ConfigError(f"The plugin {file!r} must be a Python file (.py).")
    return path.read_bytes()


def _run(path: Path, source: bytes, file: str, tables: Tables) -> None:
    """Run a plugin and add the entries of its tables; raise a ConfigError for a name that genlab uses already."""
    name = f"genlab_plugin_{path.stem}"
    module = ModuleType(name)
    module.__file__ = str(path)
    sys.modules[name] = module
    try:
        # Not imported: Python would run the bytecode in __pycache__, which the user has not trusted.
        exec(compile(source, str(path), "exec", dont_inherit=True), module.__dict__)
    except (Exception, SystemExit) as error:  # a plugin can raise anything
        raise ConfigError(f"Cannot load the plugin {file!r}: {type(error).__name__}: {error}") from error
    found = {table: getattr(module, table) for table in tables if hasattr(module, table)}
    if not found:
        raise ConfigError(f"The plugin {file!r} defines none of {', '.join(tables)}.")
    for table, entries in found.items():
        if not isinstance(entries, dict):
            raise ConfigError(f"The plugin {file!r}: {table} must be a dict of names and classes, got {entries!r}.")
        _join(file, table, tables[table], entries)


def _join(file: str, table: str, ours: dict[str, Callable[..., Any]], theirs: Mapping[str, Callable[..., Any]]) -> None:
    for key, value in theirs.items():
        if not isinstance(key, str) or not callable(value):
            raise ConfigError(f"The plugin {file!r}: {table}[{key!r}] must be a class or a function.")
        known = ours.get(key)
        # The same class again is no conflict: a session may load a plugin, and later a run that stores it.
        if known and known is not value and not known.__module__.startswith("genlab_plugin_"):
            raise ConfigError(f"The plugin {file!r} defines {table}[{key!r}], but genlab has this name already.")
        ours[key] = value


def config_folder(file: str | Path) -> list[Path]:
    """Return the folder configs/ beside a plugin, or nothing if there is none."""
    folder = Path(file).expanduser().resolve().parent / "configs"
    return [folder] if folder.is_dir() else []
