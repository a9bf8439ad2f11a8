"""Mixed training batches: the share holds in every batch, and all other splits stay as they are."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from genlab.data.dataset import Dataset
from genlab.data.mixture import Mixed
from genlab.registry import ConfigError
from tests.fixtures.toys import toy_splits

NAMES = ("dark", "bright")


def data(first: int, count: int) -> Dataset:
    """Make images of one brightness each, from `first` on, in two classes."""
    levels = torch.arange(first, first + count, dtype=torch.uint8)
    pixels = levels.view(-1, 1, 1, 1).expand(count, 1, 2, 2).contiguous()
    return Dataset.of_images(pixels, toy_splits(count), levels.long() % 2, NAMES)


def mixed(share: float) -> Mixed:
    own = data(0, 40)
    return Mixed(own.columns, own.splits, more=data(100, 30), share=share)


def levels(images: Tensor) -> list[int]:
    return images[:, 0, 0, 0].mul(255).round().int().tolist()


@pytest.mark.parametrize(("share", "expected"), [(0.25, 2), (0.5, 4), (0.01, 1), (0.99, 7), (1.0, 8)])
def test_every_batch_holds_the_share(share: float, expected: int) -> None:
    batches = mixed(share).batches("train", 8, seed=3)
    for number in range(20):
        batch = batches.batch(number)
        found = levels(batch["x"])
        assert len(found) == 8
        assert sum(level >= 100 for level in found) == expected
        assert batch["label"].tolist() == [level % 2 for level in found]


def test_all_training_items_of_both_are_dealt_and_none_held_out() -> None:
    table = mixed(0.5).batches("train", 8, seed=0)
    dealt = {level for number in range(30) for level in levels(table.batch(number)["x"])}
    assert dealt == {*range(24), *range(100, 118)}
    assert sorted(level for batch in table.once() for level in levels(batch["x"])) == sorted(dealt)


def test_other_splits_are_those_of_the_first_data() -> None:
    found = [level for batch in mixed(0.5).batches("test", 3).once() for level in levels(batch["x"])]
    assert found == list(range(32, 40))


def test_the_augmentation_changes_items_of_both() -> None:
    from genlab.kinds import Augmentation

    batch = mixed(0.5).batches("train", 8, augmentation=Augmentation(jitter=0.5)).batch(0)
    plain = mixed(0.5).batches("train", 8).batch(0)
    changed = (batch["x"] != plain["x"]).flatten(1).any(1)
    assert changed[:4].any()
    assert changed[4:].any()


def test_the_share_and_the_other_data_change_the_fingerprint() -> None:
    one = mixed(0.5)
    others = [mixed(0.25), Mixed(one.columns, one.splits, more=data(90, 30), share=0.5)]
    assert len({one.fingerprint, *(other.fingerprint for other in others), data(0, 40).fingerprint}) == 4
    assert mixed(0.5).fingerprint == one.fingerprint


def test_data_that_does_not_fit_is_refused() -> None:
    own = data(0, 40)
    other = replace(own, columns={"x": own.columns["x"]}, fingerprint="")
    with pytest.raises(ConfigError, match="column 'label' is of the same kind in both"):
        Mixed(own.columns, own.splits, more=other, share=0.5)
    with pytest.raises(ConfigError, match="share must be above 0 and at most 1, got 0"):
        mixed(0.0)
    with pytest.raises(ConfigError, match="batches of at least 2 items, got 1"):
        mixed(0.5).batches("train", 1)
