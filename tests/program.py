"""The program as a person starts it: here in this process, where that is enough, or in one of its own."""

import contextlib
import io
import resource
import subprocess
import sys
import threading
import warnings
from pathlib import Path

from genlab.assembly import TABLES
from genlab.cli import main

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
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, preexec_fn=limit)


def assert_refused(done: Done, sentence: str) -> None:
    """It ended as a user's mistake ends: a sentence and exit code 2."""
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr + done.stdout
    assert done.returncode == 2
