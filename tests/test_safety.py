"""Files of others stay, code of others is not run unasked, and a damaged or crafted run harms nothing."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from genlab import run
from genlab.registry import ConfigError
from tests.program import TINY, assert_refused, genlab

GAN = ["data=digits", "model=wgan", "model/network=dcgan-small", "trainer=smoke"]


@pytest.mark.parametrize("start", [[], ["start=outputs/mine"]], ids=["fresh", "failing"])
def test_a_folder_with_a_lock_of_somebody_else_is_refused_and_kept(place: Path, start: list[str]) -> None:
    (place / "p").mkdir()
    (place / "p/.lock").touch()
    (place / "p/thesis").write_text("years")
    done = genlab(place, "train", *GAN, "run=p", *start)
    assert_refused(done, "p is not a run, and it is not empty; choose another folder.")
    assert {path.name: path.read_text() for path in (place / "p").iterdir()} == {".lock": "", "thesis": "years"}


@pytest.mark.parametrize(
    ("names", "lock"),
    [
        (["config.yaml"], ""),
        (["config.yaml"], "somebody else's"),
        (["config.yaml", "thesis"], "process 1"),
        (["images"], "process 1"),
        (["config.yaml"], None),
        ([".x.1.tmp"], None),
    ],
)
def test_only_a_killed_beginning_of_ours_is_begun_again(tmp_path: Path, names: list[str], lock: str | None) -> None:
    for name in names:
        (tmp_path / name).touch()
    if lock is not None:
        (tmp_path / ".lock").write_text(lock)
    with pytest.raises(ConfigError, match="choose another folder"):
        run.exists(tmp_path)


def test_a_lock_that_is_binary_is_not_ours(tmp_path: Path) -> None:
    (tmp_path / ".lock").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match="choose another folder"):
        run.exists(tmp_path)


def test_a_failure_before_the_first_checkpoint_removes_what_it_made_and_nothing_else(place: Path) -> None:
    (place / "p").mkdir()
    for folder in ("p", "new"):
        done = genlab(place, "train", *GAN, f"run={folder}", "start=outputs/mine")
        assert_refused(done, "no weight of the same name and size")
    assert list((place / "p").iterdir()) == []
    assert not (place / "new").exists()


def test_a_file_that_appears_while_a_run_begins_is_kept(tmp_path: Path) -> None:
    beginning = run.make(tmp_path / "p", "x")
    with beginning.run.lock():
        for name in ("config.yaml", "run.json", "thesis", "images/mine.png", "images/samples-0000000001.png"):
            (tmp_path / "p" / name).parent.mkdir(exist_ok=True)
            (tmp_path / "p" / name).touch()
        beginning.undo()
    left = {str(path.relative_to(tmp_path)) for path in (tmp_path / "p").rglob("*")}
    assert left == {"p/thesis", "p/images", "p/images/mine.png"}


def test_a_beginning_that_fails_again_can_be_begun_again(tmp_path: Path) -> None:
    (tmp_path / "p").mkdir()
    (tmp_path / "p/.lock").write_text("process 1")
    (tmp_path / "p/config.yaml").write_text("model: ")
    beginning = run.make(tmp_path / "p", "x")
    with beginning.run.lock():
        beginning.run.keep("run.json", "{}")
        beginning.undo()
    assert genlab(tmp_path, "train", "run=p", *TINY).returncode == 0


def test_resuming_removes_only_tensorboards_own_files(place: Path) -> None:
    board = place / "outputs/mine/tensorboard"
    (board / "notes.txt").write_text("mine")
    assert genlab(place, "resume", "latest", "trainer.steps=3").returncode == 0
    assert (board / "notes.txt").read_text() == "mine"
    assert len(list(board.glob("events.*"))) == 1


@pytest.fixture
def unfinished(tmp_path: Path) -> Path:
    """A folder with a run that stopped at step 4 of 8, after it had written pictures."""
    steps = ["trainer.validate_every=2", "trainer.checkpoint_every=4"]
    assert genlab(tmp_path, "train", *TINY, *steps, "trainer.steps=4", "run=outputs/mine").returncode == 0
    return tmp_path


def test_pictures_that_cannot_be_read_are_left_out_with_one_warning(unfinished: Path) -> None:
    images = unfinished / "outputs/mine/images"
    first, second, *others = sorted(images.glob("*.png"))
    assert others
    first.write_bytes(b"")
    second.write_bytes(second.read_bytes()[:-40])
    with pytest.warns(UserWarning, match="cannot be read") as said:
        done = genlab(unfinished, "resume", "latest", "trainer.steps=8")
    assert done.returncode == 0, done.stderr
    (text,) = [str(one.message) for one in said if "cannot be read" in str(one.message)]
    assert text.endswith(f"outputs/mine/images/{first.name}, outputs/mine/images/{second.name}.")
    with Image.open(others[0]) as opened:
        opened.verify()


def test_a_resume_that_changes_nothing_does_not_write_the_config(unfinished: Path) -> None:
    config = unfinished / "outputs/mine/config.yaml"
    assert genlab(unfinished, "resume", "latest", "trainer.steps=8").returncode == 0
    sorted((unfinished / "outputs/mine/checkpoints").iterdir())[-1].unlink()
    (unfinished / "outputs/mine/run.json").write_text(
        (unfinished / "outputs/mine/run.json").read_text().replace('"finished"', '"stopped"')
    )
    config.chmod(0o444)
    before = config.stat()
    assert genlab(unfinished, "resume", "latest").returncode == 0
    after = config.stat()
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)


@pytest.mark.parametrize("failing", ["replace", "fsync"])
def test_a_disk_that_fails_while_a_run_is_resumed_leaves_its_config_whole(
    place: Path, monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    config = place / "outputs/mine/config.yaml"
    before = config.read_bytes()

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, failing, full)
        done = genlab(place, "resume", "latest", "trainer.steps=3")
    assert_refused(done, "No space left on device")
    assert config.read_bytes() == before
    assert genlab(place, "resume", "latest", "trainer.steps=3").returncode == 0
    assert b"steps: 3" in config.read_bytes()


def test_a_run_that_begins_on_a_full_disk_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", "config.yaml")

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", full)
        done = genlab(tmp_path, "train", *TINY, "run=p")
    assert_refused(done, "The run's folder cannot be written: No space left on device")
    assert not (tmp_path / "p").exists()


def test_a_resume_that_is_killed_while_it_writes_leaves_its_config_whole(place: Path) -> None:
    config = place / "outputs/mine/config.yaml"
    before = config.read_bytes()
    # Killed at the first rename, when the new text is already on the disk under another name.
    killed = "import os, sys; os.replace = lambda *_: os.kill(os.getpid(), 9); from genlab.cli import main; main()"
    command = [sys.executable, "-c", killed, "resume", "outputs/mine", "trainer.steps=3"]
    ours = os.environ | {"PYTHONPATH": str(Path(__file__).parent.parent)}
    assert subprocess.run(command, cwd=place, check=False, capture_output=True, env=ours).returncode == -9
    assert config.read_bytes() == before
    assert genlab(place, "resume", "latest", "trainer.steps=3").returncode == 0
    assert not list((place / "outputs/mine").glob(".*.tmp"))
