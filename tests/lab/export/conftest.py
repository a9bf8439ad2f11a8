"""Small trained runs to export."""

from pathlib import Path
from typing import Any

import pytest

import genlab

SMALL: dict[str, Any] = {"trainer": "smoke", "trainer.batch_size": 16, "quiet": True}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a VAE and a conditional VAE of digits."""
    folder = tmp_path_factory.mktemp("trained")
    genlab.train("vae", data="digits", run=folder / "vae", **SMALL | {"model.network.hidden": [8]})
    genlab.train("cvae", data="digits", run=folder / "cvae", **SMALL | {"model.network.hidden": [8]})
    return folder
