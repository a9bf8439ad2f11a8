"""The program as a person meets it: killed processes, signals, sweeps."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from genlab.training import checkpoint
from tests.fixtures.program import TINY, genlab


def test_a_run_is_made_repeated_and_refused_with_another_config(tmp_path: Path) -> None:
    first = genlab(tmp_path, "train", "run=mine", *TINY)
    assert first.returncode == 0, first.stderr
    assert {"config.yaml", "run.json", "metrics.jsonl", "checkpoints", "images", "tensorboard", "log.txt"} <= {
        path.name for path in (tmp_path / "mine").iterdir()
    }
    again = genlab(tmp_path, "train", "run=mine", *TINY)
    assert again.returncode == 0
    assert "There is nothing to do." in again.stdout
    other = genlab(tmp_path, "train", "run=mine", "seed=5", *TINY)
    assert other.returncode == 2
    assert "these keys differ: seed" in other.stderr


def test_a_run_killed_at_any_time_and_resumed_ends_as_one_that_was_not(tmp_path: Path) -> None:
    long = [*TINY, "trainer.steps=400", "trainer.checkpoint_every=20", "trainer.validate_every=100", "run=mine"]
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    assert genlab(tmp_path / "a", "train", *long).returncode == 0
    for wanted in (20, 120):
        process = subprocess.Popen(
            [sys.executable, "-m", "genlab", "train", *long], cwd=tmp_path / "b", stdout=subprocess.DEVNULL
        )
        folder = tmp_path / "b" / "mine" / "checkpoints"
        while process.poll() is None and max(checkpoint.steps(folder), default=0) < wanted:
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert genlab(tmp_path / "b", "resume", "mine").returncode == 0
    ours, theirs = (checkpoint.newest(tmp_path / part / "mine" / "checkpoints") for part in "ab")
    assert ours
    assert theirs
    assert ours.step == theirs.step == 400
    assert all(torch.equal(value, theirs.tensors[name]) for name, value in ours.tensors.items())


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_saves_and_says_how_to_go_on(tmp_path: Path, number: int, code: int) -> None:
    arguments = ["train", *TINY, "trainer.steps=1000000", "run=mine"]
    process = subprocess.Popen(
        [sys.executable, "-m", "genlab", *arguments], cwd=tmp_path, stdout=subprocess.PIPE, text=True
    )
    while process.poll() is None and not checkpoint.steps(tmp_path / "mine" / "checkpoints").keys() - {0}:
        time.sleep(0.01)
    locked = genlab(tmp_path, "resume", "mine")
    assert locked.returncode == 2
    assert "is being trained by another process" in locked.stderr
    os.kill(process.pid, number)
    said, _ = process.communicate(timeout=60)
    assert process.returncode == code
    assert "genlab resume mine" in said
    assert json.loads((tmp_path / "mine" / "run.json").read_text())["state"] == "stopped"


def test_a_sweep_started_again_does_nothing_twice(tmp_path: Path) -> None:
    sweep = ["train", "-m", "model=ae,vae", "data=digits", "trainer=smoke", "run=sweep"]
    first = genlab(tmp_path, *sweep)
    assert first.returncode == 0, first.stderr
    assert {path.name for path in (tmp_path / "sweep").iterdir() if path.is_dir()} == {"model=ae", "model=vae"}
    assert genlab(tmp_path, *sweep).stdout.count("There is nothing to do.") == 2
    assert all(f"\n  genlab {command} sweep\n" in first.stdout for command in ("evaluate", "compare", "board"))


def test_a_signal_stops_a_sweep_and_not_one_of_its_jobs_alone(tmp_path: Path) -> None:
    arguments = ["train", "-m", "seed=1,2,3", *TINY, "trainer.steps=1000000", "run=sweep"]
    process = subprocess.Popen(
        [sys.executable, "-m", "genlab", *arguments], cwd=tmp_path, stdout=subprocess.PIPE, text=True
    )
    while process.poll() is None and not checkpoint.steps(tmp_path / "sweep/seed=1/checkpoints").keys() - {0}:
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "goes on with it" in said
    assert [path.name for path in (tmp_path / "sweep").iterdir() if path.is_dir()] == ["seed=1"]


def test_two_runs_of_one_second_get_two_folders(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "genlab", "train", *TINY]
    both = [subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.DEVNULL) for _ in range(2)]
    assert [process.wait() for process in both] == [0, 0]
    assert len(list((tmp_path / "outputs" / "vae-digits").iterdir())) == 2
