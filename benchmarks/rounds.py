"""Kinds of work take turns, each in a process of its own, so that what else the machine does falls on all alike."""

import statistics
import subprocess
import sys
from collections.abc import Iterable


def compare(program: str, place: str, kinds: Iterable[str], rounds: int, against: Iterable[str]) -> None:
    """Print what `python -m PROGRAM PLACE KIND` prints in each round, and ours over the others: the median of all."""
    results = []
    for number in range(rounds):
        speeds = {}
        for kind in kinds:
            command = [sys.executable, "-m", program, place, kind]
            speeds[kind] = float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        results.append(speeds)
        listed = ", ".join(f"{kind} {speed:,.1f} images/s" for kind, speed in speeds.items())
        print(f"round {number + 1}: {listed}", flush=True)
    for kind in against:
        ratios = [speeds["ours"] / speeds[kind] for speeds in results]
        print(f"ours / {kind}: median {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})")
