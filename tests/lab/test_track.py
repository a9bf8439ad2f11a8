"""`genlab track`: what a tracker gets, in which order, and nothing twice."""

import json
import math
import os
import subprocess
import sys
import time
import venv
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from PIL import Image as Pillow

from genlab.lab import track as tracking
from genlab.lab.trackers import TRACKERS, Rows
from genlab.registry import ConfigError, RunError
from genlab.runs.run import Run
from tests.fixtures.program import assert_refused, environment, genlab
from tests.fixtures.runs_made_up import evaluate, make_run

Point = tuple[str, int, float]


@dataclass
class Recorder:
    """A tracker that keeps what it gets."""

    names: list[str] = field(default_factory=list)
    config: dict[str, Any] = field(default_factory=dict)
    ids: list[str | None] = field(default_factory=list)
    points: list[Point] = field(default_factory=list)
    previews: list[tuple[str, int, str]] = field(default_factory=list)
    states: list[str] = field(default_factory=list)
    next_id: str = "first"
    broken: bool = False

    def begin(self, name: str, config: Mapping[str, Any], known: str | None) -> str:
        self.names.append(name)
        self.ids.append(known)
        self.config = dict(config)
        return known if known == self.next_id else self.next_id

    def scalars(self, rows: Rows) -> None:
        if self.broken:
            raise TimeoutError("no answer")
        self.points += [(name, step, value) for step, values in rows for name, value in values.items()]

    def picture(self, name: str, step: int, path: Path) -> None:
        self.previews.append((name, step, path.suffix))

    sound = text = picture

    def finish(self, state: str) -> str:
        self.states.append(state)
        return "over there"


@pytest.fixture
def recorder(monkeypatch: pytest.MonkeyPatch) -> Recorder:
    found = Recorder()
    monkeypatch.setitem(TRACKERS, "mlflow", lambda project: found)
    return found


def line(step: int, split: str = "train", **values: float | None) -> str:
    return json.dumps({"step": step, "epoch": step / 10, "split": split, **values}) + "\n"


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run of 20 steps with one preview of each form."""
    folder = make_run(tmp_path / "mine", "model=beta-vae", step=20)
    lines = [line(10, loss=2.0), line(10, "validation", loss=None), line(20, loss=1.0), line(20, "test", loss=1.5)]
    (folder / "metrics.jsonl").write_text("".join(lines))
    preview(folder, 10)
    return folder


def preview(folder: Path, step: int) -> None:
    for name in ("images", "texts"):
        (folder / name).mkdir(exist_ok=True)
    Pillow.new("L", (4, 4)).save(folder / "images" / f"samples-{step:010d}.png")
    (folder / "texts" / f"samples-{step:010d}.txt").write_text("words\n")


def send(run: Path, said: list[str] | None = None, **settings: Any) -> None:
    tracking.track([str(run)], "mlflow", say=(said if said is not None else []).append, **settings)


def test_a_run_is_sent_with_its_settings_metrics_and_previews(run: Path, recorder: Recorder) -> None:
    evaluate(run, {"PSNR": (20.0, 0.1, None)}, step=20)
    said: list[str] = []
    send(run, said)
    assert recorder.names[0].startswith("beta-vae-fashion-mini mine ")
    assert recorder.config["model.beta"] == 4
    assert recorder.config["run.folder"] == str(run)
    points = {(name, step): value for name, step, value in recorder.points}
    assert list(points) == [
        ("train/loss", 10),
        ("validation/loss", 10),
        ("train/loss", 20),
        ("test/loss", 20),
        ("evaluation/PSNR", 20),
    ]
    assert math.isnan(points["validation/loss", 10])
    assert points["evaluation/PSNR", 20] == 20.0
    assert recorder.previews == [("previews/samples", 10, ".png"), ("previews/samples", 10, ".txt")]
    assert recorder.states == ["finished"]
    assert said == [f"{run}: sent 5 rows of metrics and 2 previews to mlflow. Look at it: over there"]


def test_nothing_is_sent_twice_and_a_new_evaluation_is_sent_alone(run: Path, recorder: Recorder) -> None:
    send(run)
    before = list(recorder.points)
    said: list[str] = []
    send(run, said)
    assert said == [f"{run}: mlflow has everything already."]
    assert recorder.ids == [None]
    evaluate(run, {"PSNR": (20.0, 0.1, None)}, step=20)
    send(run)
    assert recorder.ids == [None, "first"]
    assert recorder.points == [*before, ("evaluation/PSNR", 20, 20.0)]
    # Another project gets everything.
    send(run, project="other")
    assert len(recorder.points) == 2 * len(before) + 2


def test_a_tracker_that_has_lost_the_run_gets_all_of_it_again(run: Path, recorder: Recorder) -> None:
    send(run)
    recorder.next_id, count = "second", len(recorder.points)
    evaluate(run, {"PSNR": (20.0, 0.1, None)})
    send(run)
    assert len(recorder.points) == 2 * count + 1


def test_a_run_that_was_cut_back_and_trained_on_repeats_nothing(run: Path, recorder: Recorder) -> None:
    send(run)
    count = len(recorder.points)
    # As after `genlab resume` from step 10: the same metrics come again, and the test is now at the new end.
    lines = [line(10, loss=2.0), line(10, "validation", loss=None), line(20, loss=1.0)]
    (run / "metrics.jsonl").write_text("".join([*lines, line(30, loss=0.5), line(30, "test", loss=1.0)]))
    preview(run, 30)
    send(run)
    assert recorder.points[count:] == [("train/loss", 30, 0.5), ("test/loss", 30, 1.0)]
    assert recorder.previews[2:] == [("previews/samples", 30, ".png"), ("previews/samples", 30, ".txt")]


def events(run: Path, *happen: Callable[[], object]) -> Callable[[float], None]:
    """Return a `wait` during which one thing after the other happens."""
    left = list(happen)

    def wait(seconds: float) -> None:
        if left:
            left.pop(0)()

    return wait


def append(run: Path, text: str) -> None:
    with open(run / "metrics.jsonl", "a") as file:
        file.write(text)


def age(run: Path) -> None:
    """Make all previews of a run old, as files are that nobody writes any more."""
    for path in run.glob("*/samples-*"):
        os.utime(path, (time.time() - 60,) * 2)


def finish(run: Path) -> None:
    Run(run).record(state="finished")


def test_following_sends_new_lines_until_the_training_ends(
    run: Path, recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Run, "locked", True)
    Run(run).record(state="running")
    seen: list[int] = []

    def at_20() -> None:
        seen.append(len(recorder.points))
        preview(run, 20)
        age(run)
        append(run, line(30, loss=0.5) + line(40, loss=0.4)[:9])  # the second is not complete yet

    def at_40() -> None:
        seen.append(len(recorder.points))
        append(run, line(40, loss=0.4)[9:])
        preview(run, 40)
        finish(run)

    send(run, follow=True, wait=events(run, at_20, at_40))
    assert seen == [4, 5]
    assert recorder.points[4:] == [("train/loss", 30, 0.5), ("train/loss", 40, 0.4)]
    # A young file may be incomplete while the run is trained.
    assert [step for _, step, form in recorder.previews if form == ".png"] == [10, 20, 40]
    assert recorder.states == ["finished"]


def test_ctrl_c_notes_what_was_sent(run: Path, recorder: Recorder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Run, "locked", True)
    Run(run).record(state="running")

    def interrupt(seconds: float) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        send(run, follow=True, wait=interrupt)
    assert recorder.states == ["running"]
    finish(run)
    append(run, line(30, loss=0.5))
    send(run)
    assert recorder.points[4:] == [("train/loss", 30, 0.5)]


def test_every_run_of_a_sweep_is_sent_and_the_next_one_is_waited_for(tmp_path: Path, recorder: Recorder) -> None:
    make_run(tmp_path / "sweep" / "one")
    (tmp_path / "sweep" / "one" / "metrics.jsonl").write_text(line(5, loss=1.0))

    def begin_another() -> None:
        make_run(tmp_path / "sweep" / "two", created="2027")
        (tmp_path / "sweep" / "two" / "metrics.jsonl").write_text(line(6, loss=1.0))

    send(tmp_path / "sweep", follow=True, wait=events(tmp_path, begin_another))
    assert [step for _, step, _ in recorder.points] == [5, 6]
    assert len(set(recorder.names)) == 2


def test_a_tracker_that_fails_is_a_sentence_and_the_rest_is_sent_later(run: Path, recorder: Recorder) -> None:
    recorder.broken = True
    with pytest.raises(RunError, match="mlflow does not take the run: no answer\nWhat has arrived is noted."):
        send(run)
    recorder.broken = False
    send(run)
    assert len(recorder.points) == 4


def test_damaged_files_are_named(run: Path, recorder: Recorder) -> None:
    (run / "images" / "samples-0000000010.png").write_bytes(b"\x89PNG")
    (run / "evaluation.json").write_text('{"format": 2, "last": []}')
    said: list[str] = []
    send(run, said)
    assert said[0].endswith("samples-0000000010.png is damaged and is left out.")
    assert [form for _, _, form in recorder.previews] == [".txt"]
    (run / "track" / "mlflow.json").write_text('{"genlab": {"steps": ')
    with pytest.raises(ConfigError, match=r"mlflow.json is damaged. Delete it to send the whole run again."):
        send(run)


def test_two_processes_do_not_send_the_same_run(run: Path, recorder: Recorder) -> None:
    with tracking._only_process(Run(run), "mlflow"), pytest.raises(ConfigError, match="Another process sends"):
        send(run)


@pytest.mark.parametrize("to", ["wandb", "mlflow", "trackio"])
def test_a_missing_package_is_named_with_its_pip_line(
    to: str, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, to, None)
    assert_refused(genlab(tmp_path, "track", "mine", "--to", to), f"{to} is not installed. Run pip install {to}.")


def test_an_unknown_tracker_is_refused(run: Path) -> None:
    with pytest.raises(ConfigError, match=r"Unknown tracker 'mlfow'. Did you mean 'mlflow'\?"):
        tracking.track([str(run)], "mlfow")


READ = """
import json, sys
from mlflow import MlflowClient
client = MlflowClient()
(run,) = client.search_runs([client.get_experiment_by_name("mine").experiment_id])
found = {name: client.get_metric_history(run.info.run_id, name) for name in run.data.metrics}
history = {name: [(metric.step, str(metric.value)) for metric in values] for name, values in found.items()}
files = [file.path for file in client.list_artifacts(run.info.run_id, "images")]
print(json.dumps([run.info.status, run.data.params, history, files]))
"""


@pytest.mark.slow
def test_mlflow_gives_back_what_was_sent(run: Path, tmp_path: Path) -> None:
    venv.create(tmp_path / "venv", with_pip=True)
    python = str(tmp_path / "venv" / "bin" / "python")
    (site,) = (tmp_path / "venv" / "lib").glob("python*/site-packages")
    # What the tests themselves run with is found after what is installed here.
    (site / "tests.pth").write_text("\n".join(filter(os.path.isdir, sys.path)))
    packages = ("mlflow-skinny>=3", "sqlalchemy", "alembic")
    if subprocess.run([python, "-m", "pip", "install", "--quiet", *packages], check=False).returncode:
        pytest.skip("mlflow-skinny cannot be installed here")
    variables = environment() | {"MLFLOW_TRACKING_URI": f"sqlite:///{tmp_path}/mlflow.db"}
    command = [python, "-m", "genlab", "track", str(run), "--to", "mlflow", "--project", "mine"]
    for _ in range(2):
        subprocess.run(command, cwd=tmp_path, env=variables, check=True)
    reading = [python, "-c", READ]
    read = subprocess.run(reading, cwd=tmp_path, env=variables, check=True, stdout=subprocess.PIPE, text=True)
    status, params, history, files = json.loads(read.stdout)
    assert status == "FINISHED"
    assert params["model.beta"] == "4.0"
    assert history == {
        "train/loss": [[10, "2.0"], [20, "1.0"]],
        "validation/loss": [[10, "nan"]],
        "test/loss": [[20, "1.5"]],
    }
    assert any("samples" in file and file.endswith(".png") for file in files)
