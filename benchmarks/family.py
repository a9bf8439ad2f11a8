"""Quality of the autoencoders on Fashion-MNIST: python -m benchmarks.family ROOT [NAME...].

The full Fashion-MNIST is read from ROOT (a folder with idx files), or downloaded if ROOT is null. Each name is a recipe
below, trained with every one of its seeds in outputs/benchmarks/family/ on the CPU; a second start continues. Then
`genlab evaluate` measures its last checkpoint, and `genlab fit-prior` fits mixtures to its codes if the recipe says so.
`NAME=SEED` trains a single seed. The default is every recipe.

`speed` measures the steps of our loop against a bare loop of the same losses (benchmarks/bare.py), in turns in one
process. `speed=NAME` measures a single recipe.
"""

import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import mean, median, stdev

import torch

from benchmarks.bare import bare_step
from benchmarks.table import CPU, measured, row
from genlab import build
from genlab.config import compose
from genlab.contract import conditions
from genlab.extractors.classifier import trained_classifier
from genlab.lab.run import Run as Lab
from genlab.metrics.metric import Metric, shown
from genlab.runs import lifecycle
from genlab.runs.run import OUTPUTS
from genlab.training.console import Console, clock

FOLDER = OUTPUTS / "benchmarks" / "family"
FULL = ("data=fashion-mnist",)
ROUNDS, STEPS = 10, 20
"""Rounds of a measurement of speed, and the steps of each."""


@dataclass(frozen=True)
class Recipe:
    """The settings of a run, its seeds, and what is measured."""

    settings: Sequence[str]
    seeds: Sequence[int] = (0, 1)
    components: Sequence[int] = ()
    """Numbers of Gaussians that are fitted to the codes."""
    only: tuple[str, ...] = ("reconstruct", "score", "sample", "classes")
    """The parts of the evaluation."""
    importance: int = 1
    """Importance samples of the bound on the likelihood."""


COSINE = "model.optimizers.model.schedule=cosine"
BOUNDED = (*FULL, "trainer.epochs=8", "model.optimizers.model.lr=3e-3", COSINE, "model.optimizers.model.warmup=300")
CVAE = (*FULL, "model=cvae", "model.optimizers.model.lr=2e-3", COSINE, "model.optimizers.model.warmup=200")
CVAE_PARTS = ("reconstruct", "score", "sample", "classes", "code")
SHAPES = ("model/network=mlp-deep", "model.latent_dim=10", "data=shapes", "data.size=32", "trainer.epochs=20")
FACTORS = ("factors", "reconstruct")

RECIPES: dict[str, Recipe] = {
    "ae": Recipe(["model=ae", "model/network=mlp", "model.latent_dim=16", *FULL], components=(10, 50)),
    "rae": Recipe(["model=rae", "trainer.epochs=30", *FULL], components=(10, 50)),
    "rae-conv": Recipe(
        ["model=rae", "model/network=conv", "model.latent_dim=24", "trainer.epochs=12", *FULL], components=(10, 50)
    ),
    "wae": Recipe(["model=wae", "trainer.epochs=25", *FULL], components=(10, 50)),
    "sparse-ae": Recipe(["model=sparse-ae", *FULL], only=("reconstruct", "code")),
    "aae": Recipe(["model=aae", *FULL], components=(10, 50)),
    "vae-gan": Recipe(["model=vae-gan", "trainer.epochs=3", *FULL], components=(10, 50)),
    "vae-conv": Recipe(["model=vae", "model/network=conv", "trainer.epochs=8", *FULL], components=(10, 50)),
    "cvae": Recipe([*CVAE, "model/network=mlp-deep", "trainer.epochs=25"], components=(10, 50), only=CVAE_PARTS),
    "cvae-conv": Recipe([*CVAE, "model/network=conv", "trainer.epochs=10"], components=(10, 50), only=CVAE_PARTS),
    "cvae-digits": Recipe(["model=cvae", "data=digits", "trainer.epochs=100"], only=("score", "classes")),
    "vq-vae": Recipe(["model=vq-vae", "trainer.epochs=14", *FULL]),
    "vae": Recipe(["model=vae", *BOUNDED], only=("score", "sample"), importance=1000),
    "iwae": Recipe(["model=iwae", *BOUNDED], only=("score", "sample"), importance=1000),
    "beta-vae-shapes": Recipe(["model=beta-vae", *SHAPES], seeds=(0, 1, 2), only=FACTORS),
    "tc-vae-shapes": Recipe(["model=tc-vae", *SHAPES], seeds=(0, 1, 2), only=FACTORS),
}


def metrics_of(name: str, seed: int, root: str) -> dict[str, float]:
    """Train a run if it is not finished, and return its metrics and its training time."""
    recipe = RECIPES[name]
    place = [f"data.root={root}"] if set(FULL) <= set(recipe.settings) else []
    path = FOLDER / f"{name}-{seed}"
    config = compose.compose([*recipe.settings, *place, "device=cpu", f"seed={seed}", f"run={path}"])
    run = lifecycle.train(config, Console())[0]
    lab = Lab(path, device="cpu")
    found = {"seconds": float(run.facts["seconds"])} | {
        f"test {key}": value for key, value in lab.metrics["test"].items()
    }
    metrics = measured(run, only=recipe.only, importance=recipe.importance, draws=1)
    found |= {key: value["mean"] for key, value in metrics.items()}
    if recipe.components:
        found |= _flat(lab.fit_prior(recipe.components).metrics)
        if conditions(lab.model):
            found["class_accuracy, fitted prior"] = class_accuracy(lab)
    return found


def class_accuracy(lab: Lab) -> float:
    """Return the share of samples of a run that the classifier of its data assigns to the wanted class."""
    classifier = trained_classifier(dataset=lab.dataset, device=CPU, console=Console()).classifier
    assert lab.dataset.labels is not None
    wanted = lab.dataset.labels[lab.dataset.splits["test"]]
    samples = lab.sample(len(wanted), label=wanted)
    found = [classifier.head(classifier.features(part)).argmax(1) for part in torch.split(samples, 500)]
    return float((torch.cat(found) == wanted).float().mean())


def _flat(metrics: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    """Return the metrics of priors by names such as `FD-classifier, 50 Gaussians`."""
    return {f"{key}, {prior}": value for prior, values in metrics.items() for key, value in values.items()}


def table(name: str, seeds: Sequence[int], root: str) -> None:
    """Print a line for each metric of a recipe: mean and std over its seeds."""
    found = [metrics_of(name, seed, root) for seed in seeds]
    seconds = ", ".join(clock(each["seconds"]) for each in found)
    row(name, [f"seeds {', '.join(map(str, seeds))}, trained for {seconds}"])
    row("---", ["---"])
    for key in dict.fromkeys(key for each in found for key in each if key != "seconds"):
        values = [each[key] for each in found if key in each]
        std = stdev(values) if len(values) > 1 else None
        row(key, [f"{shown(Metric(mean(values), std))}{'' if len(values) == len(found) else ' (not of every seed)'}"])


def speed(name: str, root: str) -> None:
    """Print the speed of our steps over that of bare ones: the median of the rounds, the lowest and the highest."""
    place = [f"data.root={root}"] if set(FULL) <= set(RECIPES[name].settings) else []
    config = compose.compose([*RECIPES[name].settings, *place, "device=cpu"])
    ours, bare = (build.build_trainer(config, build.build_data(config)) for _ in range(2))
    bare_turns, ratios = bare_step(bare), list[float]()
    middle = ours.total // 2
    for number in range(1 + ROUNDS):
        # Half of the rounds are in the second half of the training, where a model with phases has another player.
        ours.position.step = start = middle if number % 2 else 0
        began = time.perf_counter()
        for _ in range(STEPS):
            ours._take_step()
        between = time.perf_counter()
        for step in range(start, start + STEPS):
            bare_turns(step)
        ratios.append((time.perf_counter() - between) / (between - began))
    # The first round warms up.
    found = ratios[1:]
    print(f"{name}: ours / bare: median {median(found):.2f} ({min(found):.2f} to {max(found):.2f})", flush=True)


def main(root: str, names: Sequence[str]) -> None:
    """Run the recipes with these names."""
    for chosen in names:
        name, _, seed = chosen.partition("=")
        if name == "speed":
            for each in [seed] if seed else RECIPES:
                speed(each, root)
            continue
        table(name, [int(seed)] if seed else RECIPES[name].seeds, root)


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "null", sys.argv[2:] or list(RECIPES))
