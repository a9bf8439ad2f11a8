"""Arguments and options that commands share, with their help texts and completions."""

import os
import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from genlab.config.trust import Trust


class Subject(StrEnum):
    """The subjects of `genlab list`."""

    models = "models"
    data = "data"
    networks = "networks"
    experiments = "experiments"
    runs = "runs"


GROUP_OF = {
    Subject.models: "model",
    Subject.networks: "model/network",
    Subject.experiments: "experiment",
}


class Shown(StrEnum):
    """The values of `--cfg`."""

    job = "job"


class Format(StrEnum):
    """The formats in which `genlab compare` prints."""

    text = "text"
    csv = "csv"
    json = "json"


class Which(StrEnum):
    """The checkpoint of a run that is used or compared."""

    last = "last"
    best = "best"


class FileFormat(StrEnum):
    """The formats in which lab commands write items."""

    png = "png"
    npz = "npz"


class Prior(StrEnum):
    """The distributions from which codes of samples are drawn."""

    auto = "auto"
    fitted = "fitted"
    normal = "normal"


def plugins_and_folders(plugin: list[Path] | None, config_dir: list[Path] | None) -> tuple[list[str], list[Path]]:
    """Return the plugin files, and the config folders besides genlab's own."""
    from genlab.config import plugins

    files = [str(path) for path in plugin or []]
    return files, [*(config_dir or []), *(folder for file in files for folder in plugins.config_folder(file))]


def trust(given: bool) -> "Trust":
    """Return the user's consent to run the plugins of runs; ask only if the user sees the question and can answer."""
    from genlab.config.trust import Trust

    # One of several processes cannot ask: all of them would.
    interactive = sys.stdin.isatty() and sys.stdout.isatty() and "RANK" not in os.environ
    return Trust(given, typer.confirm if interactive else None)


def _complete_override(context: typer.Context, incomplete: str) -> list[str]:
    from genlab.config.help import complete

    # Typer passes no arguments to a callback that asks for them under their own name.
    return complete(context.params.get("overrides") or [], incomplete)


def _complete_search(context: typer.Context, incomplete: str) -> list[str]:
    from genlab.search.settings import HELP

    own = [f"search.{name}=" for name in HELP]
    found = [word for word in own if word.startswith(incomplete)]
    return found if incomplete.startswith("search.") else [*_complete_override(context, incomplete), *found]


def _complete_run(incomplete: str) -> list[str]:
    from genlab.runs.run import runs

    names = {"latest"} | {str(run.path) for run in runs()} | {str(run.facts.get("name")) for run in runs()}
    return sorted(name for name in names if name.startswith(incomplete))


def _complete_data(incomplete: str) -> list[str]:
    from genlab.config.compose import choices

    return [name for name in choices("data") if name.startswith(incomplete)]


def _complete_features(incomplete: str) -> list[str]:
    from genlab.config.compose import choices

    return [name for name in choices("model/features") if name.startswith(incomplete)]


Overrides = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="GROUP=NAME | SETTING=VALUE",
        help="Recipes and settings, such as model=vae data=digits trainer.epochs=5; --help lists them all "
        "(default: vae on fashion-mini).",
        show_default=False,
        autocompletion=_complete_override,
    ),
]
SearchOverrides = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="SETTING=RANGE | SETTING=VALUE",
        help="Settings with ranges or choices, others as for `genlab train`, and search.SETTING=VALUE.",
        show_default=False,
        autocompletion=_complete_search,
    ),
]
RunName = Annotated[
    str,
    typer.Argument(
        metavar="RUN",
        help="A folder, `latest`, or a model and its data, such as vae-fashion-mini; the newest of several runs.",
        show_default=False,
        autocompletion=_complete_run,
    ),
]
DataName = Annotated[
    str,
    typer.Argument(
        metavar="NAME|FOLDER",
        help="A data set, or a folder with your images.",
        show_default=False,
        autocompletion=_complete_data,
    ),
]
Plugins = Annotated[
    list[Path] | None,
    typer.Option("--plugin", metavar="FILE", help="Your own Python file with MODELS, NETWORKS, SOURCES or EXTRACTORS."),
]
Trusted = Annotated[
    bool, typer.Option("--trust", help="Run the plugins of the runs, which are Python code, without asking.")
]
Folders = Annotated[
    list[Path] | None,
    typer.Option(
        "--config-dir", metavar="FOLDER", exists=True, file_okay=False, help="A folder with more config files."
    ),
]
Pictures = Annotated[
    list[Path],
    typer.Argument(
        metavar="PICTURES...", help="Files, folders, or quoted patterns such as 'photos/*.jpg'.", show_default=False
    ),
]
Results = Annotated[
    Path | None, typer.Option("--out", metavar="DIR", help="Folder for the results (default: upscaled/ in the run).")
]
ResultsFolder = Annotated[
    Path | None,
    typer.Option("--out", metavar="FOLDER", help="Folder for the results (default: a new one in the lab/ of the run)."),
]
Items = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="PATHS...",
        help="Files, folders, quoted patterns such as 'photos/*.jpg', or the name of a data set "
        "(default: the run's own test data).",
        show_default=False,
        autocompletion=_complete_data,
    ),
]
ItemCount = Annotated[
    int | None, typer.Option("--count", help="Items of each data set to use (default: depends on the command).")
]
UsedItems = Annotated[int, typer.Option("--count", help="Items of each data set to use; of files all are used.")]
Seed = Annotated[int, typer.Option("--seed", help="Seed of everything random; the same seed gives the same files.")]
CheckpointUsed = Annotated[Which, typer.Option("--checkpoint", help="Checkpoint of the run that is used.")]
PriorUsed = Annotated[
    Prior,
    typer.Option(
        "--prior", help="fitted: of `genlab fit-prior`; normal: the model's own; auto: fitted if there is one."
    ),
]
ItemFormat = Annotated[
    FileFormat, typer.Option("--format", help="png: one file for each item; npz: one file of arrays for all.")
]
Scale = Annotated[int | None, typer.Option("--scale", help="Upscaling factor (default and only choice: the run's).")]
Compare = Annotated[
    bool, typer.Option("--compare", help="Also write NAME-compare.png for each picture: bicubic beside the model.")
]
Measure = Annotated[
    bool,
    typer.Option("--measure", help="Downscale the pictures, upscale them again, and measure the difference."),
]
FeaturesName = Annotated[
    str | None,
    typer.Option(
        "--features",
        metavar="NAME",
        help="Features for the perceptual distance of --measure, or vgg19=FILE (default: lite0 if it is installed).",
        autocompletion=_complete_features,
    ),
]
DeviceName = Annotated[str, typer.Option("--device", help="auto, cpu, cuda, cuda:1 or mps.")]
AllMetrics = Annotated[bool, typer.Option("--all", help="Print all metrics (default: the five main ones).")]
Embedding = Annotated[
    str | None,
    typer.Option(
        "--features",
        metavar="NAME",
        help="Features that compare samples with real data: classifier, random, lite0, inception or inception=FILE "
        "(default: classifier if the data has labels, otherwise random).",
    ),
]
Count = Annotated[int, typer.Option("--count", help="Maximum number of samples, compared with as many test items.")]
Importance = Annotated[int, typer.Option("--importance", help="Samples per item for the importance-weighted bound.")]
Draws = Annotated[int, typer.Option("--draws", help="Repeat random metrics with this many seeds; report mean ± std.")]
TestImages = Annotated[
    int,
    typer.Option("--images", help="Maximum number of test items for all other metrics, and of training items."),
]
Only = Annotated[
    str | None,
    typer.Option(
        "--only",
        metavar="PART,...",
        help="Measure only these parts (default: all): reconstruct, denoise, score, sample, remember, classes, code, "
        "factors, upscale, translate.",
    ),
]
DataPlace = Annotated[
    Path | None,
    typer.Option("--data", metavar="FOLDER", help="Folder of the data, if it has moved since then."),
]
Runs = Annotated[
    list[str],
    typer.Argument(
        metavar="RUN...|SWEEP",
        help="Runs, folders with runs in them, `latest`, or names such as vae-fashion-mini.",
        show_default=False,
        autocompletion=_complete_run,
    ),
]
SortBy = Annotated[
    str | None, typer.Option("--sort", metavar="METRIC", help="Metric or cost to sort by, the best run first.")
]
MetricNames = Annotated[
    str,
    typer.Option("--metrics", metavar="NAME,...", help="Only these metrics and costs, in the table and in the files."),
]
EveryMetric = Annotated[
    bool, typer.Option("--all", help="Print all metrics (default: the main ones). The files hold all of them.")
]
Checkpoint = Annotated[Which, typer.Option("--checkpoint", help="Checkpoint whose metrics are compared.")]
ComparisonFolder = Annotated[
    Path | None,
    typer.Option("--out", metavar="DIR", help="Folder for the files (default: a new one in outputs/comparisons)."),
]
Printed = Annotated[Format, typer.Option("--format", help="Format of the printed table; files are always written.")]
