"""Time until genlab answers, and its memory: python -m benchmarks.start [ROOT].

It prints the seconds of `genlab --help`, the seconds from Enter to the first training step on the built-in images, and
the peak memory of a run beyond that of importing torch. With ROOT (a folder with idx files) it also prints the memory
of a run on the full Fashion-MNIST.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROUNDS = 5
GENLAB = [sys.executable, "-m", "genlab"]


def megabytes(command: list[str]) -> float:
    """Return the peak memory of a command."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    assert status == 0, command
    return used.ru_maxrss / 1024


def help_seconds() -> float:
    """Return the seconds of `genlab --help`."""
    began = time.perf_counter()
    subprocess.run([*GENLAB, "--help"], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - began


def first_step() -> float:
    """Return the seconds until the first step of `genlab train` is in its metrics.jsonl."""
    with tempfile.TemporaryDirectory() as folder:
        journal = Path(folder) / "run" / "metrics.jsonl"
        command = [*GENLAB, "train", "trainer.log_every=1", f"run={journal.parent}"]
        began = time.perf_counter()
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        while not (journal.exists() and journal.stat().st_size):
            time.sleep(0.01)
        seconds = time.perf_counter() - began
        process.terminate()
        process.wait()
    return seconds


def main(root: str | None) -> None:
    """Print the medians."""
    for what, measure in {"genlab --help": help_seconds, "Enter to the first step": first_step}.items():
        seconds = [measure() for _ in range(ROUNDS)]
        print(f"{what}: median {statistics.median(seconds):.2f} s ({min(seconds):.2f} to {max(seconds):.2f})")
    torch = megabytes([sys.executable, "-c", "import torch"])
    print(f"importing torch: {torch:.0f} MB")
    data = {"fashion-mini": ["data=fashion-mini"]}
    if root:
        data["fashion-mnist"] = ["data=fashion-mnist", f"data.root={root}"]
    for name, overrides in data.items():
        with tempfile.TemporaryDirectory() as folder:
            peak = megabytes([*GENLAB, "train", *overrides, "trainer.steps=1000", f"run={folder}/run"])
        print(f"vae on {name}: {peak - torch:.0f} MB more than importing torch")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else None)
