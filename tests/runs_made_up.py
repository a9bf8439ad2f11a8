"""Folders of runs that were never trained: what later commands read of one, written by hand."""

import json
from pathlib import Path
from typing import Any

from genlab import config

DATA = {"name": "fashion-mini", "fingerprint": "0123456789abcdef", "split": "test", "count": 2000}
PART = {"count": 2000, "seeds": [0, 1, 2], "features": "classifier", "digest": "fedcba9876543210", "versions": {}}

Figures = dict[str, tuple[float, float | None, float | None]]
"""Mean, spread and floor by name."""


def make_run(folder: Path, *overrides: str, **facts: Any) -> Path:
    """A finished run of this config."""
    wanted = config.compose(overrides)
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text(config.as_yaml(wanted.plain))
    known: dict[str, Any] = {"name": wanted.name, "state": "finished", "created": "2026-01-01T00:00:00+0000"}
    known |= {"fingerprint": DATA["fingerprint"], "step": 100, "best": None, "abilities": [], "device": "cpu"}
    known |= {"shape": [1, 28, 28], "classes": ["one", "two"]}
    known |= {"validation": {"loss": 2.0}, "test": {"loss": 2.5}, "seconds": 60.0, "images_per_second": 1000}
    (folder / "run.json").write_text(json.dumps(known | facts))
    return folder


def part_of(name: str) -> str:
    """The measure that a figure is from."""
    return "score" if name.startswith("negative") else "samples"


def evaluate(run: Path, figures: Figures, *, best: Figures | None = None, **changed: Any) -> Path:
    """Its evaluation.json: these figures of two measures, and their protocol with what is changed."""

    def section(those: Figures) -> dict[str, Any]:
        entries = {
            name: {"mean": mean, "spread": spread, "floor": floor, "better": None, "part": part_of(name)}
            for name, (mean, spread, floor) in those.items()
        }
        step = changed.pop("step", 100)
        return {"step": step, "checkpoint": "0" * 16, "weights": "live", "figures": entries, "notes": []}

    last, data = section(figures), {key: changed.pop(key) for key in list(changed) if key in ("fingerprint", "split")}
    parts = {"samples": PART | changed, "score": {"count": 2000} | changed}
    whole = {"genlab": "0.1", "run": str(run), "name": "x", "data": DATA | data, "parts": parts}
    whole |= {"last": last, "best": section(best) if best else None}
    (run / "evaluation.json").write_text(json.dumps(whole))
    return run
