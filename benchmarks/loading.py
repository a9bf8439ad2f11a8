"""What dealing batches costs, from memory and from disk: python -m benchmarks.loading.

The loader's share of a step of the default VAE; the images/s of a convolutional VAE at 64 x 64 in colour, streamed from
disk over resident, in turns in one process; and the memory of an epoch over 200,000 such images from disk.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

ROUNDS, STEPS = 7, 12
LARGE, SIDE = 200_000, 64


def share() -> float:
    """The part of a step of the default VAE that its loader takes."""
    from genlab import build
    from genlab.config import compose as config

    wanted = config.compose(["model=vae"])
    trainer = build.build_trainer(wanted, build.build_images(wanted))
    for _ in range(50):
        trainer._take_step()
    ratios = []
    for number in range(ROUNDS):
        step = _seconds(trainer._take_step, 200)
        deal = _seconds(lambda number=number: trainer.data.batch(70 * number + 3), 200)
        ratios.append(deal / step)
    return statistics.median(ratios)


def streamed(folder: Path) -> list[float]:
    """The speed from disk over that of the same images resident, round by round."""
    from genlab import build
    from genlab.config import compose as config

    images = _in_a_file(folder / "pixels", 4000)
    trainers = {}
    for residence in ("device", "disk"):
        wanted = config.compose(
            ["model=vae", "model/network=conv", f"data.residence={residence}", "trainer.steps=9999"]
        )
        trainers[residence] = build.build_trainer(replace(wanted, seed=1), images)
        trainers[residence]._take_step()
    ratios = []
    for _ in range(ROUNDS):
        seconds = {residence: _seconds(trainer._take_step, STEPS) for residence, trainer in trainers.items()}
        ratios.append(seconds["device"] / seconds["disk"])
    return ratios


def memory(folder: str) -> float:
    """The most megabytes that an epoch over the large set holds at once, all counted."""
    from genlab.data.batches import Loader

    loader = Loader(_in_a_file(Path(folder) / "large", LARGE), "train", 128, residence="disk")
    for number in range(loader.batches_per_epoch):
        loader.batch(number)
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _in_a_file(file: Path, count: int) -> Any:
    import torch

    from genlab.data.dataset import Images
    from genlab.data.files import cache

    if not file.exists():
        with open(file, "wb") as opened:
            for _ in range(count // 1000):
                opened.write(os.urandom(1000 * 3 * SIDE * SIDE))
    order = torch.arange(count)
    splits = {"train": order[200:], "validation": order[:100], "test": order[100:200]}
    return Images(cache.mapped(file, count, 3, SIDE, SIDE), splits, fingerprint="large", file=file)


def _seconds(action: Any, times: int) -> float:
    began = time.perf_counter()
    for _ in range(times):
        action()
    return (time.perf_counter() - began) / times


def main() -> None:
    """Print the three."""
    print(f"the loader takes {100 * share():.1f} % of a step of the default VAE (median of {ROUNDS})", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        ratios = streamed(Path(folder))
        spread = f"{min(ratios):.2f} to {max(ratios):.2f}"
        print(
            f"streamed / resident, a convolutional VAE at 64 x 64: {statistics.median(ratios):.2f} ({spread})",
            flush=True,
        )
        command = [sys.executable, "-m", "benchmarks.loading", folder]
        found = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
        print(f"an epoch over {LARGE:,} images from disk: {float(found):,.0f} MB at most, torch included")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        print(memory(sys.argv[1]))
    else:
        main()
