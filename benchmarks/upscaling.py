"""Quality and speed of upscaling photographs: python -m benchmarks.upscaling [NAME...].

The names are srresnet, srgan and upscale (default: all of them). The training photographs are eleven of 2560x1600 among
the pictures of Debian's package plasma-workspace-wallpapers, which is fetched and unpacked (nothing is installed). The
test photographs are the two of scikit-learn. `experiment=srresnet-fast` is trained first, then `srgan-fast` from its
weights. A part of one photograph is drawn side by side. Each is a run in outputs/benchmarks/, which a second start
continues.

`upscale` upscales a picture of 1,000x750 four times with the full network and its initial weights: in tiles, as
`genlab upscale` does it, and by the bare network on the whole picture at once. The two take turns, each in its own
process.
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
from genlab.config import compose
from genlab.contract import Upscales
from genlab.evaluation.super_resolution import BICUBIC, MODEL, as_picture, attempt, caption, measure
from genlab.evaluation.tiles import Box, TiledUpscaler
from genlab.extractors import EXTRACTORS
from genlab.kinds import Image as ImageKind
from genlab.lab.side_by_side import side_by_side
from genlab.metrics.perceptual import name_of
from genlab.runs import lifecycle
from genlab.runs import open as open_run
from genlab.runs.run import OUTPUTS, Run
from genlab.training.console import Console
from genlab.training.engine import keep_freed_memory

PACKAGE, INSIDE = "plasma-workspace-wallpapers", "usr/share/wallpapers/{}/contents/images/2560x1600.jpg"
# Chosen by eye: the other pictures of the package are painted or rendered.
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
# The part of flower.jpg with the finest detail.
SHOWN = Box(200, 130, 360, 270)


def photographs() -> Path:
    """Return the folder of the training photographs; fetch them if they are not there."""
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


def test_photographs() -> list[tuple[str, NDArray[np.uint8]]]:
    """Return the two test photographs, scikit-learn's, of 640x427."""
    from sklearn.datasets import load_sample_images

    return list(zip(("china.jpg", "flower.jpg"), load_sample_images().images, strict=True))


def opened(name: str) -> Upscales:
    """Return the model that an experiment has trained."""
    model = open_run.open_model(Run(HERE / name))
    assert isinstance(model, Upscales)
    return model


def train(name: str, *overrides: str) -> None:
    """Train an experiment and print its metrics on the test photographs, beside those of bicubic."""
    # One of the training photographs is set aside for validation.
    data = [f"data.path={photographs()}", "data.validation=0.01", "data.test=0"]
    config = compose.compose([f"experiment={name}", *data, *overrides])
    run, _ = lifecycle.train(replace(config, run=str(HERE / name)), Console())
    model, extractor = opened(name), EXTRACTORS["lite0"]()
    print(f"{name}: {run.facts['step']:,} steps in {float(run.facts['seconds']) / 60:.1f} min")
    for row in measure(model, test_photographs(), extractor):
        metrics = ", ".join(f"{key} {value:.4g}" for key, value in row.metrics.items())
        print(f"  {row.photograph} by {row.by}: {metrics}")
    print(f"  ({caption(model.scale)}; {name_of(extractor)} by EfficientNet-Lite0)", flush=True)


def draw(file: Path) -> None:
    """Draw a part of a photograph: upscaled by bicubic and by both models, and the original."""
    panels: dict[str, Image.Image] = {}
    for name in ("srresnet-fast", "srgan-fast"):
        trial = attempt(TiledUpscaler(opened(name), 3), test_photographs()[1][1])
        panels |= {BICUBIC: as_picture(trial.upscaled[BICUBIC]), name: as_picture(trial.upscaled[MODEL])}
    panels["original"] = as_picture(trial.truth)
    parts = {label: image.crop(SHOWN).resize((320, 280), Image.Resampling.NEAREST) for label, image in panels.items()}
    side_by_side(parts).save(file)
    print(f"side by side in {file}")


def upscale_once(kind: str) -> str:
    """Return the seconds and the megabytes that one way of upscaling takes."""
    config = compose.compose(["model=srresnet"])
    model = build.build_model(config, {"x": ImageKind(3, 96, 96)}).eval()
    picture = Image.fromarray(test_photographs()[0][1]).resize((1000, 750), Image.Resampling.BICUBIC)
    whole = torch.from_numpy(np.array(picture)).permute(2, 0, 1)[None] / 255
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    began = time.perf_counter()
    if kind == "ours":
        assert isinstance(model, Upscales)
        keep_freed_memory()
        TiledUpscaler(model, 3).upscale(picture)
    else:
        with torch.inference_mode():
            model.get_submodule("generator")(whole)
    seconds = time.perf_counter() - began
    return f"{seconds} {(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1e3}"


def upscale() -> None:
    """Print seconds and memory of both ways, in turns."""
    ratios = []
    for number in range(ROUNDS):
        found = {}
        for kind in ("ours", "bare"):
            command = [sys.executable, "-m", "benchmarks.upscaling", "once", kind]
            printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
            found[kind] = [float(number) for number in printed.split()]
        ratios.append(found["ours"][0] / found["bare"][0])
        listed = ", ".join(f"{kind} {seconds:.1f} s, {size:,.0f} MB" for kind, (seconds, size) in found.items())
        print(f"round {number + 1}: {listed}", flush=True)
    print(f"time, ours / bare: median {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})")


def main(names: list[str]) -> None:
    """Run the parts with these names."""
    if "srresnet" in names:
        train("srresnet-fast")
    if "srgan" in names:
        train("srgan-fast", f"start={HERE / 'srresnet-fast'}")
        draw(HERE / "upscaled.png")
    if "upscale" in names:
        upscale()


if __name__ == "__main__":
    if sys.argv[1:2] == ["once"]:
        print(upscale_once(sys.argv[2]))
    else:
        main(sys.argv[1:] or ["srresnet", "srgan", "upscale"])
