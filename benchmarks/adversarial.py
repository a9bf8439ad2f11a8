"""Quality of the adversarial models: python -m benchmarks.adversarial ROOT [NAME...].

The names are gaussian, ring, cgan, dcgan and wgan-gp (default: all of them). The full Fashion-MNIST is read from ROOT
(a folder with idx files), or downloaded if ROOT is null. The last three are `experiment=NAME-fast`. 5,000 of their
samples are given to a classifier that was trained on the real training images; its test accuracy is printed, too. Each
is a run in outputs/benchmarks/ that a second start continues; look at the pictures in its images/ folder.
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
from genlab.config import compose
from genlab.contract import Samples
from genlab.extractors.classifier import trained_classifier
from genlab.randomness import generator
from genlab.runs import lifecycle
from genlab.runs import open as open_run
from genlab.runs.run import OUTPUTS
from genlab.training.console import Console

SEEDS, POINTS, IMAGES = 10, 20_000, 5_000


def trained(overrides: list[str], folder: Path) -> tuple[Samples, float]:
    """Return the model of a run, and the seconds that its training took."""
    config = compose.compose(overrides)
    run, _ = lifecycle.train(replace(config, run=str(folder)), Console())
    model = open_run.open_model(run)
    assert isinstance(model, Samples)
    return model, float(run.facts["seconds"])


@torch.no_grad()
def samples(model: Samples, count: int, labels: Tensor | None = None) -> Tensor:
    """Generate samples in batches of 500."""
    draws = generator(0, "benchmark")
    parts = torch.arange(count).split(500)
    return torch.cat(
        [model.sample(len(part), None if labels is None else {"label": labels[part]}, draws) for part in parts]
    )


def gaussian(points: Tensor) -> tuple[str, bool]:
    """Check that the mean is within 0.05 of 2, and the std within 0.05 of 0.5."""
    mean, std = float(points.mean()), float(points.std())
    return f"mean {mean:.3f}, std {std:.3f}", abs(mean - 2) < 0.05 and abs(std - 0.5) < 0.05


def ring(points: Tensor) -> tuple[str, bool]:
    """Check that 90 % of the points are within three std of one of the eight modes, and that each mode has a share."""
    angles = torch.arange(8) * math.pi / 4
    nearest = torch.cdist(points, 2 * torch.stack([angles.cos(), angles.sin()], dim=1)).min(1)
    inside = nearest.values < 3 * 0.05
    share = inside.float().mean()
    counts = nearest.indices[inside].bincount(minlength=8) / len(points)
    modes = int((counts > 0.02).sum())
    return f"{share:.1%} within three std, {modes} modes of at least 2 %", bool(share >= 0.9 and modes == 8)


def over_seeds(overrides: list[str], check: Callable[[Tensor], tuple[str, bool]]) -> None:
    """Print one line for each seed, and the number of seeds that passed the check."""
    reached = 0
    for seed in range(SEEDS):
        with tempfile.TemporaryDirectory() as folder:
            model, seconds = trained([*overrides, f"seed={seed}"], Path(folder) / "run")
            result, passed = check(samples(model, POINTS))
        reached += passed
        print(f"{' '.join(overrides)} seed {seed}: {result}, {seconds:.0f} s", flush=True)
    print(f"{' '.join(overrides)}: passed with {reached} of {SEEDS} seeds", flush=True)


def classified(name: str, root: str) -> None:
    """Print which classes a classifier of real images sees in the samples of an experiment."""
    overrides = [f"experiment={name}-fast", f"data.root={root}"]
    dataset = build.build_data(compose.compose(overrides))
    classifier, accuracy = trained_classifier(dataset)
    folder = OUTPUTS / "benchmarks" / f"{name}-fast"
    model, seconds = trained(overrides, folder)
    count = len(dataset.classes)
    wanted = torch.arange(IMAGES) % count
    with torch.no_grad():
        found = torch.cat([classifier.classify(part).argmax(1) for part in samples(model, IMAGES, wanted).split(500)])
    shares = found.bincount(minlength=count) / IMAGES
    entropy = float(-torch.xlogy(shares, shares).sum()) / math.log(count)
    print(f"experiment={name}-fast, {seconds:.0f} s: entropy of the classes {entropy:.4f} of the maximum; ", end="")
    print(", ".join(f"{label} {share:.1%}" for label, share in zip(dataset.classes, shares.tolist(), strict=True)))
    if name == "cgan":
        print(f"samples of the requested class: {float((found == wanted).float().mean()):.1%}")
    print(f"the classifier's accuracy on the test images: {accuracy:.1%}; samples in {folder}/images", flush=True)


def main(root: str, names: list[str]) -> None:
    """Run the parts with these names."""
    for name in names:
        if name == "gaussian":
            over_seeds(["model=gan", "data=gaussian"], gaussian)
        elif name == "ring":
            over_seeds(["experiment=gan-ring"], ring)
        else:
            classified(name, root)


if __name__ == "__main__":
    place = sys.argv[1] if len(sys.argv) > 1 else "null"
    main(place, sys.argv[2:] or ["gaussian", "ring", "cgan", "dcgan", "wgan-gp"])
