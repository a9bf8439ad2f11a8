"""A file of somebody's own whose MODELS, NETWORKS or SOURCES join ours."""

import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from genlab.config.trust import Trust
from genlab.registry import ConfigError

Tables = Mapping[str, dict[str, Callable[..., Any]]]


def load(files: Sequence[str | Path], tables: Tables) -> dict[Path, bytes]:
    """Run the user's own files and add what their tables hold; return the source of each."""
    paths = [Path(file).expanduser().resolve() for file in files]
    names = [path.name for path in paths]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise ConfigError(f"Two plugins are called {twice}; a run keeps its plugins by their names, so rename one.")
    sources = {path: _source(path, str(file)) for path, file in zip(paths, files, strict=True)}
    for (path, source), file in zip(sources.items(), files, strict=True):
        _run(path, source, str(file), tables)
    return sources


def load_from_run(folder: Path, files: Sequence[str], tables: Tables, trust: Trust) -> None:
    """Run the plugins that a run keeps, if the user trusts them; `files` are their names in its config."""
    for path, source in trusted(folder, files, trust).items():
        _run(path, source, str(path), tables)


def trusted(folder: Path, files: Sequence[str], trust: Trust) -> dict[Path, bytes]:
    """Return the source of each plugin that a run keeps; raise if the user does not trust one of them."""
    sources = {path: _source(path, str(path)) for path in (copy_of(folder, file) for file in files)}
    trust.require(folder, sources)
    return sources


def copy_of(folder: Path, file: str) -> Path:
    """Return the place of a plugin in a run's folder."""
    return folder / "plugins" / Path(file).name


def _source(path: Path, file: str) -> bytes:
    if not path.is_file():
        raise ConfigError(f"The plugin {file!r} is not a file.")
    if path.suffix != ".py":
        raise ConfigError(f"The plugin {file!r} is not a Python file.")
    return path.read_bytes()


def _run(path: Path, source: bytes, file: str, tables: Tables) -> None:
    """Run a plugin and add what its own tables hold; a name that is taken is refused."""
    name = f"genlab_plugin_{path.stem}"
    module = ModuleType(name)
    module.__file__ = str(path)
    sys.modules[name] = module
    try:
        # Not imported: Python would take the bytecode beside it in __pycache__, which nobody has trusted.
        exec(compile(source, str(path), "exec", dont_inherit=True), module.__dict__)
    except (Exception, SystemExit) as error:  # whatever somebody's own file raises, the file is what is wrong
        raise ConfigError(f"The plugin {file!r} does not load: {type(error).__name__}: {error}") from error
    offered = {table: getattr(module, table) for table in tables if hasattr(module, table)}
    if not offered:
        raise ConfigError(f"The plugin {file!r} defines none of {', '.join(tables)}.")
    for table, entries in offered.items():
        if not isinstance(entries, dict):
            raise ConfigError(f"The plugin {file!r}: {table} must be a dict of names and classes.")
        _join(file, table, tables[table], entries)


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
