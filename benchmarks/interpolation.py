"""Midpoints of random pairs of test images: python -m benchmarks.interpolation RUN...

Each run is measured on its own data. 5,000 pairs of test images are drawn at random, and the model decodes the code
halfway between their codes. FD, precision and recall compare the midpoints with 5,000 test images, in the features that
`genlab evaluate` uses. Beside them stand the cross-fade of the pixels, and reconstructions of the test images.

The midpoints are those of the linear and of the spherical mode. For a run with a fitted prior (`genlab fit-prior RUN`),
the spherical mode of `genlab interpolate` is the arc between the standard normal numbers from which that prior draws.
Beside it stand the arc between the codes themselves, and the arc between codes that are whitened by the mean and the
covariance of the fitted prior. Midpoints cannot be expected to be better than samples of the prior.

The last two numbers measure the whole path of 500 of the pairs in nine steps: the length over the distance of the ends,
and the largest over the mean step.
"""

import sys
import time
from collections.abc import Callable

import torch
from torch import Tensor

import genlab
from genlab.contract import Draws
from genlab.data import held_out
from genlab.lab.features import Features
from genlab.lab.flow import Flow
from genlab.lab.interpolate import between
from genlab.lab.prior import Mixture
from genlab.metrics.paths import detour, largest_step
from genlab.randomness import generator
from genlab.training.interpolation import evenly, linear, spherical

PAIRS, PATHS, STEPS = 5_000, 500, 9

Way = Callable[[Tensor, Tensor, Tensor], Tensor]
"""A function from starts, ends and positions to paths."""


def ends_of(run: genlab.Run) -> tuple[Tensor, Tensor]:
    """Return the test images of both ends of all pairs."""
    dataset, draws = run.dataset, generator(0, "benchmarks/interpolation")
    rows = dataset.splits["test"]
    pairs = torch.stack([rows[torch.randperm(len(rows), generator=draws)] for _ in range(2)], 1)
    pairs = pairs[pairs[:, 0] != pairs[:, 1]][:PAIRS]
    first, second = (
        torch.cat([batch["x"] for batch in held_out.batches(dataset, side, torch.device("cpu"))]) for side in pairs.T
    )
    return first, second


def ways_of(run: genlab.Run) -> dict[str, Way]:
    """Return the paths between codes that fit the run."""
    own = "spherical, own prior" if isinstance(run.model, Draws) else "spherical, codes"
    ways: dict[str, Way] = {"linear": linear, own: spherical}
    if fitted := run.fitted_prior:
        ways["spherical, fitted prior"] = lambda start, end, way: between(run, start, end, way, "spherical")
    if isinstance(fitted, Mixture):
        flow = Flow(fitted)

        def whitened(start: Tensor, end: Tensor, way: Tensor) -> Tensor:
            first, last = ((codes.double() - flow.centre) @ flow.whiten for codes in (start, end))
            codes: Tensor = spherical(first, last, way) @ flow.colour + flow.centre
            return codes.float()

        ways["spherical, whitened"] = whitened
    return ways


def show(name: str, features: Features, midpoints: Tensor, paths: Tensor | None = None) -> None:
    """Print the line of one way."""
    found = features.compare(midpoints)
    parts = [f"{key} {found[key]:.3g}" for key in ("FD", "precision", "recall")]
    if paths is not None:
        vectors = features.of(paths.flatten(0, 1)).view(*paths.shape[:2], -1)
        for key, metric in (("detour", detour), ("largest step", largest_step)):
            parts.append(f"{key} {sum(metric(path) for path in vectors) / len(vectors):.3f}")
    print(f"  {name:26} {', '.join(parts)}", flush=True)


def measure(run: genlab.Run) -> None:
    """Print one line for each way between the test images of a run."""
    began = time.perf_counter()
    features, way, half = Features(run, count=PAIRS), evenly(STEPS), torch.tensor([0.5])
    start, end = ends_of(run)
    print(f"{run.path} ({run.name}), {len(start):,} pairs, features {features.extractor.name}")
    show("cross-fade of pixels", features, linear(start, end, half)[:, 0], linear(start[:PATHS], end[:PATHS], way))
    codes = run.encode(start), run.encode(end)
    show("reconstructions", features, run.decode(codes[0]))
    for name, path in ways_of(run).items():
        midpoints = run.decode(path(*codes, half)[:, 0])
        paths = run.decode(path(codes[0][:PATHS], codes[1][:PATHS], way).flatten(0, 1))
        show(name, features, midpoints, paths.unflatten(0, (-1, STEPS)))
    if isinstance(run.model, Draws):
        show("samples of own prior", features, run.sample(PAIRS, prior="normal"))
    if run.fitted_prior:
        show("samples of fitted prior", features, run.sample(PAIRS, prior="fitted"))
    print(f"  {time.perf_counter() - began:.0f} s")


def main(names: list[str]) -> None:
    """Measure these runs."""
    if not names:
        raise SystemExit("Name one or more runs: python -m benchmarks.interpolation RUN...")
    for name in names:
        measure(genlab.load(name))


if __name__ == "__main__":
    main(sys.argv[1:])
