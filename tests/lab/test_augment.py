"""The augmentation study: equal arms, no look at test images, and a study that goes on where it was stopped."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

import genlab
from genlab.build import TABLES
from genlab.lab.arms import ARMS, drawn
from genlab.lab.augment import Study, augment
from genlab.lab.results import Results
from genlab.registry import ConfigError, RunError
from genlab.training.trainer import Outcome, Trainer
from tests.fixtures import striped_plugin
from tests.fixtures.program import assert_refused
from tests.fixtures.program import genlab as program

QUICK: dict[str, Any] = {"steps": 3, "batch_size": 8, "generator_steps": 2, "generated": 16}
PARTS = ["real", "real-ordinary", "generator", "real-generated", "real-ordinary-generated", "generated"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Return a folder with runs of two generators of stripes: `true`, and `turned`, which draws other classes."""
    folder = tmp_path_factory.mktemp("trained")
    tables = {name: dict(table) for name, table in TABLES.items()}
    for group, text in (
        ("model/drawer", "class: drawer\nturned: 0\nbest: null\noptimizers: {model: {lr: 0.1}}\n"),
        ("data/stripes", "class: stripes\ncount: 400\n"),
    ):
        file = folder / f"configs/{group}.yaml"
        file.parent.mkdir(parents=True)
        file.write_text(text)
    plugin = shutil.copy(str(striped_plugin.__file__), folder / "striped.py")
    for name, turned in (("true", 0), ("turned", 1)):
        settings: dict[str, Any] = {"plugin": plugin, "run": folder / name, "model.turned": turned, "quiet": True}
        genlab.train("drawer", data="stripes", steps=2, trust=True, settings={"trainer.batch_size": 16}, **settings)
    yield folder
    for name, table in tables.items():
        TABLES[name].clear()
        TABLES[name].update(table)


@pytest.fixture
def trainings(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, Trainer]]:
    """Record the name of each training's folder, and its trainer."""
    seen, fit = list[tuple[str, Trainer]](), Trainer.fit

    def spy(self: Trainer, folder: Path, *arguments: Any, **more: Any) -> Outcome:
        seen.append((folder.name, self))
        return fit(self, folder, *arguments, **more)

    monkeypatch.setattr(Trainer, "fit", spy)
    return seen


def study(trained: Path, out: Path, name: str = "true", sizes: tuple[int, ...] = (12,), **settings: Any) -> Study:
    run = genlab.load(trained / name, trust=True)
    return augment([run], sizes, results=Results(out), **{"seeds": 2, **QUICK, **settings})


@pytest.mark.slow
def test_a_true_generator_helps_few_images_and_one_that_draws_other_classes_hurts(
    trained: Path, tmp_path: Path
) -> None:
    # Mirrored, a stripe of 45 degrees is one of 135.
    serious = {"steps": 80, "generated": 200, "share": 0.5, "seeds": 1, "flip": False}
    gains = {}
    for name in ("true", "turned"):
        found = study(trained, tmp_path / name, name, (4,), **serious)
        gains[name] = {row.arm: row.over_real.mean for row in found.rows if row.over_real}
        asked = [trial.as_asked for trial in found.trials if trial.as_asked is not None]
        assert len(asked) == 3
        assert min(asked) > 0.4 if name == "true" else max(asked) < 0.3
    assert min(gains["true"]["real + generated"], gains["true"]["generated"]) > 5
    assert max(gains["turned"]["real + generated"], gains["turned"]["generated"]) < -30


def test_all_arms_have_equal_steps_batches_and_first_weights(
    trained: Path, tmp_path: Path, trainings: list[tuple[str, Trainer]], monkeypatch: pytest.MonkeyPatch
) -> None:
    first, init = list[torch.Tensor](), Trainer.__init__

    def remember(self: Trainer, model: Any, *arguments: Any, **more: Any) -> None:
        first.append(torch.cat([weight.detach().flatten().clone() for weight in model.parameters()]))
        init(self, model, *arguments, **more)

    monkeypatch.setattr(Trainer, "__init__", remember)
    study(trained, tmp_path, seeds=1)
    assert [name for name, _ in trainings] == PARTS
    for (name, trainer), weights in zip(trainings, first, strict=True):
        # Nothing that decides may see test images: a classifier chooses nothing, a generator has none.
        assert "test" not in trainer.validation.splits if name == "generator" else trainer.best is None
        if name == "generator":
            assert trainer.best == "FD-classifier"
            continue
        assert trainer.position.step == trainer.total == 3
        assert len(trainer.data.batch(0)["x"]) == 8
        assert "validation" not in trainer.validation.splits
        assert torch.equal(weights, first[0])


@pytest.mark.slow
def test_a_stopped_study_goes_on_and_ends_like_one_that_was_not(
    trained: Path, tmp_path: Path, trainings: list[tuple[str, Trainer]], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = study(trained, tmp_path / "whole", sizes=(8, 12))
    assert len(trainings) == 4 * len(PARTS)
    trainings.clear()
    fit = Trainer.fit

    def stopped(self: Trainer, folder: Path, *arguments: Any, **more: Any) -> Outcome:
        if folder.name == "generated":
            raise RunError("stopped")
        return fit(self, folder, *arguments, **more)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "fit", stopped)
        with pytest.raises(RunError, match="stopped"):
            study(trained, tmp_path / "parts", sizes=(12,), seeds=1)
    with open(tmp_path / "parts/trials.csv", "a", encoding="utf-8") as file:
        file.write("drawer-stripes,half a line")  # a process was killed while it wrote
    again = study(trained, tmp_path / "parts", sizes=(12,), seeds=1)
    # The judge and the generator are loaded from their last step, and the arms that are there are not trained again.
    assert [name for name, _ in trainings] == [*PARTS[:5], "real-ordinary", "generator", "generated"]
    assert [trainer.validation.quick.taken for name, trainer in trainings[-2:-1] if trainer.validation.quick] == [0]
    assert again.trials == tuple(trial for trial in whole.trials if (trial.images, trial.seed) == (12, 0))
    trainings.clear()
    assert study(trained, tmp_path / "parts", sizes=(8, 12)).trials == whole.trials
    assert len(trainings) == 3 * len(PARTS)
    trainings.clear()
    assert study(trained, tmp_path / "parts", sizes=(8, 12)).trials == whole.trials
    assert trainings == []
    assert not (tmp_path / "parts/work").exists()
    study(trained, tmp_path / "parts", sizes=(8,), seeds=1, share=0.5)
    assert len(trainings) == len(PARTS)  # another protocol


def test_files_hold_every_result_means_and_intervals(trained: Path, tmp_path: Path) -> None:
    found = study(trained, tmp_path)
    found.write(Results(tmp_path))
    names = {"trials.csv", "augment.csv", "augment.png", "protocol.json", "generated-drawer-stripes-12.png"}
    assert {file.name for file in tmp_path.iterdir()} == names
    assert len((tmp_path / "trials.csv").read_text().splitlines()) == 1 + 2 * len(ARMS)
    header, *lines = (tmp_path / "augment.csv").read_text().splitlines()
    assert header.split(",")[:5] == ["run", "images", "arm", "accuracy", "seeds"]
    assert [line.split(",")[2] for line in lines] == list(ARMS)
    row = found.rows[2]
    own = {trial.seed: trial.accuracy for trial in found.trials if trial.arm == "real + generated"}
    real = {trial.seed: trial.accuracy for trial in found.trials if trial.arm == "real"}
    assert row.over_real
    assert row.over_real.mean == pytest.approx(50 * sum(own[seed] - real[seed] for seed in (0, 1)))


def test_images_are_drawn_by_class_and_fewer_are_a_part_of_more() -> None:
    labels = torch.tensor([0] * 600 + [1] * 300 + [2] * 98 + [3] * 2)[torch.randperm(1000)]
    for seed in (0, 1):
        chosen = drawn(labels, 100, seed)
        assert labels[chosen].bincount().tolist() in ([60, 29, 10, 1], [59, 30, 10, 1], [60, 30, 9, 1])
        assert set(drawn(labels, 40, seed).tolist()) < set(chosen.tolist())
        assert labels[drawn(labels, 4, seed)].bincount().tolist() == [1, 1, 1, 1]
        assert torch.equal(chosen, drawn(labels, 100, seed))
    assert not torch.equal(drawn(labels, 100, 0), drawn(labels, 100, 1))


@pytest.fixture(scope="module")
def others(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a VAE and a conditional GAN of digits."""
    folder = tmp_path_factory.mktemp("others")
    small: dict[str, Any] = {"trainer": "smoke", "trainer.batch_size": 16, "quiet": True}
    for model, network in (("vae", "mlp"), ("cgan", "mlp-small")):
        genlab.train(model, data="digits", run=folder / model, settings={"model/network": network}, **small)
    return folder


def test_digits_are_not_flipped_and_the_command_prints_a_table(others: Path) -> None:
    options = "--sizes 20 --seeds 2 --steps 2 --batch-size 8 --generator-steps 2 --generated 16"
    done = program(others, "augment", "cgan", *options.split())
    assert done.returncode == 0, done.stderr
    assert "real + ordinary + generated" in done.stdout
    assert "Gains are in points of accuracy, paired over 2 seeds, with 95 % confidence intervals." in done.stdout
    assert "ordinary augmentation: shift 1; generated images" in done.stdout
    assert (others / "cgan/lab/augment/trials.csv").exists()
    again = program(others, "augment", "cgan", *options.split())
    assert "12 networks to train" in done.stdout
    assert "All results of this study are there already." in again.stdout


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["vae", "--sizes", "20"], "Train a conditional model: genlab train model=cgan"),
        (["cgan", "--sizes", "20,5000"], "has 1,257 training images; sizes must be at most that, got 5,000."),
        (["cgan", "--sizes", "9"], "has 10 classes; sizes must be at least that, got 9."),
        (["cgan", "--sizes", "ten"], "--sizes takes whole numbers such as 1000,5000, got 'ten'."),
        (["cgan", "--sizes", "20", "--share", "1"], "share must be above 0 and below 1, got 1."),
        (["cgan", "--sizes", "20", "--shift", "0"], "The ordinary augmentation changes nothing."),
        (["cgan", "cgan", "--sizes", "20", "--out", "cgan/run.json"], "run.json is not a folder."),
        (["nothing", "--sizes", "20"], "There is no run 'nothing'."),
    ],
)
def test_a_study_that_makes_no_sense_is_refused_before_any_training(
    others: Path, arguments: list[str], sentence: str
) -> None:
    assert_refused(program(others, "augment", *arguments), sentence)


def test_two_runs_of_one_recipe_are_refused(others: Path, tmp_path: Path) -> None:
    for name in ("one", "two"):
        shutil.copytree(others / "cgan", tmp_path / name)
    done = program(tmp_path, "augment", "one", "two", "--sizes", "20")
    assert_refused(done, "one and two have the same recipe and data; name one of them.")


def test_a_run_whose_data_has_changed_is_refused(others: Path, tmp_path: Path) -> None:
    run = Path(shutil.copytree(others / "cgan", tmp_path / "cgan"))
    (run / "config.yaml").write_text((run / "config.yaml").read_text().replace("validation: 180", "validation: 170"))
    assert_refused(program(tmp_path, "augment", "cgan", "--sizes", "20"), "The data is not what")


def test_a_file_of_another_kind_is_not_appended_to(trained: Path, tmp_path: Path) -> None:
    (tmp_path / "trials.csv").write_text("my,own,table\n1,2,3\n")
    with pytest.raises(ConfigError, match="is not a file of this command"):
        study(trained, tmp_path)
    assert (tmp_path / "trials.csv").read_text() == "my,own,table\n1,2,3\n"
