"""Held-out items: the same ones each time, and previews that represent the whole split."""

import pytest
import torch
from torch import Tensor

from genlab.data.dataset import Dataset
from genlab.data.held_out import batches, chosen, spread
from genlab.data.mosaic import Pictures, grid_of

CPU = torch.device("cpu")


def images_of(labels: Tensor | None, count: int) -> Dataset:
    """Images of which the first `count` are for training and the last is for validation."""
    pixels = torch.arange(count + 1).remainder(256).to(torch.uint8).view(-1, 1, 1, 1)
    splits = {"train": torch.arange(count), "validation": torch.tensor([count]), "test": torch.arange(0)}
    names = tuple(map(str, range(int(labels.max()) + 1))) if labels is not None else ()
    return Dataset.of_images(pixels, splits, None if labels is None else torch.cat([labels, labels[:1]]), names)


def test_chosen_items_are_different_in_order_and_the_same_each_time() -> None:
    images = images_of(None, 100)
    rows = chosen(images, "train", 30, seed=2)
    assert rows.tolist() == sorted(set(rows.tolist()))
    assert len(rows) == 30
    assert torch.equal(rows, chosen(images, "train", 30, seed=2))
    assert not torch.equal(rows, chosen(images, "train", 30, seed=3))
    assert torch.equal(chosen(images, "train"), images.splits["train"])
    assert torch.equal(chosen(images, "train", 101), images.splits["train"])


def test_spread_takes_all_classes_in_turn_from_all_parts_of_a_sorted_split() -> None:
    labels = torch.arange(5).repeat_interleave(20)
    rows = spread(images_of(labels, 100), "train", 20)
    assert labels[rows].tolist() == [0, 1, 2, 3, 4] * 4
    assert rows[labels[rows] == 2].tolist() == [40, 45, 50, 55]


def test_spread_fills_up_when_a_class_has_too_few_items() -> None:
    labels = torch.tensor([0] * 50 + [1] * 2 + [2] * 48)
    rows = spread(images_of(labels, 100), "train", 30)
    assert labels[rows].bincount().tolist() == [14, 2, 14]
    assert len(set(rows.tolist())) == 30
    assert labels[rows][:6].tolist() == [0, 1, 2, 0, 1, 2]


def test_spread_takes_classes_at_equal_distances_if_there_are_more_than_items() -> None:
    rows = spread(images_of(torch.arange(100), 100), "train", 10)
    assert rows.tolist() == list(range(0, 100, 10))


def test_spread_without_labels_goes_over_the_whole_split() -> None:
    assert spread(images_of(None, 100), "train", 4).tolist() == [0, 25, 50, 75]


@pytest.mark.parametrize("labels", [None, torch.arange(7) % 2])
def test_spread_gives_all_items_of_a_small_split_and_none_of_an_empty_one(labels: Tensor | None) -> None:
    images = images_of(labels, 7)
    assert sorted(spread(images, "train", 64).tolist()) == list(range(7))
    assert len(spread(images, "test", 64)) == 0


def test_batches_are_the_rows_as_they_are_in_the_order_asked_for() -> None:
    images = images_of(torch.arange(10) % 2, 10)
    found = list(batches(images, torch.tensor([7, 0, 3]), CPU, size=2))
    assert [len(batch["x"]) for batch in found] == [2, 1]
    assert torch.cat([batch["x"] for batch in found]).flatten().mul(255).round().tolist() == [7, 0, 3]
    assert torch.cat([batch["label"] for batch in found]).tolist() == [1, 0, 1]


def test_spread_takes_crops_from_the_middle_of_all_pictures_in_turn() -> None:
    grid = grid_of(torch.tensor([[3, 3], [1, 1], [1, 5]]))
    splits = {"train": torch.arange(15), "validation": torch.arange(0), "test": torch.arange(0)}
    columns = Dataset.of_images(torch.zeros(15, 1, 8, 8, dtype=torch.uint8), splits).columns
    pictures = Pictures(columns, splits, grid=grid)
    assert spread(pictures, "train", 3).tolist() == [4, 9, 12]
    assert spread(pictures, "train", 5).tolist() == [2, 9, 11, 6, 13]
