"""Begin a search, or continue one: the plan is checked and written, then Hydra's launcher runs the trials."""

import hashlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from genlab.charts import written
from genlab.config import compose, sweeps
from genlab.config.schema import WHERE, Config, flatten
from genlab.registry import ConfigError
from genlab.runs import run as folders
from genlab.runs.run import OUTPUTS, Run, find
from genlab.search import settings as search_settings
from genlab.search.charts import chart
from genlab.search.journal import need_optuna
from genlab.search.objective import better, checked
from genlab.search.result import Result, result
from genlab.search.study import Plan, Search, continued, open_search
from genlab.training.checkpoint import write_atomically
from genlab.training.console import Console

PICTURE = "search.png"
SWEEPER = "hydra/sweeper=genlab_search"
_RUN = "run"
_OF_RUNS = ("start", "data.run")
"""Settings that name a run."""

Job = Callable[[Config, Path], Any]


@dataclass(frozen=True)
class Asked:
    """The command of a user: its arguments, and the files that they need."""

    overrides: list[str]
    folders: list[Path]
    files: list[str]


def folder_of(asked: Asked) -> Path:
    """Return the folder of a search: that of run=FOLDER, or a new one named after the time."""
    named = [override for override in asked.overrides if override.startswith(f"{_RUN}=") and override != f"{_RUN}="]
    if named:
        return Path(named[-1].removeprefix(f"{_RUN}=")).expanduser()
    return OUTPUTS / "searches" / time.strftime("%Y-%m-%d_%H-%M-%S")


def prepared(asked: Asked, folder: Path, console: Console, load_plugins: Callable[[], None]) -> Search:
    """Return the search of a folder, with its plan checked and written; it has no new trial yet."""
    need_optuna()
    known = open_search(folder)
    if known is None and folders.exists(folder):
        raise ConfigError(f"{folder} is a run, and a search needs a folder of its own. Choose another with run=FOLDER.")
    plan = _plan(asked, known)
    if known:
        return continued(known, plan)
    load_plugins()
    checked_plan = checked(plan, lambda arguments: _composed(arguments, asked), console)
    folder.mkdir(parents=True, exist_ok=True)
    return Search(folder, checked_plan)


def trained(search: Search, asked: Asked, job: Job, announce: Callable[[int], None]) -> None:
    """Train all trials that are missing, through Hydra's launcher; `announce` gets the signal that stops them."""
    with Run(search.path).lock():
        search.keep()
        if len(search.finished) < search.plan.settings.trials:
            arguments = [*search.plan.arguments, SWEEPER]
            jobs = search.plan.settings.jobs
            sweeps.sweep(arguments, search.path, job, asked.folders, asked.files, jobs=jobs, announce=announce)


def kept(search: Search) -> Result:
    """Return the result of a search, after writing it to search.json and drawing it."""
    found = result(search)
    search.keep(result=found.as_json())
    if write := written(chart(search, found)):
        import io

        buffer = io.BytesIO()
        write(buffer)
        write_atomically(search.path / PICTURE, buffer.getvalue())
    return found


def _plan(asked: Asked, known: Search | None) -> Plan:
    """Return the plan that the command asks for."""
    from hydra_plugins.genlab_search import space_of

    settings, rest = search_settings.split(asked.overrides)
    rest = [_with_folder(override, known) for override in rest if not override.startswith(f"{_RUN}=")]
    arguments, ranges = compose.searched(rest, asked.folders)
    if not ranges:
        raise ConfigError(
            "There is nothing to search. Give a setting a range or choices, such as 'model.beta=interval(0.25,8)' or "
            "model.latent_dim=8,16,32."
        )
    _check_engine(settings, arguments)
    space = space_of(ranges)
    recipes = [
        f"{name}={one.choices[0]}" for name, one in space.items() if name in compose.GROUPS and hasattr(one, "choices")
    ]
    config = _composed([*arguments, *recipes], asked)
    if config.devices > 1:
        raise ConfigError("A search trains each trial on one device. Leave out devices, and use search.jobs instead.")
    metrics = settings.metrics or ([config.best] if config.best else [])
    base = {key: value for key, value in flatten(config.plain).items() if key not in (*WHERE, *space)}
    base |= {f"content of {file}": _digest(Path(file)) for file in asked.files}
    options = [word for file in asked.files for word in ("--plugin", file)]
    options += [word for folder in asked.folders for word in ("--config-dir", str(folder))]
    return Plan(settings, space, metrics, [better(name) for name in metrics], arguments, base, options)


def _check_engine(settings: search_settings.SearchSettings, arguments: Sequence[str]) -> None:
    """Raise a ConfigError for another sweeper than that of a search, or if no launcher runs several trials at once."""
    keys = [argument.lstrip("+").partition("=")[0] for argument in arguments]
    if sweeper := next((key for key in keys if key.startswith(("hydra/sweeper", "hydra.sweeper"))), None):
        raise ConfigError(
            f"{sweeper} is for `genlab train -m`. search.sampler and search.jobs decide how a search "
            "chooses its trials."
        )
    if settings.jobs > 1 and "hydra/launcher" not in keys:
        raise ConfigError(
            f"search.jobs={settings.jobs} needs a launcher that runs several trials at once, such as "
            "hydra/launcher=joblib (pip install 'genlab[launchers]')."
        )


def _composed(arguments: Sequence[str], asked: Asked) -> Config:
    own = [argument for argument in arguments if not compose.is_hydras(argument)]
    return compose.compose(own, asked.folders, asked.files)


def _with_folder(override: str, known: Search | None) -> str:
    """Replace the name of a run by its folder: while a search runs, `latest` is one of its trials."""
    key, _, name = override.partition("=")
    if key not in _OF_RUNS or name in ("", "null"):
        return override
    if known and name == "latest" and known.plan.base.get(key):
        return f"{key}={known.plan.base[key]}"
    return f"{key}={find(name).path.resolve()}"


def _digest(file: Path) -> str:
    return hashlib.sha256(file.expanduser().read_bytes()).hexdigest()[:12]
