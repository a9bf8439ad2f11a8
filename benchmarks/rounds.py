"""Run several kinds of work in turns, each in its own process, so that the load of the machine affects all alike."""

import statistics
import subprocess
import sys
from collections.abc import Iterable


def compare(program: str, place: str, kinds: Iterable[str], rounds: int, against: Iterable[str]) -> None:
    """Print the speeds that `python -m PROGRAM PLACE KIND` prints, and the median ratios of ours to the others."""
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
