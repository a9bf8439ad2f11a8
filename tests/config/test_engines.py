"""Tests of the part of the computer that each job of a sweep gets."""

import os
from pathlib import Path

import pytest
import torch

from genlab.config import engines
from genlab.config.engines import Engine, choose, missing
from genlab.registry import ConfigError


@pytest.fixture(autouse=True)
def _eight_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(engines, "_cores", lambda: 8)


def test_the_threads_of_all_jobs_together_are_at_most_the_cores() -> None:
    def shares(*, n_jobs: int, jobs: int | None) -> tuple[int, int | None]:
        engine = choose("joblib", {"n_jobs": n_jobs}, [f"hydra.launcher.n_jobs={n_jobs}"], jobs)
        return engine.at_once, engine.threads

    assert shares(n_jobs=2, jobs=10) == (2, 4)
    assert shares(n_jobs=3, jobs=10) == (3, 2)
    assert shares(n_jobs=-1, jobs=10) == (8, 1)
    assert shares(n_jobs=-2, jobs=10) == (7, 1)
    assert shares(n_jobs=-1, jobs=2) == (2, 4)  # two jobs need no eight processes
    assert shares(n_jobs=20, jobs=20) == (20, 1)


def test_submitit_on_this_computer_starts_no_more_jobs_at_once_than_there_are_cores() -> None:
    engine = choose("submitit_local", {}, [], jobs=20)
    assert (engine.at_once, engine.threads) == (8, 1)
    assert engine.settings == ("hydra.sweeper.max_batch_size=8",)
    chosen = choose("submitit_local", {}, ["hydra.sweeper.max_batch_size=4"], jobs=20)
    assert (chosen.at_once, chosen.threads, chosen.settings) == (4, 2, ())
    assert choose("submitit_local", {"cpus_per_task": 3}, [], jobs=20).threads == 3


def test_a_job_of_ray_has_as_many_threads_as_it_asks_for_cpus() -> None:
    assert choose("ray", {"ray": {}}, [], jobs=20).threads == 1
    wide = choose("ray", {"ray": {"init": {"num_cpus": 8}, "remote": {"num_cpus": 4}}}, [], jobs=20)
    assert (wide.at_once, wide.threads) == (2, 4)


def test_the_number_of_threads_that_the_user_sets_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    engine = choose("joblib", {"n_jobs": 2}, [], jobs=2)
    assert engine.threads == 3
    with engine.environment():
        assert os.environ["OMP_NUM_THREADS"] == "3"


def test_the_processes_of_the_jobs_are_told_their_threads_and_this_process_is_as_before() -> None:
    with Engine("joblib", 2, 4).environment():
        assert os.environ["OMP_NUM_THREADS"] == "4"
    assert "OMP_NUM_THREADS" not in os.environ


def test_each_process_gets_a_gpu_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines, "_cards", lambda: ("0", "1", "5"))
    threads: list[int] = []
    engine = choose("joblib", {"n_jobs": -1}, [], jobs=10)
    assert (engine.at_once, engine.cards) == (3, ("0", "1", "5"))
    assert choose("joblib", {"n_jobs": 6}, ["hydra.launcher.n_jobs=6"], jobs=10).at_once == 6
    assert choose("joblib", {"n_jobs": -1}, ["device=cpu"], jobs=10).cards == ()
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    # This process keeps its threads: sums of other tests would differ in their last bits.
    monkeypatch.setattr(torch, "set_num_threads", threads.append)
    seen = []
    for _ in range(4):
        # Another process has no place yet. The files stay open, so the places before it are taken.
        taken = list(engines._TAKEN)
        engines._TAKEN.clear()
        engine.prepare(tmp_path)
        seen.append(os.environ["CUDA_VISIBLE_DEVICES"])
        engine.prepare(tmp_path)
        assert os.environ["CUDA_VISIBLE_DEVICES"] == seen[-1]  # the next job of the same process
        engines._TAKEN.extend(taken)
    assert seen == ["0", "1", "5", "0"]
    assert set(threads) == {2}
    for _, file in engines._TAKEN:
        file.close()
    engines._TAKEN.clear()


def test_slurm_is_refused_where_it_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(ConfigError, match="needs Slurm, and its command sbatch was not found"):
        choose("submitit_slurm", {}, [])


def test_a_launcher_that_is_not_installed_is_named_with_the_line_that_installs_it() -> None:
    assert 'pip install "genlab[launchers]"' in str(missing("joblib"))
    line = 'pip install "ray[default]" && pip install --no-deps hydra-ray-launcher==1.2.2'
    assert str(missing("ray")).endswith(f"Install it with: {line}")
