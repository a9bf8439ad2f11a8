"""Runs that the tests of the page explore."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import genlab
from genlab.build import TABLES
from genlab.lab.run import Run
from tests.explore import tones_plugin
from tests.fixtures.program import genlab as program

SMALL: dict[str, Any] = {"trainer": "smoke", "trainer.batch_size": 16, "quiet": True}


@pytest.fixture(scope="session")
def vae(finished: Path) -> Run:
    """Return a VAE of digits, of two steps."""
    return Run(finished / "outputs/mine", device="cpu")


@pytest.fixture(scope="session")
def cvae(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Return a conditional VAE of digits, of two steps."""
    folder = tmp_path_factory.mktemp("cvae") / "run"
    genlab.train("cvae", data="digits", run=folder, **SMALL, settings={"model.network.hidden": [8]})
    return Run(folder, device="cpu")


@pytest.fixture(scope="session")
def sounds(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Return a folder in which a VAE of sounds was trained for two steps, outputs/mine."""
    place = tmp_path_factory.mktemp("sounds")
    tables = {name: dict(table) for name, table in TABLES.items()}
    recipe = place / "configs/data/tones.yaml"
    recipe.parent.mkdir(parents=True)
    recipe.write_text("class: tones\ncount: 60\n")
    shutil.copy(str(tones_plugin.__file__), place / "tones.py")
    small = ["trainer.steps=2", "trainer.batch_size=16", "model.network.hidden=[8]", "run=outputs/mine"]
    done = program(place, "train", "--plugin", "tones.py", "data=tones", *small)
    assert done.returncode == 0, done.stderr
    yield place
    for name, table in tables.items():
        TABLES[name].clear()
        TABLES[name].update(table)
