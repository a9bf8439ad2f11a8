"""`data.keep`: training and validation on some of the classes."""

from pathlib import Path

import pytest
import torch

from genlab import build
from genlab.config import compose
from genlab.config.trust import Trust
from genlab.data.dataset import Dataset
from genlab.evaluation.bench import EvaluationSettings
from genlab.evaluation.evaluate import _Evaluator
from genlab.registry import ConfigError
from genlab.runs.run import Run
from genlab.training.console import Console
from tests.fixtures.program import TINY, assert_refused, assert_resumed_exactly
from tests.fixtures.program import genlab as program


def digits(*settings: str) -> Dataset:
    return build.build_data(compose.compose(["data=digits", *settings]))


def classes_in(dataset: Dataset, split: str) -> set[int]:
    assert dataset.labels is not None
    return set(dataset.labels[dataset.splits[split]].tolist())


def test_training_and_validation_have_only_these_classes_and_the_test_has_all() -> None:
    whole, some = digits(), digits("data.keep=[7,3]")
    assert classes_in(some, "train") == classes_in(some, "validation") == {3, 7}
    assert torch.equal(some.splits["test"], whole.splits["test"])
    assert some.classes == whole.classes
    for split in ("train", "validation"):
        rows = whole.splits[split]
        assert whole.labels is not None
        expected = [row for row in rows.tolist() if int(whole.labels[row]) in (3, 7)]
        assert some.splits[split].tolist() == expected


def test_the_fingerprint_changes_with_the_splits_and_only_then() -> None:
    whole, some = digits(), digits("data.keep=[7,3]")
    assert some.fingerprint == digits("data.keep=[3,7,7]").fingerprint
    assert len({whole.fingerprint, some.fingerprint, digits("data.keep=[3]").fingerprint}) == 3
    assert digits("data.keep=[0,1,2,3,4,5,6,7,8,9]").fingerprint == whole.fingerprint


def test_a_class_is_named_in_any_case_or_numbered() -> None:
    fashion = [
        build.build_data(compose.compose(["data=fashion-mini", f"data.keep=[{name}]"])) for name in ("1", "tROUSER")
    ]
    assert fashion[0].fingerprint == fashion[1].fingerprint
    assert classes_in(fashion[0], "train") == {1}
    boots = build.build_data(compose.compose(["data=fashion-mini", "data.keep=[Ankle boot,T-shirt/top]"]))
    assert classes_in(boots, "train") == {0, 9}


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        (["data=fashion-mini", "data.keep=[trousers]"], "data.keep: Unknown class 'trousers'. Did you mean 'Trouser'?"),
        (["data=fashion-mini", "data.keep=[10]"], "data.keep: A class must be a number from 0 to 9 or a name, got 10."),
        (
            ["data=fashion-mini", "data.keep=null"],
            "data: keep must be a list of values or an integer or a text, got null.",
        ),
        (["data=photos-mini", "data.keep=[1]"], "data.keep needs labels, and data 'photos-mini' has none."),
    ],
)
def test_a_mistake_is_refused_with_a_sentence(tmp_path: Path, settings: list[str], sentence: str) -> None:
    assert_refused(program(tmp_path, "train", "model=ae", *settings), sentence)
    assert list(tmp_path.iterdir()) == []


def test_a_run_on_some_classes_resumes_exactly_and_says_what_it_uses(tmp_path: Path) -> None:
    assert_resumed_exactly(tmp_path, *TINY, "data.keep=[3,5]", "model.optimizers.model.ema=0.9")
    log = (tmp_path / "one" / "log.txt").read_text()
    assert "Training and validation use only the classes 3, 5 (data.keep); the test uses all classes." in log


def test_runs_of_different_classes_share_no_data_in_an_evaluation(tmp_path: Path) -> None:
    runs = []
    for keep in ("[]", "[1]"):
        assert program(tmp_path, "train", *TINY, f"data.keep={keep}", f"run=keep{keep[1:-1]}").returncode == 0
        runs.append(Run(tmp_path / f"keep{keep[1:-1]}"))
    evaluator = _Evaluator(EvaluationSettings(only=("reconstruct",)), torch.device("cpu"), None, Console(), Trust())
    for run in runs:
        evaluator.evaluate(run)
    assert len(evaluator.benches) == 2


def test_a_run_of_an_earlier_version_has_all_classes_and_is_repeated_by_the_same_command(tmp_path: Path) -> None:
    command = ("train", *TINY, "run=old")
    assert program(tmp_path, *command).returncode == 0
    config = tmp_path / "old" / "config.yaml"
    text = config.read_text()
    config.write_text(text.replace("  keep: []\n", ""))
    assert config.read_text() != text
    assert compose.load(config).keep == ()
    done = program(tmp_path, *command)
    assert "is finished" in done.stdout
    assert done.returncode == 0


def test_labels_that_are_no_classes_are_refused() -> None:
    points = Dataset.of_points(torch.rand(4, 2), {name: torch.arange(0) for name in ("train", "validation", "test")})
    with pytest.raises(ConfigError, match="Labels must be classes"):
        points.keeping(["a"])
