"""Anomaly detection on Fashion-MNIST, one class against nine: python -m benchmarks.detection ROOT [MODEL...].

For each class in turn, a model learns from the training images of this class only (data.keep=[CLASS], 20 epochs). All
10,000 test images are scored in every way of `genlab detect --by`; the 1,000 of the class are normal. The models are
`denoising-ae` as its recipe has it, and `ae` with a code of 16 numbers; the default is both. The full Fashion-MNIST is
read from ROOT (a folder with idx files), or downloaded if ROOT is null. The runs are in outputs/benchmarks/detection/,
and a second start continues them. Everything runs on one thread of the CPU. The last lines are the means.

Neighbours in smoothed pixels are the fair baseline of the ways that average over 3 x 3 pixels. The ways and the models
were chosen on 10,000 training images that were set aside for it, with five of the classes.
"""

import sys
import time
from dataclasses import replace
from statistics import mean

import torch
from torch import Tensor

from genlab.config import compose
from genlab.lab.anomaly_scores import WAYS, Detector
from genlab.lab.given import given
from genlab.lab.run import Run
from genlab.metrics.detection import Neighbours, auroc, average_precision, smoothed
from genlab.runs import lifecycle
from genlab.runs.run import OUTPUTS
from genlab.training.console import Console

FOLDER = OUTPUTS / "benchmarks" / "detection"
RECIPES = {
    "denoising-ae": ["model=denoising-ae"],
    "ae": ["model=ae", "model/network=mlp", "model.latent_dim=16"],
}
CLASSES = 10


def trained(model: str, number: int, root: str) -> Run:
    """Return the run that was trained on one class; train it if it is not finished."""
    data = ["data=fashion-mnist", f"data.root={root}", f"data.keep=[{number}]", "device=cpu"]
    config = compose.compose([*RECIPES[model], *data])
    return Run(lifecycle.train(replace(config, run=str(FOLDER / model / str(number))), Console())[0].path, device="cpu")


def scores(run: Run, items: Tensor) -> dict[str, Tensor]:
    """Return the scores of test images in every way, and by the baselines."""
    detector = Detector(run)
    ways = {f"--by {name}": way.scorer(detector)(items) for name, way in WAYS.items()}
    smooth = Neighbours(smoothed(detector.training)).distances(smoothed(items))
    return {**ways, **detector.baselines(items), "5 nearest in smoothed pixels": smooth}


def detection(model: str, root: str) -> None:
    """Print the AUROC of each way for each class, then the mean AUROC and average precision."""
    ranked, precise = dict[str, list[float]](), dict[str, list[float]]()
    for number in range(CLASSES):
        began = time.perf_counter()
        run = trained(model, number, root)
        tested = given(run, None)
        anomalous = tested.columns["label"] != number
        for name, found in scores(run, tested.items).items():
            ranked.setdefault(name, []).append(auroc(found, anomalous))
            precise.setdefault(name, []).append(average_precision(found, anomalous))
        listed = ", ".join(f"{name} {100 * values[-1]:.1f}" for name, values in ranked.items())
        print(f"{run.dataset.classes[number]} ({time.perf_counter() - began:.0f} s): {listed}", flush=True)
    print(f"\n| {model} | mean AUROC | lowest | mean average precision |\n|---|---|---|---|")
    for name, values in ranked.items():
        print(f"| {name} | {100 * mean(values):.1f} | {100 * min(values):.1f} | {100 * mean(precise[name]):.1f} |")


def main(root: str, models: list[str]) -> None:
    """Measure each model."""
    torch.set_num_threads(1)
    for model in models:
        detection(model, root)


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "null", sys.argv[2:] or list(RECIPES))
