"""Size and speed of reports, explorer and exports: python -m benchmarks.pages RUN [report|sweep|explore|export...].

RUN is a trained and evaluated run, which decodes codes. The sweep has 50 copies of it with made-up metrics. The report
of the sweep and the explorer are opened in Chromium. The default is everything.
"""

import json
import math
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.table import row
from genlab.lab.run import Run
from genlab.report.write import write
from tests.fixtures.browser import visit

RUNS, LINES, SECONDS, ROUNDS = 50, 2000, 3, 3

SCROLL = """() => new Promise((done) => {
  const frames = [], end = document.documentElement.scrollHeight - innerHeight;
  let last = performance.now();
  const step = (now) => {
    frames.push(now - last); last = now; scrollBy(0, 60);
    if (scrollY < end - 1) requestAnimationFrame(step);
    else { frames.sort((a, b) => a - b); done([0.5, 0.95, 0.999].map((q) => frames[Math.floor(q * frames.length)])); }
  };
  requestAnimationFrame(step);
})"""
"""Scrolls from top to bottom; returns the median, the 95th and the 99.9th percentile of the milliseconds of a frame."""

DRAG = """async (seconds) => {
  const input = document.querySelector('#codes [data-unit]'), canvas = document.querySelector('#codes canvas');
  const start = Number(canvas.dataset.count), begin = performance.now();
  while (performance.now() - begin < 1000 * seconds) {
    input.value = 3 * Math.sin(performance.now() / 300);
    input.dispatchEvent(new Event('input'));
    await new Promise(requestAnimationFrame);
  }
  return (Number(canvas.dataset.count) - start) / seconds;
}"""
"""Drags the first slider; returns the pictures that are drawn in a second."""


def measure_report(run: Path) -> None:
    """Print the size of a run's report, and the time to write it."""
    with copied(run) as copy:
        seconds, written = timed_report(copy)
        text = written.read_text(encoding="utf-8")
    whole = len(text.encode())
    pictures = sum(map(len, re.findall(r"data:[a-z]+/[a-z]+;base64,[A-Za-z0-9+/=]*", text)))
    row("report of a run", [f"{whole / 1e3:.0f} kB, {(whole - pictures) / 1e3:.0f} kB without pictures"])
    row("time to write it", [f"{seconds:.2f} s"])


def measure_sweep(run: Path) -> None:
    """Print the size of a report of 50 runs, the time to write it, and how smoothly it scrolls."""
    with copied(run) as copy:
        sweep = copy.parent / "sweep"
        for number in range(RUNS):
            make_run(copy, sweep / f"{number:02}", number)
        seconds, written = timed_report(sweep)
        row(f"report of {RUNS} runs, {LINES:,} lines each", [f"{written.stat().st_size / 1e6:.2f} MB, {seconds:.1f} s"])
        with visit(written) as seen:
            frames = ", ".join(f"{value:.0f}" for value in seen.page.evaluate(SCROLL))
    row("milliseconds of a frame while it scrolls: median, 95 %, 99.9 %", [frames])


def measure_explorer(run: Path) -> None:
    """Print the time until the explorer can be used, and the pictures a second while a slider is dragged."""
    command = [sys.executable, "-m", "genlab", "explore", str(run), "--no-browser", "--port", "0", "--device", "cpu"]
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", "import torch"], check=True)
    torch = time.perf_counter() - began
    began = time.perf_counter()
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"}
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
    try:
        assert server.stdout is not None
        address = next(found[0] for line in server.stdout if (found := re.search(r"http://\S+", line)))
        printed = time.perf_counter() - began
        with visit(address) as seen:
            seen.page.wait_for_selector("#codes [data-unit]", timeout=60_000)
            sliders = seen.page.evaluate("performance.now()") / 1e3
            seen.page.wait_for_selector("body[data-ready]", timeout=60_000)
            ready = seen.page.evaluate("performance.now()") / 1e3
            rates = [seen.page.evaluate(DRAG, SECONDS) for _ in range(ROUNDS)]
    finally:
        server.send_signal(signal.SIGINT)
        server.wait(30)
    row("importing torch", [f"{torch:.1f} s"])
    row("explorer: address printed after the start", [f"{printed:.1f} s"])
    row("sliders, and everything, after the page is asked for", [f"{sliders:.1f} s, {ready:.1f} s"])
    row(f"pictures a second while a slider is dragged, {ROUNDS} times", [", ".join(f"{rate:.0f}" for rate in rates)])


def measure_export(run: Path) -> None:
    """Print the largest difference of each exported file from the model."""
    with copied(run) as copy:
        began = time.perf_counter()
        found = Run(copy, device="cpu").export("onnx")
    for name, difference in found.differences.items():
        row(f"{name}.onnx: largest difference", [f"{difference:.1e}"])
    row("time of the export", [f"{time.perf_counter() - began:.0f} s"])


@contextmanager
def copied(run: Path) -> Iterator[Path]:
    """Copy a run into a temporary folder, so that nothing is written into it."""
    with tempfile.TemporaryDirectory() as folder:
        yield Path(shutil.copytree(run, Path(folder) / "run"))


def timed_report(path: Path) -> tuple[float, Path]:
    """Write a report, and return the seconds without importing genlab."""
    began = time.perf_counter()
    written = write([str(path)]).path
    return time.perf_counter() - began, written


def make_run(source: Path, path: Path, number: int) -> None:
    """Write a run with another beta, another seed and made-up metrics."""
    beta, draws = 2.0 ** (number % 5 - 1), random.Random(number)
    path.mkdir(parents=True)
    shutil.copytree(source / "images", path / "images")
    config = (source / "config.yaml").read_text(encoding="utf-8")
    config = re.sub(r"^( +beta): .*", rf"\1: {beta}", config, flags=re.MULTILINE)
    config = re.sub(r"^seed: .*", f"seed: {number}", config, flags=re.MULTILINE)
    (path / "config.yaml").write_text(config, encoding="utf-8")
    shutil.copy(source / "run.json", path)
    record = json.loads((source / "evaluation.json").read_text(encoding="utf-8"))
    for metric in record["last"]["metrics"].values():
        metric["mean"] *= draws.gauss(1, 0.05)
    (path / "evaluation.json").write_text(json.dumps(record), encoding="utf-8")
    losses = [250 + 150 * math.exp(-step / 100) + draws.gauss(0, 3) for step in range(LINES)]
    lines = [
        {"step": 50 * step, "epoch": step / 2, "split": split, "loss": loss}
        for step, loss in enumerate(losses, 1)
        for split in (("train", "validation") if step % 10 == 0 else ("train",))
    ]
    (path / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")


PARTS = {"report": measure_report, "sweep": measure_sweep, "explore": measure_explorer, "export": measure_export}


if __name__ == "__main__":
    for part in sys.argv[2:] or PARTS:
        PARTS[part](Path(sys.argv[1]))
