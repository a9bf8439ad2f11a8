"""Writes reports: chooses the place, and replaces only a report of genlab's own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from genlab.registry import ConfigError
from genlab.report import several, several_page, single, single_page
from genlab.report.page import GENERATOR
from genlab.runs.results import refuse_unwritable
from genlab.runs.run import OUTPUTS, Run, dated, folder_of_runs, meant
from genlab.training.checkpoint import write_atomically

NAME = "report.html"


class Written(NamedTuple):
    """A report that has been written."""

    path: Path
    size: int
    """Bytes of the file."""
    notes: list[str]
    """Sentences about the runs, such as the step of one that is still being trained."""


def write(names: Sequence[str], out: Path | None = None) -> Written:
    """Write a report of these runs, and return where it is."""
    runs = meant(names)
    wanted = _place(names, runs, out)
    if wanted:
        _refuse_other(wanted)
    refuse_unwritable(wanted.parent if wanted else OUTPUTS / "reports")
    text, notes = _one(runs[0]) if len(runs) == 1 else _several(names, runs)
    # Names that Python has read from damaged JSON may hold half of a character, which no file can.
    content = text.encode("utf-8", "replace")
    path = wanted or dated(OUTPUTS / "reports") / NAME
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, content)
    except OSError as error:
        raise ConfigError(f"{path} cannot be written: {error.strerror or error}.") from None
    return Written(path, len(content), notes)


def _one(run: Run) -> tuple[str, list[str]]:
    content = single.content(run)
    return single_page.write(content), content["notices"]


def _several(names: Sequence[str], runs: Sequence[Run]) -> tuple[str, list[str]]:
    content = several.content(runs, f"{len(runs)} runs: {', '.join(names)}"[:200])
    return several_page.write(content), content["notices"]


def _place(names: Sequence[str], runs: Sequence[Run], out: Path | None) -> Path | None:
    """Return the file that the user names, or report.html in the folder of the run or the sweep; else None."""
    if out is not None:
        out = out.expanduser()
        if out.is_dir():
            return out / NAME
        if out.suffix and out.suffix.lower() not in (".html", ".htm"):
            raise ConfigError(f"A report is an HTML file, so --out must end in .html, got {str(out)!r}.")
        return out if out.suffix else out.with_name(f"{out.name}.html")
    if len(names) == 1 and (folder := folder_of_runs(names[0])):
        return folder / NAME
    return runs[0].path / NAME if len(runs) == 1 else None


def _refuse_other(path: Path) -> None:
    """Raise a ConfigError if another file would be replaced; an earlier report is only a view of the same runs."""
    try:
        with open(path, "rb") as file:
            head = file.read(8192)
    except FileNotFoundError:
        return
    except OSError as error:
        raise ConfigError(f"{path} cannot be written: {error.strerror}.") from None
    if f'content="{GENERATOR}'.encode() not in head:
        raise ConfigError(f"{path} exists and is not a report of genlab; choose another file with --out.")
