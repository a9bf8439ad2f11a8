"""How well the adversarial family learns: python -m benchmarks.adversarial ROOT [NAME...].

The names are gaussian, ring, cgan, dcgan and wgan-gp; all of them unless told. The full Fashion-MNIST is read from ROOT
(idx files), or downloaded where that is null. The last three are `experiment=NAME-fast`; a classifier that is trained
on the real training images, its test accuracy stated, judges 5,000 of their samples. Each is a run in
outputs/benchmarks/, which a second start goes on with; its images/ are there to look at.
"""

import math
import sys
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from genlab import build
from genlab.config import compose as config
from genlab.contract import Samples
from genlab.extractors.classifier import trained_classifier
from genlab.randomness import generator
from genlab.runs import lifecycle
from genlab.runs import open as open_run
from genlab.runs.run import OUTPUTS
from genlab.training.console import Console

SEEDS, POINTS, IMAGES = 10, 20_000, 5_000


def trained(overrides: list[str], folder: Path) -> tuple[Samples, float]:
    """The model of a run, and the seconds that the run took."""
    wanted = config.compose(overrides)
    there, _ = lifecycle.train(replace(wanted, run=str(folder)), Console())
    model = open_run.open_model(there)
    assert isinstance(model, Samples)
    return model, float(there.facts["seconds"])


@torch.no_grad()
def samples(model: Samples, count: int, labels: Tensor | None = None) -> Tensor:
    """As many as asked for, in batches."""
    draws = generator(0, "benchmark")
    parts = torch.arange(count).split(500)
    return torch.cat([model.sample(len(part), None if labels is None else labels[part], draws) for part in parts])


def gaussian(points: Tensor) -> tuple[str, bool]:
    """Within 0.05 of the mean 2 and of the deviation 0.5."""
    mean, deviation = float(points.mean()), float(points.std())
    return f"mean {mean:.3f}, deviation {deviation:.3f}", abs(mean - 2) < 0.05 and abs(deviation - 0.5) < 0.05


def ring(points: Tensor) -> tuple[str, bool]:
    """At least 90 % within three deviations of one of the eight modes, and none of these without its share."""
    angles = torch.arange(8) * math.pi / 4
    nearest = torch.cdist(points, 2 * torch.stack([angles.cos(), angles.sin()], dim=1)).min(1)
    inside = nearest.values < 3 * 0.05
    share = inside.float().mean()
    counts = nearest.indices[inside].bincount(minlength=8) / len(points)
    modes = int((counts > 0.02).sum())
    return f"{share:.1%} within three deviations, {modes} modes of at least 2 %", bool(share >= 0.9 and modes == 8)


def over_seeds(overrides: list[str], judge: Callable[[Tensor], tuple[str, bool]]) -> None:
    """One line a seed, and how many of them reached what they should."""
    reached = 0
    for seed in range(SEEDS):
        with tempfile.TemporaryDirectory() as folder:
            model, seconds = trained([*overrides, f"seed={seed}"], Path(folder) / "run")
            said, good = judge(samples(model, POINTS).flatten(1))
        reached += good
        print(f"{' '.join(overrides)} seed {seed}: {said}, {seconds:.0f} s", flush=True)
    print(f"{' '.join(overrides)}: reached in {reached} of {SEEDS} seeds", flush=True)


def judged(name: str, root: str) -> None:
    """What a classifier of real images says of the samples of an experiment."""
    overrides = [f"experiment={name}-fast", f"data.root={root}"]
    images = build.build_images(config.compose(overrides))
    classifier, accuracy = trained_classifier(images)
    folder = OUTPUTS / "benchmarks" / f"{name}-fast"
    model, seconds = trained(overrides, folder)
    asked = torch.arange(IMAGES) % images.classes
    with torch.no_grad():
        given = torch.cat([classifier.classify(part).argmax(1) for part in samples(model, IMAGES, asked).split(500)])
    shares = given.bincount(minlength=images.classes) / IMAGES
    entropy = float(-torch.xlogy(shares, shares).sum()) / math.log(images.classes)
    print(f"experiment={name}-fast, {seconds:.0f} s: entropy of the classes {entropy:.4f} of the maximum; ", end="")
    print(", ".join(f"{label} {share:.1%}" for label, share in zip(images.names, shares.tolist(), strict=True)))
    if name == "cgan":
        print(f"the class that was asked for: {float((given == asked).float().mean()):.1%}")
    print(f"the classifier's accuracy on the test images: {accuracy:.1%}; samples in {folder}/images", flush=True)


def main(root: str, names: list[str]) -> None:
    """The parts that are named."""
    for name in names:
        if name == "gaussian":
            over_seeds(["model=gan", "data=gaussian"], gaussian)
        elif name == "ring":
            over_seeds(["experiment=gan-ring"], ring)
        else:
            judged(name, root)


if __name__ == "__main__":
    place = sys.argv[1] if len(sys.argv) > 1 else "null"
    main(place, sys.argv[2:] or ["gaussian", "ring", "cgan", "dcgan", "wgan-gp"])
