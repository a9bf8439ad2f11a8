"""`genlab resume`: continue a run."""

import sys
from typing import Annotated

import typer

from genlab.cli import options

_BUDGET = "trainer.epochs or trainer.steps (the new total, default: as before), device or devices."


def resume(
    name: options.RunName,
    overrides: Annotated[list[str] | None, typer.Argument(metavar="SETTING=VALUE...", help=_BUDGET)] = None,
    trust: options.Trusted = False,
) -> None:
    """Continue a stopped run, or train a finished one for longer."""
    from genlab.runs.run import find

    run = find(name)
    from genlab import distributed
    from genlab.runs import lifecycle

    config = lifecycle.changed(run, overrides or [])
    if config.devices > 1 and not distributed.launched():
        from genlab.cli.together import start

        raise typer.Exit(start(config.devices, sys.argv[1:]))
    from genlab.cli.tables import console
    from genlab.cli.train import finish
    from genlab.lab.after_training import fit_asked_prior

    shown, trusted = console(), options.trust(trust)
    resumed, outcome = lifecycle.resume(run, overrides or [], shown, trusted)
    distributed.leave()
    if distributed.first():
        fit_asked_prior(resumed, outcome, shown, trusted)
    finish(resumed, outcome)
