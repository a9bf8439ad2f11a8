"""Several processes train one run like a single one."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from torch import nn

from genlab import distributed, randomness
from genlab.config.compose import compose
from genlab.registry import ConfigError
from genlab.runs import lifecycle
from genlab.runs.run import Run
from genlab.training import checkpoint
from genlab.training.console import Console
from genlab.training.journal import read
from genlab.training.shared_norm import SharedNorm
from tests.fixtures.program import environment, genlab_apart
from tests.fixtures.together import Jobs, difference, recipe, recipes, train, train_together

ALIKE = 1e-3
"""A wrong noise, norm or average would give a difference near 1. Only rounding is left: 1e-7 to 1e-4."""
TELLING: Jobs = {
    "dcgan": recipe("dcgan", "model.augment=[color,translation,cutout]", "data.shift=2", "data.flip=true"),
    "tc-vae": recipe("tc-vae", "model.free_bits=0.5", "data.residence=host", "data.balance=true"),
    "vq-vae": recipe("vq-vae", "model.code_steps=2"),
    "wae": recipe("wae", "data.binarize=true"),
}
"""Norms and random changes; pairs of items, a mean of units; a codebook; a distance of two batches."""
MORE: Jobs = {
    "capacity": recipe("vae", "model.capacity=5"),
    # Parts that are no whole groups of four: the spread of a group and R1 go through messages.
    "groups": recipe("stylegan", "trainer.batch_size=12", "model.condition=projection"),
    "crops": recipe(
        "srresnet", "data=photos-mini", "model.crop=24", "model.blur=1", "model.noise=0.1", "model.quality=30"
    ),
}


def test_two_processes_train_like_one(tmp_path: Path) -> None:
    train(tmp_path / "one", TELLING)
    train_together(tmp_path / "two", TELLING)
    for name in TELLING:
        assert difference(tmp_path / "one" / name, tmp_path / "two" / name) < ALIKE, name
        one, two = (_measured(tmp_path / folder / name) for folder in ("one", "two"))
        assert one.keys() == two.keys()
        assert all(value == pytest.approx(two[key], rel=1e-4, abs=1e-6) for key, value in one.items()), name


@pytest.mark.slow
def test_every_recipe_is_trained_by_two_processes_as_by_one(tmp_path: Path) -> None:
    jobs = {**recipes(), **MORE}
    train(tmp_path / "one", jobs)
    train_together(tmp_path / "two", jobs)
    found = {name: difference(tmp_path / "one" / name, tmp_path / "two" / name) for name in jobs}
    assert {name: size for name, size in found.items() if size > ALIKE} == {}


@pytest.mark.slow
def test_a_run_is_continued_by_another_number_of_processes(tmp_path: Path) -> None:
    longer = {name: [*TELLING[name], "trainer.steps=1"] for name in ("dcgan", "vq-vae")}
    train(tmp_path / "whole", {name: TELLING[name] for name in longer})
    train_together(tmp_path / "by one", longer)
    train(tmp_path / "by two", longer)
    for name in longer:
        run = Run(tmp_path / "by one" / name)
        lifecycle.resume(run, ["trainer.steps=2"], Console())
        assert difference(tmp_path / "whole" / name, run.path) < ALIKE
        done = genlab_apart(tmp_path, "resume", f"by two/{name}", "trainer.steps=2", "devices=2")
        assert done.returncode == 0, done.stderr
        assert difference(tmp_path / "whole" / name, tmp_path / "by two" / name) < ALIKE


def _measured(run: Path) -> dict[str, float]:
    """Return all metrics of a run but the speed, by split, step and name."""
    return {
        f"{line['split']} {line['step']} {name}": value
        for line in read(run)
        for name, value in line.items()
        if name != "items_per_second" and isinstance(value, float)
    }


def test_a_batch_that_cannot_be_shared_evenly_is_refused(tmp_path: Path) -> None:
    done = genlab_apart(tmp_path, "train", "data=digits", "trainer=smoke", "devices=3", "device=cpu")
    assert "trainer.batch_size is 16, which 3 processes cannot share evenly" in done.stderr
    assert "Set trainer.batch_size=15" in done.stderr
    assert done.stderr.count("\n") == 1
    assert done.returncode == 2
    assert not (tmp_path / "outputs").exists()


def test_a_sweep_refuses_several_processes_for_one_run() -> None:
    with pytest.raises(ConfigError, match="devices=2 needs 2 processes"):
        lifecycle.train(compose(["devices=2"]), Console())


def test_random_numbers_of_a_part_are_rows_of_those_of_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    cpu, values = torch.device("cpu"), torch.zeros(6, 2, 5)
    torch.manual_seed(1)
    whole = randomness.normal(6, 5, device=cpu), randomness.uniform(6, device=cpu), randomness.normal_like(values)
    monkeypatch.setattr(distributed, "count", lambda: 3)
    monkeypatch.setattr(distributed, "rank", lambda: 1)
    torch.manual_seed(1)
    with distributed.sharing():
        part = (
            randomness.normal(2, 5, device=cpu),
            randomness.uniform(2, device=cpu),
            randomness.normal_like(values[:2]),
        )
    for all_rows, rows in zip(whole, part, strict=True):
        assert torch.equal(all_rows[2:4], rows)


def test_alone_the_shared_norm_is_that_of_torch() -> None:
    ours, theirs = nn.BatchNorm2d(3), nn.BatchNorm2d(3)
    ours.__class__ = SharedNorm  # type: ignore[assignment]
    items = torch.randn(4, 3, 2, 2)
    assert torch.equal(ours(items), theirs(items))


def torchrun(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    """Start two processes under torchrun, which starts both again if one ends early."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "--max-restarts=3"]
    with open(folder / "out.txt", "ab") as file:
        command += ["-m", "genlab", "train", "data=digits", "device=cpu", *arguments]
        return subprocess.Popen(command, cwd=folder, stdout=file, stderr=file, text=True, env=environment())


SETTINGS = ("trainer=smoke", "trainer.steps=400", "trainer.checkpoint_every=20", "trainer.validate_every=100")


def workers(process: subprocess.Popen[str] | subprocess.Popen[bytes]) -> list[int]:
    """Return the processes that torchrun has started."""
    return [int(number) for number in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()]


def wait_for(folder: Path, step: int) -> Path:
    """Wait until a run below a folder has a checkpoint of at least this step, and return the run."""
    for _ in range(1200):
        for run in folder.glob("outputs/*/*"):
            if max(checkpoint.steps(run / "checkpoints"), default=-1) >= step:
                return run
        time.sleep(0.1)
    raise AssertionError((folder / "out.txt").read_text())


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="the children of a process are read from /proc")
@pytest.mark.parametrize("victim", [0, 1])
def test_a_run_whose_process_is_killed_ends_like_one_that_was_left_in_peace(tmp_path: Path, victim: int) -> None:
    (tmp_path / "calm").mkdir()
    (tmp_path / "hurt").mkdir()
    calm = torchrun(tmp_path / "calm", *SETTINGS)
    assert calm.wait() == 0
    hurt = torchrun(tmp_path / "hurt", *SETTINGS)
    wait_for(tmp_path / "hurt", 100)
    os.kill(workers(hurt)[victim], signal.SIGKILL)
    assert hurt.wait() == 0
    text = (tmp_path / "hurt" / "out.txt").read_text()
    # The second start says again what it trains.
    assert text.count("400 steps of 16 images on 2 processes") == 2
    one, other = (wait_for(tmp_path / name, 400) for name in ("calm", "hurt"))
    # A checkpoint has the hash of its content in its name.
    assert _names(one) == _names(other)
    assert Run(other).state == "finished"


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="the children of a process are read from /proc")
def test_a_signal_to_one_process_stops_all_of_them_and_the_run_goes_on_exactly(tmp_path: Path) -> None:
    for name in ("calm", "stopped"):
        (tmp_path / name).mkdir()
    assert torchrun(tmp_path / "calm", *SETTINGS).wait() == 0
    stopped = torchrun(tmp_path / "stopped", *SETTINGS)
    wait_for(tmp_path / "stopped", 100)
    # To torchrun, which passes it on to both of its processes.
    stopped.send_signal(signal.SIGTERM)
    assert stopped.wait() != 0
    run = wait_for(tmp_path / "stopped", 100)
    assert Run(run).state == "stopped"
    assert "and saved" in (tmp_path / "stopped" / "out.txt").read_text()
    assert genlab_apart(tmp_path, "resume", str(run), "devices=2").returncode == 0
    assert _names(run) == _names(wait_for(tmp_path / "calm", 400))


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="the children of a process are read from /proc")
@pytest.mark.parametrize("victim", ["worker", "parent"])
def test_no_process_goes_on_if_another_one_or_their_parent_is_killed(tmp_path: Path, victim: str) -> None:
    command = [sys.executable, "-m", "genlab", "train", "data=digits", "device=cpu", "devices=2", *SETTINGS[:1]]
    command += ["trainer.steps=100000", "trainer.checkpoint_every=20", "trainer.validate_every=100000"]
    with open(tmp_path / "out.txt", "ab") as file:
        parent = subprocess.Popen(command, cwd=tmp_path, stdout=file, stderr=file, env=environment())
    run = wait_for(tmp_path, 20)
    others = workers(parent)
    os.kill(others[1] if victim == "worker" else parent.pid, signal.SIGKILL)
    code, text = parent.wait(), ""
    for _ in range(600):
        if not any(Path(f"/proc/{number}").exists() for number in others):
            text = (tmp_path / "out.txt").read_text()
            break
        time.sleep(0.1)
    if victim == "worker":
        assert code == 1
        assert "Process 1 of 2 was killed." in text
    else:
        assert "and saved. Continue with" in text
        assert Run(run).state == "stopped"


def _names(run: Path) -> set[str]:
    return {path.name for path in checkpoint.steps(run / "checkpoints").values()}


def test_the_command_of_a_run_without_newer_settings_still_repeats_it(tmp_path: Path) -> None:
    settings = ["data=digits", "trainer=smoke", "device=cpu", f"run={tmp_path / 'run'}"]
    run, _ = lifecycle.train(compose(settings), Console())
    file = run.path / "config.yaml"
    lacking = ("devices:", "  cuda_graphs:", "  deterministic:", "  patience:")
    lines = [line for line in file.read_text().splitlines() if not line.startswith(lacking)]
    file.write_text("\n".join([*lines, ""]))
    assert lifecycle.train(compose(settings), Console())[1] is None
    with pytest.raises(ConfigError, match="these keys differ: trainer.deterministic"):
        lifecycle.train(compose([*settings, "trainer.deterministic=true"]), Console())
