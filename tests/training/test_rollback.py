"""A training whose loss stops being finite returns to a good checkpoint with a lower learning rate, if it may."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from genlab.contract import Batch, Model, Result, Turn
from genlab.kinds import Image
from genlab.registry import ConfigError, RunError
from genlab.training import checkpoint, rollback
from genlab.training.console import Console
from genlab.training.journal import read
from genlab.training.settings import PlayerSettings, TrainerSettings
from genlab.training.trainer import Trainer
from tests.fixtures import fragile_plugin
from tests.fixtures.fragile_plugin import RECIPE, Fragile
from tests.fixtures.program import genlab, genlab_apart
from tests.fixtures.toys import seeded, toy_images

RATE, PIXELS = 0.1, Image(1, 2, 2)


class Killed(BaseException):
    """An end at any place, which no code of genlab handles."""


def trainer(limit: float = 1.04, model: Model | None = None, **settings: object) -> Trainer:
    chosen = {
        "batch_size": 4,
        "steps": 16,
        "validate_every": 6,
        "checkpoint_every": 4,
        "log_every": 2,
        "rollback": True,
    }
    model = model or seeded(Fragile, x=PIXELS, limit=limit)
    players = {"model": PlayerSettings(optimizer="sgd", lr=RATE, ema=0.9)}
    best = settings.pop("best", None)
    return Trainer(model, toy_images(), TrainerSettings(**{**chosen, **settings}), players, best=best)  # type: ignore[arg-type]


def weight(trained: Trainer) -> float:
    assert isinstance(trained.model, Fragile)
    return float(trained.model.weight.weight.detach())


def ways(outcome_returns: list[dict[str, Any]]) -> list[tuple[int, int]]:
    return [(entry["from"], entry["to"]) for entry in outcome_returns]


def without_speed(folder: Path) -> list[dict[str, object]]:
    return [{name: value for name, value in line.items() if name != "items_per_second"} for line in read(folder)]


def files(folder: Path) -> list[str]:
    """Return the names of the checkpoints, which hold the hashes of their contents."""
    return sorted(path.name for path in (folder / "checkpoints").iterdir())


def test_it_goes_on_from_a_good_checkpoint_with_half_the_learning_rate(tmp_path: Path) -> None:
    trained = trainer()
    outcome = trained.fit(tmp_path, Console(log=tmp_path / "log.txt"))
    # Step 12 has the weight 1.1. After half the rate step 14 has 1.05; the checkpoint of step 12 lies just before it.
    assert ways(outcome.returns) == [(12, 8), (14, 8)]
    assert (outcome.state, outcome.step) == ("finished", 16)
    assert weight(trained) == pytest.approx(8 * RATE + 8 * RATE / 4)
    said = (
        "model: loss was not finite at step 14. The training has returned to step 8; from there on, all learning rates "
    )
    assert f"step 14: {said}are 0.25 of the recipe's (trainer.rollback)." in (tmp_path / "log.txt").read_text()
    assert list(outcome.warnings.values()) == [12, 14]


def test_the_journal_has_each_step_once_and_says_how_the_rate_has_changed(tmp_path: Path) -> None:
    trainer().fit(tmp_path)
    lines = [line for line in read(tmp_path) if line["split"] == "train"]
    assert [line["step"] for line in lines] == [2, 4, 6, 8, 10, 12, 14, 16]
    assert [line.get("rate_factor") for line in lines] == [None] * 4 + [0.25] * 4


def test_a_checkpoint_that_was_returned_to_is_not_taken_again_if_there_is_an_older_one(tmp_path: Path) -> None:
    trained = trainer(keep=4)
    assert ways(trained.fit(tmp_path).returns) == [(12, 8), (14, 4)]
    assert weight(trained) == pytest.approx(4 * RATE + 12 * RATE / 4)


def test_a_checkpoint_just_before_the_failure_is_not_good(tmp_path: Path) -> None:
    # Step 10 is the first that is not finite, and only one finite step follows the checkpoint of step 8.
    assert ways(trainer(0.88, keep=4).fit(tmp_path).returns)[0] == (10, 4)


def test_a_checkpoint_that_holds_nan_is_not_good(tmp_path: Path) -> None:
    trained = trainer(keep=4, steps=11, rollback=False)
    trained.fit(tmp_path)
    assert isinstance(trained.model, Fragile)
    for step, path in checkpoint.steps(tmp_path / "checkpoints").items():
        found = checkpoint.load(path)
        assert not rollback.holds_nan(found)
        if step > 4:
            found.tensors["model/norm.running_var"].fill_(torch.nan)
            path.unlink()
            checkpoint.save(tmp_path / "checkpoints", step, found.tensors, found.facts)
    assert ways(trainer(keep=4).fit(tmp_path).returns)[0] == (12, 4)


def test_the_run_ends_with_an_error_after_as_many_returns_as_are_allowed(tmp_path: Path) -> None:
    with pytest.raises(
        RunError, match=r"step 14\. The run has returned to an earlier checkpoint once, and .* are 0\.5 of"
    ):
        trainer(rollback=1).fit(tmp_path)
    found = checkpoint.newest(tmp_path / "checkpoints")
    assert found
    assert len(found.facts["position"]["returns"]) == 1
    # With more returns, the same run goes on.
    assert ways(trainer(rollback=2).fit(tmp_path).returns) == [(12, 8), (14, 8)]


def test_without_the_setting_the_run_ends_with_the_error_as_before(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"^model: loss was not finite at step 12\.$"):
        trainer(rollback=False).fit(tmp_path)
    assert list(checkpoint.steps(tmp_path / "checkpoints")) == [4, 8]


def test_a_negative_number_of_returns_is_refused() -> None:
    with pytest.raises(ConfigError, match="rollback must be at least 0, got -1"):
        TrainerSettings(steps=1, rollback=-1)


class Dented(Fragile):
    """A model whose loss of the validation is best in step 2, until step 11 is better."""

    def turns(self, step: int) -> list[Turn]:
        self.begun = step
        return super().turns(step)

    def validate(self, batch: Batch) -> Result:
        return Result(batch["x"].new_tensor({1: 0.5, 10: 0.4}.get(getattr(self, "begun", 0), 1)))


def test_the_best_checkpoint_before_a_return_is_still_there(tmp_path: Path) -> None:
    # When step 11 becomes the best, only the checkpoint of step 8 still names step 2. Step 12 is not finite.
    settings: dict[str, Any] = {"best": "loss", "validate_every": 1, "checkpoint_every": 8, "rollback": 1}
    bests = list[set[int]]()

    class Seeing(Console):
        def restarted(self, step: int) -> None:
            bests.append(set(checkpoint.steps(tmp_path / "checkpoints")))
            super().restarted(step)

    trained = trainer(model=seeded(Dented, x=PIXELS, limit=1.04), **settings, steps=13)
    assert ways(trained.fit(tmp_path, Seeing()).returns) == [(12, 8)]
    assert bests == [{2, 8}]


class Ending(Fragile):
    """A model that ends the process when a step is begun for the nth time."""

    step, times = -1, 1

    def turns(self, step: int) -> list[Turn]:
        if step == self.step:
            self.times -= 1
            if not self.times:
                raise Killed
        return super().turns(step)


@pytest.mark.parametrize(("step", "times"), [(9, 1), (8, 2), (9, 2), (13, 2), (8, 3), (15, 1)])
def test_a_run_that_is_killed_between_its_returns_ends_bit_for_bit_the_same(
    tmp_path: Path, step: int, times: int
) -> None:
    trainer().fit(tmp_path / "whole")
    ending = seeded(Ending, x=PIXELS, limit=1.04)
    assert isinstance(ending, Ending)
    ending.step, ending.times = step, times
    with pytest.raises(Killed):
        trainer(model=ending).fit(tmp_path / "killed")
    trainer().fit(tmp_path / "killed")
    assert files(tmp_path / "killed") == files(tmp_path / "whole")
    assert without_speed(tmp_path / "killed") == without_speed(tmp_path / "whole")


@pytest.mark.parametrize("place", ["save", "delete", "between", "journal"])
def test_a_run_that_is_killed_while_it_returns_ends_bit_for_bit_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    settings: dict[str, Any] = {"checkpoint_every": 1, "keep": 6}
    trainer(**settings).fit(tmp_path / "whole")
    save = checkpoint.save

    def killed_before_saving(folder: Path, step: int, tensors: Any, facts: Any) -> Path:
        if facts["position"]["returns"]:
            raise Killed
        return save(folder, step, tensors, facts)

    def killed(kept: Path) -> None:
        if place in ("between", "journal"):
            beside = [path for path in sorted(kept.parent.iterdir()) if path != kept and path.name > kept.name[:15]]
            assert len(beside) > 2
            for path in beside[: 2 if place == "between" else None]:
                path.unlink()
        raise Killed

    if place == "save":
        monkeypatch.setattr(checkpoint, "save", killed_before_saving)
    else:
        monkeypatch.setattr(checkpoint, "delete_beside", killed)
    with pytest.raises(Killed):
        trainer(**settings).fit(tmp_path / "killed")
    monkeypatch.undo()
    trainer(**settings).fit(tmp_path / "killed")
    assert files(tmp_path / "killed") == files(tmp_path / "whole")
    assert without_speed(tmp_path / "killed") == without_speed(tmp_path / "whole")


@pytest.fixture
def training(tmp_path: Path) -> list[str]:
    """Return the arguments of a training of the plugin's model, which is in the folder."""
    shutil.copy(str(fragile_plugin.__file__), tmp_path / "fragile.py")
    (tmp_path / "configs/model").mkdir(parents=True)
    (tmp_path / "configs/model/fragile.yaml").write_text(RECIPE)
    lengths = {
        "batch_size": 16,
        "epochs": "null",
        "steps": 16,
        "validate_every": 8,
        "checkpoint_every": 4,
        "log_every": 2,
    }
    return [
        *("train", "--plugin", "fragile.py", "model=fragile", "data=digits", "device=cpu"),
        *(f"trainer.{name}={value}" for name, value in lengths.items()),
    ]


def test_a_failed_run_is_continued_with_the_command_that_it_names(tmp_path: Path, training: list[str]) -> None:
    failed = genlab(tmp_path, *training, "run=mine")
    assert failed.returncode == 1
    assert failed.stderr == "model: loss was not finite at step 12.\n"
    assert "genlab resume mine trainer.rollback=true" in failed.stdout
    done = genlab(tmp_path, "resume", "mine", "trainer.rollback=true")
    assert done.returncode == 0, done.stderr
    facts = json.loads((tmp_path / "mine/run.json").read_text())
    assert ways(facts["returns"]) == [(12, 8), (14, 8)]
    assert list(facts["warnings"].values()) == [12, 14]
    assert genlab(tmp_path, *training, "trainer.rollback=true", "run=whole").returncode == 0
    assert files(tmp_path / "mine") == files(tmp_path / "whole")
    assert "finished, 2 returns" in genlab(tmp_path, "list", "runs", ".").stdout


@pytest.mark.slow
def test_two_processes_return_together(tmp_path: Path, training: list[str]) -> None:
    two = genlab_apart(tmp_path, *training, "trainer.rollback=true", "run=two", "devices=2")
    assert two.returncode == 0, two.stderr
    one = genlab(tmp_path, *training, "trainer.rollback=true", "run=one")
    assert one.returncode == 0, one.stderr
    assert two.stdout.count("The training has returned to step 8") == 2
    facts = [json.loads((tmp_path / f"{name}/run.json").read_text()) for name in ("one", "two")]
    assert facts[0]["returns"] == facts[1]["returns"]
    lines = [without_speed(tmp_path / name) for name in ("one", "two")]
    assert [line["step"] for line in lines[0]] == [line["step"] for line in lines[1]]
    assert [line["loss"] for line in lines[0] if "loss" in line] == pytest.approx(
        [line["loss"] for line in lines[1] if "loss" in line]
    )
