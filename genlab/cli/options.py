"""What the commands take, and what the shell offers for it."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class Subject(StrEnum):
    """What `genlab list` lists."""

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
    """What `--cfg` prints."""

    job = "job"


class Format(StrEnum):
    """What `genlab compare` prints."""

    text = "text"
    csv = "csv"
    json = "json"


class Which(StrEnum):
    """The checkpoint that figures are of."""

    last = "last"
    best = "best"


def _complete_override(context: typer.Context, incomplete: str) -> list[str]:
    from genlab.config.help import complete

    # Typer gives a callback that asks for the arguments none.
    return complete(context.params.get("overrides") or [], incomplete)


def _complete_run(incomplete: str) -> list[str]:
    from genlab.runs.run import runs

    names = {"latest"} | {str(run.path) for run in runs()} | {str(run.facts.get("name")) for run in runs()}
    return sorted(name for name in names if name.startswith(incomplete))


def _complete_features(incomplete: str) -> list[str]:
    from genlab.config.help import described

    return [name for name, _ in described("model/features") if name.startswith(incomplete)]


Overrides = Annotated[
    list[str] | None,
    typer.Argument(metavar="[GROUP=NAME | SETTING=VALUE]...", show_default=False, autocompletion=_complete_override),
]
RunName = Annotated[
    str,
    typer.Argument(
        metavar="RUN", help="A folder, `latest`, or a name such as vae-fashion-mini.", autocompletion=_complete_run
    ),
]
Plugins = Annotated[
    list[Path] | None,
    typer.Option("--plugin", metavar="FILE", help="A file of yours with MODELS, NETWORKS or SOURCES."),
]
Trusted = Annotated[
    bool, typer.Option("--trust", help="Run the plugins that the runs keep, which are code, without asking.")
]
Folders = Annotated[
    list[Path] | None,
    typer.Option(
        "--config-dir", metavar="FOLDER", exists=True, file_okay=False, help="A configs folder of yours, besides ours."
    ),
]
Pictures = Annotated[
    list[Path],
    typer.Argument(
        metavar="PICTURES...", help="Files, folders, or quoted patterns such as 'photos/*.jpg'.", show_default=False
    ),
]
Results = Annotated[
    Path | None, typer.Option("--out", metavar="DIR", help="Where the results go; upscaled/ in the run unless told.")
]
Scale = Annotated[int | None, typer.Option("--scale", help="How many times larger; a run knows only its own scale.")]
Compare = Annotated[
    bool, typer.Option("--compare", help="Write also each picture's NAME-compare.png, bicubic beside the model.")
]
Measure = Annotated[
    bool, typer.Option("--measure", help="Make the pictures small, enlarge them and say how near that comes to them.")
]
FeaturesName = Annotated[
    str | None,
    typer.Option(
        "--features",
        metavar="NAME",
        help="What --measure sees differences by, or vgg19=FILE; lite0 where it is installed.",
        autocompletion=_complete_features,
    ),
]
DeviceName = Annotated[str, typer.Option("--device", help="auto, cpu, cuda, cuda:1 or mps.")]
Embedding = Annotated[
    str | None,
    typer.Option(
        "--features",
        metavar="NAME",
        help="What samples and real images are compared by: classifier where there are labels, else random; "
        "lite0; inception, or inception=FILE.",
    ),
]
Count = Annotated[int, typer.Option("--count", help="Samples that are compared with as many test images, at most.")]
Importance = Annotated[
    int, typer.Option("--importance", help="Samples for each image of the importance-weighted bound.")
]
Draws = Annotated[int, typer.Option("--draws", help="Seeds that what is random is measured with, for its spread.")]
TestImages = Annotated[
    int,
    typer.Option("--images", help="Test images that all else looks at, at most, and training images of the probes."),
]
Only = Annotated[
    str | None,
    typer.Option(
        "--only",
        metavar="PART,...",
        help="Measure only some of: reconstruct, denoise, score, sample, remember, classes, code, factors, upscale.",
    ),
]
DataPlace = Annotated[
    Path | None, typer.Option("--data", metavar="FOLDER", help="Where the data is now, if it has moved.")
]
Runs = Annotated[
    list[str],
    typer.Argument(
        metavar="RUN...|SWEEP",
        help="Folders of runs, folders that hold runs, `latest`, or names such as vae-fashion-mini.",
        show_default=False,
        autocompletion=_complete_run,
    ),
]
SortBy = Annotated[
    str | None, typer.Option("--sort", metavar="FIGURE", help="The figure or cost whose best run comes first.")
]
FigureNames = Annotated[
    str, typer.Option("--figures", metavar="NAME,...", help="The figures and costs that are shown; all unless told.")
]
Checkpoint = Annotated[Which, typer.Option("--checkpoint", help="Which checkpoint's figures are compared.")]
ComparisonFolder = Annotated[
    Path | None,
    typer.Option("--out", metavar="DIR", help="Where the files go; a new folder in outputs/comparisons unless told."),
]
Printed = Annotated[Format, typer.Option("--format", help="What is printed; the files are written all the same.")]
