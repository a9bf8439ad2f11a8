"""Columns that fit their kinds, splits that share nothing, and a fingerprint that tells any data from any other."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from genlab.data.dataset import SPLITS, Column, Dataset, attribute, split_off
from genlab.kinds import Augmentation, Classes, Image, Number, Points
from genlab.registry import ConfigError


@pytest.mark.parametrize("part", [1, 5, 19])
def test_split_off_divides_all_indices_in_order_and_the_same_way_each_time(part: int) -> None:
    left, off = split_off(20, part)
    assert len(off) == part
    assert sorted([*left.tolist(), *off.tolist()]) == list(range(20))
    assert left.tolist() == sorted(left.tolist())
    assert off.tolist() == sorted(off.tolist())
    assert all(torch.equal(one, other) for one, other in zip((left, off), split_off(20, part), strict=True))


@pytest.mark.parametrize("part", [0, -1, 20, 21])
def test_a_split_that_leaves_one_side_empty_is_refused(part: int) -> None:
    with pytest.raises(ConfigError) as caught:
        split_off(20, part)
    assert str(caught.value) == f"validation must be between 1 and 19, got {part}."
    with pytest.raises(ConfigError, match="^test must be"):
        split_off(20, part, "test")


def some_pixels() -> Tensor:
    return torch.randint(0, 256, (10, 1, 4, 4), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def some_splits() -> dict[str, Tensor]:
    return {"train": torch.arange(6), "validation": torch.arange(6, 8), "test": torch.arange(8, 10)}


def some_images() -> Dataset:
    return Dataset.of_images(some_pixels(), some_splits(), torch.arange(10) % 3, ("a", "b", "c"))


def with_column(name: str, column: Column | None) -> str:
    """The fingerprint of the same data with another column, or without it."""
    columns = {**some_images().columns}
    if column is None:
        del columns[name]
    else:
        columns[name] = column
    return Dataset(columns, some_splits()).fingerprint


def with_pixels(pixels: Tensor) -> str:
    return Dataset.of_images(pixels, some_splits(), torch.arange(10) % 3, ("a", "b", "c")).fingerprint


# Columns.


def test_images_and_points_become_columns_with_their_kinds() -> None:
    images = Dataset.of_images(
        some_pixels(),
        some_splits(),
        torch.arange(10) % 3,
        ("a", "b", "c"),
        {"smile": attribute(torch.arange(10) % 2, ("no", "yes")), "age": attribute(torch.arange(10))},
    )
    assert images.kinds == {
        "x": Image(1, 4, 4),
        "label": Classes(("a", "b", "c")),
        "smile": Classes(("no", "yes")),
        "age": Number(),
    }
    assert images.kind == Image(1, 4, 4)
    assert images.classes == ("a", "b", "c")
    assert list(images.attributes) == ["smile", "age"]
    assert len(images) == 10
    points = Dataset.of_points(torch.zeros(10, 2), some_splits())
    assert points.kinds == {"x": Points(2)}
    assert points.labels is None
    assert points.classes == ()
    assert not points.attributes


@pytest.mark.parametrize(
    ("name", "column", "sentence"),
    [
        ("x", Column(Image(1, 4, 4), torch.zeros(10, 1, 4, 4)), "Column 'x' must be ('N', 1, 4, 4) of torch.uint8"),
        ("x", Column(Points(2), torch.zeros(10, 3)), "Column 'x' must be ('N', 2) of torch.float32"),
        ("label", Column(Classes(("a", "b")), torch.arange(10) % 3), "Column 'label' holds numbers from 0 to 2"),
        ("age", Column(Number(), torch.zeros(9)), "Column 'age' has 9 rows, and column 'x' has 10."),
        ("age", Column(Number(), torch.zeros(10, 2)), "Column 'age' must be ('N',) of torch.float32"),
    ],
)
def test_a_column_that_does_not_fit_its_kind_or_the_items_is_refused(name: str, column: Column, sentence: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Dataset({**some_images().columns, name: column}, some_splits())
    assert str(caught.value).startswith(sentence)


def test_a_data_set_without_items_to_model_is_refused() -> None:
    with pytest.raises(ConfigError, match="^A data set needs a column 'x', got label.$"):
        Dataset({"label": some_images().columns["label"]}, some_splits())
    with pytest.raises(ConfigError, match="^Images must be N x C x H x W, got "):
        Dataset.of_images(some_pixels()[:, 0], some_splits())


# Splits.


@pytest.mark.parametrize(
    ("splits", "sentence"),
    [
        ({"train": torch.arange(10)}, "The splits must be train, validation, test, got train."),
        ({"test": torch.arange(2.0)}, "Split 'test' must be one row of torch.int64, got torch.float32."),
        ({"test": torch.tensor([8, 10])}, "The splits name item 10, and the last of 10 items is 9."),
        ({"test": torch.tensor([5, 9])}, "The splits must not overlap; item 5 is in two."),
    ],
)
def test_splits_that_do_not_fit_the_items_are_refused(splits: dict[str, Tensor], sentence: str) -> None:
    with pytest.raises(ConfigError) as caught:
        some_images().with_splits(splits if "test" not in splits else some_splits() | splits)
    assert str(caught.value) == sentence


def test_other_splits_keep_the_data_and_its_fingerprint() -> None:
    images = some_images()
    other = images.with_splits({name: images.splits[name][:1] for name in SPLITS})
    assert [len(other.splits[name]) for name in SPLITS] == [1, 1, 1]
    assert other.fingerprint == images.fingerprint
    assert other.columns == images.columns


# The fingerprint.


def test_equal_data_has_an_equal_fingerprint() -> None:
    fingerprint = some_images().fingerprint
    assert len(fingerprint) == 16
    assert int(fingerprint, 16)
    assert replace(some_images(), fingerprint="").fingerprint == fingerprint
    other_layout = some_pixels().permute(1, 2, 3, 0).contiguous().permute(3, 0, 1, 2)
    assert with_pixels(other_layout) == fingerprint


def test_the_digest_of_the_modelled_columns_ignores_labels_and_attributes() -> None:
    images = some_images()
    columns = {"x": images.columns["x"], "age": attribute(torch.arange(10))}
    other = Dataset(columns, images.splits)
    assert other.fingerprint != images.fingerprint
    assert other.modelled == images.modelled
    moved = {**images.splits, "test": torch.tensor([8])}
    assert Dataset(columns, moved).modelled != images.modelled
    assert Dataset.of_images(255 - some_pixels(), images.splits).modelled != images.modelled


def test_a_known_digest_stands_for_the_pixels() -> None:
    one = Dataset.of_images(some_pixels(), some_splits(), contents="aa")
    assert one.fingerprint == Dataset.of_images(255 - some_pixels(), some_splits(), contents="aa").fingerprint
    others = [
        Dataset.of_images(some_pixels(), some_splits(), contents="ab"),
        Dataset.of_images(some_pixels(), some_splits() | {"test": torch.tensor([8])}, contents="aa"),
        Dataset.of_images(some_pixels(), some_splits(), torch.zeros(10), ("a",), contents="aa"),
    ]
    assert one.fingerprint not in {other.fingerprint for other in others}


@pytest.mark.parametrize("place", [(0, 0, 0, 0), (5, 0, 2, 1), (9, 0, 3, 3)], ids=str)
def test_one_pixel_changes_the_fingerprint(place: tuple[int, ...]) -> None:
    pixels = some_pixels()
    pixels[place] ^= 1
    assert with_pixels(pixels) != some_images().fingerprint


def test_the_shape_of_the_same_pixels_changes_the_fingerprint() -> None:
    assert with_pixels(some_pixels().view(10, 1, 2, 8)) != some_images().fingerprint


def test_one_label_a_name_and_an_attribute_change_the_fingerprint() -> None:
    labels = torch.arange(10) % 3
    labels[7] = 0
    abc, abd = Classes(("a", "b", "c")), Classes(("a", "b", "d"))
    fingerprints = [
        some_images().fingerprint,
        with_column("label", None),
        with_column("label", Column(abc, labels)),
        with_column("label", Column(abd, torch.arange(10) % 3)),
        with_column("age", attribute(torch.arange(10))),
        with_column("size", attribute(torch.arange(10))),
    ]
    assert len(set(fingerprints)) == len(fingerprints)


def test_one_image_in_another_split_changes_the_fingerprint() -> None:
    swapped = {
        "train": torch.tensor([0, 1, 2, 3, 4, 6]),
        "validation": torch.tensor([5, 7]),
        "test": torch.arange(8, 10),
    }
    moved = {"train": torch.arange(5), "validation": torch.arange(5, 8), "test": torch.arange(8, 10)}
    moved_again = {"train": torch.arange(6), "validation": torch.arange(6, 9), "test": torch.arange(9, 10)}
    images = some_images()
    fingerprints = [
        replace(images, fingerprint="", splits=splits).fingerprint for splits in (swapped, moved, moved_again)
    ]
    assert len({*fingerprints, images.fingerprint}) == 4


def test_binarized_data_has_fixed_held_out_images_of_0_and_1_and_grey_training_images() -> None:
    pixels = torch.randint(0, 256, (30, 1, 4, 4), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    splits = {"train": torch.arange(20), "validation": torch.arange(20, 25), "test": torch.arange(25, 30)}
    grey = Dataset.of_images(pixels, splits)
    first, again = grey.binarized(), grey.binarized()
    rows = first.columns["x"].rows
    assert set(rows[20:].unique().tolist()) == {0, 255}
    assert torch.equal(rows[:20], pixels[:20])
    assert torch.equal(rows, again.columns["x"].rows)
    assert first.fingerprint == again.fingerprint != grey.fingerprint
    batches = first.batches("train", 20, augmentation=Augmentation(binarize=True))
    assert set(batches.batch(0)["x"].unique().tolist()) == {0.0, 1.0}
    assert not torch.equal(batches.batch(0)["x"].sort(0).values, batches.batch(1)["x"].sort(0).values)
    with pytest.raises(ConfigError, match="only images can be binarized, and this data holds points"):
        Dataset.of_points(torch.randn(30, 2), splits).binarized()
