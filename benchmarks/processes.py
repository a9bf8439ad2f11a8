"""One run on one and on two processes of a CPU, one thread each: python -m benchmarks.processes [MODEL...].

Both take turns. It prints the items/s of the steps (medians of the log lines), their ratio, and how far the weights are
apart after 60 steps, relative to the largest weight.
"""

import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from genlab.training import checkpoint
from genlab.training.journal import read

ROUNDS, STEPS, COMPARED = 3, 240, 60
MODELS = {
    "vae conv": ["model=vae", "model/network=conv"],
    "dcgan": ["model=dcgan", "model/network=dcgan-small"],
    "vae": ["model=vae"],
}
SETTINGS = ["trainer.batch_size=128", f"trainer.steps={STEPS}", "trainer.log_every=20", "trainer.compile=false"]
SETTINGS += ["trainer.validate_every=100000", "trainer.checkpoint_every=60", "trainer.keep=5", "device=cpu", "seed=1"]


def measure(folder: Path, model: str, processes: int) -> float:
    """Train; return the median of the items/s of all log lines but the first two."""
    command = [
        sys.executable,
        "-m",
        "genlab",
        "train",
        *MODELS[model],
        *SETTINGS,
        f"devices={processes}",
        f"run={folder}",
    ]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=os.environ | {"OMP_NUM_THREADS": "1"})
    return statistics.median(float(line["items_per_second"]) for line in read(folder)[2:] if line["split"] == "train")


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
        speeds: dict[int, list[float]] = {1: [], 2: []}
        with tempfile.TemporaryDirectory() as place:
            for number in range(ROUNDS):
                for processes, found in speeds.items():
                    found.append(measure(Path(place) / f"{number}-{processes}", model, processes))
            difference = apart(Path(place) / "0-1", Path(place) / "0-2")
        ratios = [two / one for one, two in zip(speeds[1], speeds[2], strict=True)]
        one, two = (statistics.median(found) for found in speeds.values())
        print(
            f"{model:<10} {one:>8,.0f} items/s by one, {two:>8,.0f} by two processes: "
            f"{statistics.median(ratios):.2f} times ({min(ratios):.2f} to {max(ratios):.2f}); "
            f"weights apart by {difference:.0e} after {COMPARED} steps",
            flush=True,
        )


if __name__ == "__main__":
    main(sys.argv[1:])
