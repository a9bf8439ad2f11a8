"""Progress of jobs that train in other processes: a line when one starts or ends, and a table in a terminal."""

import json
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.live import Live
from rich.table import Table

from genlab.cli.tables import terminal
from genlab.config.engines import Engine
from genlab.training.console import number

SECONDS_BETWEEN_LOOKS = 0.5
_TAIL = 2000
"""Bytes at the end of log.txt in which its last line is."""


class Jobs:
    """The jobs of a sweep, as their folders show them. The engine may run them on other machines."""

    def __init__(self, places: Sequence[Path], engine: Engine) -> None:
        self.places, self.engine = places, engine
        self.signal: int | None = None
        self.states: dict[Path, str] = {}
        self.terminal = terminal()
        self._began = time.time()

    def stopping(self, signal: int) -> None:
        """Say that a signal has arrived, and what happens now."""
        self.signal = signal
        self._say("Stopping: the jobs that run now save a checkpoint. Press Ctrl-C again to leave at once.")

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Show the jobs inside a `with` block."""
        engine = self.engine
        each = f", {engine.threads} {'thread' if engine.threads == 1 else 'threads'} each" if engine.threads else ""
        self._say(f"Running {len(self.places)} jobs by {engine.name}, up to {engine.at_once} at once{each}.")
        self.states = {place: state for place, (state, _) in self._looked().items() if state == "finished"}
        if self.states:
            self._say(f"{len(self.states)} of them are finished already.")
        over = threading.Event()
        watch = threading.Thread(target=self._watch, args=(over,), daemon=True)
        live = Live(get_renderable=self._table, console=self.terminal, refresh_per_second=2, transient=True)
        if self.terminal.is_terminal:
            live.start()
        watch.start()
        try:
            yield
        finally:
            over.set()
            watch.join()
            live.stop()
            self._look()

    def _watch(self, over: threading.Event) -> None:
        while not over.wait(SECONDS_BETWEEN_LOOKS):
            self._look()

    def _look(self) -> None:
        """Print a line for each job whose state has changed."""
        for place, (state, facts) in self._looked().items():
            if self.states.get(place) != state:
                self.states[place] = state
                self._say(f"{place.name}: {_sentence(state, facts)}")

    def _looked(self) -> dict[Path, tuple[str, dict[str, Any]]]:
        """Return the state and the facts of each job that has begun; those of an earlier call count if it finished."""
        found = {}
        for place in self.places:
            file = place / "run.json"
            try:
                facts = json.loads(file.read_bytes())
                state, new = str(facts["state"]), file.stat().st_mtime >= self._began - 1
            except (OSError, ValueError, KeyError, TypeError):
                continue
            if new or state == "finished":
                found[place] = state, facts
        return found

    def _say(self, text: str) -> None:
        self.terminal.print(text, markup=False, highlight=False, soft_wrap=True)

    def _table(self) -> Table:
        """Return the running jobs with the last line of their logs."""
        running = [place for place in self.places if self.states.get(place) == "running"]
        over = sum(state != "running" for state in self.states.values())
        table = Table.grid(padding=(0, 2))
        table.add_column(no_wrap=True)
        table.add_column(no_wrap=True, overflow="ellipsis")
        table.add_row(f"[bold]{over} of {len(self.places)} done[/bold]", f"{len(running)} running")
        for place in running:
            table.add_row(place.name, _last_line(place / "log.txt"))
        return table


def _sentence(state: str, facts: dict[str, Any]) -> str:
    """Return what has happened to a run."""
    if state == "finished" and facts.get("validation"):
        name, value = next(iter(facts["validation"].items()))
        return f"finished, validation {name.replace('_', ' ')} {number(value)}"
    if state == "failed":
        return f"failed: {facts.get('reason')}"
    if state == "stopped":
        return f"stopped at step {facts.get('step', 0):,} and saved"
    return state


def _last_line(file: Path) -> str:
    try:
        with open(file, "rb") as handle:
            handle.seek(max(0, file.stat().st_size - _TAIL))
            lines = handle.read().decode(errors="replace").splitlines()
    except OSError:
        return ""
    return " ".join(lines[-1].split()) if lines else ""
