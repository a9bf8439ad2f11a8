"""A run on disk: make, lock, find and list run folders."""

import json
import os
import re
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from genlab import distributed
from genlab.kinds import Kind, from_facts
from genlab.registry import ConfigError, suggestion
from genlab.training.checkpoint import write_atomically

OUTPUTS = Path("outputs")
FORMAT = 2
"""The format of run.json and of everything beside it; a run of another format is refused."""

# The files of a run that has no checkpoint yet, in the order in which they are removed. A folder is a run as long as
# run.json is in it; after that it holds only the files of _FIRST.
_FIRST = ("config.yaml", "bad_files.txt", "plugins/*.py", ".lock")
_BEFORE_A_CHECKPOINT = (
    "images/*-*.png",
    "texts/*-*.txt",
    "sounds/*-*.wav",
    "tensorboard/events.out.tfevents.*",
    "metrics.jsonl",
    "log.txt",
    "run.json",
)
_FOLDERS = ("images", "texts", "sounds", "tensorboard", "checkpoints", "plugins")
_LOCKED_BY = re.compile(r"process \d+")
_RESTORE = "Restore run.json from a copy, or train again in another folder."


@dataclass(frozen=True)
class Run:
    """A folder that holds everything that later commands need."""

    path: Path

    @property
    def facts(self) -> dict[str, Any]:
        """The content of run.json: format, name, state, step, versions, command, columns and results."""
        try:
            facts: dict[str, Any] = json.loads((self.path / "run.json").read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise ConfigError(f"{self.path} is not a run: its run.json cannot be read ({error}). {_RESTORE}") from None
        if not isinstance(facts, dict) or not facts:
            raise ConfigError(f"{self.path} is not a run: its run.json must hold a JSON object with facts. {_RESTORE}")
        return facts

    @property
    def kinds(self) -> dict[str, Kind]:
        """The kind of each column that a model may use, as in the data at the start of the run."""
        try:
            return {name: from_facts(facts) for name, facts in self.facts["columns"].items()}
        except (ConfigError, KeyError, TypeError, ValueError, AttributeError) as error:
            raise ConfigError(f"{self.path}: the columns in its run.json cannot be read ({error}).") from None

    @property
    def format(self) -> Any:
        """The format in which the run was written; run.json has this field since format 2."""
        return self.facts.get("format", 1)

    @property
    def state(self) -> str:
        """One of `running`, `finished`, `stopped`, `pruned`, `failed`, `interrupted`, `old format` and `newer format`.

        A run is interrupted if its process has ended without recording a state.
        """
        if self.format != FORMAT:
            return "newer format" if isinstance(self.format, int) and self.format > FORMAT else "old format"
        state = str(self.facts.get("state"))
        return "interrupted" if state == "running" and not self.locked else state

    @property
    def locked(self) -> bool:
        """True if a process is training in the folder now; never in a folder that cannot be written."""
        if not os.access(self.path, os.W_OK):
            return False
        try:
            with self.lock():
                return False
        except ConfigError:
            return True

    def check_format(self) -> None:
        """Raise a ConfigError if the run was written in a format that this version does not read."""
        if self.format == FORMAT:
            return
        versions = self.facts.get("versions")
        version = versions.get("genlab") if isinstance(versions, Mapping) else None
        maker = f"genlab {version}" if version else "another version of genlab"
        raise ConfigError(
            f"{self.path} was written by {maker} (format {self.format}), and this version reads format {FORMAT}. "
            f"Use {maker if version else 'that version'} for it, or train again."
        )

    def record(self, **facts: Any) -> None:
        """Add facts to run.json."""
        known = self.facts if (self.path / "run.json").exists() else {}
        self.keep("run.json", json.dumps(known | facts, indent=2) + "\n")

    def keep(self, name: str, text: str) -> None:
        """Write a file into the folder, whole or not at all; of several processes only the first one writes."""
        if distributed.first():
            write_atomically(self.path / name, text.encode())

    def tidy(self) -> None:
        """Remove the temporary files of processes that were killed while they wrote."""
        if not distributed.first():
            return
        for file in [*self.path.glob(".*.tmp"), *self.path.glob("*/.*.tmp")]:
            file.unlink(missing_ok=True)

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Keep other processes from training in this folder; the lock ends with the process.

        Of several processes that train together, the first one holds it.
        """
        import fcntl

        if not distributed.first():
            yield
            return
        try:
            handle = os.open(self.path / ".lock", os.O_RDWR | os.O_CREAT, 0o666)
        except OSError as error:
            raise ConfigError(f"{self.path} cannot be written: {error.strerror}.") from None
        with open(handle, "r+", encoding="utf-8") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise ConfigError(f"{self.path} is being trained by another process ({file.read().strip()}).") from None
            # The file is never empty in between: another process may read it now, to tell whether a run is here.
            file.write(f"process {os.getpid()}\n")
            file.truncate()
            file.flush()
            yield

    def files(self) -> set[Path]:
        """Return everything in the folder, at any depth; nothing if there is no folder."""
        return set(self.path.rglob("*"))


@dataclass(frozen=True)
class Beginning:
    """A folder in which a run is about to begin."""

    run: Run
    created: bool
    """True if this process created the folder."""
    before: set[Path]
    """The files that were in the folder already."""

    @contextmanager
    def whole_or_undone(self) -> Iterator[None]:
        """Undo the beginning if something fails before the first checkpoint."""
        try:
            yield
        except BaseException:
            if distributed.first() and not any(self.run.path.glob("checkpoints/*.safetensors")):
                self.undo()
            raise

    def undo(self) -> None:
        """Remove the files that this process wrote, and the folders that it created if they are empty."""
        for pattern in (*_BEFORE_A_CHECKPOINT, *_FIRST):
            for file in set(self.run.path.glob(pattern)) - self.before:
                with suppress(OSError):
                    file.unlink()
        folders = [self.run.path / name for name in _FOLDERS if self.run.path / name not in self.before]
        for folder in [*folders, *([self.run.path] if self.created else [])]:
            # rmdir refuses a folder that is not empty: the user's own files are in it.
            with suppress(OSError):
                folder.rmdir()


def make(path: Path | None, name: str) -> Beginning:
    """Create this folder for a run, or a new one for this name and time; the first of several processes creates it."""
    if not distributed.first():
        return Beginning(Run(Path(distributed.told(""))), False, set())
    beginning = _made(path, name)
    distributed.told(str(beginning.run.path))
    return beginning


def _made(path: Path | None, name: str) -> Beginning:
    try:
        if path is None:
            return Beginning(Run(dated(OUTPUTS / name)), True, set())
        created = not path.exists()
        path.mkdir(parents=True, exist_ok=True)
        return Beginning(Run(path), created, Run(path).files())
    except OSError as error:
        raise ConfigError(f"The run's folder cannot be created: {error.strerror}: {error.filename}") from error


def dated(folder: Path) -> Path:
    """Create a new folder in this one, named after the time."""
    folder.mkdir(parents=True, exist_ok=True)
    stamp = time.strftime("%Y-%m-%d_%H-%M-%S")
    number = 1
    while True:
        path = folder / (stamp if number == 1 else f"{stamp}-{number}")
        try:
            path.mkdir()
            return path
        except FileExistsError:
            number += 1


def exists(path: Path) -> bool:
    """Return True if a run is in this folder; refuse a folder with anything else in it."""
    if _is_run(path):
        return True
    if path.exists() and not (path.is_dir() and _is_free(path)):
        raise ConfigError(f"{path} is not a run, and it is not empty; choose another folder.")
    return False


def _is_run(path: Path) -> bool:
    return (path / "run.json").exists()


def _is_free(folder: Path) -> bool:
    """Return True if the folder is empty, or holds a run that was killed before its run.json was written.

    A file called .lock does not make a folder genlab's: every environment of uv has one. The lock of a run names its
    process.
    """
    names = {path.name for path in folder.iterdir() if not re.fullmatch(r"\..+\.\d+\.tmp", path.name)}
    if not names <= {pattern.partition("/")[0] for pattern in _FIRST}:
        return False
    try:
        text = (folder / ".lock").read_text(encoding="utf-8") if ".lock" in names else None
    except (OSError, UnicodeDecodeError):
        return False
    # A lone empty lock may be that of a process which was killed before it wrote its number.
    return not any(folder.iterdir()) or (text == "" and names == {".lock"}) or bool(_LOCKED_BY.match(text or ""))


def point_latest(run: Run) -> None:
    """Point `latest` to this run; a text file, because TensorBoard would follow a link and show the run twice."""
    # A run elsewhere must not fail because nothing can be written here.
    with suppress(OSError):
        OUTPUTS.mkdir(exist_ok=True)
        write_atomically(OUTPUTS / "latest", f"{os.path.relpath(run.path, OUTPUTS)}\n".encode())


def runs(folder: Path = OUTPUTS) -> list[Run]:
    """Return all runs below a folder, oldest first, of every format."""
    found = []
    for path in folder.rglob("run.json") if folder.is_dir() else ():
        run = Run(path.parent)
        if error := _damage(run):
            warnings.warn(f"Skipped: {error}", stacklevel=2)
        else:
            found.append(run)
    return sorted(found, key=lambda run: (str(run.facts.get("created")), run.path))


def _damage(run: Run) -> ConfigError | None:
    """Return the error of a run whose run.json cannot be read."""
    try:
        _ = run.facts
    except ConfigError as error:
        return error
    return None


def find(name: str) -> Run:
    """Return the run that a name means; of several runs, the newest; refuse a run of another format.

    A name is the folder of a run, a folder with runs in it, `latest`, or a model and its data: `vae-fashion-mini`.
    Folders may also be named from `outputs/`.
    """
    run = _found(name)
    run.check_format()
    return run


def _found(name: str) -> Run:
    folder, latest = Path(name).expanduser(), OUTPUTS / "latest"
    if _is_run(folder):
        return Run(folder)
    if name == "latest" and latest.is_file():
        return Run(Path(os.path.normpath(OUTPUTS / latest.read_text(encoding="utf-8").strip())))
    # Folders come before the names in run.json. So `vae-folder` is a run in outputs/vae-folder, and not a newer run of
    # the same model and data that the user has put into a folder of another name.
    for place in (folder, OUTPUTS / name):
        if _is_run(place):
            return Run(place)
        if inside := runs(place):
            return inside[-1]
    known = runs()
    if named := [run for run in known if run.facts.get("name") == name]:
        return named[-1]
    raise _unknown(name, known)


def _unknown(name: str, known: Sequence[Run]) -> ConfigError:
    if not known:
        return ConfigError(f"There is no run {name!r}. There are no runs in {OUTPUTS}/ yet; `genlab train` starts one.")
    names = {str(run.facts.get("name")) for run in known} | {str(run.path) for run in known}
    names |= {str(run.path.relative_to(OUTPUTS)) for run in known} | {"latest"}
    newest = ", ".join(str(run.path) for run in reversed(known[-5:]))
    return ConfigError(f"There is no run {name!r}. {suggestion(name, names)}The newest runs: {newest}")


def meant(names: Sequence[str]) -> list[Run]:
    """Return the named runs, and all runs below named folders that are not runs themselves; each run once.

    A shell expands `sweep/*` to everything in that folder. So files and folders without runs are skipped with a
    warning, as are damaged runs and those of another format. All are refused only if there is no other run.
    """
    inside = {name: _inside(name) for name in names}
    every = {run.path.resolve(): run for runs_of_one in inside.values() for run in runs_of_one}
    damaged = {path: error for path, run in every.items() if (error := _damage(run))}
    readable = [run for path, run in every.items() if path not in damaged]
    found = [run for run in readable if run.format == FORMAT]
    other_format = [run for run in readable if run.format != FORMAT]
    if not found:
        for run in other_format[:1]:
            run.check_format()
        raise next(iter(damaged.values()), ConfigError(f"There are no runs in {', '.join(names)}."))
    for error in damaged.values():
        warnings.warn(f"Skipped: {error}", stacklevel=2)
    if skipped := [name for name, runs_of_one in inside.items() if not runs_of_one]:
        warnings.warn(f"Skipped, because no runs are in them: {', '.join(skipped)}.", stacklevel=2)
    if other_format:
        listed = ", ".join(str(run.path) for run in other_format)
        warnings.warn(f"Skipped, because other versions of genlab wrote them: {listed}.", stacklevel=2)
    return found


def folder_of_runs(name: str) -> Path | None:
    """Return the folder of runs that a name means, such as that of a sweep; None if the name means a single run."""
    path, place = Path(name).expanduser(), OUTPUTS / name
    if path.exists():
        return None if _is_run(path) else path
    # outputs/vae-fashion-mini holds the runs of this model and data, and the name means the newest of them.
    inside = [] if _is_run(place) else runs(place)
    return place if inside and all(run.facts.get("name") != name for run in inside) else None


def _inside(name: str) -> list[Run]:
    """Return the run that a name means, also if it is damaged, or the undamaged runs below a folder."""
    path = Path(name).expanduser()
    if _is_run(path):
        return [Run(path)]
    folder = folder_of_runs(name)
    return runs(folder) if folder else [find(name)]
