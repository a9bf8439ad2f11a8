"""Consent of the user to run the plugins stored in a run, which are Python code."""

import hashlib
import json
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from genlab.registry import ConfigError

FILE = "trusted-plugins.json"


@dataclass
class Trust:
    """Consent for one command: to all plugins, to those the user has trained with, or to those the user accepts."""

    given: bool = False
    """True if the command has the option --trust."""
    ask: Callable[[str], bool] | None = None
    """Function that asks the user a yes-or-no question; None if the program is not interactive."""
    accepted: set[str] = field(default_factory=set)
    """The sha256 of plugins that the user accepted during this command."""

    def require(self, owner: Path, sources: Mapping[Path, bytes]) -> None:
        """Raise a ConfigError if the user does not trust these plugins of a run; they run only after this check."""
        digests = {file: digest(source) for file, source in sources.items()}
        unknown = {file: value for file, value in digests.items() if value not in self.accepted | known()}
        if self.given or not unknown:
            return
        listed = "\n".join(f"  {file}\n    sha256 {value}" for file, value in unknown.items())
        warning = (
            f"{owner} contains plugins that you have not trained with:\n{listed}\n"
            "A plugin is Python code and can do everything that you can do on this computer."
        )
        if not self.ask or not self.ask(f"{warning}\nRun it?"):
            raise ConfigError(f"{warning} Read it first. To run it, add --trust to the command.")
        self.accepted |= set(unknown.values())

    def remember(self, sources: Mapping[Path, bytes]) -> None:
        """Accept plugins that the user trains with, in this command and in later ones."""
        digests = {digest(source): str(file) for file, source in sources.items()}
        self.accepted |= set(digests)
        try:
            if new := {value: file for value, file in digests.items() if value not in known()}:
                _add(new)
        except OSError as error:
            warnings.warn(
                f"Cannot write {_file()} ({error.strerror or error}), so runs with these plugins need --trust.",
                stacklevel=2,
            )


def digest(source: bytes) -> str:
    """Return the sha256 of a plugin's source."""
    return hashlib.sha256(source).hexdigest()


def known() -> set[str]:
    """Return the sha256 of every plugin that this user has trained with; empty if the file cannot be read."""
    return set(_read())


def _file() -> Path:
    from genlab.data.files.cache import cache_folder

    return cache_folder() / FILE


def _read() -> dict[str, str]:
    try:
        kept = json.loads(_file().read_bytes())
    except (OSError, ValueError):
        return {}
    return kept if isinstance(kept, dict) else {}


def _add(new: Mapping[str, str]) -> None:
    from genlab.data.files.cache import lock
    from genlab.training.checkpoint import write_atomically

    file = _file()
    file.parent.mkdir(parents=True, exist_ok=True)
    with lock(file.parent, file.stem, work="remembering its plugins"):
        # Read again: another process may have added entries in the meantime.
        write_atomically(file, (json.dumps({**_read(), **new}, indent=2) + "\n").encode())
