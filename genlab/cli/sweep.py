"""`genlab train -m`: many runs from one command, one for every combination of settings."""

import dataclasses
import shlex
import sys
import time
from functools import partial
from pathlib import Path

from genlab.cli.tables import console, runs_table, terminal
from genlab.config import compose
from genlab.config.schema import Config
from genlab.config.trust import Trust
from genlab.lab.after_training import fit_asked_prior
from genlab.runs import lifecycle
from genlab.runs.run import OUTPUTS, find, runs


def sweep(overrides: list[str], folders: list[Path], files: list[str], trust: Trust) -> None:
    """Train every combination in a folder of its own, all in one folder; the same command continues the sweep."""
    named = [override for override in overrides if override.startswith("run=") and override != "run="]
    stamp = time.strftime("%Y-%m-%d_%H-%M-%S")
    folder = Path(named[-1].removeprefix("run=")) if named else OUTPUTS / "sweeps" / stamp
    rest = [_with_folders(override) for override in overrides if override not in named]
    # Before the first job trains: a mistake in the last one would be found hours later.
    jobs = compose.combinations(rest, folder, folders, files)
    lifecycle.check([_in(place, config) for place, config in jobs.items()], console(), trust)
    print(f"The runs of this sweep are in {folder}. To continue it, repeat the command with run={folder}")
    try:
        # Taken here: Hydra gets other arguments in sys.argv while it sweeps.
        job = partial(_job, trust=trust, command=lifecycle.command_line(sys.argv[1:]))
        compose.sweep(rest, folder, job, folders, files)
    finally:
        if found := runs(folder):  # none if the first job was refused
            terminal().print(runs_table(found))
    print(
        "The sweep is done. Measure its runs, compare them, write a report, or open their curves and the HParams tab:"
    )
    commands = ("evaluate", "compare", "report", "board")
    print(*(f"  genlab {command} {shlex.quote(str(folder))}" for command in commands), sep="\n")


def _job(config: Config, folder: Path, trust: Trust, command: str) -> float | None:
    """Train one run; return its best validation metric, which a sweeper that searches minimises."""
    shown = console()
    run, outcome = lifecycle.train(_in(folder, config), shown, trust, command)
    fit_asked_prior(run, outcome, shown, trust)
    if outcome and outcome.signal is not None:
        print(
            f"Stopped at step {outcome.step:,} and saved. To continue, repeat the command with run=FOLDER of the sweep."
        )
        sys.exit(128 + outcome.signal)  # Hydra would swallow an Exception and start the next job
    best = run.facts.get("best")
    return best["value"] if best else None


def _in(folder: Path, config: Config) -> Config:
    """Return the config of a job that trains in this folder."""
    return dataclasses.replace(config, run=str(folder))


def _with_folders(override: str) -> str:
    """Replace names of runs by folders: for the jobs of a sweep, `latest` would be the job before."""
    key, _, names = override.partition("=")
    if key not in ("start", "data.run") or names in ("", "null"):
        return override
    return f"{key}=" + ",".join(str(find(name).path) for name in names.split(","))
