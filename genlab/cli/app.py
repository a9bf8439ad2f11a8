"""The front door: one short function a command; nothing heavy is imported before it is needed."""

import os
import shlex
import sys
import threading
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from genlab.cli import options as arguments
from genlab.cli.errors import quietly, sentences

if TYPE_CHECKING:
    from genlab.config.trust import Trust
    from genlab.runs.run import Run
    from genlab.training.console import Console
    from genlab.training.trainer import Outcome

_BUDGET = "trainer.epochs, trainer.steps (in all, not how many more) or device."

app = typer.Typer(
    help="The lab bench for the classic generative models.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
data_app = typer.Typer(help="Look at a data set, or clean up after your own.", no_args_is_help=True)
app.add_typer(data_app, name="data")


@app.command(add_help_option=False)
def train(
    context: typer.Context,
    overrides: arguments.Overrides = None,
    multirun: Annotated[bool, typer.Option("--multirun", "-m", help="Every combination, such as model=ae,vae")] = False,
    plugin: arguments.Plugins = None,
    config_dir: arguments.Folders = None,
    trust: arguments.Trusted = False,
    cfg: Annotated[arguments.Shown | None, typer.Option(help="Print the composed config and do not train.")] = None,
    help_: Annotated[bool, typer.Option("--help", "-h", help="Show the groups and the settings.")] = False,
) -> None:
    """Train a model, such as: genlab train model=vae trainer.epochs=5"""
    from genlab.config import compose as config

    given = overrides or []
    files, folders = _given(plugin, config_dir)
    if help_:
        from genlab.config.help import explain

        print(context.get_help(), *explain(given, folders), sep="\n")
    elif multirun and cfg:
        raise typer.BadParameter("--cfg prints one config; leave out -m.")
    elif multirun:
        from genlab.cli.sweep import sweep

        sweep(given, folders, files, _trust(trust))
    elif cfg:
        print(config.as_yaml(config.compose(given, folders, files).plain), end="")
    else:
        wanted = config.compose(given, folders, files)
        from genlab.runs import lifecycle

        _finish(*lifecycle.train(wanted, _console(), _trust(trust)))


@app.command()
def resume(
    name: arguments.RunName,
    overrides: Annotated[list[str] | None, typer.Argument(metavar="[SETTING=VALUE]...", help=_BUDGET)] = None,
    trust: arguments.Trusted = False,
) -> None:
    """Go on with a run that was stopped, or give a finished one more epochs."""
    from genlab.runs.run import find

    found = find(name)
    from genlab.runs import lifecycle

    _finish(*lifecycle.resume(found, overrides or [], _console(), _trust(trust)))


@app.command()
def evaluate(
    runs: arguments.Runs,
    features: arguments.Embedding = None,
    count: arguments.Count = 10_000,
    importance: arguments.Importance = 50,
    draws: arguments.Draws = 3,
    images: arguments.TestImages = 10_000,
    only: arguments.Only = None,
    data: arguments.DataPlace = None,
    device: arguments.DeviceName = "auto",
    trust: arguments.Trusted = False,
) -> None:
    """Measure runs on test images, by all that their models can do: genlab evaluate latest"""
    from genlab.runs.run import meant

    found = meant(runs)
    from genlab.cli import tables as report
    from genlab.evaluation import evaluate as evaluating
    from genlab.evaluation.bench import Asked
    from genlab.training.engine import choose_device

    parts = () if only is None else tuple(only.split(","))
    asked = Asked(features=features, count=count, importance=importance, draws=draws, images=images, only=parts)

    def tell(record: dict[str, Any]) -> None:
        report.terminal().print(report.evaluation_table(record))
        print(*report.protocol(record), sep="\n")

    evaluating.evaluate(found, asked, choose_device(device), data, _console(), tell, _trust(trust))
    if len(found) > 1:
        print(f"Next:\n  genlab compare {shlex.join(runs)}")


@app.command()
def upscale(
    name: arguments.RunName,
    pictures: arguments.Pictures,
    out: arguments.Results = None,
    scale: arguments.Scale = None,
    compare: arguments.Compare = False,
    measure: arguments.Measure = False,
    features: arguments.FeaturesName = None,
    device: arguments.DeviceName = "auto",
    trust: arguments.Trusted = False,
) -> None:
    """Enlarge pictures with a model that has learnt it, such as: genlab upscale latest photos/ --compare"""
    from genlab.runs.run import find

    if features and not measure:
        raise typer.BadParameter("--features says what --measure sees differences by; add --measure.")
    if out and measure and not compare:
        raise typer.BadParameter("--measure writes nothing into --out; add --compare, or leave out --out.")
    found = find(name)
    from genlab import build
    from genlab.cli import tables as report
    from genlab.config import compose as config
    from genlab.evaluation.judge import judge
    from genlab.lab import upscale as lab
    from genlab.runs import open as open_run
    from genlab.training.engine import choose_device, keep_freed_memory

    lab.refuse_unable(found)
    home, settings = choose_device(device), found.path / "config.yaml"
    enlarger = lab.enlarger_of(found, open_run.open_model(found, _trust(trust)).to(home), scale)
    work = lab.Work(enlarger, out or found.path / "upscaled", found.facts["name"], compare, print)
    wanted = work.meant(pictures, measured=measure)
    if home.type == "cpu" and not work.large(wanted):
        keep_freed_memory()
    if measure:
        facts = {"device": home, "console": _console()}
        by = judge(features, lambda: build.build_images(config.load(settings)), print, **facts)
        rows, bad = work.measure(wanted, by)
        if rows:
            report.terminal().print(report.measured_table(rows, work.caption))
    else:
        bad = work.enlarge(wanted)
    lab.settle(len(wanted), bad, "measured" if measure else "enlarged")


@app.command()
def compare(
    runs: arguments.Runs,
    sort: arguments.SortBy = None,
    figures: arguments.FigureNames = "",
    checkpoint: arguments.Checkpoint = arguments.Which.last,
    out: arguments.ComparisonFolder = None,
    form: arguments.Printed = arguments.Format.text,
    trust: arguments.Trusted = False,
) -> None:
    """Hold runs against each other: settings that differ, figures, cost, samples of equal noise."""
    from genlab.comparison import compare as comparing

    names = [name.strip() for name in figures.split(",") if name.strip()]
    chosen: dict[str, Any] = {"by": sort, "figures": names, "out": out, "form": form.value}
    comparing.compare(runs, checkpoint=checkpoint.value, trust=_trust(trust), **chosen)


@app.command("list")
def list_(subject: Annotated[arguments.Subject, typer.Argument(help="What to list.")]) -> None:
    """List the models, data, networks, experiments or runs."""
    if subject is arguments.Subject.runs:
        from genlab.cli.tables import runs_table, terminal
        from genlab.runs.run import OUTPUTS, runs

        found = runs()
        terminal().print(runs_table(found) if found else f"There are no runs in {OUTPUTS}/ yet.")
    elif subject is arguments.Subject.data:
        from genlab.cli.tables import sets_table, terminal

        terminal().print(sets_table())
    else:
        from genlab.config.help import described

        for name, text in described(arguments.GROUP_OF[subject]):
            print(f"{name:<16} {text}".rstrip())


@app.command()
def board(
    folder: Annotated[Path, typer.Argument(help="Where the runs are.")] = Path("outputs"),
    port: Annotated[int, typer.Option(help="Where TensorBoard listens.")] = 6006,
) -> None:
    """Open TensorBoard on the runs."""
    from genlab.registry import ConfigError

    if not folder.is_dir():
        raise ConfigError(f"There are no runs in {folder}/ yet; `genlab train` makes one.")
    arguments = ["-m", "tensorboard.main", "--logdir", str(folder), "--port", str(port)]
    os.execv(sys.executable, [sys.executable, *arguments])


@data_app.command()
def show(
    name: Annotated[str, typer.Argument(metavar="NAME|FOLDER", help="A data set, or a folder with images of yours.")],
    overrides: Annotated[list[str] | None, typer.Argument(metavar="[SETTING=VALUE]...", show_default=False)] = None,
    picture: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Where the grid goes; outputs/data/NAME.png unless told.")
    ] = None,
    plugin: arguments.Plugins = None,
    config_dir: arguments.Folders = None,
) -> None:
    """Say what a data set holds, and write a grid of its images with what is known of each."""
    from genlab import build
    from genlab.cli import tables as report
    from genlab.config import compose as config
    from genlab.runs import run

    files, folders = _given(plugin, config_dir)
    # A set's own name comes first: whoever has a folder called mnist beside it says ./mnist.
    is_place = name not in config.choices("data", folders) and ("/" in name or os.path.exists(name))
    set_name, settings = ("folder", [f"data.path={name}"]) if is_place else (name, [])
    wanted = config.compose([f"data={set_name}", *settings, *(overrides or [])], folders, files)
    build.load_plugins(files)
    images = build.build_images(wanted)
    file = picture or run.OUTPUTS / "data" / f"{set_name}.png"
    report.terminal().print(report.data_table(images, file))
    print(f"A grid of its images is in {file}")


@data_app.command()
def clean() -> None:
    """Remove the decoded images of data=folder; they are decoded again when they are next wanted."""
    from genlab.data.files import cache

    print(f"{cache.clean() / 1e6:,.1f} MB are free again in {cache.cache_folder()}.")


def _given(plugin: list[Path] | None, config_dir: list[Path] | None) -> tuple[list[str], list[Path]]:
    """The plugins' files, and the folders with recipes besides ours."""
    from genlab.config import plugins

    files = [str(path) for path in plugin or []]
    return files, [*(config_dir or []), *(folder for file in files for folder in plugins.config_folder(file))]


def _finish(run: "Run", outcome: "Outcome | None") -> None:
    """Say how it went and what to type next; a run that was stopped ends the program as its signal asks."""
    from genlab.cli.tables import outcome_table, terminal

    if outcome is None:
        return
    there = shlex.quote(str(run.path))
    if outcome.state == "finished":
        terminal().print(outcome_table(run.facts))
        more = f"genlab resume {there} trainer.steps={outcome.step * 2}"
        says = ["genlab board", f"genlab evaluate {there}", more, "genlab list runs"]
        print(f"The run is in {run.path}; look at its images/. Next:", *says, sep="\n  ")
    else:
        print(f"Stopped at step {outcome.step:,} and saved. Go on with:\n  genlab resume {there}")
        raise typer.Exit(128 + (outcome.signal or 0))


def _console() -> "Console":
    from genlab.cli.tables import terminal
    from genlab.training.console import Console

    return Console(terminal())


def _trust(given: bool) -> "Trust":
    """The user's consent to run the plugins of runs; a question is asked only where somebody can read and answer it."""
    from genlab.config.trust import Trust

    answered = sys.stdin.isatty() and sys.stdout.isatty()
    return Trust(given, typer.confirm if answered else None)


def main() -> None:
    """The console script."""
    threading.excepthook = quietly
    warnings.formatwarning = lambda message, *_, **__: f"Warning: {message}\n"
    with sentences():
        app()
