"""The end of a training: the prior that a recipe asks for is there, and never costs a training."""

import shutil
from pathlib import Path
from typing import Any

import pytest

import genlab
from genlab.cli.sweep import _job
from genlab.config.compose import compose
from genlab.config.trust import Trust
from genlab.lab.after_training import fit_asked_prior
from genlab.lab.prior import FILE
from genlab.runs.run import Run as Folder
from genlab.training.console import Console
from genlab.training.trainer import Outcome
from tests.fixtures.program import genlab as program

ASKED = {"model.output_activation": "none", "model.fitted_prior": [2]}
POINTS: dict[str, Any] = {"data.count": 200, "data.validation": 50, "data.test": 50}
SMALL: dict[str, Any] = {"trainer": "smoke", **ASKED, **POINTS}
WORDS = [f"{key}={str(value).replace(' ', '')}" for key, value in SMALL.items()]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return an autoencoder of points, with the prior that its recipe asks for."""
    return genlab.train("ae", data="ring", run=tmp_path_factory.mktemp("after") / "ae", quiet=True, **SMALL).path


def test_a_finished_run_samples_at_once_from_the_prior_that_the_command_fits(trained: Path, tmp_path: Path) -> None:
    assert genlab.load(trained).sample(3).shape == (3, 2)
    again = Path(shutil.copytree(trained, tmp_path / "again"))
    (again / FILE).unlink()
    genlab.load(again).fit_prior([2], count=0)
    assert (again / FILE).read_bytes() == (trained / FILE).read_bytes()


def test_the_commands_fit_after_training_and_again_after_training_for_longer(tmp_path: Path) -> None:
    done = program(tmp_path, "train", "model=ae", "data=ring", "run=ae", *WORDS)
    assert "to the codes, so that `genlab sample ae` can draw from it." in done.stdout
    assert "to the codes" in (tmp_path / "ae" / "log.txt").read_text()
    first = (tmp_path / "ae" / FILE).read_bytes()
    # A finished run has nothing to do, unless it was killed before its prior was written.
    assert "to the codes" not in program(tmp_path, "resume", "ae").stdout
    (tmp_path / "ae" / FILE).unlink()
    assert "to the codes" in program(tmp_path, "resume", "ae").stdout
    assert (tmp_path / "ae" / FILE).read_bytes() == first
    done = program(tmp_path, "resume", "ae", "trainer.steps=4")
    assert "to the codes" in done.stdout
    assert program(tmp_path, "sample", "ae").returncode == 0


def test_a_job_of_a_sweep_gets_its_prior(tmp_path: Path) -> None:
    _job(compose(["model=ae", "data=ring", *WORDS]), tmp_path / "job", Trust(), "genlab train -m")
    assert (tmp_path / "job" / FILE).exists()


def test_codes_that_are_too_few_cost_a_sentence_and_not_the_training(tmp_path: Path) -> None:
    few = ["data.count=30", "data.validation=10", "data.test=14", "trainer.batch_size=6"]
    done = program(tmp_path, "train", "model=ae", "data=ring", "run=ae", *WORDS, *few)
    assert "No prior was fitted to the codes: A prior needs at least 10 training points, got 6." in done.stdout
    assert done.returncode == 0
    assert Folder(tmp_path / "ae").state == "finished"
    wanted = ["data.count=200", "model.fitted_prior=[500]"]
    done = program(tmp_path, "train", "model=ae", "data=ring", "run=many", *WORDS, *wanted)
    assert "a mixture of 500 Gaussians needs as many" in done.stdout
    assert done.returncode == 0


def test_a_stopped_run_and_a_recipe_that_asks_for_none_get_no_prior(trained: Path, tmp_path: Path) -> None:
    again = Path(shutil.copytree(trained, tmp_path / "again"))
    (again / FILE).unlink()
    fit_asked_prior(Folder(again), Outcome("stopped", 1, 0.1, 10.0, {}, {}, None, {}, signal=2), Console(), Trust())
    assert not (again / FILE).exists()
    run = genlab.train("ae", data="ring", run=tmp_path / "none", quiet=True, **SMALL | {"model.fitted_prior": []})
    assert not (run.path / FILE).exists()
    # Runs of earlier versions have no such setting.
    config = run.path / "config.yaml"
    config.write_text("".join(line for line in config.open() if "fitted_prior" not in line))
    assert program(run.path, "resume", ".", "trainer.steps=3").returncode == 0
    assert not (run.path / FILE).exists()


@pytest.mark.parametrize(
    ("model", "asked", "message"),
    [
        ("ae", "[0]", "model: fitted_prior must be a list of integers of at least 1, got 0 in it."),
        ("ae", "ten", "model: fitted_prior must be a list of integers, got 'ten'."),
        ("gan", "[10]", "model 'gan' does not encode and decode, so it has no codes to fit a prior to."),
    ],
)
def test_a_prior_that_cannot_be_is_refused_before_training(
    tmp_path: Path, model: str, asked: str, message: str
) -> None:
    done = program(tmp_path, "train", f"model={model}", "data=ring", "run=r", f"++model.fitted_prior={asked}")
    assert message in done.stderr
    assert not (tmp_path / "r").exists()


def test_quiet_training_shows_no_progress_of_the_fit(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    genlab.train("ae", data="ring", run=tmp_path / "ae", quiet=True, **SMALL)
    assert capsys.readouterr() == ("", "")
