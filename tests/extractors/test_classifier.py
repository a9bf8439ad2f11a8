"""The classifier of a data set: its accuracy, that it is trained once, and recovery from damaged files."""

import os
import shutil
import signal
import threading
import warnings
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch

from genlab.data.dataset import Column, Dataset
from genlab.data.files.cache import lock
from genlab.extractors import classifier, create
from genlab.extractors import trained as trained_networks
from genlab.extractors.classifier import Classifier, ClassifierFeatures, Trained, folder_of, trained_classifier
from genlab.extractors.reference import reference
from genlab.kinds import Classes, Image
from genlab.registry import ConfigError, RunError
from genlab.training import checkpoint
from genlab.training.console import Console
from genlab.training.journal import read
from genlab.training.settings import PlayerSettings
from genlab.training.trainer import Outcome, Trainer
from tests.fixtures.program import genlab
from tests.fixtures.toys import toy_images, toy_splits

STEPS = 60
Stored = tuple[Path, Trained]


@pytest.fixture(scope="module", autouse=True)
def _small() -> Iterator[None]:
    """Make the classifier narrow, and train it for a few steps; everything else is the same."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(classifier, "MOST_STEPS", STEPS)
        patch.setattr(classifier, "Classifier", partial(Classifier, width=8))
        yield


@pytest.fixture(scope="module")
def stored(digits: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Stored:
    """A cache with the classifier of the digits, and the result of the first call."""
    cache = tmp_path_factory.mktemp("stored")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GENLAB_CACHE", str(cache))
        return cache, trained_classifier(digits)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GENLAB_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def folder(cache: Path, stored: Stored, digits: Dataset) -> Path:
    """The folder of that classifier, in a copy of its cache that a test may damage."""
    shutil.copytree(stored[0], cache)
    return folder_of(digits)


@pytest.fixture
def starts(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The step at which each training started or continued."""
    steps, fit = list[int](), Trainer.fit

    def recorded(trainer: Trainer, folder: Path, console: Console | None = None) -> Outcome:
        if trainer.folder != folder:
            trainer.take_up(folder)
        steps.append(trainer.position.step)
        return fit(trainer, folder, console)

    monkeypatch.setattr(Trainer, "fit", recorded)
    return steps


def images_of(digits: Dataset, count: int = 20) -> torch.Tensor:
    return digits.columns["x"].rows[digits.splits["test"][:count]] / 255


def same(first: Trained, second: Trained, digits: Dataset) -> bool:
    """Return True if both give the same probabilities, bit for bit, and the same accuracy."""
    probabilities = [trained.classifier.classify(images_of(digits)) for trained in (first, second)]
    return torch.equal(*probabilities) and first.accuracy == second.accuracy


def damage(path: Path) -> None:
    data = path.read_bytes()
    path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))


def test_the_classifier_learns_to_tell_digits_apart(stored: Stored, digits: Dataset) -> None:
    assert digits.labels is not None
    accuracy, images = stored[1].accuracy, images_of(digits, 360)
    right = stored[1].classifier.classify(images).argmax(1) == digits.labels[digits.splits["test"]]
    # Measured 0.90 to 0.96 with four seeds; chance is 0.1.
    assert accuracy is not None
    assert accuracy > 0.8
    assert float(right.float().mean()) == pytest.approx(accuracy)


def test_a_second_call_does_not_train_and_gives_the_same(
    folder: Path, stored: Stored, digits: Dataset, starts: list[int]
) -> None:
    again = trained_classifier(digits)
    assert starts == []
    assert again.classifier is not stored[1].classifier
    assert same(again, stored[1], digits)


def test_a_stored_classifier_is_loaded_without_writing(
    folder: Path, stored: Stored, digits: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*arguments: object, **options: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(trained_networks, "lock", refused)
    monkeypatch.setattr(Path, "mkdir", refused)
    assert same(trained_classifier(digits), stored[1], digits)
    shutil.rmtree(folder)
    with pytest.raises(
        ConfigError, match="Cannot store the classifier in .*: Permission denied. Set GENLAB_CACHE=FOLDER"
    ):
        trained_classifier(digits)


def test_training_that_was_stopped_continues_and_ends_bit_for_bit_the_same(
    stored: Stored, digits: Dataset, starts: list[int]
) -> None:
    class Impatient(Console):
        def progress(self, step: int, epoch: float, metrics: object) -> None:
            signal.raise_signal(signal.SIGTERM)

    with pytest.raises(RunError, match="stopped at step 50 of 60. Run the command again to continue"):
        trained_classifier(digits, console=Impatient())
    assert same(trained_classifier(digits), stored[1], digits)
    assert starts == [0, 50]


def test_a_classifier_with_only_its_first_checkpoint_is_trained(
    folder: Path, stored: Stored, digits: Dataset, starts: list[int]
) -> None:
    checkpoint.steps(folder / "checkpoints")[STEPS].unlink()
    assert same(trained_classifier(digits), stored[1], digits)
    assert starts == [0]


def test_a_damaged_classifier_is_set_aside_and_trained_again(
    folder: Path, stored: Stored, digits: Dataset, starts: list[int]
) -> None:
    damaged = checkpoint.steps(folder / "checkpoints")[STEPS]
    damage(damaged)
    with pytest.warns(UserWarning, match="is damaged"):
        again = trained_classifier(digits)
    assert starts == [0]
    assert damaged.with_suffix(".bad").exists()
    assert same(again, stored[1], digits)


@pytest.mark.parametrize("harm", ["all damaged", "all gone"])
def test_a_classifier_without_any_good_checkpoint_is_trained_from_the_beginning(
    folder: Path, stored: Stored, digits: Dataset, starts: list[int], harm: str
) -> None:
    for path in checkpoint.steps(folder / "checkpoints").values():
        damage(path) if harm == "all damaged" else path.unlink()
    with warnings.catch_warnings(record=True) as said:
        again = trained_classifier(digits)
    assert str(said[-1].message).endswith("The classifier is trained from the beginning.")
    assert starts == [0]
    assert same(again, stored[1], digits)


def test_an_accuracy_that_is_not_in_the_journal_is_measured(
    folder: Path, stored: Stored, digits: Dataset, starts: list[int]
) -> None:
    (folder / "metrics.jsonl").unlink()
    assert trained_classifier(digits).accuracy == pytest.approx(stored[1].accuracy)
    assert starts == []


def test_without_test_images_the_accuracy_is_that_on_validation_images(
    digits: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(classifier, "MOST_STEPS", 2)
    none = torch.arange(0)
    untested = replace(digits, splits={**digits.splits, "test": none}, fingerprint="")
    (last,) = [line for line in _trained_lines(untested) if line["split"] == "validation"]
    assert trained_classifier(untested).accuracy == last["accuracy"]
    unseen = replace(untested, splits={**untested.splits, "validation": none}, fingerprint="")
    assert trained_classifier(unseen).accuracy is None


def _trained_lines(digits: Dataset) -> list[dict[str, float | str]]:
    trained_classifier(digits)
    return read(folder_of(digits))


def test_two_threads_that_need_the_same_classifier_train_it_once(
    stored: Stored, digits: Dataset, starts: list[int], capsys: pytest.CaptureFixture[str]
) -> None:
    found = list[Trained]()
    threads = [threading.Thread(target=lambda: found.append(trained_classifier(digits))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert starts == [0]
    assert all(same(each, stored[1], digits) for each in found)
    assert len(found) == 2
    assert "another process that is training the classifier" in capsys.readouterr().err


def test_training_the_classifier_moves_no_draw_of_the_caller(digits: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(classifier, "MOST_STEPS", 2)
    before = torch.get_rng_state()
    trained_classifier(digits)
    trained_classifier(digits)
    assert torch.equal(torch.get_rng_state(), before)


def test_probabilities_and_features_do_not_depend_on_the_other_images(stored: Stored, digits: Dataset) -> None:
    images, network = images_of(digits, 300), stored[1].classifier
    for compute in (network.classify, network.features):
        in_parts = torch.cat([compute(part) for part in (images[:1], images[1:8], images[8:])])
        assert torch.allclose(compute(images), in_parts, atol=1e-5)
        assert compute(images[:0]).shape == (0, in_parts.shape[1])


def test_classifying_changes_nothing_even_during_training(digits: Dataset) -> None:
    network, images = Classifier(x=Image(1, 8, 8), classes=10).train(), images_of(digits)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    network.classify(images)
    network.features(images)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert network.training
    network.loss({"x": images, "label": torch.zeros(20, dtype=torch.int64)})
    assert any(not torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_features_are_the_input_of_the_last_layer(stored: Stored, digits: Dataset) -> None:
    network, images = stored[1].classifier, images_of(digits)
    assert not network.training
    assert torch.allclose(network.head(network.features(images)).softmax(1), network.classify(images))


def test_the_extractor_gives_these_features_and_describes_the_accuracy(
    folder: Path, digits: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    images, (network, accuracy) = images_of(digits), trained_classifier(digits)
    extractor = create("classifier", needs="vector", dataset=digits, data="digits")
    assert torch.allclose(extractor.vector(images), network.features(images))
    share = f"{accuracy:.1%} accurate on the test images"
    assert extractor.description == f"a residual classifier of the training images, {share}"
    assert (list(extractor.parameters()), extractor.state_dict()) == ([], {})
    monkeypatch.setattr(classifier, "MOST_STEPS", 2)
    monkeypatch.setattr(classifier, "SEED", 1)
    assert create("classifier", needs="vector", dataset=digits, data="digits").digest != extractor.digest
    none = torch.arange(0)
    untested = replace(digits, splits={**digits.splits, "validation": none, "test": none}, fingerprint="")
    other = create("classifier", needs="vector", dataset=untested, data="digits")
    assert other.description.endswith("accuracy unknown")


@pytest.mark.parametrize("size", [(1, 8, 8), (3, 33, 33), (3, 64, 48), (3, 256, 256)], ids=str)
def test_images_of_every_size_are_classified(size: tuple[int, int, int]) -> None:
    network, images = Classifier(x=Image(*size), classes=3), torch.rand(2, *size)
    assert network.features(images).shape == (2, 128)
    assert torch.allclose(network.classify(images).sum(1), torch.ones(2))
    network.loss({"x": images, "label": torch.tensor([0, 2])}).loss.backward()
    with pytest.raises(ConfigError, match=f"trained on images of {size[0]} x {size[1]} x {size[2]}, got {size[0]} x"):
        network.classify(images[:, :, 1:])


def test_other_data_settings_or_code_give_another_classifier(digits: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    names = {folder_of(digits)}
    fewer = {**digits.splits, "train": digits.splits["train"][:-1]}
    names.add(folder_of(replace(digits, splits=fewer, fingerprint="")))
    label = digits.columns["label"]
    more = Column(Classes((*digits.classes, "none of these")), label.rows)
    names.add(folder_of(replace(digits, columns={**digits.columns, "label": more})))
    for name, value in {"SEED": 1, "PLAYER": PlayerSettings(), "MOST_STEPS": 61, "CODE": "others"}.items():
        with monkeypatch.context() as patch:
            patch.setattr(classifier, name, value)
            names.add(folder_of(digits))
    assert len(names) == 7
    assert folder_of(digits) in names
    assert "self.skip(images) +" in classifier.CODE
    assert "cross_entropy" in classifier.CODE


def test_data_that_cannot_be_classified_is_refused_before_anything_is_written(digits: Dataset, cache: Path) -> None:
    def refusal(wrong: Dataset) -> str:
        with pytest.raises(ConfigError) as caught:
            trained_classifier(wrong)
        return str(caught.value)

    label = digits.columns["label"]
    one = Column(label.kind, torch.full_like(label.rows, 4))
    points = Dataset.of_points(torch.zeros(9, 2), toy_splits(9), torch.arange(9) % 2, ("a", "b"))
    assert refusal(toy_images()) == "The classifier needs labels, and this data has none."
    assert refusal(replace(digits, columns={**digits.columns, "label": one})) == (
        "The classifier needs training images of at least 2 classes, got 1."
    )
    assert refusal(points) == "The classifier takes images, and this data holds points (2 numbers each)."
    assert not os.path.exists(cache)


def test_data_clean_keeps_what_is_trained_unless_all_is_asked_for_and_removes_nothing_else(
    folder: Path, stored: Stored, digits: Dataset, cache: Path, tmp_path: Path
) -> None:
    reference(digits, "test", ClassifierFeatures(stored[1].classifier, description=""), 5)
    mine = [cache / name for name in ("classifiers/mine/a", "references/b", "MNIST/c")]
    for file in mine:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("kept")
    kept = genlab(tmp_path, "data", "clean").stdout
    assert "MB of trained classifiers and other feature networks; --all removes them, too.\n" in kept
    assert "MB of features of real data; --all removes them, too.\n" in kept
    assert list(cache.rglob("*.npy"))
    assert list(folder.rglob("*.safetensors"))
    with lock(folder.parent, folder.name):  # as while it is trained
        assert genlab(tmp_path, "data", "clean", "--all").returncode == 0
    assert folder.exists()
    size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    done = genlab(tmp_path, "data", "clean", "--all")
    assert f"Removed: {size / 1e6:,.1f} MB of trained classifiers" in done.stdout
    assert sorted(file for file in cache.rglob("*") if file.is_file()) == sorted(mine)
