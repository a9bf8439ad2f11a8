"""One run on one and on two processes of a CPU, one thread each: python -m benchmarks.processes [MODEL...].

They take turns with two runs of half the batch that know nothing of each other. Two processes that share a run cannot
be faster than these. It prints the items/s of the steps (medians of the log lines), their ratios, and how far the
weights are apart after 60 steps, relative to the largest weight.
"""

import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from genlab.training import checkpoint
from genlab.training.journal import read

ROUNDS, BATCH, STEPS, COMPARED = 3, 128, 240, 60
MODELS = {
    "vae conv": ["model=vae", "model/network=conv"],
    "dcgan": ["model=dcgan", "model/network=dcgan-small"],
    "vae": ["model=vae"],
}
SETTINGS = [f"trainer.batch_size={BATCH}", f"trainer.steps={STEPS}", "trainer.log_every=20", "trainer.compile=false"]
SETTINGS += ["trainer.validate_every=100000", "trainer.checkpoint_every=60", "trainer.keep=5", "device=cpu", "seed=1"]


def start(folder: Path, model: str, *more: str) -> "subprocess.Popen[bytes]":
    """Begin a training."""
    command = [sys.executable, "-m", "genlab", "train", *MODELS[model], *SETTINGS, f"run={folder}", *more]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, env=os.environ | {"OMP_NUM_THREADS": "1"})


def speed(folder: Path) -> float:
    """Return the median of the items/s of all log lines but the first two."""
    return statistics.median(float(line["items_per_second"]) for line in read(folder)[2:] if line["split"] == "train")


def measure(place: Path, model: str) -> tuple[float, float, float]:
    """Return the items/s of one process, of two that share a run, and of two runs at once."""
    for processes in (1, 2):
        assert start(place / str(processes), model, f"devices={processes}").wait() == 0
    both = [start(place / f"half {number}", model, f"trainer.batch_size={BATCH // 2}") for number in range(2)]
    assert [run.wait() for run in both] == [0, 0]
    return speed(place / "1"), speed(place / "2"), sum(speed(place / f"half {number}") for number in range(2))


def apart(one: Path, other: Path) -> float:
    """Return the largest difference of a weight after some steps, relative to the largest weight."""
    first, second = (
        checkpoint.load(checkpoint.steps(run / "checkpoints")[COMPARED]).part("model") for run in (one, other)
    )
    floats = [name for name, value in first.items() if value.is_floating_point()]
    largest = max(float(first[name].abs().max()) for name in floats)
    return max(float((first[name] - second[name]).abs().max()) for name in floats) / largest


def main(models: list[str]) -> None:
    """Print one line for each model."""
    for model in models or MODELS:
        with tempfile.TemporaryDirectory() as place:
            rounds = [measure(Path(place) / str(number), model) for number in range(ROUNDS)]
            difference = apart(Path(place) / "0" / "1", Path(place) / "0" / "2")
        one, two, separate = (statistics.median(found) for found in zip(*rounds, strict=True))
        shared, most = ([found[other] / found[0] for found in rounds] for other in (1, 2))
        print(
            f"{model:<10} {one:>8,.0f} items/s by one process. Two that share the run: {two:>8,.0f}, "
            f"{statistics.median(shared):.2f} times ({min(shared):.2f} to {max(shared):.2f}). Two runs at once: "
            f"{separate:>8,.0f}, {statistics.median(most):.2f} times ({min(most):.2f} to {max(most):.2f}). "
            f"Weights apart by {difference:.0e} after {COMPARED} steps",
            flush=True,
        )


if __name__ == "__main__":
    main(sys.argv[1:])
