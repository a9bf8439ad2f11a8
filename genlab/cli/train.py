"""`genlab train`: train one model, or with -m every combination of settings."""

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from genlab.cli import options

if TYPE_CHECKING:
    from genlab.runs.run import Run
    from genlab.training.trainer import Outcome


def train(
    context: typer.Context,
    overrides: options.Overrides = None,
    multirun: Annotated[
        bool, typer.Option("--multirun", "-m", help="Train every combination, such as model=ae,vae seed=1,2.")
    ] = False,
    plugin: options.Plugins = None,
    config_dir: options.Folders = None,
    trust: options.Trusted = False,
    cfg: Annotated[options.Shown | None, typer.Option(help="Print the composed config and do not train.")] = None,
    help_: Annotated[bool, typer.Option("--help", "-h", help="Show this text, the groups and the settings.")] = False,
) -> None:
    """Train a model: genlab train model=vae trainer.epochs=5"""
    from genlab.config import compose

    given = overrides or []
    files, folders = options.plugins_and_folders(plugin, config_dir)
    if help_:
        from genlab.config.help import explain

        print(context.get_help(), *explain(given, folders), sep="\n")
    elif multirun and cfg:
        raise typer.BadParameter("--cfg prints one config; leave out -m.")
    elif multirun:
        from genlab.cli.sweep import sweep

        sweep(given, folders, files, options.trust(trust))
    elif cfg:
        print(compose.as_yaml(compose.compose(given, folders, files).plain), end="")
    else:
        # Composed before torch is imported, so that a mistake is reported at once.
        config = compose.compose(given, folders, files)
        from genlab import distributed

        if config.devices > 1 and not distributed.launched():
            from genlab.cli.together import start

            raise typer.Exit(start(config.devices, sys.argv[1:]))
        from genlab.cli.tables import console
        from genlab.lab.after_training import fit_asked_prior
        from genlab.runs import lifecycle

        shown, trusted = console(), options.trust(trust)
        run, outcome = lifecycle.train(config, shown, trusted)
        distributed.leave()
        if distributed.first():
            fit_asked_prior(run, outcome, shown, trusted)
        finish(run, outcome)


def _looks(path: Path) -> tuple[str, str]:
    """Return the commands that open TensorBoard on a run, and that list the runs beside it."""
    from genlab.runs.run import OUTPUTS

    if path.resolve().is_relative_to(OUTPUTS.resolve()):
        return "genlab board", "genlab list runs"
    return f"genlab board {shlex.quote(str(path))}", f"genlab list runs {shlex.quote(str(path.parent))}"


def finish(run: "Run", outcome: "Outcome | None") -> None:
    """Print the result and what to type next; exit as the signal asks if the run was stopped.

    Of several processes that train together, the first one prints.
    """
    from genlab import distributed
    from genlab.cli.tables import outcome_table, terminal

    if outcome is None:
        return
    if not distributed.first():
        raise typer.Exit(0 if outcome.state == "finished" else 128 + (outcome.signal or 0))
    folder = shlex.quote(str(run.path))
    if outcome.state == "finished":
        terminal().print(outcome_table(run))
        more = f"genlab resume {folder} trainer.steps={outcome.step * 2}"
        board, runs = _looks(run.path)
        commands = [board, f"genlab evaluate {folder}", f"genlab report {folder}", more, runs]
        previews = [f"{name}/" for name in ("images", "texts", "sounds") if (run.path / name).is_dir()]
        look = f"; look at its {' and '.join(previews)}" if previews else ""
        print(f"The run is in {run.path}{look}. Next:", *commands, sep="\n  ")
    else:
        print(f"Stopped at step {outcome.step:,} and saved. Continue with:\n  genlab resume {folder}")
        raise typer.Exit(128 + (outcome.signal or 0))
