"""Cost of loading batches, from memory and from disk: python -m benchmarks.loading.

It prints the share of loading in a step of the default VAE. Then it prints the speed of a convolutional VAE at 64 x 64
in colour, streamed from disk over resident, in turns in one process. Last comes the memory of an epoch over 200,000
such images from disk.
"""

import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from genlab.data.dataset import Dataset

ROUNDS, STEPS = 7, 12
LARGE, SIDE = 200_000, 64


def share() -> float:
    """Return the share of loading in the time of a step of the default VAE."""
    from genlab import build
    from genlab.config import compose

    config = compose.compose(["model=vae"])
    trainer = build.build_trainer(config, build.build_data(config))
    for _ in range(50):
        trainer._take_step()
    ratios = []
    for number in range(ROUNDS):
        step = _seconds(trainer._take_step, 200)
        load = _seconds(partial(trainer.data.batch, 70 * number + 3), 200)
        ratios.append(load / step)
    return statistics.median(ratios)


def streamed(folder: Path) -> list[float]:
    """Return for each round the speed from disk over that of the same images resident."""
    from genlab import build
    from genlab.config import compose

    dataset = _in_a_file(folder / "pixels", 4000)
    trainers = {}
    for residence in ("device", "disk"):
        config = compose.compose(
            ["model=vae", "model/network=conv", f"data.residence={residence}", "trainer.steps=9999"]
        )
        trainers[residence] = build.build_trainer(replace(config, seed=1), dataset)
        trainers[residence]._take_step()
    ratios = []
    for _ in range(ROUNDS):
        seconds = {residence: _seconds(trainer._take_step, STEPS) for residence, trainer in trainers.items()}
        ratios.append(seconds["device"] / seconds["disk"])
    return ratios


def memory(folder: str) -> float:
    """Return the peak memory of the process, in MB, over an epoch of the large set."""
    batches = _in_a_file(Path(folder) / "large", LARGE).batches("train", 128, residence="disk")
    for number in range(batches.batches_per_epoch):
        batches.batch(number)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _in_a_file(file: Path, count: int) -> "Dataset":
    import torch

    from genlab.data.dataset import Dataset
    from genlab.data.files import cache

    if not file.exists():
        with open(file, "wb") as opened:
            for _ in range(count // 1000):
                opened.write(os.urandom(1000 * 3 * SIDE * SIDE))
    order = torch.arange(count)
    splits = {"train": order[200:], "validation": order[:100], "test": order[100:200]}
    return Dataset.of_images(cache.mapped(file, count, 3, SIDE, SIDE), splits, file=file, fingerprint="large")


def _seconds(action: Callable[[], Any], times: int) -> float:
    began = time.perf_counter()
    for _ in range(times):
        action()
    return (time.perf_counter() - began) / times


def main() -> None:
    """Print the three results."""
    print(f"loading takes {100 * share():.1f} % of a step of the default VAE (median of {ROUNDS})", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        ratios = streamed(Path(folder))
        extent = f"{min(ratios):.2f} to {max(ratios):.2f}"
        print(
            f"streamed / resident, a convolutional VAE at 64 x 64: {statistics.median(ratios):.2f} ({extent})",
            flush=True,
        )
        command = [sys.executable, "-m", "benchmarks.loading", folder]
        found = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
        print(f"an epoch over {LARGE:,} images from disk: peak memory {float(found):,.0f} MB, torch included")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        print(memory(sys.argv[1]))
    else:
        main()
