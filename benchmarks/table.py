"""Quality of every model on Fashion-MNIST, and the effect of beta on codes: python -m benchmarks.table ROOT [NAME...].

The full Fashion-MNIST is read from ROOT (a folder with idx files), or downloaded if ROOT is null. Each name is a run in
outputs/benchmarks/table/ on the CPU, which a second start continues. Then `genlab evaluate` measures its last and its
best checkpoint and writes evaluation.json into it. `bound` is the importance-weighted bound with K = 1,000 of the VAEs;
`shapes` trains beta-vae with beta 1 and 4 on `data=shapes`, with three seeds each. The default is everything.
"""

import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from statistics import mean, stdev
from typing import Any

import torch

from genlab.config import compose
from genlab.config.trust import Trust
from genlab.evaluation.bench import EvaluationSettings
from genlab.evaluation.evaluate import evaluate
from genlab.metrics.metric import Metric, shown
from genlab.runs import lifecycle
from genlab.runs.run import OUTPUTS, Run
from genlab.training.console import Console, clock, number

FOLDER = OUTPUTS / "benchmarks" / "table"
CPU = torch.device("cpu")
FULL, SMALL = "data=fashion-mnist", "model/network=dcgan-small"
RECIPES = {
    "ae": ["model=ae", FULL],
    "denoising-ae": ["model=denoising-ae", FULL],
    "vae": ["model=vae", FULL],
    "vae-conv": ["model=vae", "model/network=conv", FULL],
    "vae-resnet": ["model=vae", "model/network=resnet", FULL, "trainer.epochs=2"],
    "beta-vae": ["model=beta-vae", FULL],
    "dcgan": ["experiment=dcgan-fast"],
    "cgan": ["experiment=cgan-fast"],
    "wgan": ["model=wgan", SMALL, FULL, "trainer.batch_size=64", "trainer.steps=2000"],
    "wgan-gp": ["experiment=wgan-gp-fast"],
}
COLUMNS = ("PSNR", "negative_elbo", "FD-classifier", "precision-classifier", "recall-classifier", "probe_accuracy")
SHAPES = ["model=beta-vae", "model.latent_dim=10", "model/network=mlp-deep", "data=shapes", "data.size=64"]
CODES = ("MIG", "SAP", "DCI-disentanglement", "DCI-completeness", "DCI-informativeness", "squared_error", "kl")
# Test images that are bounded with K = 1,000: a convolutional decoder takes a hundred times as long.
BOUNDED = {"vae": 10_000, "beta-vae": 10_000, "vae-conv": 1_000, "vae-resnet": 200}


def trained(name: str, overrides: list[str]) -> Run:
    """Return the run of this name; train it if it is not finished."""
    config = compose.compose([*overrides, "device=cpu"])
    return lifecycle.train(replace(config, run=str(FOLDER / name)), Console())[0]


def measured(run: Run, **settings: Any) -> dict[str, Any]:
    """Return the metrics of the last checkpoint."""
    found: list[dict[str, Any]] = []
    began = time.perf_counter()
    evaluate([run], EvaluationSettings(**settings), CPU, None, Console(), found.append, Trust())
    print(f"{run.path.name} measured in {time.perf_counter() - began:.0f} s", flush=True)
    metrics: dict[str, Any] = found[0]["last"]["metrics"]
    return metrics


def row(name: str, cells: Sequence[str]) -> None:
    """Print a line of a Markdown table."""
    print("|", " | ".join([name, *cells]), "|", flush=True)


def table(names: list[str], root: str) -> None:
    """Print a line for each model: its training time and its metrics."""
    lines = []
    for name in names:
        run = trained(name, [*RECIPES[name], f"data.root={root}"])
        metrics = measured(run, importance=1)
        budget = f"{run.facts['step']:,} steps, {clock(run.facts['seconds'])}"
        cells = [shown(Metric(metrics[key]["mean"], metrics[key]["std"])) if key in metrics else "" for key in COLUMNS]
        lines.append((name, [budget, *cells]))
    row("model", ["trained for", *COLUMNS])
    row("---", ["---"] * (len(COLUMNS) + 1))
    for name, cells in lines:
        row(name, cells)


def bound(root: str) -> None:
    """Print the bound that is nearest to the likelihood."""
    for name, images in BOUNDED.items():
        run = trained(name, [*RECIPES[name], f"data.root={root}"])
        metrics = measured(run, only=("score",), importance=1000, draws=1, images=images)
        found = {key: number(metrics[key]["mean"]) for key in ("negative_elbo", "negative_bound-1000")}
        print(f"{name}, {images:,} test images: {found}", flush=True)


def shapes() -> None:
    """Print the effect of beta on the code, and on the reconstruction error."""
    metrics: dict[int, list[dict[str, Any]]] = {1: [], 4: []}
    for seed in range(3):
        for beta, found in metrics.items():
            settings = [f"model.beta={beta}", "trainer.epochs=60", f"seed={seed}"]
            run = trained(f"shapes-{beta}-{seed}", [*SHAPES, *settings])
            found.append(measured(run, only=("factors", "reconstruct", "score", "code"), importance=1, draws=1))
    row("beta", CODES)
    row("---", ["---"] * len(CODES))
    for beta, found in metrics.items():
        values = {name: [each[name]["mean"] for each in found] for name in CODES}
        row(str(beta), [f"{number(mean(these))} ± {stdev(these):.1g}" for these in values.values()])


def main(root: str, names: list[str]) -> None:
    """Run the parts with these names."""
    models = [name for name in names if name in RECIPES]
    if models:
        table(models, root)
    if "bound" in names:
        bound(root)
    if "shapes" in names:
        shapes()


if __name__ == "__main__":
    place = sys.argv[1] if len(sys.argv) > 1 else "null"
    main(place, sys.argv[2:] or [*RECIPES, "bound", "shapes"])
