"""Sweeps: jobs that Hydra runs with different settings, in this process or by an engine in others."""

import contextlib
import io
import os
import re
import traceback
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from genlab.config import engines, stop
from genlab.config.compose import (
    composer,
    directory,
    is_hydras,
    parsed_overrides,
    plain_of,
    quoted,
    refuse_range,
    search_path,
    translated,
)
from genlab.config.engines import Engine
from genlab.config.schema import Config, read
from genlab.registry import ConfigError, RunError

Task = Callable[[Config, Path], Any]
"""A job: it takes a config and its folder. For an engine it must be a function of a module, or a `partial` of one."""

ONLY = "job"
"""Folder of the job of a sweep in which no setting has several values."""


@dataclass(frozen=True)
class Ended:
    """The end of a job; it is what Hydra's JobReturn has as `return_value`, also from another process."""

    place: Path
    """Folder of the job."""
    value: Any = None
    """The result of the task; None if the task raised an error."""
    error: str | None = None
    """The error of the task as a sentence."""
    trace: str | None = None
    """Traceback of an error that is a bug."""
    mistake: bool = False
    """True if the error is a mistake of the user."""
    stopped: bool = False
    """True if the sweep was stopped before the task could end."""


def combinations(
    overrides: Sequence[str], folder: Path, folders: Sequence[Path] = (), plugins: Sequence[str] = ()
) -> dict[Path, Config]:
    """Return the config of every job of a sweep by its folder; none if the sweeper chooses the values as it goes."""
    from hydra._internal.core_plugins.basic_sweeper import BasicSweeper

    prepared, parsed = parsed_overrides(overrides, folders)
    if any(override.startswith("hydra/sweeper=") for override in prepared):
        return {}
    for override in parsed:
        if override.is_sweep_override() and not override.is_discrete_sweep():
            raise refuse_range(override.input_line.lstrip("+"))
    fixed = _fixed(parsed)
    (jobs,) = BasicSweeper.split_arguments(parsed, None)
    with composer(folders) as composed:
        return {
            _place(folder, job, fixed): read(
                plain_of(*composed([text for text in job if not is_hydras(text)])), plugins
            )
            for job in jobs
        }


def engine_of(overrides: Sequence[str], folders: Sequence[Path] = (), jobs: int | None = None) -> Engine:
    """Return the engine that the arguments choose; `jobs` is the number of jobs, None if it is not known."""
    chosen = [text for text in overrides if text.startswith("hydra/launcher=")]
    settings = [text for text in overrides if text.lstrip("+").startswith("hydra.launcher.")]
    if not chosen and not settings:
        return Engine()
    with composer(folders, whole=True) as composed:
        name, listed = _launcher(*composed(chosen))
        for text in settings:
            engines.check_setting(name, text, listed)
        _, launcher = _launcher(*composed([*chosen, *(f"++{text.lstrip('+')}" for text in settings)]))
    return engines.choose(name, launcher, overrides, jobs)


def _launcher(found: Any, chosen: Mapping[str, str]) -> tuple[str, Mapping[str, Any]]:
    """Return the name and the settings of the launcher of a whole config, without following what they refer to."""
    from omegaconf import OmegaConf

    settings: Any = OmegaConf.to_container(found.hydra.launcher, resolve=False)
    return chosen["hydra/launcher"], settings


def sweep(
    overrides: Sequence[str],
    folder: Path,
    task: Task,
    folders: Sequence[Path] = (),
    plugins: Sequence[str] = (),
    *,
    jobs: int | None = None,
    announce: Callable[[int], None] = lambda number: None,
) -> list[Ended]:
    """Run a task for every combination of the overrides, each in its own folder, through Hydra.

    A job that fails does not stop the others. A signal stops the jobs at a checkpoint, and no other job starts;
    `announce` is called with its number if it arrives while the jobs run in other processes. `jobs` is the number of
    jobs.
    """
    prepared, parsed = parsed_overrides(overrides, folders)
    engine = engine_of(overrides, folders, jobs)
    file = stop.new_file(folder)
    fixed, cwd = frozenset(_fixed(parsed)), os.getcwd()
    job = _Job(task, folder, fixed, tuple(folders), tuple(plugins), engine, file.resolve(), cwd)
    quiet = ["hydra/hydra_logging=disabled", "hydra/job_logging=disabled", "hydra.output_subdir=null"]
    place = [f"hydra.sweep.dir={quoted(str(folder))}", "hydra.sweep.subdir=."]
    arguments = [*quiet, *place, *engine.settings, search_path(folders), *prepared]
    listening = stop.Stop(file, announce).listening() if engine.apart else nullcontext()
    with translated(folders), _engine_errors(engine, folder), engine.environment(), listening:
        return list(_flat(_multirun(job, arguments)))


def _multirun(job: "_Job", arguments: list[str]) -> Any:
    """Return what the sweeper returns."""
    from hydra import initialize_config_dir
    from hydra.core.global_hydra import GlobalHydra

    with initialize_config_dir(str(directory()), version_base="1.3", job_name="genlab"):
        hydra = GlobalHydra.instance().hydra
        assert hydra
        return hydra.multirun("train", job, arguments, with_log_configuration=False)


@contextmanager
def _engine_errors(engine: Engine, folder: Path) -> Iterator[None]:
    """Turn the error of an engine into a sentence; errors of jobs are in their results."""
    try:
        yield
    except (ConfigError, RunError):
        raise
    except Exception as error:
        if not engine.apart or _is_ours(error):
            raise
        reason = next(iter(str(error).strip().splitlines()), "")
        raise RunError(
            f"The engine {engine.name} has ended before its jobs: {type(error).__name__}: {reason} Perhaps a job was "
            f"killed, for example because the memory was full. To continue, repeat the command with run={folder}"
        ) from error


def _is_ours(error: Exception) -> bool:
    """Return True for errors that `translated` turns into sentences."""
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException

    return isinstance(error, HydraException | OmegaConfBaseException)


def _flat(returned: Any) -> Iterable[Ended]:
    from hydra.core.utils import JobReturn

    if isinstance(returned, JobReturn):
        yield returned.return_value
    elif isinstance(returned, list | tuple):
        for each in returned:
            yield from _flat(each)


@dataclass(frozen=True)
class _Job:
    """The function that Hydra calls for each job; a launcher sends it to other processes."""

    task: Task
    folder: Path
    fixed: frozenset[str]
    folders: tuple[Path, ...]
    plugins: tuple[str, ...]
    engine: Engine
    stop: Path
    cwd: str

    def __call__(self, found: Any) -> Ended:
        """Run the task and return how it ended; it raises no Exception."""
        from hydra.core.hydra_config import HydraConfig

        settings = HydraConfig.get()
        place = _place(self.folder, settings.overrides.task, self.fixed)
        if self.stop.exists():
            return Ended(place, stopped=True)
        if not self.engine.apart:
            return self._ended(found, settings.runtime.choices, place)
        with contextlib.chdir(self.cwd), _apart(place, self.stop):
            return self._ended(found, settings.runtime.choices, place)

    def _ended(self, found: Any, chosen: Mapping[str, str], place: Path) -> Ended:
        try:
            self.engine.prepare(self.folder)
            with translated(self.folders):
                plain = plain_of(found, chosen)
            return Ended(place, self.task(read(plain, self.plugins), place))
        except (ConfigError, RunError) as error:
            return Ended(place, error=str(error), mistake=isinstance(error, ConfigError))
        except OSError as error:
            named = f": {error.filename}" if error.filename else ""
            return Ended(place, error=f"I/O error: {error.strerror or error}{named}", mistake=True)
        except Exception as error:
            return Ended(place, error=f"{type(error).__name__}: {error}", trace=traceback.format_exc())
        except KeyboardInterrupt:
            if not self.engine.apart:
                raise
            return Ended(place, stopped=True)


@contextmanager
def _apart(place: Path, file: Path) -> Iterator[None]:
    """Run a job in the process of an engine: what it prints goes to its log.txt, and the file stops it."""
    written = io.StringIO()
    warnings.formatwarning = lambda message, *_, **__: f"Warning: {message}\n"
    try:
        with stop.obeying(file), contextlib.redirect_stdout(written), contextlib.redirect_stderr(written):
            yield
    finally:
        if written.getvalue() and place.is_dir():
            with open(place / "log.txt", "a", encoding="utf-8") as log:
                log.write(written.getvalue())


def _fixed(parsed: Sequence[Any]) -> set[str]:
    """Return the overrides that are the same for all jobs of a sweep."""
    return {override.input_line for override in parsed if not override.is_sweep_override()}


def _place(folder: Path, job: Sequence[str], fixed: Iterable[str]) -> Path:
    """Return the folder of a job, which is named after the swept settings."""
    known = set(fixed)
    swept = [override.lstrip("+") for override in job if override not in known]
    return folder / (re.sub(r"[^\w.=,+-]", "-", ",".join(swept)) or ONLY)
