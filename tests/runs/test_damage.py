"""A run's folder survives what users, processes and disks do to it."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from genlab.config.schema import Config
from genlab.registry import RunError
from genlab.runs import lifecycle
from genlab.runs.run import Run
from genlab.training import checkpoint
from genlab.training.trainer import Outcome
from tests.fixtures.program import TINY, assert_refused, genlab, start


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_of_two_that_begin_in_one_folder_one_trains_and_the_other_touches_nothing(tmp_path: Path) -> None:
    both = [start(tmp_path, "train", *TINY, "trainer.steps=100", "run=mine") for _ in range(2)]
    codes = sorted(process.wait(timeout=120) for process in both)
    # If the second starts after the first has ended, there is nothing to do.
    assert codes in ([0, 0], [0, 2])
    assert codes == [0, 0] or "is being trained by another process" in (tmp_path / "out.txt").read_text()
    assert {"config.yaml", "run.json", "metrics.jsonl"} <= {path.name for path in (tmp_path / "mine").iterdir()}
    assert genlab(tmp_path, "resume", "mine", "trainer.steps=101").returncode == 0


def test_a_budget_that_is_refused_changes_nothing(place: Path) -> None:
    before = contents(place / "outputs/mine")
    assert_refused(genlab(place, "resume", "latest", "trainer.steps=1"), "which is past the requested total of 1.")
    assert contents(place / "outputs/mine").keys() - before.keys() == set()
    assert {name for name, data in contents(place / "outputs/mine").items() if data != before[name]} <= {".lock"}
    assert "There is nothing to do." in genlab(place, "resume", "latest").stdout


def test_a_run_whose_checkpoints_are_gone_does_not_start_again(place: Path) -> None:
    shutil.rmtree(place / "outputs/mine/checkpoints")
    metrics = (place / "outputs/mine/metrics.jsonl").read_bytes()
    done = genlab(place, "resume", "latest", "trainer.steps=3")
    assert_refused(done, "outputs/mine had reached step 2, but its checkpoints are gone.")
    assert (place / "outputs/mine/metrics.jsonl").read_bytes() == metrics


def test_a_run_that_was_killed_while_it_began_can_begin_again(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/.lock").write_text("process 1")
    (tmp_path / "mine/config.yaml").write_text("model: ")
    assert genlab(tmp_path, "train", "run=mine", *TINY).returncode == 0


def test_temporary_files_of_a_killed_process_are_removed(place: Path) -> None:
    left = [place / "outputs/mine/.run.json.77.tmp", place / "outputs/mine/checkpoints/.step.77.tmp"]
    for path in left:
        path.write_text("half")
    assert genlab(place, "resume", "latest", "trainer.steps=3").returncode == 0
    assert not [path for path in left if path.exists()]


@pytest.mark.parametrize(
    ("file", "text", "sentence"),
    [
        ("config.yaml", "", "model must be settings, got None."),
        ("config.yaml", "a: [", "expected"),
        ("run.json", "[]", "its run.json must hold a JSON object"),
    ],
)
def test_a_damaged_file_of_a_run_gets_a_sentence(place: Path, file: str, text: str, sentence: str) -> None:
    (place / "outputs/mine" / file).write_text(text)
    assert_refused(genlab(place, "resume", "latest", "trainer.steps=3"), sentence)


@pytest.mark.parametrize("line", [b"[1]\n", b"\xff\xfe\n", b'{"step": 1', b"{}\n"])
def test_a_journal_is_read_up_to_its_first_bad_line(place: Path, line: bytes) -> None:
    path = place / "outputs/mine/metrics.jsonl"
    path.write_bytes(path.read_bytes() + line)
    assert genlab(place, "resume", "latest", "trainer.steps=3").returncode == 0
    lines = [json.loads(text) for text in path.read_text().splitlines()]
    assert [line["step"] for line in lines if line["split"] == "train"] == [1, 2, 3]


def test_a_damaged_run_does_not_hide_the_others(place: Path) -> None:
    for name, text in (("x", ""), ("y", "{}")):
        (place / "outputs" / name).mkdir()
        (place / "outputs" / name / "run.json").write_text(text)
    for arguments in (["list", "runs"], ["compare", "outputs"], ["compare", "outputs/mine", "outputs/x", "outputs/y"]):
        with (
            pytest.warns(UserWarning, match="Skipped: outputs/x is not a run: .* Restore run.json from a copy, or"),
            pytest.warns(UserWarning, match="Skipped: outputs/y is not a run"),
        ):
            done = genlab(place, *arguments)
        assert done.returncode == 0
        assert "outputs/mine" in done.stdout or "mine" in done.stdout
    assert_refused(genlab(place, "compare", "outputs/x"), "outputs/x is not a run")


def test_a_diverged_run_writes_json_that_others_can_read(tmp_path: Path) -> None:
    diverging = ["model.optimizers.model.lr=1e6", "model.optimizers.model.optimizer=sgd", "model.likelihood=gaussian"]
    done = genlab(tmp_path, "train", *TINY, *diverging, "trainer.steps=30", "trainer.log_every=10", "run=mine")
    assert done.returncode in (0, 1)
    for text in (tmp_path / "mine/metrics.jsonl").read_text().splitlines():
        json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    assert checkpoint.newest(tmp_path / "mine/checkpoints")


def test_two_plugins_with_the_same_file_name_are_refused(tmp_path: Path) -> None:
    for folder in "ab":
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "p.py").write_text("MODELS = {}")
    done = genlab(tmp_path, "train", "--plugin", "a/p.py", "--plugin", "b/p.py", *TINY)
    assert_refused(done, "Two plugins are called p.py")


@pytest.mark.parametrize(
    ("argument", "sentence"),
    [
        ("model=null", "Unknown model 'null'."),
        ("trainer=3", "Unknown trainer recipe '3'."),
        ("model.optimizers=3", "model.optimizers must be settings, got 3."),
        ("model.best=[1,2]", "best must be a text or null"),
        ("model.class={a:1}", "Unknown model class"),
        ("model.name=../../up", "model.name cannot be set; it is the name of the recipe."),
        ("plugins=3", "plugins must be a list of texts"),
        ("~trainer", "give epochs or steps"),
        ("model.network=conv", "network 'conv' has no setting 'hidden'"),
        ("model.latent_dim=1000000000000", "cannot be built with these settings"),
        (f"model.beta={'9' * 400}", "beta must be a number"),
        ("model=VAE", "Did you mean 'vae'?"),
        ("trainer.=3", "trainer."),
    ],
)
def test_values_that_make_no_sense_get_a_sentence(tmp_path: Path, argument: str, sentence: str) -> None:
    assert_refused(genlab(tmp_path, "train", *TINY, argument), sentence)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("folder", ["it's", "größe/日本", "a b", "-x"])
def test_a_run_may_be_called_anything(tmp_path: Path, folder: str) -> None:
    done = genlab(tmp_path, "train", *TINY, f"run={folder}")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / folder / "run.json").exists()
    sweep = genlab(tmp_path, "train", "-m", "seed=1,2", *TINY, f"run={folder}-sweep")
    assert sweep.returncode == 0, sweep.stderr


def test_a_single_validation_image_is_enough(tmp_path: Path) -> None:
    done = genlab(tmp_path, "train", *TINY, "data.validation=1", "run=mine")
    assert done.returncode == 0, done.stderr


def test_a_sweep_with_a_failing_job_goes_on_and_ends_with_the_sentence_of_that_job(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train = lifecycle.train

    def failing(config: Config, *others: Any) -> tuple[Run, Outcome | None]:
        if config.seed == 1:
            raise RunError("model: loss was not finite at step 1.")
        return train(config, *others)

    monkeypatch.setattr(lifecycle, "train", failing)
    done = genlab(tmp_path, "train", "-m", "seed=1,2", *TINY, "run=sweep")
    assert done.returncode == 1
    assert done.stderr == "1 of 2 jobs failed:\n  sweep/seed=1: model: loss was not finite at step 1.\n"
    assert "sweep/seed=2 │ finished" in done.stdout
