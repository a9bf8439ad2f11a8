"""The parts that all lab commands share: the run that they open, the folder of their results, and their last words."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from genlab.cli import options

if TYPE_CHECKING:
    from genlab.kinds import Kind
    from genlab.lab.given import Given
    from genlab.lab.results import Results
    from genlab.lab.run import Run


def opened(name: str, checkpoint: options.Which, device: str, trusted: bool, data: Path | None = None) -> Run:
    """Open the run that a command works with."""
    from genlab.runs.run import find

    path = find(name).path
    from genlab.lab.run import Run

    return Run(path, checkpoint=checkpoint.value, device=device, trust=options.trust(trusted), data=data)


def results(run: Run, command: str, out: Path | None, paths: Sequence[str] | None = None) -> Results:
    """Return the folder for the results: the one that the user names, or a new one in the run.

    It must not overlap the pictures in `paths`.
    """
    from genlab.lab.files import sources
    from genlab.lab.given import data_sets
    from genlab.lab.results import Results, new_folder

    if out and paths:
        sources([Path(path) for path in paths if path not in data_sets()], out)
    return Results(out or new_folder(run.path, command), print)


def items(run: Run, paths: Sequence[str] | None, count: int) -> Given:
    """Return the items that the user names, without files that cannot be read."""
    from genlab.lab.given import given
    from genlab.lab.run import at_least

    return given(run, paths or None, count=at_least(1, "count", count), skip_bad=True)


def counted(given: Given, kind: Kind) -> str:
    """Return the number of items, as the first column of a table has it: `mean of 200 images`."""
    return f"mean of {len(given):,} {kind.plural}" if len(given) > 1 else f"one of the {kind.plural}"


def finish(results: Results, given: Given | None = None) -> None:
    """Say how the given items were converted, which files were written, and which ones could not be read."""
    from genlab.registry import RunError

    for note in given.notes if given else ():
        print(note)
    results.report()
    if given and given.bad:
        files = "file" if len(given.bad) == 1 else "files"
        raise RunError("\n  ".join([f"{len(given.bad):,} {files} could not be read; the others are done:", *given.bad]))
