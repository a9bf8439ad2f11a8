"""The journal of a search: a file that several processes may write, and that a killed process cannot break."""

import fcntl
import os
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Literal

from genlab.registry import ConfigError

if TYPE_CHECKING:
    from optuna import Study
    from optuna.storages import BaseStorage

FILE = "search.journal"
NAME = "search"
"""The name of the study in the journal."""


def need_optuna() -> None:
    """Raise a ConfigError with the line that installs Optuna if it is not installed."""
    try:
        import optuna
    except ImportError:
        raise ConfigError("genlab search needs Optuna: pip install 'genlab[search]'") from None
    optuna.logging.set_verbosity(optuna.logging.WARNING)


def open_journal(folder: Path, directions: list[Literal["minimize", "maximize"]]) -> "Study":
    """Return the study that the folder keeps; create it if it is new."""
    need_optuna()
    import optuna

    storage = _storage(folder / FILE)
    try:
        return optuna.load_study(study_name=NAME, storage=storage)
    except KeyError:  # a new journal
        return optuna.create_study(study_name=NAME, storage=storage, directions=directions, load_if_exists=True)


def _storage(file: Path) -> "BaseStorage":
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    lock: Any = _Lock(file)
    return JournalStorage(JournalFileBackend(str(file), lock_obj=lock))


class _Lock:
    """A lock that ends with its process; Optuna's own ones stay behind when a process is killed."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self._handle: IO[bytes] | None = None

    def acquire(self) -> bool:
        """Wait for the lock; then remove a line that a killed process has left unfinished."""
        self._handle = open(self.file.with_name(f".{self.file.name}.lock"), "ab")  # noqa: SIM115
        fcntl.flock(self._handle, fcntl.LOCK_EX)
        _cut_unfinished_line(self.file)
        return True

    def release(self) -> None:
        """Give the lock back."""
        if self._handle:
            self._handle.close()


def _cut_unfinished_line(file: Path) -> None:
    if not file.exists():
        return
    with open(file, "rb+") as journal:
        size = journal.seek(0, os.SEEK_END)
        if size == 0:
            return
        journal.seek(-1, os.SEEK_END)
        if journal.read(1) != b"\n":
            journal.seek(0)
            journal.truncate(journal.read().rfind(b"\n") + 1)
