"""Attribute arithmetic on drawn faces: python -m benchmarks.edits [ATTRIBUTE...].

A convolutional VAE learns faces of 32x32 (`data=faces`) on one thread; it is a run in outputs/benchmarks/, which a
second start continues. Then each attribute (default: smile, glasses, hat, beard) is added to up to 1,000 test faces
that lack it. The results are compared with the same faces truly redrawn with the attribute, as `genlab edit --measure`
does it. A line gives the squared error inside the pixels that truly change, also as a share of that of pixel arithmetic
at its best strength, and the shares that a classifier of all attributes sees as changed and as kept.
"""

import sys
import time
from dataclasses import replace

import torch

from genlab.config import compose
from genlab.lab.attributes import attributes_of, changes_of
from genlab.lab.directions import Directions, learn
from genlab.lab.edit import EDITED, OWN_PIXELS, PIXELS, RESIDUAL, STRENGTH, Editor, measured
from genlab.lab.run import Run
from genlab.runs import lifecycle
from genlab.runs.run import OUTPUTS
from genlab.training.console import Console, clock

PLACE = OUTPUTS / "benchmarks" / "edits"
MODEL = ["model=vae", "model/network=conv", "model.latent_dim=32", "model.likelihood=gaussian"]
# With half this learning rate, the code does not learn the smile, which changes few pixels.
OPTIMIZER = [f"model.optimizers.model.{setting}" for setting in ("lr=2e-3", "warmup=100", "schedule=cosine")]
TRAINING = [*OPTIMIZER, "trainer.epochs=25", "device=cpu"]
DATA = ["data=faces", "data.size=32"]
ATTRIBUTES = ("smile", "glasses", "hat", "beard")
STRENGTHS = (1.0, STRENGTH, 1.5, 2.0)
DIRECTIONS: tuple[Directions, ...] = ("own", "joint")


def trained() -> Run:
    """Return the run; train it if it is not finished."""
    config = compose.compose([*MODEL, *DATA, *TRAINING])
    run, _ = lifecycle.train(replace(config, run=str(PLACE)), Console())
    print(f"trained for {run.facts['step']:,} steps in {clock(run.facts['seconds'])}", flush=True)
    return Run(PLACE, device="cpu")


def line(cells: list[str]) -> None:
    """Print a line of a Markdown table."""
    print("|", " | ".join(cells), "|", flush=True)


def _of(run: Run, name: str, directions: Directions) -> dict[float, dict[str, dict[str, float]]]:
    """Return the metrics of each way to add an attribute, by strength."""
    columns = attributes_of(run)
    changes = changes_of(columns, name, ())
    editor = Editor(run, columns, changes, learn(run, columns, changes, directions), STRENGTH)
    return {strength: measured(replace(editor, strength=strength), False, Console())[0] for strength in STRENGTHS}


def main(attributes: list[str]) -> None:
    """Print a line for each attribute and each way to add it."""
    torch.set_num_threads(1)
    run, began = trained(), time.perf_counter()
    line(["add", "way", "directions", "strength", "error inside", "of pixel arithmetic", "changed %", "others kept %"])
    line(["---"] * 8)
    for name in attributes:
        found = {directions: _of(run, name, directions) for directions in DIRECTIONS}
        best = min(metrics[PIXELS]["error_inside"] for metrics in found["joint"].values())
        for directions, by_strength in found.items():
            for strength, metrics in by_strength.items():
                pixels = PIXELS if directions == "joint" else OWN_PIXELS
                for way in (pixels, EDITED, RESIDUAL):
                    of = metrics[way]
                    cells = [f"{of['error_inside']:.4f}", f"{of['error_inside'] / best:.2f}"]
                    shares = [f"{of['changed']:.1f}", f"{of['others_kept']:.1f}"]
                    line([name, way, directions, f"{strength:g}", *cells, *shares])
    print(f"measured in {clock(time.perf_counter() - began)}")


if __name__ == "__main__":
    main(sys.argv[1:] or list(ATTRIBUTES))
