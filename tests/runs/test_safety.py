"""Files of the user stay, and a damaged or crafted run harms nothing."""

import errno
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from genlab.registry import ConfigError
from genlab.runs import run
from genlab.training import checkpoint
from tests.fixtures.program import TINY, assert_refused, environment, genlab
from tests.training.test_resume import trainer

Tensors = dict[str, torch.Tensor]
Facts = dict[str, Any]

GAN = ["data=digits", "model=wgan", "model/network=dcgan-small", "trainer=smoke"]


@pytest.mark.parametrize("start", [[], ["start=outputs/mine"]], ids=["fresh", "failing"])
def test_a_folder_with_a_lock_of_another_program_is_refused_and_kept(place: Path, start: list[str]) -> None:
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
        (["config.yaml"], "another program"),
        (["config.yaml", "thesis"], "process 1"),
        (["images"], "process 1"),
        (["config.yaml"], None),
        ([".x.1.tmp"], None),
    ],
)
def test_a_run_begins_only_in_an_empty_folder_or_a_killed_beginning(
    tmp_path: Path, names: list[str], lock: str | None
) -> None:
    for name in names:
        (tmp_path / name).touch()
    if lock is not None:
        (tmp_path / ".lock").write_text(lock)
    with pytest.raises(ConfigError, match="choose another folder"):
        run.exists(tmp_path)


def test_a_lock_that_is_binary_is_of_another_program(tmp_path: Path) -> None:
    (tmp_path / ".lock").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match="choose another folder"):
        run.exists(tmp_path)


def test_a_failure_before_the_first_checkpoint_removes_its_own_files_and_nothing_else(place: Path) -> None:
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


def test_a_beginning_that_fails_twice_can_begin_again(tmp_path: Path) -> None:
    (tmp_path / "p").mkdir()
    (tmp_path / "p/.lock").write_text("process 1")
    (tmp_path / "p/config.yaml").write_text("model: ")
    beginning = run.make(tmp_path / "p", "x")
    with beginning.run.lock():
        beginning.run.keep("run.json", "{}")
        beginning.undo()
    assert genlab(tmp_path, "train", "run=p", *TINY).returncode == 0


def test_resuming_removes_only_the_files_of_tensorboard(place: Path) -> None:
    board = place / "outputs/mine/tensorboard"
    (board / "notes.txt").write_text("mine")
    assert genlab(place, "resume", "latest", "trainer.steps=3").returncode == 0
    assert (board / "notes.txt").read_text() == "mine"
    assert len(list(board.glob("events.*"))) == 1


@pytest.fixture
def unfinished(tmp_path: Path) -> Path:
    """A folder with a run that is finished at step 4 and has written pictures; tests resume it to step 8."""
    steps = ["trainer.validate_every=2", "trainer.checkpoint_every=4"]
    assert genlab(tmp_path, "train", *TINY, *steps, "trainer.steps=4", "run=outputs/mine").returncode == 0
    return tmp_path


def test_pictures_that_cannot_be_read_are_left_out_with_one_warning(unfinished: Path) -> None:
    images = unfinished / "outputs/mine/images"
    first, second, *others = sorted(images.glob("*.png"))
    assert others
    first.write_bytes(b"")
    second.write_bytes(second.read_bytes()[:-40])
    with pytest.warns(UserWarning, match="cannot be read") as caught:
        done = genlab(unfinished, "resume", "latest", "trainer.steps=8")
    assert done.returncode == 0, done.stderr
    (text,) = [str(one.message) for one in caught if "cannot be read" in str(one.message)]
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
    # Killed at the first rename: the new text is on the disk already, under another name.
    killed = "import os, sys; os.replace = lambda *_: os.kill(os.getpid(), 9); from genlab.cli.app import main; main()"
    command = [sys.executable, "-c", killed, "resume", "outputs/mine", "trainer.steps=3"]
    assert subprocess.run(command, cwd=place, check=False, capture_output=True, env=environment()).returncode == -9
    assert config.read_bytes() == before
    assert genlab(place, "resume", "latest", "trainer.steps=3").returncode == 0
    assert not list((place / "outputs/mine").glob(".*.tmp"))


def craft(folder: Path, change: Callable[[Tensors, Facts], object]) -> None:
    """Replace the newest checkpoint by a changed one with a right hash."""
    found = checkpoint.newest(folder / "checkpoints")
    assert found
    tensors, facts = dict(found.tensors), dict(found.facts)
    change(tensors, facts)
    checkpoint.steps(folder / "checkpoints")[found.step].unlink()
    checkpoint.save(folder / "checkpoints", found.step, tensors, facts)


def test_optimizer_states_of_another_shape_are_refused_and_not_read_beyond_their_end(place: Path) -> None:
    def shrink(tensors: Tensors, _: Facts) -> None:
        for name in tensors:
            if name.endswith(("exp_avg", "exp_avg_sq")):
                tensors[name] = torch.zeros(1)

    craft(place / "outputs/mine", shrink)
    done = genlab(place, "resume", "latest", "trainer.steps=50")
    assert_refused(done, "The checkpoint of step 2 is of another model: ")
    assert "exp_avg' is (1,) and not " in done.stderr


def put(name: str, value: torch.Tensor | None) -> Callable[[Tensors, Facts], object]:
    """Return a change of one tensor; None removes it."""

    def change(tensors: Tensors, _: Facts) -> None:
        if value is None:
            del tensors[name]
        else:
            tensors[name] = value

    return change


MOMENT = "player/discriminator/discriminator.weight"
ONE = torch.zeros(1, 1)


@pytest.mark.parametrize(
    ("optimizer", "change", "sentence"),
    [
        ("adam", put(f"{MOMENT}/exp_avg", torch.zeros(2, 2)), "(2, 2) and not (1, 1) in its player/discriminator"),
        ("adam", put(f"{MOMENT}/exp_avg", torch.zeros(1)), "(1,) and not (1, 1)"),
        ("adam", put(f"{MOMENT}/exp_avg", ONE.double()), "torch.float64 and not torch.float32"),
        ("adam", put(f"{MOMENT}/step", torch.zeros(3)), "'discriminator.weight/step' is (3,) and not ()"),
        ("adam", put(f"{MOMENT}/step", torch.tensor(1)), "torch.int64 and not torch.float32"),
        ("adamw", put(f"{MOMENT}/exp_avg_sq", None), "it lacks 'discriminator.weight/exp_avg_sq'"),
        ("adam", put(f"{MOMENT}/square_avg", ONE), "it holds 'discriminator.weight/square_avg'"),
        ("rmsprop", put(f"{MOMENT}/square_avg", torch.zeros(5)), "(5,) and not (1, 1)"),
        ("rmsprop", put(f"{MOMENT}/momentum_buffer", ONE), "it holds 'discriminator.weight/momentum_buffer'"),
        ("sgd", put(f"{MOMENT}/momentum_buffer", ONE), "it holds 'discriminator.weight/momentum_buffer'"),
        ("adam", put("player/discriminator/absent/exp_avg", ONE), "it holds 'absent/exp_avg'"),
        ("adam", put("player/discriminator/generator.weight/exp_avg", ONE), "it holds 'generator.weight/exp_avg'"),
        ("adam", put("player/discriminator/odd", ONE), "it holds 'odd'"),
        (
            "adam",
            put("player/nobody/discriminator.weight/exp_avg", ONE),
            "it holds 'player/nobody/discriminator.weight/exp_avg'",
        ),
        ("adam", put("odd", ONE), "it holds 'odd'"),
        ("adam", put("model/discriminator.weight", torch.zeros(2, 1)), "(2, 1) and not (1, 1) in its model"),
        ("adam", put("model/discriminator.weight", ONE.half()), "torch.float16 and not torch.float32"),
        ("adam", put("ema/discriminator.weight", torch.zeros(2, 1)), "(2, 1) and not (1, 1) in its ema"),
        ("adam", put("ema/discriminator.weight", None), "it lacks 'discriminator.weight' in its ema"),
        ("adam", put("tally/0", torch.zeros(9)), "'0' is (9,) and not (3,) in its tally"),
        ("adam", put("tally/7", torch.zeros(3)), "it holds '7' in its tally"),
        ("adam", put("tally/0", None), "it lacks '0' in its tally"),
        ("adam", lambda _, facts: facts.update(tally=3), "its tally is not in genlab's format"),
        (
            "adam",
            lambda _, facts: facts.update(tally=[["discriminator", ["loss"], 0]]),
            "its tally is not in genlab's format",
        ),
        ("adam", lambda _, facts: facts.update(ema={"discriminator": "x"}), "its facts about players and averages"),
        ("adam", lambda _, facts: facts.update(extractors=[]), "its facts about players and averages"),
        ("adam", lambda _, facts: facts.pop("position"), "its position is not in genlab's format"),
        ("adam", lambda _, facts: facts["position"].update(odd=1), "its position is not in genlab's format"),
        ("adam", lambda _, facts: facts["position"].update(batches=-1), "its position holds impossible counts"),
        ("adam", lambda _, facts: facts["position"].update(step=7), "its position holds impossible counts"),
        ("adam", lambda _, facts: facts["position"].update(best=[1]), "its best checkpoint is not in genlab's format"),
        ("adam", lambda _, facts: facts["position"].update(validation={"loss": "x"}), "metrics that are not numbers"),
    ],
)
def test_a_checkpoint_that_does_not_fit_gets_a_sentence_and_changes_nothing(
    tmp_path: Path, optimizer: str, change: Callable[[Tensors, Facts], object], sentence: str
) -> None:
    trainer(optimizer, steps=5, checkpoint_every=4).fit(tmp_path)
    # The checkpoint of step 4 has terms in its tally, because step 3 was logged.
    checkpoint.steps(tmp_path / "checkpoints")[5].unlink()
    craft(tmp_path, change)
    again = trainer(optimizer)
    before = {name: value.clone() for name, value in again.model.state_dict().items()}
    with pytest.raises(ConfigError) as refused:
        again.take_up(tmp_path)
    assert sentence in str(refused.value)
    assert all(torch.equal(value, before[name]) for name, value in again.model.state_dict().items())


@pytest.mark.parametrize("optimizer", ["adam", "rmsprop", "sgd"])
def test_a_weight_that_never_moved_needs_no_optimizer_state(tmp_path: Path, optimizer: str) -> None:
    trainer(optimizer, steps=5, checkpoint_every=5).fit(tmp_path)

    def forget(tensors: Tensors, _: Facts) -> None:
        for name in [name for name in tensors if name.startswith(MOMENT)]:
            del tensors[name]

    craft(tmp_path, forget)
    assert trainer(optimizer).fit(tmp_path).state == "finished"


def test_momentum_is_kept_by_every_optimizer_that_has_it(tmp_path: Path) -> None:
    from genlab.training.settings import PlayerSettings, TrainerSettings
    from genlab.training.trainer import Trainer
    from tests.fixtures.toys import ToyGame, seeded, toy_images

    for name in ("sgd", "rmsprop"):
        for steps in (2, 4):
            model = seeded(ToyGame)
            players = {player: PlayerSettings(optimizer=name, lr=0.01, momentum=0.5) for player in model.players()}
            outcome = Trainer(model, toy_images(), TrainerSettings(batch_size=4, steps=steps), players).fit(
                tmp_path / name
            )
            assert outcome.step == steps
        found = checkpoint.newest(tmp_path / name / "checkpoints")
        assert found
        assert f"{MOMENT}/momentum_buffer" in found.tensors


def test_a_foreign_average_is_refused_when_a_run_is_opened(place: Path) -> None:
    craft(place / "outputs/mine", lambda tensors, _: tensors.update({"ema/odd": torch.zeros(1)}))
    assert_refused(genlab(place, "evaluate", "latest", "--count", "20"), "in its ema.")


def test_a_checkpoint_whose_header_holds_no_table_is_damaged(tmp_path: Path) -> None:
    import hashlib

    from safetensors.torch import save

    for text in ("[]", '{"step": 6}', '{"step": "x"}', "3"):
        data = save({"weight": torch.zeros(2)}, metadata={"genlab": text})
        path = tmp_path / f"step-{5:010d}-{hashlib.sha256(data).hexdigest()[:16]}.safetensors"
        path.write_bytes(data)
        with pytest.raises(checkpoint.BrokenError):
            checkpoint.load(path)
