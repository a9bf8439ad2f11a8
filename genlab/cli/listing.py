"""`genlab list`: models, data sets, networks, experiments and runs."""

from typing import Annotated

import typer

from genlab.cli import options


def list_(subject: Annotated[options.Subject, typer.Argument(help="The entries to list.", show_default=False)]) -> None:
    """List the models, data sets, networks, experiments or runs."""
    if subject is options.Subject.runs:
        from genlab.cli.tables import runs_table, terminal
        from genlab.runs.run import OUTPUTS, runs

        found = runs()
        terminal().print(runs_table(found) if found else f"There are no runs in {OUTPUTS}/ yet.")
    elif subject is options.Subject.data:
        from genlab.cli.tables import sets_table, terminal

        terminal().print(sets_table())
    else:
        from genlab.config.help import described

        for name, text in described(options.GROUP_OF[subject]):
            print(f"{name:<16} {text}".rstrip())
