"""The program as a user meets it: runs, signals, killed processes and sweeps."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
import typer

import genlab as package
from genlab.extractors import classifier
from genlab.training import checkpoint
from tests.fixtures.program import TINY, assert_refused, environment, genlab, start


def test_a_run_is_made_repeated_and_refused_with_another_config(tmp_path: Path) -> None:
    first = genlab(tmp_path, "train", "run=mine", *TINY)
    assert first.returncode == 0, first.stderr
    assert {"config.yaml", "run.json", "metrics.jsonl", "checkpoints", "images", "tensorboard", "log.txt"} <= {
        path.name for path in (tmp_path / "mine").iterdir()
    }
    again = genlab(tmp_path, "train", "run=mine", *TINY)
    assert again.returncode == 0
    assert "There is nothing to do." in again.stdout
    other = genlab(tmp_path, "train", "run=mine", "seed=5", *TINY, "trainer.epochs=1")
    differences = "trainer.epochs (not set there, 1 here), trainer.steps (2 there, not set here)"
    assert_refused(other, f"holds a run with another config; these keys differ: seed (0 there, 5 here), {differences}.")


def test_the_next_commands_after_a_training_find_the_run_wherever_it_is(tmp_path: Path) -> None:
    for run, board, listing in (
        ("outputs/mine", "genlab board", "genlab list runs"),
        ("far/mine", "genlab board far/mine", "genlab list runs far"),
    ):
        done = genlab(tmp_path, "train", f"run={run}", *TINY)
        following = done.stdout.partition("Next:")[2].splitlines()
        assert f"  {board}" in following
        assert f"  {listing}" in following
        assert run in genlab(tmp_path, *listing.split()[1:]).stdout
    assert "far/mine" not in genlab(tmp_path, "list", "runs").stdout
    assert genlab(tmp_path, "list", "models", "far").returncode == 2


def test_the_summary_names_the_best_metric_the_speed_and_the_total_time(tmp_path: Path) -> None:
    done = genlab(tmp_path, "train", "run=mine", *TINY)
    words = " ".join(done.stdout.replace("│", " ").split())
    assert "best metric loss, step 2" in words
    assert "images/s" in words
    assert "total time 0:0" in words
    points = genlab(tmp_path, "train", "data=gaussian", "model.likelihood=gaussian", *TINY[1:])
    assert points.returncode == 0, points.stderr
    assert "points/s" in points.stdout


def test_a_resumed_run_sums_up_the_time_and_the_items_of_all_calls(place: Path) -> None:
    def facts() -> dict[str, float]:
        known: dict[str, float] = json.loads((place / "outputs/mine/run.json").read_text())
        return known

    before = facts()
    assert before["items"] == 2 * 16
    assert genlab(place, "resume", "latest", "trainer.steps=5").returncode == 0
    after = facts()
    assert after["items"] == 5 * 16
    assert after["seconds"] > before["seconds"]
    assert after["items_per_second"] == pytest.approx(after["items"] / after["seconds"], rel=0.02)


def test_a_call_that_was_killed_counts_up_to_its_last_checkpoint(tmp_path: Path) -> None:
    process = start(tmp_path, "train", *TINY, "trainer.steps=1000000", "trainer.checkpoint_every=5", "run=mine")
    while process.poll() is None and max(checkpoint.steps(tmp_path / "mine/checkpoints"), default=0) < 10:
        time.sleep(0.01)
    process.kill()
    process.wait()
    killed = json.loads((tmp_path / "mine/run.json").read_text())
    assert killed["items"] >= 5 * 16
    steps = max(checkpoint.steps(tmp_path / "mine/checkpoints")) + 1
    assert genlab(tmp_path, "resume", "mine", f"trainer.steps={steps}").returncode == 0
    resumed = json.loads((tmp_path / "mine/run.json").read_text())
    assert resumed["items"] == steps * 16
    assert resumed["seconds"] > killed["seconds"] > 0


def test_a_run_keeps_its_format_and_the_kinds_of_what_a_model_may_ask_for(finished: Path) -> None:
    facts = json.loads((finished / "outputs/mine/run.json").read_text())
    assert facts["format"] == 2
    assert facts["columns"] == {
        "x": {"kind": "image", "channels": 1, "height": 8, "width": 8},
        "label": {"kind": "classes", "names": [str(digit) for digit in range(10)]},
    }
    assert len(facts["fingerprint"]) == len(facts["modelled"]) == 16
    assert facts["best"].keys() == {"step", "metric", "value"}


def test_the_main_metrics_are_printed_and_all_of_them_on_request(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # What the features have learnt does not matter here.
    monkeypatch.setattr(classifier, "LEAST_STEPS", 3)
    monkeypatch.setattr(classifier, "EPOCHS", 0)
    few = genlab(place, "evaluate", "latest", "--count", "20", "--images", "20")
    assert few.returncode == 0, few.stderr
    metrics = json.loads((place / "outputs/mine/evaluation.json").read_text())["last"]["metrics"]
    assert f"The 5 main metrics of {len(metrics)}; --all prints all of them." in few.stdout
    assert "real-data baseline" in few.stdout
    every = genlab(place, "evaluate", "latest", "--count", "20", "--images", "20", "--all")

    def rows(text: str) -> list[str]:
        cells = [line.split("│")[1].strip() for line in text.splitlines() if line.startswith("│")]
        return [cell for cell in cells if cell]

    assert len(rows(few.stdout)) == 5
    assert rows(every.stdout)[:5] == rows(few.stdout)
    assert sorted(rows(every.stdout)) == sorted(metrics)
    assert "--all" not in every.stdout


def test_data_show_takes_only_settings_of_the_data_and_names_them(tmp_path: Path) -> None:
    own = "Available: data.count, data.size, data.seed, data.validation, data.test"
    for setting, meant in {"count=3": "Did you mean data.count=3? ", "cuont=3": "Did you mean data.count=3? "}.items():
        done = genlab(tmp_path, "data", "show", "faces", setting)
        assert_refused(done, f"data 'faces' has no setting '{setting[:-2]}'. {meant}{own}")
    done = genlab(tmp_path, "data", "show", "digits", "model.beta=2")
    assert_refused(done, "data 'digits' has no setting 'model.beta'. Available: data.validation, data.test")


def test_the_help_explains_arguments_and_cuts_no_summary(tmp_path: Path) -> None:
    assert "Recipes and settings, such as model=vae" in genlab(tmp_path, "train", "--help").stdout
    assert "Settings of the data" in genlab(tmp_path, "data", "show", "--help").stdout
    commands = genlab(tmp_path, "data", "--help").stdout.partition("Commands:")[2]
    assert "clean" in commands
    assert "..." not in commands


def test_the_program_says_its_version(tmp_path: Path) -> None:
    done = genlab(tmp_path, "--version")
    assert (done.returncode, done.stdout) == (0, f"genlab {package.__version__}\n")


def test_help_and_version_import_no_torch(tmp_path: Path) -> None:
    for option in ("--help", "--version"):
        program = f"import sys; sys.argv = ['genlab', '{option}']\n"
        program += "from genlab.cli.app import main\ntry: main()\n"
        program += "finally: assert not {'torch', 'hydra', 'rich', 'numpy'} & set(sys.modules)"
        done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, env=environment(), check=False)
        assert done.returncode == 0


@pytest.mark.parametrize("words", ["genlab data show fashion-", "genlab data show f"])
def test_the_shell_completes_names_of_data_sets(tmp_path: Path, words: str) -> None:
    # The shell starts it by its name, which names the variable.
    program = "import sys; sys.argv = ['genlab']; from genlab.cli.app import main; main()"
    command = [sys.executable, "-c", program]
    variables = {"_GENLAB_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": "3"}
    done = subprocess.run(
        command, cwd=tmp_path, env=environment() | variables, check=False, capture_output=True, text=True
    )
    offered = done.stdout.split()
    assert {"fashion-mini", "fashion-mnist"} <= set(offered)
    assert all(name.startswith(words.split()[-1]) for name in offered)


@pytest.mark.parametrize(
    ("failure", "code", "sentence"),
    [
        (KeyboardInterrupt(), 130, "Interrupted.\n"),
        (typer.Abort(), 130, "Interrupted.\n"),
        (OSError(28, "No space left on device", "there"), 2, "I/O error: No space left on device: there\n"),
        (OSError("odd"), 2, "I/O error: odd\n"),
    ],
)
def test_ctrl_c_and_a_failing_disk_end_any_command_with_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failure: BaseException, code: int, sentence: str
) -> None:
    def fail(*_: object) -> None:
        raise failure

    monkeypatch.setattr("genlab.runs.run.runs", fail)
    done = genlab(tmp_path, "list", "runs")
    assert (done.returncode, done.stderr) == (code, sentence)


def test_a_run_killed_at_any_time_and_resumed_ends_as_one_that_was_not(tmp_path: Path) -> None:
    long = [*TINY, "trainer.steps=200", "trainer.checkpoint_every=20", "trainer.validate_every=100", "run=mine"]
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    assert genlab(tmp_path / "a", "train", *long).returncode == 0
    for wanted in (20, 100):
        process = start(tmp_path / "b", "train", *long)
        folder = tmp_path / "b" / "mine" / "checkpoints"
        while process.poll() is None and max(checkpoint.steps(folder), default=0) < wanted:
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert genlab(tmp_path / "b", "resume", "mine").returncode == 0
    ours, theirs = (checkpoint.newest(tmp_path / part / "mine" / "checkpoints") for part in "ab")
    assert ours
    assert theirs
    assert ours.step == theirs.step == 200
    assert all(torch.equal(value, theirs.tensors[name]) for name, value in ours.tensors.items())


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_saves_and_says_how_to_continue(tmp_path: Path, number: int, code: int) -> None:
    process = start(tmp_path, "train", *TINY, "trainer.steps=1000000", "run=mine")
    while process.poll() is None and not checkpoint.steps(tmp_path / "mine" / "checkpoints").keys() - {0}:
        time.sleep(0.01)
    locked = genlab(tmp_path, "resume", "mine")
    assert locked.returncode == 2
    assert "is being trained by another process" in locked.stderr
    os.kill(process.pid, number)
    assert process.wait(timeout=60) == code
    printed = (tmp_path / "out.txt").read_text()
    assert "genlab resume mine" in printed
    assert json.loads((tmp_path / "mine" / "run.json").read_text())["state"] == "stopped"


def test_a_sweep_that_is_repeated_trains_nothing_twice(tmp_path: Path) -> None:
    sweep = ["train", "-m", "model=ae,vae", "data=digits", "trainer=smoke", "run=sweep"]
    first = genlab(tmp_path, *sweep)
    assert first.returncode == 0, first.stderr
    assert {path.name for path in (tmp_path / "sweep").iterdir() if path.is_dir()} == {"model=ae", "model=vae"}
    assert genlab(tmp_path, *sweep).stdout.count("There is nothing to do.") == 2
    assert all(f"\n  genlab {command} sweep\n" in first.stdout for command in ("evaluate", "compare", "board"))


def test_a_signal_stops_a_sweep_and_not_only_one_of_its_jobs(tmp_path: Path) -> None:
    process = start(tmp_path, "train", "-m", "seed=1,2,3", *TINY, "trainer.steps=1000000", "run=sweep")
    while process.poll() is None and not checkpoint.steps(tmp_path / "sweep/seed=1/checkpoints").keys() - {0}:
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=60) == 130
    printed = (tmp_path / "out.txt").read_text()
    assert "To continue, " in printed
    assert [path.name for path in (tmp_path / "sweep").iterdir() if path.is_dir()] == ["seed=1"]


def test_two_runs_of_one_second_get_two_folders(tmp_path: Path) -> None:
    both = [start(tmp_path, "train", *TINY) for _ in range(2)]
    assert [process.wait() for process in both] == [0, 0]
    assert len(list((tmp_path / "outputs" / "vae-digits").iterdir())) == 2
