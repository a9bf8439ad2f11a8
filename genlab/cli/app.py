"""The command `genlab`: collects the commands; nothing heavy is imported before a command needs it."""

import os
import threading
import warnings
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from genlab.cli import (
    augment,
    average,
    board,
    compare,
    data,
    denoise,
    detect,
    edit,
    embed,
    evaluate,
    explore,
    export,
    fit_prior,
    interpolate,
    listing,
    mix,
    nearest,
    project,
    reconstruct,
    report,
    resume,
    sample,
    search,
    track,
    train,
    translate,
    traverse,
    upscale,
)
from genlab.cli.errors import quietly, sentences


class _Commands(TyperGroup):
    """The group of all commands, which prints their errors as sentences."""

    # Outside of this method typer has already turned Ctrl-C into an exit without a message.
    def invoke(self, ctx: Any) -> Any:
        with sentences():
            return super().invoke(ctx)


app = typer.Typer(
    cls=_Commands,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command(add_help_option=False)(train.train)
app.command()(resume.resume)
app.command(add_help_option=False)(search.search)
app.command()(evaluate.evaluate)
app.command()(compare.compare)
app.command()(report.report)
app.command()(sample.sample)
app.command()(reconstruct.reconstruct)
app.command()(denoise.denoise)
app.command()(fit_prior.fit_prior)
app.command()(interpolate.interpolate)
app.command()(traverse.traverse)
app.command()(mix.mix)
app.command()(project.project)
app.command()(edit.edit)
app.command()(average.average)
app.command()(embed.embed)
app.command()(detect.detect)
app.command()(augment.augment)
app.command()(nearest.nearest)
app.command()(upscale.upscale)
app.command()(translate.translate)
app.command()(explore.explore)
app.command()(track.track)
app.command()(export.export)
app.command("list")(listing.list_)
app.command()(board.board)
app.add_typer(data.app, name="data")


def _print_version(wanted: bool) -> None:
    if wanted:
        from genlab import __version__

        print(f"genlab {__version__}")
        raise typer.Exit


@app.callback()
def genlab(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_print_version, help="Print the version and exit.")
    ] = False,
) -> None:
    """Train, measure and use the classic generative models."""
    # torchrun starts every command several times, and these are for one process.
    if "RANK" in os.environ and context.invoked_subcommand not in ("train", "resume"):
        from genlab import distributed

        if not distributed.first():
            raise typer.Exit


def main() -> None:
    """Run the command line."""
    threading.excepthook = quietly
    warnings.formatwarning = lambda message, *_, **__: f"Warning: {message}\n"
    app()
