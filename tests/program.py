"""The program as a person starts it: here in this process, where that is enough, or in one of its own."""

import contextlib
import io
import os
import resource
import subprocess
import sys
import threading
import warnings
from pathlib import Path

import torch

from genlab.assembly import TABLES
from genlab.cli import main
from genlab.training import checkpoint

# The smallest run that there is.
TINY = ["data=digits", "trainer=smoke", "model.network.hidden=[8]", "trainer.batch_size=16"]

Done = subprocess.CompletedProcess[str]


def genlab(folder: Path, *arguments: str) -> Done:
    """Run it to its end in a folder, in this process, which is left as it was."""
    said, complained, code = io.StringIO(), io.StringIO(), 0
    argv, hook, written = sys.argv, threading.excepthook, warnings.formatwarning
    tables = {name: dict(table) for name, table in TABLES.items()}
    sys.argv = ["genlab", *arguments]
    try:
        with contextlib.chdir(folder), contextlib.redirect_stdout(said), contextlib.redirect_stderr(complained):
            main()
    except SystemExit as leaving:
        code = int(leaving.code or 0)
    finally:
        sys.argv, threading.excepthook, warnings.formatwarning = argv, hook, written
        for name, table in tables.items():
            TABLES[name].clear()
            TABLES[name].update(table)
    return subprocess.CompletedProcess(list(arguments), code, said.getvalue(), complained.getvalue())


def genlab_apart(folder: Path, *arguments: str, largest_file: int | None = None) -> Done:
    """The same in a process of its own; a file that grows beyond the largest is refused as by a full disk."""

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (largest_file or resource.RLIM_INFINITY,) * 2)

    command = [sys.executable, "-m", "genlab", *arguments]
    # torch-fidelity brings a package `tests` of its own, and plugins of tests import from ours.
    ours = os.environ | {"PYTHONPATH": str(Path(__file__).parent.parent)}
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, preexec_fn=limit, env=ours)


def assert_refused(done: Done, sentence: str) -> None:
    """It ended as a user's mistake ends: a sentence and exit code 2."""
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr + done.stdout
    assert done.returncode == 2


def assert_resumed_exactly(folder: Path, *arguments: str) -> None:
    """A run of ten steps and one that was stopped after five and resumed end bit for bit alike."""
    for run, steps in (("one", 10), ("two", 5)):
        done = genlab(folder, "train", *arguments, f"trainer.steps={steps}", f"run={run}")
        assert done.returncode == 0, done.stderr
    assert genlab(folder, "resume", "two", "trainer.steps=10").returncode == 0
    assert_same_end(folder / "one", folder / "two", step=10)


def assert_same_end(one: Path, two: Path, step: int) -> None:
    """Both runs have come to this step with the same tensors, those of an average among them."""
    ours, theirs = (checkpoint.newest(run / "checkpoints") for run in (one, two))
    assert ours
    assert theirs
    assert ours.step == theirs.step == step
    assert ours.tensors.keys() == theirs.tensors.keys()
    assert any(name.startswith("average/") for name in ours.tensors)
    assert [name for name, value in ours.tensors.items() if not torch.equal(value, theirs.tensors[name])] == []
