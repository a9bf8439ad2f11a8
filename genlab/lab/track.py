"""Sends runs to an experiment tracker: settings, metrics, previews and evaluations, all read from the run's files."""

import fcntl
import hashlib
import json
import math
import time
import wave
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from PIL import Image

from genlab.config import compose
from genlab.config.schema import flatten
from genlab.evaluation import record
from genlab.lab.trackers import TRACKERS, Tracker
from genlab.registry import ConfigError, RunError, pick
from genlab.runs.run import Run, folder_of_runs, meant
from genlab.training.journal import FOLDERS, UNREADABLE, Line, read

FOLDER = "track"
"""The folder of a run that says what each tracker has got."""
_EVERY, _PATIENCE, _YOUNG = 2.0, 30.0, 1.0
"""Seconds between two looks at a run, to wait for the next run of a sweep, and until a preview is surely complete."""
_AT_ONCE = 200
"""Rows that are sent together."""


@dataclass
class Sent:
    """A note of what a tracker has got of a run, so that nothing is sent twice."""

    id: str | None = None
    """The run's id in the tracker."""
    steps: dict[str, int] = field(default_factory=dict)
    """The newest step of each split. A run that is resumed from an earlier step repeats the same metrics."""
    files: list[str] = field(default_factory=list)
    evaluation: str = ""
    """A digest of the evaluation."""
    state: str = ""

    def lines(self, run: Run) -> list[Line]:
        """Return the lines of metrics.jsonl that are new, by step."""
        new = [line for line in read(run.path) if line["step"] > self.steps.get(line["split"], -1)]
        return sorted(new, key=lambda line: int(line["step"]))

    def previews(self, run: Run, *, training: bool) -> list[tuple[int, Path]]:
        """Return the steps and files of new previews, without those that may still be written."""
        found = []
        for folder, ending in FOLDERS.items():
            for path in (run.path / folder).glob(f"*-*{ending}"):
                digits, late = path.stem.rpartition("-")[2], time.time() - path.stat().st_mtime < _YOUNG
                if digits.isdigit() and not (training and late) and f"{folder}/{path.name}" not in self.files:
                    found.append((int(digits), path))
        return sorted(found)

    def evaluated(self, run: Run) -> tuple[str, int, dict[str, float]] | None:
        """Return the evaluation if it is new: its digest, its step and the metrics of the last checkpoint."""
        try:
            last = (record.read(run) or {})["last"]
            values = {f"evaluation/{name}": float(entry["mean"]) for name, entry in last["metrics"].items()}
            digest = hashlib.sha256(json.dumps([last["checkpoint"], values]).encode()).hexdigest()[:16]
            return None if digest == self.evaluation else (digest, int(last["step"]), values)
        except (KeyError, TypeError, ValueError, AttributeError):  # not evaluated, or the record is damaged
            return None


def track(
    names: Sequence[str],
    to: str,
    project: str = "genlab",
    *,
    follow: bool = False,
    say: Callable[[str], None] = print,
    wait: Callable[[float], None] = time.sleep,
) -> None:
    """Send runs, and all runs in folders, to a tracker: `wandb`, `mlflow` or `trackio`.

    Only what the tracker has not got yet is sent. With `follow`, a run in training is watched until it ends, and in a
    folder the next run is waited for.
    """
    tracker, grows = pick("tracker", to, TRACKERS)(project), follow and any(map(folder_of_runs, names))
    done, waited = set[Path](), 0.0
    while waited < _PATIENCE:
        for run in meant(names):
            if run.path not in done or run.state == "running":
                done.add(run.path)
                waited = 0.0
                _Sending(run, to, project, tracker, say).send(follow, wait)
        if not grows:
            return
        wait(_EVERY)
        waited += _EVERY


@dataclass
class _Sending:
    """One run on its way to one tracker."""

    run: Run
    to: str
    project: str
    tracker: Tracker
    say: Callable[[str], None]
    sent: Sent = field(default_factory=Sent)
    rows: int = 0
    previews: int = 0

    def send(self, follow: bool, wait: Callable[[float], None]) -> None:
        """Send what is new; with `follow`, go on until the training ends."""
        with _only_process(self.run, self.to):
            self.sent, state = _load(self.run, self.to, self.project), self.run.state
            follow = follow and state == "running"
            if not follow and self.sent.state == state and not self._has_news(state):
                self.say(f"{self.run.path}: {self.to} has everything already.")
                return
            with _understood(self.to):
                id = self.tracker.begin(_name(self.run), _config(self.run), self.sent.id)
            if id != self.sent.id:  # new, or the tracker has lost it
                self.sent = Sent(id)
            if follow:
                self.say(
                    f"{self.run.path}: sending to {self.to} until the training ends. "
                    "Ctrl-C stops the sending, not the training."
                )
            try:
                while self._look(follow):
                    wait(_EVERY)
            finally:
                self._keep()
                with _understood(self.to):
                    place = self.tracker.finish(self.run.state)
            self.sent.state = self.run.state
            self._keep()
        sent = f"sent {self.rows:,} rows of metrics and {self.previews:,} previews to {self.to}"
        self.say(f"{self.run.path}: {sent}. Look at it: {place}")

    def _has_news(self, state: str) -> bool:
        sent, run = self.sent, self.run
        return bool(sent.lines(run) or sent.previews(run, training=state == "running") or sent.evaluated(run))

    def _look(self, follow: bool) -> bool:
        """Send what is new by now; return True if there will be more."""
        # Asked first: what a run writes before it ends is sent, too.
        training = self.run.state == "running"
        self._send_lines()
        self._send_previews(training)
        self._send_evaluation()
        self._keep()
        return follow and training

    def _send_lines(self) -> None:
        lines = self.sent.lines(self.run)
        for first in range(0, len(lines), _AT_ONCE):
            part = lines[first : first + _AT_ONCE]
            with _understood(self.to):
                self.tracker.scalars([(line["step"], _values(line)) for line in part])
            self.sent.steps |= {line["split"]: line["step"] for line in part}
            self.rows += len(part)

    def _send_previews(self, training: bool) -> None:
        shows = {".png": self.tracker.picture, ".txt": self.tracker.text, ".wav": self.tracker.sound}
        for step, path in self.sent.previews(self.run, training=training):
            if _readable(path):
                with _understood(self.to):
                    shows[path.suffix](f"previews/{path.stem.rpartition('-')[0]}", step, path)
                self.previews += 1
            else:
                self.say(f"{path} is damaged and is left out.")
            self.sent.files.append(f"{path.parent.name}/{path.name}")

    def _send_evaluation(self) -> None:
        if found := self.sent.evaluated(self.run):
            digest, step, values = found
            with _understood(self.to):
                self.tracker.scalars([(step, values)])
            self.sent.evaluation = digest
            self.rows += 1

    def _keep(self) -> None:
        table = _table(self.run, self.to) | {self.project: asdict(self.sent)}
        self.run.keep(f"{FOLDER}/{self.to}.json", json.dumps(table, indent=2) + "\n")


def _values(line: Line) -> dict[str, float]:
    """Return the metrics of a line; the file has null for a number that is not finite."""
    split = line["split"]
    named = {f"{split}/{name}": value for name, value in line.items() if name not in ("step", "epoch", "split")}
    return {name: math.nan if value is None else float(value) for name, value in named.items()}


def _readable(path: Path) -> bool:
    try:
        if path.suffix == ".png":
            with Image.open(path) as opened:
                opened.verify()
        elif path.suffix == ".wav":
            wave.open(str(path), "rb").close()
        else:
            path.read_text(encoding="utf-8")
    except UNREADABLE:
        return False
    return True


def _name(run: Run) -> str:
    """Return a name that people can read and that no other run has."""
    facts = run.facts
    unique = hashlib.sha256(f"{facts.get('created')} {run.path.resolve()}".encode()).hexdigest()[:4]
    return f"{facts.get('name')} {run.path.resolve().name} {unique}"


def _config(run: Run) -> dict[str, Any]:
    facts = run.facts
    about = {name: facts.get(name) for name in ("command", "created", "weights", "fingerprint", "versions")}
    settings = flatten(compose.load(run.path / "config.yaml").plain)
    return settings | flatten({"run": {"folder": str(run.path.resolve()), **about}})


@contextmanager
def _understood(to: str) -> Iterator[None]:
    """Turn an error of a tracker, such as a server that does not answer, into a sentence."""
    try:
        yield
    except Exception as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise RunError(
            f"{to} does not take the run: {reason}\nWhat has arrived is noted. The same command sends the rest."
        ) from error


@contextmanager
def _only_process(run: Run, to: str) -> Iterator[None]:
    """Keep other processes from sending the same run to the same tracker."""
    (run.path / FOLDER).mkdir(exist_ok=True)
    with open(run.path / FOLDER / f".{to}.lock", "a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise ConfigError(f"Another process sends {run.path} to {to} now.") from None
        yield


def _load(run: Run, to: str, project: str) -> Sent:
    """Return what the tracker has got."""
    return Sent(**_table(run, to).get(project, {}))


def _table(run: Run, to: str) -> dict[str, Any]:
    path = run.path / FOLDER / f"{to}.json"
    try:
        table = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        for entry in table.values():
            Sent(**entry)
    except (ValueError, TypeError, AttributeError):
        raise ConfigError(f"{path} is damaged. Delete it to send the whole run again.") from None
    return dict(table)
