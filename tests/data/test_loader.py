"""Batches whose content is a function of the seed and their number."""

from itertools import chain

import pytest
import torch

from genlab.contract import Batch
from genlab.data.batches import Loader
from genlab.data.dataset import SPLITS, Images
from genlab.registry import ConfigError
from tests.fixtures.toys import toy_images

COUNT, SIZE = 23, 5
EPOCH = COUNT // SIZE


def labelled(count: int = COUNT) -> Images:
    """Images of which the training ones stand in no order, each labelled by its brightness."""
    pixels = torch.arange(count + 7, dtype=torch.uint8).view(-1, 1, 1, 1).expand(-1, 1, 2, 2).contiguous()
    order = torch.randperm(count + 7, generator=torch.Generator().manual_seed(0))
    splits = {"train": order[:count], "validation": order[count : count + 3], "test": order[count + 3 :]}
    return Images(pixels, splits, torch.arange(count + 7) * 3 % 10, tuple("0123456789"))


def held(batch: Batch) -> list[int]:
    """Which images are in a batch, by their brightness."""
    return [round(value * 255) for value in batch["image"][:, 0, 0, 0].tolist()]


def epoch_of(loader: Loader, epoch: int) -> list[int]:
    """All images of one epoch in their order."""
    first = epoch * loader.batches_per_epoch
    return list(chain(*(held(loader.batch(first + position)) for position in range(loader.batches_per_epoch))))


def test_any_order_of_asking_gives_the_batches_of_the_sequence() -> None:
    sequence = [held(Loader(labelled(), "train", SIZE, seed=3).batch(number)) for number in range(4 * EPOCH)]
    one_by_one = Loader(labelled(), "train", SIZE, seed=3)
    assert [held(one_by_one.batch(number)) for number in range(4 * EPOCH)] == sequence
    jumping = Loader(labelled(), "train", SIZE, seed=3)
    for number in [15, 0, 7, 7, 14, 3, 8, 0]:
        assert held(jumping.batch(number)) == sequence[number]


def test_two_loaders_agree_whatever_else_draws_numbers() -> None:
    one, other = (Loader(labelled(), "train", SIZE, seed=3) for _ in range(2))
    torch.manual_seed(1)
    first = [held(one.batch(number)) for number in range(2 * EPOCH)]
    state = torch.get_rng_state()
    torch.manual_seed(2)
    torch.rand(5)
    assert [held(other.batch(number)) for number in range(2 * EPOCH)] == first
    torch.manual_seed(1)
    assert torch.equal(torch.get_rng_state(), state)


def test_two_loaders_that_take_turns_do_not_disturb_each_other() -> None:
    expected = {seed: epoch_of(Loader(labelled(), "train", SIZE, seed=seed), 1) for seed in (3, 4)}
    loaders = {seed: Loader(labelled(), "train", SIZE, seed=seed) for seed in (3, 4)}
    found: dict[int, list[int]] = {3: [], 4: []}
    for number in range(EPOCH, 2 * EPOCH):
        for seed, loader in loaders.items():
            found[seed] += held(loader.batch(number))
    assert found == expected


def test_another_seed_is_another_order() -> None:
    orders = {tuple(epoch_of(Loader(labelled(), "train", SIZE, seed=seed), 0)) for seed in range(10)}
    assert len(orders) == 10


def test_an_epoch_holds_no_image_twice_and_only_images_of_its_split() -> None:
    images = labelled()
    loader = Loader(images, "train", SIZE, seed=3)
    assert loader.batches_per_epoch == EPOCH
    for epoch in range(6):
        seen = epoch_of(loader, epoch)
        assert len(seen) == len(set(seen)) == EPOCH * SIZE
        assert set(seen) <= set(images.splits["train"].tolist())


def test_an_epoch_is_a_permutation_where_the_batches_come_out_even() -> None:
    images = labelled(20)
    loader = Loader(images, "train", SIZE, seed=3)
    epochs = [epoch_of(loader, epoch) for epoch in range(6)]
    assert all(sorted(epoch) == sorted(images.splits["train"].tolist()) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == 6


def test_other_images_are_dropped_in_other_epochs() -> None:
    images = labelled()
    loader = Loader(images, "train", SIZE, seed=3)
    every = set(images.splits["train"].tolist())
    dropped = [frozenset(every - set(epoch_of(loader, epoch))) for epoch in range(40)]
    assert all(len(some) == COUNT - EPOCH * SIZE for some in dropped)
    assert len(set(dropped)) > 30
    assert frozenset.union(*dropped) == every


def test_each_place_in_an_epoch_gets_every_image_alike() -> None:
    loader = Loader(toy_images(10), "train", 3, seed=5)
    firsts = torch.tensor([held(loader.batch(2 * epoch))[0] for epoch in range(1200)]).bincount(minlength=6)
    # Six images, 200 times each but for a standard deviation of 13.
    assert firsts.sub(200).abs().max() < 65


@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize("size", [1, 2, 3, 100])
def test_once_gives_each_image_once_in_order_with_the_last_batch_short(split: str, size: int) -> None:
    images = toy_images()
    loader = Loader(images, split, min(size, 24), seed=3)
    for _ in range(2):
        batches = [held(batch) for batch in loader.once()]
        assert list(chain(*batches)) == images.splits[split].tolist()
        assert all(len(batch) == loader.batch_size for batch in batches[:-1])
        assert len(batches[-1]) == (loader.count - 1) % loader.batch_size + 1


def test_once_does_not_move_the_endless_sequence() -> None:
    loader = Loader(labelled(), "train", SIZE, seed=3)
    expected = epoch_of(loader, 0)
    before = held(loader.batch(0))
    list(loader.once())
    assert before + list(chain(*(held(loader.batch(number)) for number in range(1, EPOCH)))) == expected


def test_values_are_exactly_the_pixels_over_255() -> None:
    pixels = torch.arange(256, dtype=torch.uint8).view(4, 1, 8, 8).repeat(3, 1, 1, 1)
    thirds = torch.arange(12).view(3, 4)
    loader = Loader(Images(pixels, dict(zip(SPLITS, thirds, strict=True))), "train", 4)
    expected = torch.tensor([value / 255 for value in range(256)]).view(4, 1, 8, 8)
    (batch,) = loader.once()
    assert set(batch) == {"image"}
    assert batch["image"].dtype == torch.float32
    assert torch.equal(batch["image"], expected)
    assert torch.equal(loader.batch(9)["image"].flatten().sort().values, expected.flatten())


def test_labels_go_with_their_images() -> None:
    images = labelled()
    for split in SPLITS:
        loader = Loader(images, split, 3, seed=3)
        batches = [*loader.once(), *(loader.batch(number) for number in range(20))]
        for batch in batches:
            assert batch["label"].dtype == torch.int64
            assert batch["label"].tolist() == [3 * image % 10 for image in held(batch)]


def test_changing_a_batch_in_place_changes_no_other_and_not_the_data() -> None:
    images = labelled(20)
    pixels, labels = images.pixels.clone(), images.labels
    assert labels is not None
    labels = labels.clone()
    for size in (SIZE, 20):
        loader = Loader(images, "train", size, seed=3)
        batches = [loader.batch(0), loader.batch(1), loader.batch(1), *loader.once()]
        kept = [{name: tensor.clone() for name, tensor in batch.items()} for batch in batches]
        for position, batch in enumerate(batches):
            for tensor in batch.values():
                tensor.fill_(77)
            for other, expected in list(zip(batches, kept, strict=True))[position + 1 :]:
                assert all(torch.equal(other[name], expected[name]) for name in expected)
        assert torch.equal(loader.batch(1)["image"], kept[1]["image"])
        assert torch.equal(loader.batch(1)["label"], kept[1]["label"])
    assert torch.equal(images.pixels, pixels)
    assert images.labels is not None
    assert torch.equal(images.labels, labels)


def test_batches_that_live_at_once_share_no_memory() -> None:
    images = labelled()
    loader = Loader(images, "train", SIZE, seed=3)
    batches = [loader.batch(number) for number in range(2 * EPOCH)] + list(loader.once())
    tensors = [tensor for batch in batches for tensor in batch.values()] + [images.pixels]
    assert len({tensor.untyped_storage().data_ptr() for tensor in tensors}) == len(tensors)


@pytest.mark.parametrize("size", [0, -1])
@pytest.mark.parametrize("split", SPLITS)
def test_a_batch_of_no_images_is_refused(split: str, size: int) -> None:
    with pytest.raises(ConfigError) as caught:
        Loader(labelled(), split, size)
    assert str(caught.value) == f"batch_size must be at least 1, and {size} is not."


def test_a_batch_larger_than_the_training_data_is_refused_and_the_whole_is_not() -> None:
    with pytest.raises(ConfigError) as caught:
        Loader(labelled(), "train", COUNT + 1)
    assert str(caught.value) == f"A batch of {COUNT + 1} is larger than the data: {COUNT} images to train on."
    images = labelled()
    whole = Loader(images, "train", COUNT)
    assert whole.batches_per_epoch == 1
    assert sorted(held(whole.batch(4))) == sorted(images.splits["train"].tolist())


def test_a_batch_may_be_larger_than_the_images_to_validate_with() -> None:
    images = labelled()
    (batch,) = Loader(images, "validation", 100).once()
    assert held(batch) == images.splits["validation"].tolist()
