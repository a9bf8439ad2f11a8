"""Sweeps whose jobs run in other processes, by each launcher that is installed."""

import signal
import subprocess
import time
from importlib.util import find_spec
from pathlib import Path

import pytest

from genlab.training import checkpoint
from tests.fixtures.program import TINY, Done, genlab_apart, start

PACKAGES = {"joblib": "hydra_joblib_launcher", "submitit_local": "hydra_submitit_launcher", "ray": "hydra_ray_launcher"}
# Long enough to be stopped; if a test fails, its jobs end by themselves.
LONG = [*TINY, "trainer.steps=20000"]


@pytest.fixture(params=list(PACKAGES))
def launcher(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    name = str(request.param)
    if not find_spec(f"hydra_plugins.{PACKAGES[name]}") or (name == "ray" and not find_spec("ray")):
        pytest.skip(f"the launcher {name} is not installed")
    # Sums in other numbers of threads differ in the last bit.
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    return name


def sweep(folder: Path, *arguments: str) -> Done:
    return genlab_apart(folder, "train", "-m", *arguments)


def lines_of(run: Path) -> int:
    file = run / "metrics.jsonl"
    return len(file.read_bytes().splitlines()) if file.exists() else 0


def wait_for_a_step(process: subprocess.Popen[str], run: Path, known: int) -> None:
    """Wait until the run has logged more lines than these."""
    end = time.monotonic() + 300
    while lines_of(run) <= known:
        assert process.poll() is None
        assert time.monotonic() < end
        time.sleep(0.1)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_checkpoints_are_those_of_a_sweep_in_one_process_and_a_failing_job_is_named(
    tmp_path: Path, launcher: str
) -> None:
    # In float32, the loss with this beta is not finite.
    swept = ["model.beta=1,1e300,2", *TINY]
    here = sweep(tmp_path, *swept, "run=here")
    apart = sweep(tmp_path, *swept, "run=apart", f"hydra/launcher={launcher}")
    for done, folder in ((here, "here"), (apart, "apart")):
        assert done.returncode == 1
        assert done.stderr.endswith(
            f"1 of 3 jobs failed:\n  {folder}/model.beta=1e+300: model: loss was not finite at step 1.\n"
        )
        assert "Traceback" not in done.stdout + done.stderr
    for job in ("model.beta=1", "model.beta=2"):
        one, other = (sorted((tmp_path / run / job / "checkpoints").iterdir()) for run in ("here", "apart"))
        assert [file.name for file in one] == [file.name for file in other]
        assert [file.read_bytes() for file in one] == [file.read_bytes() for file in other]
        assert f"{job}: finished, validation loss" in apart.stdout
        # A job in another process writes into its log alone.
        line = "step 2/2"
        assert line in (tmp_path / "apart" / job / "log.txt").read_text()
        assert line not in apart.stdout
        assert line in here.stdout


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_ctrl_c_stops_the_jobs_at_a_checkpoint_and_the_same_command_continues(tmp_path: Path, launcher: str) -> None:
    command = ["train", "-m", "seed=1,2", *LONG, "run=sweep", f"hydra/launcher={launcher}"]
    jobs = [tmp_path / "sweep" / f"seed={seed}" for seed in (1, 2)]
    steps, printed = [], ""
    for _ in range(2):
        before = lines_of(jobs[0])
        process = start(tmp_path, *command)
        try:
            wait_for_a_step(process, jobs[0], before)
            process.send_signal(signal.SIGINT)
            code = process.wait(timeout=300)
        finally:
            process.kill()
        printed = (tmp_path / "out.txt").read_text()
        assert code == 130, printed
        newest = checkpoint.newest(jobs[0] / "checkpoints")
        assert newest
        steps.append(newest.step)
        assert "To continue, repeat the command with run=sweep" in printed
        assert not list((tmp_path / "sweep").glob(".stop-*"))
    assert steps[1] > steps[0]
    assert "Traceback" not in printed


@pytest.mark.slow
def test_a_plugin_and_a_relative_folder_reach_the_jobs(tmp_path: Path) -> None:
    pytest.importorskip("hydra_plugins.hydra_joblib_launcher")
    (tmp_path / "mine.py").write_text(
        "from genlab.data import SOURCES as known\n\nSOURCES = {'mine': known['digits']}\n", encoding="utf-8"
    )
    (tmp_path / "configs/data").mkdir(parents=True)
    recipe = Path(__file__).parents[2] / "configs/data/digits.yaml"
    text = recipe.read_text(encoding="utf-8").replace("class: digits", "class: mine")
    (tmp_path / "configs/data/mine.yaml").write_text(text, encoding="utf-8")
    tiny = [word for word in TINY if not word.startswith("data=")]
    options = ["--plugin", "mine.py", "seed=1,2", "data=mine", "hydra/launcher=joblib", "run=sweep"]
    done = sweep(tmp_path, *options, *tiny)
    assert done.returncode == 0, done.stderr
    assert {path.parent.name for path in (tmp_path / "sweep").glob("*/plugins")} == {"seed=1", "seed=2"}
