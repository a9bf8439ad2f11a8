"""Folders of runs that were never trained: what later commands read of one, written by hand."""

import json
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from genlab import config

DATA = {"name": "fashion-mini", "fingerprint": "0123456789abcdef", "split": "test", "count": 2000}
PART = {
    "samples": 2000,
    "seeds": [0, 1, 2],
    "features": "classifier",
    "features_digest": "fedcba9876543210",
    "versions": {},
}

Figures = dict[str, tuple[float, float | None, float | None]]
"""Mean, spread and floor by name."""


def make_run(folder: Path, *overrides: str, **facts: Any) -> Path:
    """A finished run of this config."""
    settings = _settings(overrides)
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text(yaml.safe_dump(settings, sort_keys=False))
    name = f"{settings['model']['name']}-{settings['data']['name']}"
    known: dict[str, Any] = {"name": name, "state": "finished", "created": "2026-01-01T00:00:00+0000"}
    known |= {"fingerprint": DATA["fingerprint"], "step": 100, "best": None, "abilities": [], "device": "cpu"}
    known |= {"shape": [1, 28, 28], "classes": ["one", "two"]}
    known |= {"validation": {"loss": 2.0}, "test": {"loss": 2.5}, "seconds": 60.0, "images_per_second": 1000}
    (folder / "run.json").write_text(json.dumps(known | facts))
    return folder


def _settings(overrides: Sequence[str]) -> dict[str, Any]:
    """These recipes with these values; each choice of recipes is composed once, for that takes long."""
    pairs = [override.split("=", 1) for override in overrides]
    recipes = tuple("=".join(pair) for pair in pairs if pair[0].replace(".", "/") in config.GROUPS)
    settings: dict[str, Any] = yaml.safe_load(_composed(recipes))
    for key, value in pairs:
        if key.replace(".", "/") in config.GROUPS:
            continue
        *above, last = key.split(".")
        inner = settings
        for part in above:
            inner = inner[part]
        assert last in inner, f"no recipe has {key}"
        inner[last] = yaml.safe_load(value)
    return settings


@cache
def _composed(recipes: tuple[str, ...]) -> str:
    return config.as_yaml(config.compose(recipes).plain)


def part_of(name: str) -> str:
    """The measure that a figure is from."""
    return "score" if name.startswith("negative") else "samples"


def evaluate(run: Path, figures: Figures, *, best: Figures | None = None, notes: Any = None, **changed: Any) -> Path:
    """Its evaluation.json: these figures of two measures, and their protocol with what is changed."""

    def section(those: Figures) -> dict[str, Any]:
        entries = {
            name: {"mean": mean, "spread": spread, "floor": floor, "better": None, "part": part_of(name)}
            for name, (mean, spread, floor) in those.items()
        }
        step = changed.pop("step", 100)
        return {"step": step, "checkpoint": "0" * 16, "weights": "live", "figures": entries, "notes": notes or {}}

    last, data = section(figures), {key: changed.pop(key) for key in list(changed) if key in ("fingerprint", "split")}
    parts = {"samples": PART | changed, "score": {"images": 2000} | changed}
    whole = {"genlab": "0.1", "run": str(run), "name": "x", "data": DATA | data, "parts": parts}
    whole |= {"last": last, "best": section(best) if best else None}
    (run / "evaluation.json").write_text(json.dumps(whole))
    return run
