"""Many runs from one command: every combination of what was asked for."""

import dataclasses
import shlex
import sys
import time
from functools import partial
from pathlib import Path

from genlab.cli.tables import runs_table, terminal
from genlab.config import compose as config
from genlab.config.compose import Config
from genlab.config.trust import Trust
from genlab.runs import lifecycle
from genlab.runs.run import OUTPUTS, find, runs
from genlab.training.console import Console


def sweep(overrides: list[str], folders: list[Path], files: list[str], trust: Trust) -> None:
    """Train every combination, each in a folder of its own, in one folder that a second start continues."""
    named = [override for override in overrides if override.startswith("run=") and override != "run="]
    stamp = time.strftime("%Y-%m-%d_%H-%M-%S")
    folder = Path(named[-1].removeprefix("run=")) if named else OUTPUTS / "sweeps" / stamp
    rest = [_settled(override) for override in overrides if override not in named]
    print(f"The runs of this sweep are in {folder}; the same command with run={folder} goes on with it.")
    try:
        config.sweep(rest, folder, partial(_job, trust=trust), folders, files)
    finally:
        terminal().print(runs_table(runs(folder)))
    print("The sweep is done. Measure its runs, set them beside each other, or see their curves and the HParams tab:")
    print(*(f"  genlab {command} {shlex.quote(str(folder))}" for command in ("evaluate", "compare", "board")), sep="\n")


def _job(wanted: Config, folder: Path, trust: Trust) -> float | None:
    """One run of a sweep; its best validation figure is what a sweeper that searches lowers."""
    run, outcome = lifecycle.train(dataclasses.replace(wanted, run=str(folder)), Console(terminal()), trust)
    if outcome and outcome.signal is not None:
        print(f"Stopped at step {outcome.step:,} and saved. The same command with the sweep's run= goes on with it.")
        sys.exit(128 + outcome.signal)  # what is an Exception Hydra keeps to itself, and starts the next job
    best = run.facts.get("best")
    return best["value"] if best else None


def _settled(override: str) -> str:
    """Names of runs to start from as their folders: to each job of a sweep the one before it would be the latest."""
    key, _, names = override.partition("=")
    if key != "start" or names in ("", "null"):
        return override
    return "start=" + ",".join(str(find(name).path) for name in names.split(","))
