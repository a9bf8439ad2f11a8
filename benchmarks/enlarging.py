"""How well photographs are enlarged, and how fast: python -m benchmarks.enlarging [NAME...].

The names are srresnet, srgan and upscale; all of them unless told. It trains on eleven photographs of 2560x1600 among
the pictures of Debian's package plasma-workspace-wallpapers, which it fetches and unpacks (nothing is installed), and
measures on two that were never trained on, scikit-learn's: `experiment=srresnet-fast`, then `srgan-fast` from its
weights, and puts a part of each beside the filter's work and the photograph. Each is a run in outputs/benchmarks/,
which a second start goes on with. Then a picture of 1,000x750 is enlarged four times by the full network with its
first weights: as `genlab upscale` does it, and by the bare network on the whole picture at once, in processes of
their own that take turns.
"""

import resource
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from genlab import build
from genlab.config import compose as config
from genlab.contract import Shape, Upscales
from genlab.evaluation.enlargement import BICUBIC, MODEL, as_image, caption, measure, tried
from genlab.evaluation.enlarger import Box, Enlarger
from genlab.extractors.features import FEATURES
from genlab.lab.side_by_side import side_by_side
from genlab.metrics.perceptual import name_of
from genlab.runs import lifecycle
from genlab.runs import open as open_run
from genlab.runs.run import OUTPUTS, Run
from genlab.training.console import Console
from genlab.training.engine import keep_freed_memory

PACKAGE, INSIDE = "plasma-workspace-wallpapers", "usr/share/wallpapers/{}/contents/images/2560x1600.jpg"
# Looked at one by one: the others of the package are painted or rendered.
PHOTOGRAPHS = (
    "BytheWater",
    "ColdRipple",
    "ColorfulCups",
    "DarkestHour",
    "EveningGlow",
    "FallenLeaf",
    "Grey",
    "Kite",
    "OneStandsOut",
    "Path",
    "summer_1am",
)
HERE = OUTPUTS / "benchmarks"
ROUNDS = 3
# Of flower.jpg: its heart, where detail is finest.
SHOWN = Box(200, 130, 360, 270)


def photographs() -> Path:
    """The folder with the photographs to train on, fetched if it is not there."""
    folder = HERE / "photographs"
    if all((folder / f"{name}.jpg").exists() for name in PHOTOGRAPHS):
        return folder
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as place:
        fetch = ["apt-get", "download", PACKAGE]
        if subprocess.run(fetch, cwd=place, check=False).returncode:
            subprocess.run(["apt-get", "update"], check=True)
            subprocess.run(fetch, cwd=place, check=True)
        package = next(Path(place).glob("*.deb"))
        subprocess.run(["dpkg", "--extract", package.name, "."], cwd=place, check=True)
        for name in PHOTOGRAPHS:
            (Path(place) / INSIDE.format(name)).rename(folder / f"{name}.jpg")
    return folder


def never_trained_on() -> list[tuple[str, NDArray[np.uint8]]]:
    """scikit-learn's two photographs, of 640x427."""
    from sklearn.datasets import load_sample_images

    return list(zip(("china.jpg", "flower.jpg"), load_sample_images().images, strict=True))


def opened(name: str) -> Upscales:
    """The model that an experiment has trained."""
    model = open_run.open_model(Run(HERE / name))
    assert isinstance(model, Upscales)
    return model


def learnt(name: str, *overrides: str) -> None:
    """What an experiment reaches on photographs that it was never trained on, beside the filter."""
    # Of the others one is set aside, to watch.
    data = [f"data.path={photographs()}", "data.validation=0.01", "data.test=0"]
    wanted = config.compose([f"experiment={name}", *data, *overrides])
    there, _ = lifecycle.train(replace(wanted, run=str(HERE / name)), Console())
    model, features = opened(name), FEATURES["lite0"]()
    print(f"{name}: {there.facts['step']:,} steps in {float(there.facts['seconds']) / 60:.1f} min")
    for row in measure(model, never_trained_on(), features):
        figures = ", ".join(f"{key} {value:.4g}" for key, value in row.figures.items())
        print(f"  {row.photograph} by {row.by}: {figures}")
    print(f"  ({caption(model.scale)}; {name_of(features)} by EfficientNet-Lite0)", flush=True)


def side_by_side_in(file: Path) -> None:
    """The same part of a photograph enlarged by the filter and by both models, and as it was."""
    panels: dict[str, Image.Image] = {}
    for name in ("srresnet-fast", "srgan-fast"):
        trial = tried(Enlarger(opened(name), 3), never_trained_on()[1][1])
        panels |= {BICUBIC: as_image(trial.made[BICUBIC]), name: as_image(trial.made[MODEL])}
    panels["the photograph"] = as_image(trial.truth)
    shown = {label: image.crop(SHOWN).resize((320, 280), Image.Resampling.NEAREST) for label, image in panels.items()}
    side_by_side(shown).save(file)
    print(f"side by side in {file}")


def enlarged_once(kind: str) -> str:
    """The seconds and the megabytes that enlarging the picture takes, one way or the other."""
    model = build.build_model(config.compose(["model=srresnet"]), Shape(3, 96, 96), 0).eval()
    picture = Image.fromarray(never_trained_on()[0][1]).resize((1000, 750), Image.Resampling.BICUBIC)
    whole = torch.from_numpy(np.array(picture)).permute(2, 0, 1)[None] / 255
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    began = time.perf_counter()
    if kind == "ours":
        assert isinstance(model, Upscales)
        keep_freed_memory()
        Enlarger(model, 3).enlarge(picture)
    else:
        with torch.inference_mode():
            model.generator(whole)
    seconds = time.perf_counter() - began
    return f"{seconds} {(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1e3}"


def upscale() -> None:
    """Both ways take turns."""
    ratios = []
    for number in range(ROUNDS):
        found = {}
        for kind in ("ours", "bare"):
            command = [sys.executable, "-m", "benchmarks.enlarging", "once", kind]
            said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
            found[kind] = [float(figure) for figure in said.split()]
        ratios.append(found["ours"][0] / found["bare"][0])
        listed = ", ".join(f"{kind} {seconds:.1f} s, {size:,.0f} MB" for kind, (seconds, size) in found.items())
        print(f"round {number + 1}: {listed}", flush=True)
    print(f"time, ours / bare: median {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})")


def main(names: list[str]) -> None:
    """Those that are named, or all."""
    if "srresnet" in names:
        learnt("srresnet-fast")
    if "srgan" in names:
        learnt("srgan-fast", f"start={HERE / 'srresnet-fast'}")
        side_by_side_in(HERE / "enlarged.png")
    if "upscale" in names:
        upscale()


if __name__ == "__main__":
    if sys.argv[1:2] == ["once"]:
        print(enlarged_once(sys.argv[2]))
    else:
        main(sys.argv[1:] or ["srresnet", "srgan", "upscale"])
