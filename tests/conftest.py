"""Fixtures that all tests share."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

# Set before torch is imported: on a busy machine, threads that wait for each other slow a test down by minutes.
os.environ["OMP_NUM_THREADS"] = "1"


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep the tests away from the cache of the user who runs them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GENLAB_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which a run of two steps is finished, outputs/mine."""
    from tests.fixtures.program import TINY, genlab

    folder = tmp_path_factory.mktemp("finished")
    assert genlab(folder, "train", "run=outputs/mine", *TINY).returncode == 0
    return folder


@pytest.fixture
def place(finished: Path, tmp_path: Path) -> Path:
    """A copy of `finished` that a test may change."""
    return Path(shutil.copytree(finished, tmp_path / "copy"))
