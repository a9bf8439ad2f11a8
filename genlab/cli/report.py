"""`genlab report`: one or several runs as one HTML file."""

from pathlib import Path
from typing import Annotated

import typer

from genlab.cli import options


def report(
    runs: options.Runs,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            metavar="FILE",
            help="HTML file to write (default: report.html in the folder of the run or sweep; for several runs, in a "
            "new folder in outputs/reports). An earlier report is replaced; any other file is refused.",
        ),
    ] = None,
) -> None:
    """Write runs as one HTML file to read and hand on: genlab report latest"""
    from genlab.report import report as write

    written = write(runs, out)
    for note in written.notes:
        print(note)
    size = f"{written.size / 1e6:.1f} MB" if written.size >= 1e6 else f"{written.size / 1e3:,.0f} kB"
    print(f"{written.path} ({size}). Open it in a browser.")
