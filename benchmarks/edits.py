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
from genlab.lab.attributes import attributes_of, changes_of, learn
from genlab.lab.edit import EDITED, PIXELS, REDRAWN, RESIDUAL, UNEDITED, Editor, measured
from genlab.lab.run import Run
from genlab.runs import lifecycle
from genlab.runs.run import OUTPUTS
from genlab.training.console import Console, clock

PLACE = OUTPUTS / "benchmarks" / "edits"
MODEL = ["model=vae", "model/network=conv", "model.latent_dim=32", "model.likelihood=gaussian"]
# With half this learning rate, the code does not learn the smile, which changes few pixels.
OPTIMIZER = [f"model.optimizers.model.{setting}" for setting in ("lr=2e-3", "warmup=100", "schedule=cosine")]
TRAINING = [*OPTIMIZER, "trainer.epochs=19", "device=cpu"]
DATA = ["data=faces", "data.size=32"]
ATTRIBUTES = ("smile", "glasses", "hat", "beard")
STRENGTHS = (1.0, 1.5, 2.0)


def trained() -> Run:
    """Return the run; train it if it is not finished."""
    config = compose.compose([*MODEL, *DATA, *TRAINING])
    run, _ = lifecycle.train(replace(config, run=str(PLACE)), Console())
    print(f"trained for {run.facts['step']:,} steps in {clock(run.facts['seconds'])}", flush=True)
    return Run(PLACE, device="cpu")


def line(cells: list[str]) -> None:
    """Print a line of a Markdown table."""
    print("|", " | ".join(cells), "|", flush=True)


def main(attributes: list[str]) -> None:
    """Print a line for each attribute and each way to add it."""
    torch.set_num_threads(1)
    run, began = trained(), time.perf_counter()
    line(["add", "way", "strength", "error inside", "of pixel arithmetic", "changed %", "others kept %"])
    line(["---"] * 7)
    for name in attributes:
        columns, console = attributes_of(run), Console()
        changes = changes_of(columns, name, ())
        editor = Editor(run, columns, changes, learn(run, columns, changes, "joint"), STRENGTHS[0])
        found = {each: measured(replace(editor, strength=each), False, console)[0] for each in STRENGTHS}
        best = min(metrics[PIXELS]["error_inside"] for metrics in found.values())
        for strength, metrics in found.items():
            same = () if strength != STRENGTHS[0] else (UNEDITED, REDRAWN)
            for way in (*same, PIXELS, EDITED, RESIDUAL):
                of = metrics[way]
                cells = [f"{of['error_inside']:.4f}", f"{of['error_inside'] / best:.2f}"]
                shares = [f"{of['changed']:.1f}", f"{of['others_kept']:.1f}"]
                line([name, way, f"{strength:g}", *cells, *shares])
    print(f"measured in {clock(time.perf_counter() - began)}")


if __name__ == "__main__":
    main(sys.argv[1:] or list(ATTRIBUTES))
