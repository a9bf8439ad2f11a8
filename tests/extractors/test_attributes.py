"""The classifier of all attributes: it learns each of them, and knows copies of one."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
import torch
from torch import Tensor

from genlab.data.dataset import Dataset, attribute
from genlab.extractors import attributes, classifier
from genlab.extractors.attributes import AttributeClassifier, distinct, trained_attributes
from genlab.registry import ConfigError
from tests.fixtures.toys import toy_splits


@pytest.fixture(autouse=True)
def _small(tmp_path: Path) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GENLAB_CACHE", str(tmp_path / "cache"))
        patch.setattr(classifier, "LEAST_STEPS", 60)
        patch.setattr(classifier, "EPOCHS", 1)
        patch.setattr(attributes, "AttributeClassifier", partial(AttributeClassifier, width=4))
        yield


def corners(count: int = 500) -> Dataset:
    """Make images with a bright left half or not, and an upper stripe of one of three brightnesses."""
    draws = torch.Generator().manual_seed(1)
    left, stripe = torch.randint(2, (count,), generator=draws), torch.randint(3, (count,), generator=draws)
    pixels = torch.randint(40, (count, 1, 8, 8), dtype=torch.uint8, generator=draws)
    pixels[left == 1, :, 4:, :4] += 150
    pixels[:, :, :3] += (stripe * 90).byte().view(-1, 1, 1, 1)
    known = {
        "left": attribute(left, ("no", "yes")),
        "stripe": attribute(stripe, ("dark", "grey", "bright")),
        "same": attribute(torch.zeros(count), ("never", "always")),
        "age": attribute(torch.rand(count)),
    }
    return Dataset.of_images(pixels, toy_splits(count), stripe, ("dark", "grey", "bright"), known)


def accuracy(seen: dict[str, Tensor], data: Dataset, rows: Tensor) -> dict[str, float]:
    return {name: float((values == data.columns[name].rows[rows]).float().mean()) for name, values in seen.items()}


def test_every_attribute_with_names_is_learned_and_a_copy_is_learned_once() -> None:
    data = corners()
    assert list(distinct(data)[0]) == ["left", "stripe"]
    known, rows = trained_attributes(data), data.splits["test"]
    seen = known(data.columns["x"].rows[rows] / 255)
    assert set(seen) == {"left", "stripe", "label"}
    assert torch.equal(seen["label"], seen["stripe"])
    assert min(accuracy(seen, data, rows).values()) > 0.9
    again = trained_attributes(data)(data.columns["x"].rows[rows] / 255)
    assert all(torch.equal(again[name], seen[name]) for name in seen)


def test_data_with_labels_alone_has_the_classifier_of_an_evaluation(monkeypatch: pytest.MonkeyPatch) -> None:
    data = corners()
    labelled = Dataset({name: data.columns[name] for name in ("x", "label")}, data.splits)
    found = classifier.trained_classifier(labelled).classifier
    known = trained_attributes(labelled)
    images = data.columns["x"].rows[:50] / 255
    assert torch.equal(known(images)["label"], found.classify(images).argmax(1))


def test_data_without_two_values_of_anything_is_refused() -> None:
    data = corners()
    with pytest.raises(ConfigError, match="needs attributes with at least two values, and this data has none"):
        trained_attributes(Dataset({name: data.columns[name] for name in ("x", "same", "age")}, data.splits))
