"""A run on disk: make, lock, open, find the newest, list."""

import json
import os
import re
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from genlab.registry import ConfigError, suggestion
from genlab.training.checkpoint import write_atomically

OUTPUTS = Path("outputs")

# The files of a run that has no checkpoint yet, in the order in which they are removed. As long as run.json is there
# the folder is a run; after that it holds nothing but _FIRST.
_FIRST = ("config.yaml", "bad_files.txt", "plugins/*.py", ".lock")
_BEFORE_A_CHECKPOINT = ("images/*-*.png", "tensorboard/events.out.tfevents.*", "metrics.jsonl", "log.txt", "run.json")
_FOLDERS = ("images", "tensorboard", "checkpoints", "plugins")
_LOCKED_BY = re.compile(r"process \d+")


@dataclass(frozen=True)
class Run:
    """A folder that holds everything that later commands need."""

    path: Path

    @property
    def facts(self) -> dict[str, Any]:
        """What run.json says: name, state, step, versions, command and the data's shape."""
        try:
            facts: dict[str, Any] = json.loads((self.path / "run.json").read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise ConfigError(f"{self.path} is not a run: its run.json cannot be read ({error}).") from None
        if not isinstance(facts, dict):
            raise ConfigError(f"{self.path} is not a run: its run.json holds no facts.")
        return facts

    @property
    def state(self) -> str:
        """`running`, `finished`, `stopped`, `failed`, or `interrupted` where the process is gone."""
        state = str(self.facts.get("state"))
        return "interrupted" if state == "running" and not self.locked else state

    @property
    def locked(self) -> bool:
        """Whether a process is training in it now; where nothing can be written, none is."""
        if not os.access(self.path, os.W_OK):
            return False
        try:
            with self.lock():
                return False
        except ConfigError:
            return True

    def record(self, **facts: Any) -> None:
        """Add facts to run.json."""
        known = self.facts if (self.path / "run.json").exists() else {}
        self.keep("run.json", json.dumps(known | facts, indent=2) + "\n")

    def keep(self, name: str, text: str) -> None:
        """Put a file into the folder, whole or not at all."""
        write_atomically(self.path / name, text.encode())

    def tidy(self) -> None:
        """Remove what processes that were killed while they wrote have left."""
        for file in [*self.path.glob(".*.tmp"), *self.path.glob("*/.*.tmp")]:
            file.unlink(missing_ok=True)

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Inside, no other process trains in this folder; it falls with the process."""
        import fcntl

        try:
            handle = os.open(self.path / ".lock", os.O_RDWR | os.O_CREAT, 0o666)
        except OSError as error:
            raise ConfigError(f"{self.path} cannot be written: {error.strerror}.") from None
        with open(handle, "r+", encoding="utf-8") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise ConfigError(f"{self.path} is being trained by another process ({file.read().strip()}).") from None
            # Never empty in between: another process may look at it now, to see whether the folder is a run's.
            file.write(f"process {os.getpid()}\n")
            file.truncate()
            file.flush()
            yield

    def files(self) -> set[Path]:
        """Return all that is in the folder, at any depth; nothing where there is no folder."""
        return set(self.path.rglob("*"))


@dataclass(frozen=True)
class Beginning:
    """A folder in which a run is about to begin."""

    run: Run
    made: bool
    """True if this process made the folder."""
    before: set[Path]
    """The files that were in it already."""

    @contextmanager
    def whole_or_undone(self) -> Iterator[None]:
        """Inside, a failure before the first checkpoint leaves nothing half-made."""
        try:
            yield
        except BaseException:
            if not any(self.run.path.glob("checkpoints/*.safetensors")):
                self.undo()
            raise

    def undo(self) -> None:
        """Remove the files that this process made, and the folders if it made them and they are empty."""
        for pattern in (*_BEFORE_A_CHECKPOINT, *_FIRST):
            for file in set(self.run.path.glob(pattern)) - self.before:
                with suppress(OSError):
                    file.unlink()
        folders = [self.run.path / name for name in _FOLDERS if self.run.path / name not in self.before]
        for folder in [*folders, *([self.run.path] if self.made else [])]:
            # A folder that is not empty stays: what is in it is not ours.
            with suppress(OSError):
                folder.rmdir()


def make(path: Path | None, name: str) -> Beginning:
    """Make the folder that was asked for, or a new one for this name and time that nobody else has."""
    try:
        if path is None:
            return Beginning(Run(dated(OUTPUTS / name)), True, set())
        made = not path.exists()
        path.mkdir(parents=True, exist_ok=True)
        return Beginning(Run(path), made, Run(path).files())
    except OSError as error:
        raise ConfigError(f"The run's folder cannot be made: {error.strerror}: {error.filename}") from None


def dated(folder: Path) -> Path:
    """A new folder in this one, called by the time, that nobody else has."""
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
    """Whether a run is in this folder; a folder with anything else in it is refused."""
    if (path / "run.json").exists():
        return True
    if path.exists() and not (path.is_dir() and _is_free(path)):
        raise ConfigError(f"{path} is not a run, and it is not empty; choose another folder.")
    return False


def _is_free(folder: Path) -> bool:
    """Return whether the folder is empty, or holds a beginning of ours that was killed before run.json was written.

    A file called .lock does not make a folder ours: every environment of uv has one. Ours says which process locked.
    """
    names = {path.name for path in folder.iterdir() if not re.fullmatch(r"\..+\.\d+\.tmp", path.name)}
    if not names <= {pattern.partition("/")[0] for pattern in _FIRST}:
        return False
    try:
        text = (folder / ".lock").read_text(encoding="utf-8") if ".lock" in names else None
    except (OSError, UnicodeDecodeError):
        return False
    # Alone and empty, it may be that of a process which was killed before it could say more.
    return not any(folder.iterdir()) or (text == "" and names == {".lock"}) or bool(_LOCKED_BY.match(text or ""))


def point_latest(run: Run) -> None:
    """Let `latest` mean this run; a text and no link, which TensorBoard would follow and show twice."""
    # A run elsewhere is not to fail because nothing can be written here.
    with suppress(OSError):
        OUTPUTS.mkdir(exist_ok=True)
        write_atomically(OUTPUTS / "latest", f"{os.path.relpath(run.path, OUTPUTS)}\n".encode())


def runs(folder: Path = OUTPUTS) -> list[Run]:
    """All runs below a folder, oldest first."""
    found = []
    for path in folder.rglob("run.json") if folder.is_dir() else ():
        try:
            there = Run(path.parent)
            found += [there] if there.facts else []
        except ConfigError as error:
            warnings.warn(f"{error} It is passed over.", stacklevel=2)
    return sorted(found, key=lambda run: (str(run.facts.get("created")), run.path))


def find(name: str) -> Run:
    """The run that a person means: a folder, `latest`, or a name such as `vae-fashion-mini`, its newest."""
    path = Path(name).expanduser()
    if (path / "run.json").exists():
        return Run(path)
    latest = OUTPUTS / "latest"
    if name == "latest" and latest.is_file():
        return Run(Path(os.path.normpath(OUTPUTS / latest.read_text(encoding="utf-8").strip())))
    known = runs()
    named = [run for run in known if run.facts.get("name") == name]
    if named:
        return named[-1]
    names = {str(run.facts.get("name")) for run in known} | {str(run.path) for run in known}
    nearest = ", ".join(str(run.path) for run in reversed(known[-5:]))
    there = (
        f"The newest runs: {nearest}" if known else f"There are no runs in {OUTPUTS}/ yet; `genlab train` makes one."
    )
    raise ConfigError(f"There is no run {name!r}. {suggestion(name, names)}{there}")


def meant(names: Sequence[str]) -> list[Run]:
    """The runs that are named, and all that are below a folder which is itself no run; each once."""
    found: dict[Path, Run] = {}
    for name in names:
        folder = Path(name).expanduser()
        inside = runs(folder) if folder.is_dir() and not (folder / "run.json").exists() else []
        if folder.is_dir() and not inside and not (folder / "run.json").exists():
            raise ConfigError(f"There are no runs in {folder}.")
        for run in inside or [find(name)]:
            found.setdefault(run.path.resolve(), run)
    return list(found.values())
