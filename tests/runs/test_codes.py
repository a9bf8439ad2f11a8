"""The data source `codes`: the codes are those of the other run, and a run of them keeps which run that was."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import genlab
from genlab.build import build_data
from genlab.config.compose import compose
from genlab.data.dataset import Dataset
from genlab.kinds import Points
from genlab.registry import ConfigError
from genlab.runs import run as folders
from tests.fixtures.program import assert_refused
from tests.fixtures.program import genlab as program

SMALL: dict[str, Any] = {"trainer": "smoke", "quiet": True}
NARROW: dict[str, Any] = {"model.network.hidden": [8], "model.latent_dim": 3}
TWO_STAGE = ["model=vae", "model.likelihood=gaussian", "model.network.hidden=[8]", "data=codes", "trainer=smoke"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a VAE of digits, which encodes, and a GAN, which does not."""
    folder = tmp_path_factory.mktemp("trained")
    genlab.train("vae", data="digits", run=folder / "vae", **SMALL, **NARROW)
    genlab.train("gan", data="gaussian", run=folder / "gan", **SMALL)
    return folder


@pytest.fixture
def copied(trained: Path, tmp_path: Path) -> Callable[[str], Path]:
    """Return a function that copies a run, so that a test may write into it."""
    return lambda name: Path(shutil.copytree(trained / name, tmp_path / name))


def codes_of(run: Path, *settings: str) -> Dataset:
    return build_data(compose(["model=vae", "data=codes", f"data.run={run}", *settings]))


def test_the_codes_are_those_of_the_run_with_its_labels_and_splits(trained: Path) -> None:
    found, run = codes_of(trained / "vae", "data.standardise=false"), genlab.load(trained / "vae")
    data = run.dataset
    assert found.kind == Points(3)
    assert found.labels is not None
    assert data.labels is not None
    for split in ("train", "validation", "test"):
        rows, own = data.splits[split][:20], found.splits[split][:20]
        images = data.kind.load(data.columns["x"].rows[rows])
        torch.testing.assert_close(found.columns["x"].rows[own], run.encode(images))
        assert torch.equal(found.labels[own], data.labels[rows])
        assert len(found.splits[split]) == len(data.splits[split])

    standard = codes_of(trained / "vae")
    seen = found.columns["x"].rows[found.splits["train"]]
    expected = (found.columns["x"].rows - seen.mean(0)) / seen.std(0)
    torch.testing.assert_close(standard.columns["x"].rows, expected, rtol=1e-4, atol=1e-4)
    assert standard.fingerprint != found.fingerprint


def test_the_fingerprint_is_the_same_until_the_run_is_trained_further(copied: Callable[[str], Path]) -> None:
    run = copied("vae")
    before = codes_of(run)
    assert (codes_of(run).fingerprint, codes_of(run).modelled) == (before.fingerprint, before.modelled)
    assert program(run.parent, "resume", "vae", "trainer.steps=3").returncode == 0
    after = codes_of(run)
    assert after.fingerprint != before.fingerprint
    assert after.modelled != before.modelled


def test_a_two_stage_run_keeps_the_folder_that_latest_was(
    copied: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = copied("vae")
    monkeypatch.chdir(tmp_path)
    folders.point_latest(folders.Run(first))
    begin = ("train", *TWO_STAGE, "data.run=latest", "run=second")
    done = program(tmp_path, *begin)
    assert done.returncode == 0, done.stderr
    second = genlab.load(tmp_path / "second")
    assert second.config["data"]["run"] == str(first)
    # By now `latest` is the second run. Repeating the command still means the first one.
    done = program(tmp_path, *begin)
    assert "There is nothing to do." in done.stdout, done.stderr
    assert program(tmp_path / "second", "resume", ".", "trainer.steps=3").returncode == 0
    assert second.dataset.fingerprint == codes_of(first).fingerprint
    # After more training of the first run, these are other data.
    assert program(tmp_path, "resume", "vae", "trainer.steps=3").returncode == 0
    assert_refused(program(tmp_path, "evaluate", "second"), "is not what")


def test_a_run_without_codes_is_refused_with_one_sentence(trained: Path, tmp_path: Path) -> None:
    assert_refused(program(tmp_path, "train", *TWO_STAGE, "data.run=nowhere"), "There is no run 'nowhere'.")
    with pytest.raises(ConfigError, match=r"data 'codes': .*gan \(gan-gaussian\) cannot encode. Choose a run"):
        codes_of(trained / "gan")
    with pytest.raises(ConfigError, match="data 'codes': run must be a text, got null"):
        build_data(compose(["model=vae", "data=codes", "data.run=null"]))
