"""`genlab search`: find good values of settings."""

import shlex
import signal
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from genlab.cli import options

if TYPE_CHECKING:
    from genlab.config.schema import Config
    from genlab.config.trust import Trust
    from genlab.search.result import Result
    from genlab.search.study import Search

EXAMPLES = """
Ranges:
  'model.beta=interval(0.25,8)'                              any number between the two
  'model.latent_dim=int(interval(2,64))'                     an integer
  'model.optimizers.model.lr=tag(log,interval(1e-4,1e-1))'   on a logarithmic scale
  'model.latent_dim=range(8,65,8)'                           8, 16, ... 64
  'model.network.hidden=[400],[200,200]'                     one of these; also model/network=mlp,conv

Examples:
  genlab search 'model.optimizers.model.lr=tag(log,interval(1e-4,1e-1))' search.trials=20 run=outputs/lr
  genlab search 'model.beta=interval(0.25,8)' search.metric=FD-classifier search.prune=median
  genlab search 'model.beta=interval(0.25,8)' 'search.metric=[reconstruction,kl]'
"""


def search(
    context: typer.Context,
    overrides: options.SearchOverrides = None,
    plugin: options.Plugins = None,
    config_dir: options.Folders = None,
    trust: options.Trusted = False,
    help_: Annotated[bool, typer.Option("--help", "-h", help="Show this text, the ranges and the settings.")] = False,
) -> None:
    """Search for good settings: genlab search model.latent_dim=2,8,32

    The same command with run=FOLDER continues a search that was stopped or killed.
    """
    from genlab.search import settings

    if help_:
        lines = [f"  {f'search.{name}={settings.default(name)}':<21} {text}" for name, text in settings.HELP.items()]
        print(context.get_help(), EXAMPLES, "Settings of the search:", *lines, sep="\n")
        print("All settings of a training: genlab train --help", "", sep="\n")
        return
    files, folders = options.plugins_and_folders(plugin, config_dir)
    # Read first, because it needs no heavy import.
    settings.split(overrides or [])
    from genlab.build import load_plugins
    from genlab.cli.tables import console
    from genlab.search.search import Asked, folder_of, prepared

    asked, trusted = Asked(overrides or [], folders, files), options.trust(trust)
    folder = folder_of(asked)
    found = prepared(asked, folder, console(), lambda: trusted.remember(load_plugins(files)))
    _train(found, asked, trusted)


def _train(found: "Search", asked: Any, trusted: "Trust") -> None:
    """Train the trials that are missing; then, or when a signal stops them, print the result so far."""
    from genlab.search.progress import StoppedError
    from genlab.search.search import trained

    folder = shlex.quote(str(found.path))
    print(
        f"The trials of this search are in {folder}. To continue it, repeat the command with run={folder}", flush=True
    )
    job = partial(_job, trust=trusted, apart=found.plan.settings.jobs > 1)
    stopped, heard = None, list[int]()

    def announce(number: int) -> None:
        heard.append(number)
        print("Waiting until the running trials have saved. Press Ctrl-C again to stop at once.", flush=True)

    try:
        trained(found, asked, job, announce)
    except (StoppedError, KeyboardInterrupt) as stop:
        stopped = heard[0] if heard else stop.signal if isinstance(stop, StoppedError) else signal.SIGINT
    _print_result(found, done=stopped is None)
    if stopped is not None:
        print(f"Stopped. To continue, repeat the command with run={folder}")
        raise typer.Exit(128 + stopped)


def _job(config: "Config", _folder: Path, trust: "Trust", apart: bool) -> dict[str, Any]:
    """Train one trial; several at once would draw over each other, so they report in their own log.txt."""
    from genlab.cli.tables import terminal
    from genlab.search import trial

    return trial.train(config, None if apart else terminal(), trust)


def _print_result(found: "Search", *, done: bool) -> None:
    from genlab.cli.tables import terminal
    from genlab.search.search import PICTURE, kept
    from genlab.search.study import PLAN

    if not found.finished:
        return
    result = kept(found)
    for table in _tables(found, result):
        terminal().print(table)
    if result.best:
        several = len(found.plan.metrics) > 1
        print("To train one of them again:" if several else "To train the best setting again:")
        print(*(f"  {one.train}" for one in result.best), sep="\n")
        print("Its run is kept:" if not several else "Their runs are kept:", *(one.run for one in result.best))
    else:
        print("No trial has a value.", *result.reasons[:1], file=sys.stderr)
    counts = ", ".join(f"{count} {_STATES.get(state, state)}" for state, count in result.counts.items())
    files = " and ".join(str(found.path / name) for name in (PLAN, PICTURE) if (found.path / name).exists())
    print(f"Trials: {counts}. The result is in {files}.")
    if done:
        print("Compare all trials, write a report, or open their curves:")
        folder = shlex.quote(str(found.path))
        print(*(f"  genlab {command} {folder}" for command in ("compare", "report", "board")), sep="\n")


_STATES = {"complete": "finished", "fail": "failed"}


def _importances_title(result: "Result") -> str:
    return f"importance of each setting, estimated from {result.counts['complete']} trials"


def _tables(found: "Search", result: "Result") -> list[Any]:
    """Return the table of the best trials, and that of the importances."""
    from rich.table import Table

    from genlab.search.progress import shown
    from genlab.training.console import number

    tables = []
    if result.best:
        title = "front" if len(found.plan.metrics) > 1 else "best"
        table = Table(header_style="bold", title=title, title_justify="left")
        for name in ("trial", *found.plan.metrics, *found.plan.space):
            table.add_column(name, justify="right", overflow="fold")
        for one in result.best:
            values = [number(value) for value in one.values.values()]
            table.add_row(str(one.trial), *values, *(shown(value) for value in one.settings.values()))
        tables.append(table)
    if result.importances:
        table = Table(header_style="bold", title=_importances_title(result), title_justify="left")
        for name in ("setting", *result.importances):
            table.add_column(name, justify="left" if name == "setting" else "right")
        for name in next(iter(result.importances.values())):
            table.add_row(name, *(f"{one.get(name, 0):.0%}" for one in result.importances.values()))
        tables.append(table)
    return tables
