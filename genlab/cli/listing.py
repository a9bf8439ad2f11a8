"""`genlab list`: models, data sets, networks, experiments and runs."""

from pathlib import Path
from typing import Annotated

import typer

from genlab.cli import options


def list_(
    subject: Annotated[options.Subject, typer.Argument(help="The entries to list.", show_default=False)],
    folder: Annotated[
        Path | None, typer.Argument(metavar="FOLDER", help="Folder of the runs (default: outputs).", exists=True)
    ] = None,
) -> None:
    """List the models, data sets, networks, experiments or runs."""
    if folder and subject is not options.Subject.runs:
        raise typer.BadParameter("Only `genlab list runs` takes a folder.")
    if subject is options.Subject.runs:
        from genlab.cli.tables import runs_table, terminal
        from genlab.runs.run import OUTPUTS, runs

        found = runs(folder or OUTPUTS)
        nothing = f"There are no runs in {folder}." if folder else f"There are no runs in {OUTPUTS}/ yet."
        terminal().print(runs_table(found) if found else nothing)
    elif subject is options.Subject.data:
        from genlab.cli.tables import sets_table, terminal

        terminal().print(sets_table())
    else:
        from genlab.config.help import described

        for name, text in described(options.GROUP_OF[subject]):
            print(f"{name:<16} {text}".rstrip())
