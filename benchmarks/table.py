"""The quality of every model on Fashion-MNIST, and what beta does to a code: python -m benchmarks.table ROOT [NAME...].

The full Fashion-MNIST is read from ROOT (idx files), or downloaded where that is null. Each name is a run in
outputs/benchmarks/table/ on the CPU, which a second start goes on with; then `genlab evaluate` measures it, at its last
and its best checkpoint, and writes evaluation.json into it. `bound` is the importance-weighted bound with K = 1,000 of
the VAEs, `shapes` trains beta-vae with beta 1 and 4 on `data=shapes`, three seeds each. All of them unless told.
"""

import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from statistics import mean, stdev
from typing import Any

import torch

from genlab.comparison.table import shown
from genlab.config import compose as config
from genlab.evaluation.bench import Asked
from genlab.evaluation.evaluate import evaluate
from genlab.metrics.figures import Figure
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
# Test images that are bounded by K = 1,000: a decoder that convolves takes a hundred times as long.
BOUNDED = {"vae": 10_000, "beta-vae": 10_000, "vae-conv": 1_000, "vae-resnet": 200}


def trained(name: str, overrides: list[str]) -> Run:
    """The run of this name, trained as far as it is not."""
    wanted = config.compose([*overrides, "device=cpu"])
    return lifecycle.train(replace(wanted, run=str(FOLDER / name)), Console())[0]


def measured(there: Run, **asked: Any) -> dict[str, Any]:
    """The figures of its last checkpoint."""
    found: list[dict[str, Any]] = []
    began = time.perf_counter()
    evaluate([there], Asked(**asked), CPU, None, Console(), found.append)
    print(f"{there.path.name} measured in {time.perf_counter() - began:.0f} s", flush=True)
    figures: dict[str, Any] = found[0]["last"]["figures"]
    return figures


def row(name: str, cells: Sequence[str]) -> None:
    """A line of a Markdown table."""
    print("|", " | ".join([name, *cells]), "|", flush=True)


def table(names: list[str], root: str) -> None:
    """A line a model: what it took and what it reached."""
    lines = []
    for name in names:
        there = trained(name, [*RECIPES[name], f"data.root={root}"])
        figures = measured(there, importance=1)
        budget = f"{there.facts['step']:,} steps, {clock(there.facts['seconds'])}"
        lines.append(
            (
                name,
                [
                    budget,
                    *(
                        shown(Figure(figures[key]["mean"], figures[key]["spread"])) if key in figures else ""
                        for key in COLUMNS
                    ),
                ],
            )
        )
    row("model", ["trained for", *COLUMNS])
    row("---", ["---"] * (len(COLUMNS) + 1))
    for name, cells in lines:
        row(name, cells)


def bound(root: str) -> None:
    """The bound that is nearest to the likelihood."""
    for name, images in BOUNDED.items():
        there = trained(name, [*RECIPES[name], f"data.root={root}"])
        figures = measured(there, only=("score",), importance=1000, draws=1, images=images)
        found = {key: number(figures[key]["mean"]) for key in ("negative_elbo", "negative_bound-1000")}
        print(f"{name}, {images:,} test images: {found}", flush=True)


def shapes() -> None:
    """What beta makes of the code, and what that costs in pixels."""
    figures: dict[int, list[dict[str, Any]]] = {1: [], 4: []}
    for seed in range(3):
        for beta, found in figures.items():
            given = [f"model.beta={beta}", "trainer.epochs=60", f"seed={seed}"]
            there = trained(f"shapes-{beta}-{seed}", [*SHAPES, *given])
            found.append(measured(there, only=("factors", "reconstruct", "score", "code"), importance=1, draws=1))
    row("beta", CODES)
    row("---", ["---"] * len(CODES))
    for beta, found in figures.items():
        values = {name: [each[name]["mean"] for each in found] for name in CODES}
        row(str(beta), [f"{number(mean(these))} ± {stdev(these):.1g}" for these in values.values()])


def main(root: str, names: list[str]) -> None:
    """The parts that are named."""
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
