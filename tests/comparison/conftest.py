"""Runs that the tests of comparisons share."""

import itertools
from pathlib import Path

import pytest

from tests.fixtures.comparisons import MEASURED
from tests.fixtures.runs_made_up import evaluate, make_run


@pytest.fixture(scope="session")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight runs: two values of beta, two of lr, two seeds; FD is 10 beta + seed, PSNR 20 - beta."""
    folder = tmp_path_factory.mktemp("swept") / "sweep"
    for beta, lr, seed in itertools.product((1, 4), (0.001, 0.01), (0, 1)):
        settings = [f"model.beta={beta}", f"model.optimizers.model.lr={lr}", f"seed={seed}"]
        run = make_run(folder / ",".join(settings), *settings, seconds=10.0 * beta, items_per_second=2000)
        metrics = {"FD-classifier": (10.0 * beta + seed, 0.5, 2.0), "PSNR": (20.0 - beta, None, None)}
        evaluate(run, metrics | {"negative_elbo": (240.0 + beta, None, None)})
    return folder


@pytest.fixture
def pair(tmp_path: Path) -> list[Path]:
    """Two runs that differ only in their seed, measured in the same way."""
    return [evaluate(make_run(tmp_path / str(seed), f"seed={seed}"), MEASURED) for seed in (0, 1)]
