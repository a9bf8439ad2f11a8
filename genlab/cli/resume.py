"""`genlab resume`: continue a run."""

from typing import Annotated

import typer

from genlab.cli import options

_BUDGET = "trainer.epochs or trainer.steps (the new total, default: as before), or device."


def resume(
    name: options.RunName,
    overrides: Annotated[list[str] | None, typer.Argument(metavar="SETTING=VALUE...", help=_BUDGET)] = None,
    trust: options.Trusted = False,
) -> None:
    """Continue a stopped run, or train a finished one for longer."""
    from genlab.runs.run import find

    run = find(name)
    from genlab.cli.tables import console
    from genlab.cli.train import finish
    from genlab.lab.after_training import fit_asked_prior
    from genlab.runs import lifecycle

    shown, trusted = console(), options.trust(trust)
    resumed, outcome = lifecycle.resume(run, overrides or [], shown, trusted)
    fit_asked_prior(resumed, outcome, shown, trusted)
    finish(resumed, outcome)
