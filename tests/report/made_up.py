"""Runs that were never trained, with everything that a report shows."""

import json
import math
import wave
from collections.abc import Callable
from pathlib import Path
from typing import Any

from PIL import Image

from genlab.report.write import Written, write
from tests.fixtures.runs_made_up import Metrics, evaluate, make_run

NASTY = "</script><script>document.title='broken'</script><b>&\"' \u2028 \U0001f600 " + "x" * 100
METRICS: Metrics = {
    "PSNR": (18.125, None, None),
    "negative_elbo": (250.0, 0.5, None),
    "FD-classifier": (20.25, 0.5, 1.5),
    "precision-classifier": (0.5, 0.01, 0.9),
    "recall-classifier": (0.25, 0.01, 0.9),
    "KID-classifier": (0.75, 0.01, 0.0),
}


def full_run(folder: Path, *overrides: str, steps: int = 20, **facts: Any) -> Path:
    """Write a finished run with curves, pictures, a text, a sound and an evaluation."""
    run = make_run(folder, *overrides, **{"step": 10 * steps, "command": "genlab train model=vae", **facts})
    lines = []
    for number in range(1, steps + 1):
        step, loss = 10 * number, 100 * math.exp(-number / steps)
        lines.append({"step": step, "split": "train", "model/loss": loss, "model/kl": 1.0 + number})
        if number % 5 == 0:
            lines.append({"step": step, "split": "validation", "loss": loss + 1, "kl": 2.0 + number})
    (run / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    for number, shade in enumerate((40, 120, 200), start=1):
        picture(run, "samples", 50 * number, shade)
    (run / "texts").mkdir()
    (run / "texts" / f"samples-{50:010d}.txt").write_text(NASTY)
    sound(run, "sounds", 50)
    return measure(run, METRICS, step=10 * steps)


def measure(run: Path, metrics: Metrics, **changed: Any) -> Path:
    """Write an evaluation whose parts have the names of genlab's own."""
    path = evaluate(run, metrics, **changed) / "evaluation.json"
    record = json.loads(path.read_text())
    parts = record["parts"]
    record["parts"] = {"sample-classifier": parts["samples"], "score": parts["score"], "reconstruct": parts["score"]}
    for name, entry in record["last"]["metrics"].items():
        if entry["part"] == "samples":
            entry["part"] = "reconstruct" if name == "PSNR" else "sample-classifier"
    path.write_text(json.dumps(record))
    return run


def picture(run: Path, name: str, step: int, shade: int, size: tuple[int, int] = (24, 16)) -> Path:
    """Write a picture of one grey."""
    (run / "images").mkdir(exist_ok=True)
    path = run / "images" / f"{name}-{step:010d}.png"
    Image.new("L", size, shade).save(path)
    return path


def sound(run: Path, name: str, step: int) -> None:
    """Write a sound of a tenth of a second of silence."""
    (run / "sounds").mkdir(exist_ok=True)
    with wave.open(str(run / "sounds" / f"{name}-{step:010d}.wav"), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes(bytes(1600))


def sweep(folder: Path, make: Callable[..., Path] = full_run) -> Path:
    """Write four runs: two values of beta and two seeds, the metrics of which differ."""
    for beta in (1.0, 4.0):
        for seed in (1, 2):
            run = make(folder / f"beta={beta},seed={seed}", f"model.beta={beta}", f"seed={seed}")
            value = 10 * beta + seed
            measure(run, {"PSNR": (value, None, None), "FD-classifier": (100 - value, 0.5, 1.5)}, step=200)
    return folder


def page_of(*runs: Path, out: Path | None = None) -> tuple[Written, str]:
    """Write a report, and return it with its text."""
    written = write([str(run) for run in runs], out)
    return written, written.path.read_text(encoding="utf-8")
