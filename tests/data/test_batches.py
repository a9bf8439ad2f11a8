"""Batches whose content is a function of the seed and their number."""

from itertools import chain

import pytest
import torch

from genlab.contract import Batch
from genlab.data.batches import Batches, Table
from genlab.data.dataset import SPLITS, Column, Dataset, attribute
from genlab.kinds import Augmentation, Classes, Image
from genlab.registry import ConfigError

COUNT, SIZE = 23, 5
EPOCH = COUNT // SIZE


def labelled(count: int = COUNT) -> Dataset:
    """Images whose training split is in no order, each labelled by its brightness."""
    pixels = torch.arange(count + 7, dtype=torch.uint8).view(-1, 1, 1, 1).expand(-1, 1, 2, 2).contiguous()
    order = torch.randperm(count + 7, generator=torch.Generator().manual_seed(0))
    splits = {"train": order[:count], "validation": order[count : count + 3], "test": order[count + 3 :]}
    return Dataset.of_images(pixels, splits, torch.arange(count + 7) * 3 % 10, tuple("0123456789"))


def unlabelled(count: int) -> Dataset:
    """Images without labels, all in order."""
    pixels = torch.arange(count, dtype=torch.uint8).view(-1, 1, 1, 1).expand(-1, 1, 2, 2).contiguous()
    order, held_out = torch.arange(count), count // 5
    return Dataset.of_images(
        pixels, dict(zip(SPLITS, order.split([count - 2 * held_out, held_out, held_out]), strict=True))
    )


def items_of(batch: Batch) -> list[int]:
    """The images in a batch, by their brightness."""
    return [round(value * 255) for value in batch["x"][:, 0, 0, 0].tolist()]


def epoch_of(table: Batches, epoch: int) -> list[int]:
    """All images of one epoch in their order."""
    first = epoch * table.batches_per_epoch
    return list(chain(*(items_of(table.batch(first + position)) for position in range(table.batches_per_epoch))))


def test_batches_may_be_asked_for_in_any_order() -> None:
    sequence = [items_of(Table(labelled(), "train", SIZE, seed=3).batch(number)) for number in range(4 * EPOCH)]
    one_by_one = Table(labelled(), "train", SIZE, seed=3)
    assert [items_of(one_by_one.batch(number)) for number in range(4 * EPOCH)] == sequence
    jumping = Table(labelled(), "train", SIZE, seed=3)
    for number in [15, 0, 7, 7, 14, 3, 8, 0]:
        assert items_of(jumping.batch(number)) == sequence[number]


def test_batches_do_not_depend_on_other_random_draws_and_do_not_disturb_them() -> None:
    one, other = (Table(labelled(), "train", SIZE, seed=3) for _ in range(2))
    torch.manual_seed(1)
    first = [items_of(one.batch(number)) for number in range(2 * EPOCH)]
    state = torch.get_rng_state()
    torch.manual_seed(2)
    torch.rand(5)
    assert [items_of(other.batch(number)) for number in range(2 * EPOCH)] == first
    torch.manual_seed(1)
    assert torch.equal(torch.get_rng_state(), state)


def test_two_tables_in_turn_do_not_disturb_each_other() -> None:
    expected = {seed: epoch_of(Table(labelled(), "train", SIZE, seed=seed), 1) for seed in (3, 4)}
    tables = {seed: Table(labelled(), "train", SIZE, seed=seed) for seed in (3, 4)}
    found: dict[int, list[int]] = {3: [], 4: []}
    for number in range(EPOCH, 2 * EPOCH):
        for seed, table in tables.items():
            found[seed] += items_of(table.batch(number))
    assert found == expected


def test_another_seed_gives_another_order() -> None:
    orders = {tuple(epoch_of(Table(labelled(), "train", SIZE, seed=seed), 0)) for seed in range(10)}
    assert len(orders) == 10


def test_an_epoch_has_no_image_twice_and_only_images_of_its_split() -> None:
    images = labelled()
    table = Table(images, "train", SIZE, seed=3)
    assert table.batches_per_epoch == EPOCH
    for epoch in range(6):
        seen = epoch_of(table, epoch)
        assert len(seen) == len(set(seen)) == EPOCH * SIZE
        assert set(seen) <= set(images.splits["train"].tolist())


def test_an_epoch_is_a_permutation_if_the_batch_size_divides_the_split() -> None:
    images = labelled(20)
    table = Table(images, "train", SIZE, seed=3)
    epochs = [epoch_of(table, epoch) for epoch in range(6)]
    assert all(sorted(epoch) == sorted(images.splits["train"].tolist()) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == 6


def test_each_epoch_drops_other_images() -> None:
    images = labelled()
    table = Table(images, "train", SIZE, seed=3)
    every = set(images.splits["train"].tolist())
    dropped = [frozenset(every - set(epoch_of(table, epoch))) for epoch in range(40)]
    assert all(len(some) == COUNT - EPOCH * SIZE for some in dropped)
    assert len(set(dropped)) > 30
    assert frozenset.union(*dropped) == every


def test_each_place_in_an_epoch_gets_every_image_equally_often() -> None:
    table = Table(unlabelled(10), "train", 3, seed=5)
    firsts = torch.tensor([items_of(table.batch(2 * epoch))[0] for epoch in range(1200)]).bincount(minlength=6)
    # 200 times each of six images are expected, with a standard deviation of 13.
    assert firsts.sub(200).abs().max() < 65


@pytest.mark.parametrize(
    ("split", "size"), [("train", 1), ("train", 24), ("validation", 3), ("test", 2), ("test", 100)]
)
def test_once_gives_each_image_once_in_order_and_the_last_batch_may_be_smaller(split: str, size: int) -> None:
    images = unlabelled(40)
    table = Table(images, split, size, seed=3)
    for _ in range(2):
        batches = [items_of(batch) for batch in table.once()]
        assert list(chain(*batches)) == images.splits[split].tolist()
        assert all(len(batch) == table.batch_size for batch in batches[:-1])
        assert len(batches[-1]) == (table.count - 1) % table.batch_size + 1


def test_once_does_not_move_the_endless_sequence() -> None:
    table = Table(labelled(), "train", SIZE, seed=3)
    expected = epoch_of(table, 0)
    before = items_of(table.batch(0))
    list(table.once())
    assert before + list(chain(*(items_of(table.batch(number)) for number in range(1, EPOCH)))) == expected


def test_values_are_exactly_the_pixels_over_255() -> None:
    pixels = torch.arange(256, dtype=torch.uint8).view(4, 1, 8, 8).repeat(3, 1, 1, 1)
    thirds = torch.arange(12).view(3, 4)
    table = Table(Dataset.of_images(pixels, dict(zip(SPLITS, thirds, strict=True))), "train", 4)
    expected = torch.tensor([value / 255 for value in range(256)]).view(4, 1, 8, 8)
    (batch,) = table.once()
    assert set(batch) == {"x"}
    assert batch["x"].dtype == torch.float32
    assert torch.equal(batch["x"], expected)
    assert torch.equal(table.batch(9)["x"].flatten().sort().values, expected.flatten())


def test_points_stay_as_they_are() -> None:
    points = torch.randn(9, 2, generator=torch.Generator().manual_seed(0))
    table = Table(Dataset.of_points(points, dict(zip(SPLITS, torch.arange(9).split(3), strict=True))), "train", 3)
    assert torch.equal(next(table.once())["x"], points[:3])


def test_labels_go_with_their_images() -> None:
    images = labelled()
    for split in SPLITS:
        table = Table(images, split, 3, seed=3)
        batches = [*table.once(), *(table.batch(number) for number in range(20))]
        for batch in batches:
            assert batch["label"].dtype == torch.int64
            assert batch["label"].tolist() == [3 * image % 10 for image in items_of(batch)]


def test_a_batch_holds_the_modelled_columns_and_no_attributes() -> None:
    images = labelled()
    pair = Column(Image(1, 1, 3), torch.arange(len(images) * 3, dtype=torch.uint8).view(-1, 1, 1, 3))
    columns = {**images.columns, "y": pair, "age": attribute(torch.arange(len(images)))}
    table = Table(Dataset(columns, images.splits), "train", SIZE, seed=3)
    assert table.kinds == {"x": Image(1, 2, 2), "y": Image(1, 1, 3), "label": Classes(tuple("0123456789"))}
    batch = table.batch(2)
    assert set(batch) == set(table.kinds)
    assert batch["y"][:, 0, 0, 0].mul(255).round().tolist() == [3 * image for image in items_of(batch)]
    assert items_of(batch) == items_of(Table(images, "train", SIZE, seed=3).batch(2))


def test_changing_a_batch_in_place_changes_no_other_and_not_the_data() -> None:
    images = labelled(20)
    stored = {name: column.rows.clone() for name, column in images.columns.items()}
    for size in (SIZE, 20):
        table = Table(images, "train", size, seed=3)
        batches = [table.batch(0), table.batch(1), table.batch(1), *table.once()]
        kept = [{name: tensor.clone() for name, tensor in batch.items()} for batch in batches]
        for position, batch in enumerate(batches):
            for tensor in batch.values():
                tensor.fill_(77)
            for other, expected in list(zip(batches, kept, strict=True))[position + 1 :]:
                assert all(torch.equal(other[name], expected[name]) for name in expected)
        assert torch.equal(table.batch(1)["x"], kept[1]["x"])
        assert torch.equal(table.batch(1)["label"], kept[1]["label"])
    assert all(torch.equal(column.rows, stored[name]) for name, column in images.columns.items())


def test_batches_that_exist_at_once_share_no_memory() -> None:
    images = labelled()
    table = Table(images, "train", SIZE, seed=3)
    batches = [table.batch(number) for number in range(2 * EPOCH)] + list(table.once())
    tensors = [tensor for batch in batches for tensor in batch.values()] + [images.columns["x"].rows]
    assert len({tensor.untyped_storage().data_ptr() for tensor in tensors}) == len(tensors)


# Augmentation.


def test_augmentation_changes_the_images_of_endless_batches_and_no_others() -> None:
    plain = Table(labelled(), "train", SIZE, seed=3)
    changed = Table(labelled(), "train", SIZE, seed=3, augmentation=Augmentation(jitter=0.5))
    assert not torch.equal(plain.batch(4)["x"], changed.batch(4)["x"])
    assert torch.equal(plain.batch(4)["label"], changed.batch(4)["label"])
    assert torch.equal(changed.batch(4)["x"], changed.batch(4)["x"])
    assert all(torch.equal(one["x"], other["x"]) for one, other in zip(plain.once(), changed.once(), strict=True))


def test_data_that_cannot_be_augmented_is_refused_before_the_first_batch() -> None:
    points = Dataset.of_points(torch.zeros(9, 2), dict(zip(SPLITS, torch.arange(9).split(3), strict=True)))
    with pytest.raises(ConfigError, match="and this data holds points"):
        Table(points, "train", 3, augmentation=Augmentation(flip=True))
    assert Table(points, "train", 3, augmentation=Augmentation()).batches_per_epoch == 1


# Balance.


def unbalanced(counts: dict[int, int]) -> Dataset:
    """Training images of which each class has this many, in no order; label 3 has validation images only."""
    labels = torch.cat([torch.full((count,), number) for number, count in counts.items()])
    labels = labels[torch.randperm(len(labels), generator=torch.Generator().manual_seed(1))]
    pixels = torch.arange(len(labels) + 2, dtype=torch.uint8).view(-1, 1, 1, 1).expand(-1, 1, 2, 2).contiguous()
    splits = {
        "train": torch.arange(len(labels)),
        "validation": torch.arange(2) + len(labels),
        "test": torch.arange(0),
    }
    return Dataset.of_images(pixels, splits, torch.cat([labels, torch.tensor([3, 3])]), tuple("abcd"))


@pytest.mark.parametrize("keep_last", [False, True])
def test_balance_deals_equally_many_images_of_each_class_in_an_epoch_of_the_same_length(keep_last: bool) -> None:
    images = unbalanced({0: 60, 1: 13, 2: 4})
    table = Table(images, "train", 10, seed=3, keep_last=keep_last, balance=True)
    assert table.batches_per_epoch == (8 if keep_last else 7)
    for epoch in range(5):
        batches = [table.batch(epoch * table.batches_per_epoch + place) for place in range(table.batches_per_epoch)]
        labels = torch.cat([batch["label"] for batch in batches])
        assert len(labels) == (77 if keep_last else 70)
        counts = labels.bincount(minlength=4)
        assert counts[3] == 0
        assert counts[:3].max() - counts[:3].min() <= 2
        assert all(images.labels is not None and images.labels[items_of(b)].equal(b["label"]) for b in batches)


def test_balance_deals_all_images_of_a_class_before_it_starts_again() -> None:
    images = unbalanced({0: 50, 1: 8, 2: 3})
    table = Table(images, "train", 6, seed=3, balance=True)
    dealt: dict[int, list[int]] = {0: [], 1: [], 2: []}
    for number in range(3 * table.batches_per_epoch):
        batch = table.batch(number)
        for label, item in zip(batch["label"].tolist(), items_of(batch), strict=True):
            dealt[label].append(item)
    for label, size in ((0, 50), (1, 8), (2, 3)):
        passes = [dealt[label][start : start + size] for start in range(0, len(dealt[label]), size)]
        assert all(len(set(one)) == len(one) for one in passes)
        assert len(dealt[label]) == 60
    assert len({tuple(dealt[1][start : start + 8]) for start in range(0, 56, 8)}) > 5


def test_balanced_batches_are_a_function_of_the_seed_and_their_number() -> None:
    images = unbalanced({0: 60, 1: 13, 2: 4})
    sequence = [items_of(Table(images, "train", 10, seed=3, balance=True).batch(number)) for number in range(30)]
    table = Table(images, "train", 10, seed=3, balance=True)
    for number in (29, 3, 14, 0, 7):
        assert items_of(table.batch(number)) == sequence[number]
    assert items_of(Table(images, "train", 10, seed=4, balance=True).batch(0)) != sequence[0]


def test_balance_without_labels_is_refused() -> None:
    with pytest.raises(ConfigError) as caught:
        Table(unlabelled(40), "train", 8, balance=True)
    assert str(caught.value).startswith("data.balance=true needs labels, and the data has none.")
    assert str(caught.value).endswith("Or set data.balance=false.")


# Sizes.


@pytest.mark.parametrize("size", [0, -1])
@pytest.mark.parametrize("split", SPLITS)
def test_a_batch_of_no_images_is_refused(split: str, size: int) -> None:
    with pytest.raises(ConfigError) as caught:
        Table(labelled(), split, size)
    assert str(caught.value) == f"batch_size must be at least 1, got {size}."


@pytest.mark.parametrize(
    ("count", "advice"), [(23, "Set trainer.batch_size=16 or lower."), (1, "Set trainer.batch_size=1.")]
)
def test_a_batch_larger_than_the_training_data_is_refused_with_a_size_that_works(count: int, advice: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Table(labelled(count), "train", 128)
    assert str(caught.value) == f"trainer.batch_size is 128, and the data has {count} training images. {advice}"


def test_a_batch_may_be_the_whole_training_split() -> None:
    images = labelled()
    whole = Table(images, "train", COUNT)
    assert whole.batches_per_epoch == 1
    assert sorted(items_of(whole.batch(4))) == sorted(images.splits["train"].tolist())


def test_a_batch_may_be_larger_than_the_validation_split() -> None:
    images = labelled()
    (batch,) = Table(images, "validation", 100).once()
    assert items_of(batch) == images.splits["validation"].tolist()
