"""`genlab train -m`: many runs from one command, one for every combination of settings."""

import dataclasses
import shlex
import sys
import time
from collections.abc import Sequence
from contextlib import nullcontext
from functools import partial
from pathlib import Path

import typer

from genlab.cli.jobs import Jobs
from genlab.cli.tables import console, runs_table, terminal
from genlab.config import sweeps
from genlab.config.schema import Config
from genlab.config.sweeps import Ended
from genlab.config.trust import Trust
from genlab.data.progress import silent
from genlab.lab.after_training import fit_asked_prior
from genlab.registry import ConfigError, RunError
from genlab.runs import lifecycle
from genlab.runs.run import OUTPUTS, find, runs
from genlab.training.console import Console


def sweep(overrides: list[str], folders: list[Path], files: list[str], trust: Trust) -> None:
    """Train every combination in a folder of its own, all in one folder; the same command continues the sweep."""
    named = [override for override in overrides if override.startswith("run=") and override != "run="]
    stamp = time.strftime("%Y-%m-%d_%H-%M-%S")
    folder = Path(named[-1].removeprefix("run=")).expanduser() if named else OUTPUTS / "sweeps" / stamp
    rest = [_with_folders(override) for override in overrides if override not in named]
    # Before the first job trains: a mistake in the last one would be found hours later.
    jobs = sweeps.combinations(rest, folder, folders, files)
    engine = sweeps.engine_of(rest, folders, len(jobs) or None)
    lifecycle.check([_in(place, config) for place, config in jobs.items()], console(), trust)
    print(f"The runs of this sweep are in {folder}. To continue it, repeat the command with run={folder}", flush=True)
    if list(jobs) == [folder / sweeps.ONLY]:
        print("No setting has several values, so there is one job. A list such as seed=1,2,3 makes several.")
    # In another process nobody can answer a question. The plugins were accepted above.
    asked = dataclasses.replace(trust, ask=None) if engine.apart else trust
    job = partial(_job, trust=asked, command=lifecycle.command_line(sys.argv[1:]), apart=engine.apart)
    shown = Jobs(list(jobs), engine)
    try:
        with shown.watching() if engine.apart else nullcontext():
            ended = sweeps.sweep(rest, folder, job, folders, files, jobs=len(jobs) or None, announce=shown.stopping)
    finally:
        if found := runs(folder):  # none if the first job was refused
            terminal().print(runs_table(found))
    if shown.signal is not None and any(end.stopped or end.value for end in ended):
        print(f"Stopped and saved. To continue, repeat the command with run={folder}")
        raise typer.Exit(128 + shown.signal)
    _refuse_failures(ended)
    print(
        "The sweep is done. Measure its runs, compare them, write a report, or open their curves and the HParams tab:"
    )
    commands = ("evaluate", "compare", "report", "board")
    print(*(f"  genlab {command} {shlex.quote(str(folder))}" for command in commands), sep="\n")


def _refuse_failures(ended: Sequence[Ended]) -> None:
    """Raise an error that says which jobs have failed, and why."""
    failed = [end for end in ended if end.error]
    for trace in dict.fromkeys(end.trace for end in failed if end.trace):
        print(trace, file=sys.stderr)
    if not failed:
        return
    kind = ConfigError if all(end.mistake for end in failed) else RunError
    lines = [f"  {end.place}: {end.error}" for end in failed]
    raise kind("\n".join([f"{len(failed)} of {len(ended)} jobs failed:", *lines]))


def _job(config: Config, folder: Path, trust: Trust, command: str, apart: bool = False) -> int | None:
    """Train one run; return the signal that stopped it. In a process of its own it reports in log.txt alone."""
    shown = Console() if apart else console()
    with silent() if apart else nullcontext():
        run, outcome = lifecycle.train(_in(folder, config), shown, trust, command)
        fit_asked_prior(run, outcome, shown, trust)
    if not outcome or outcome.signal is None:
        return None
    if not apart:
        print(
            f"Stopped at step {outcome.step:,} and saved. To continue, repeat the command with run=FOLDER of the sweep."
        )
        sys.exit(128 + outcome.signal)  # ends the sweep: no other job starts
    return outcome.signal


def _in(folder: Path, config: Config) -> Config:
    """Return the config of a job that trains in this folder."""
    return dataclasses.replace(config, run=str(folder))


def _with_folders(override: str) -> str:
    """Replace names of runs by folders: for the jobs of a sweep, `latest` would be the job before."""
    key, _, names = override.partition("=")
    if key not in ("start", "data.run") or names in ("", "null"):
        return override
    return f"{key}=" + ",".join(str(find(name).path) for name in names.split(","))
