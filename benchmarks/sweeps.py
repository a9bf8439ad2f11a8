"""Throughput of a sweep by joblib against one job after the other: python -m benchmarks.sweeps [STEPS].

Four runs of the VAE train on the built-in images, two at once by joblib. They are timed in turn with the same sweep in
one process, and with joblib jobs that each take a thread for every core, as without genlab's setting.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time

ROUNDS = 3
JOBS = ("hydra/launcher=joblib", "hydra.launcher.n_jobs=2")
WAYS: dict[str, tuple[tuple[str, ...], dict[str, str]]] = {
    "one job after the other": ((), {}),
    "joblib, two jobs at once": (JOBS, {}),
    "joblib, a thread for every core in each job": (JOBS, {"OMP_NUM_THREADS": str(os.cpu_count())}),
}


def seconds(steps: int, arguments: tuple[str, ...], variables: dict[str, str]) -> float:
    """Return the seconds of the sweep, with the start of its processes."""
    environment = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"} | variables
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "genlab", "train", "-m", "seed=1,2,3,4", "trainer.epochs=null"]
        command += [f"trainer.steps={steps}", f"run={folder}/sweep", *arguments]
        began = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=environment)
        return time.perf_counter() - began


def main(steps: int) -> None:
    """Print the medians, and each as a ratio of the first."""
    found: dict[str, list[float]] = {name: [] for name in WAYS}
    for _ in range(ROUNDS):
        for name, (arguments, variables) in WAYS.items():
            found[name].append(seconds(steps, arguments, variables))
    first = statistics.median(found["one job after the other"])
    for name, times in found.items():
        median = statistics.median(times)
        print(
            f"{name}: median {median:.1f} s ({min(times):.1f} to {max(times):.1f}), {first / median:.2f} times as fast"
        )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1000)
