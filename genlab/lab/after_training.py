"""The end of a training: the prior that a recipe asks for is fitted, so that the run can sample at once."""

from contextlib import nullcontext

from genlab.config import compose
from genlab.config.trust import Trust
from genlab.data.progress import silent
from genlab.lab.prior import FILE
from genlab.registry import ConfigError, RunError
from genlab.runs.run import Run as Folder
from genlab.training.console import Console
from genlab.training.trainer import Outcome


def fit_asked_prior(folder: Folder, outcome: Outcome | None, console: Console, trust: Trust) -> None:
    """Fit the prior that `model.fitted_prior` asks for, as `genlab fit-prior` does, if the run is finished.

    `outcome` is None if the run was finished before. Then its prior is fitted only if it is missing, for example
    because the process was killed while it fitted. The training never fails because of its prior.
    """
    config, path = compose.load(folder.path / "config.yaml"), folder.path
    done = (path / FILE).exists() if outcome is None else outcome.state != "finished"
    if done or not config.fitted_prior:
        return
    # Imported only by runs that need it.
    from genlab.lab.fit_prior import fit_prior
    from genlab.lab.run import Run

    try:
        with nullcontext() if console.terminal else silent():
            run = Run(path, device=config.device, trust=trust)
            found = fit_prior(run, config.fitted_prior, count=0, console=console)
    # Codes of any kind can come from a training, and each library that sees them has errors of its own.
    except (ConfigError, RunError, RuntimeError, ValueError) as error:
        console.say(f"No prior was fitted to the codes: {error}")
    else:
        console.say(f"Fitted {found.prior.describe()} to the codes, so that `genlab sample {path}` can draw from it.")
