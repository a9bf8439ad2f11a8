"""Crops are slices of whole pictures, equally likely at every place, wherever the cells are stored."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from genlab.data import held_out, residence
from genlab.data.batches import Table
from genlab.data.dataset import SPLITS, Dataset
from genlab.data.files import cache
from genlab.data.mosaic import Mosaic, Pictures, grid_of, place
from genlab.registry import ConfigError

HEIGHT, WIDTH = 3, 4
# Rows and columns of each picture; the first three are for training.
GRIDS = [(3, 2), (1, 1), (1, 3), (2, 1), (1, 2), (2, 2)]
PARTS = {"train": [0, 1, 2], "validation": [3, 4], "test": [5]}
CPU = torch.device("cpu")


def drawn() -> list[Tensor]:
    """Pictures without two equal parts."""
    draws = torch.Generator().manual_seed(0)
    shapes = [(2, rows * HEIGHT, columns * WIDTH) for rows, columns in GRIDS]
    return [torch.randint(0, 256, shape, dtype=torch.uint8, generator=draws) for shape in shapes]


def cells(picture: Tensor) -> list[Tensor]:
    return [row for band in picture.split(HEIGHT, 1) for row in band.split(WIDTH, 2)]


def pictures_in(folder: Path, order: tuple[int, ...] = (4, 0, 5, 2, 3, 1)) -> Pictures:
    """The cells of the pictures in a file, cells of other splits in between."""
    folder.mkdir(exist_ok=True)
    found = drawn()
    pixels = torch.stack([cell for number in order for cell in cells(found[number])])
    (folder / "pixels").write_bytes(pixels.numpy().tobytes())
    owner = torch.cat([torch.full((len(cells(found[number])),), number) for number in order])
    splits = {name: torch.isin(owner, torch.tensor(part)).nonzero().flatten() for name, part in PARTS.items()}
    grid = grid_of(torch.tensor([GRIDS[number] for number in order]))
    names = tuple("abcdef")
    mapped = cache.mapped(folder / "pixels", *pixels.shape)
    return Pictures.of_images(mapped, splits, owner, names, file=folder / "pixels", grid=grid)


def crops_of(pictures: Pictures, stored: str) -> Table:
    """Batches of four crops; rows that would be streamed to a GPU are streamed here, too."""
    wanted = "device" if stored == "device" else "disk"
    table = pictures.batches("train", 4, seed=3, residence=wanted, keep_last=True)
    if stored == "host":
        table._split = residence.Streamed(pictures.columns, pictures.splits["train"], CPU, from_disk=False)
    return table


def as_bytes(crop: Tensor) -> bytes:
    return crop.mul(255).round().to(torch.uint8).contiguous().numpy().tobytes()


def places() -> dict[bytes, tuple[int, int, int]]:
    """The place of each possible crop of the training pictures: the picture, the row and the column."""
    found = {}
    for number in PARTS["train"]:
        picture = drawn()[number]
        for top in range(picture.shape[1] - HEIGHT + 1):
            for left in range(picture.shape[2] - WIDTH + 1):
                crop = picture[:, top : top + HEIGHT, left : left + WIDTH]
                found[crop.contiguous().numpy().tobytes()] = (number, top, left)
    return found


@pytest.mark.parametrize("side", [1, 2, 5, 8])
@pytest.mark.parametrize("count", [1, 2, 3, 7])
def test_the_cells_deal_every_place_equally_often(count: int, side: int) -> None:
    room = (count - 1) * side + 1
    cell, draw = torch.cartesian_prod(torch.arange(count), torch.arange(room)).unbind(1)
    found = place(cell, torch.full_like(cell, count), side, draw)
    assert found.bincount().tolist() == [count] * room
    # The crop overlaps with the cell, so that the chosen cell is what is seen.
    assert (found - cell * side).abs().max() < side


@pytest.mark.parametrize("stored", ["device", "host", "disk"])
def test_every_crop_is_a_slice_of_its_picture_and_all_slices_are_equally_likely(tmp_path: Path, stored: str) -> None:
    known, epochs = places(), 600
    table = crops_of(pictures_in(tmp_path), stored)
    assert isinstance(table, Mosaic)
    batches = [table.batch(number) for number in range(epochs * table.batches_per_epoch)]
    seen = Counter(known[as_bytes(crop)] for batch in batches for crop in batch["x"])
    assert set(seen) == set(known.values())
    for number in PARTS["train"]:
        rows, columns = GRIDS[number]
        counts = [count for (picture, _, _), count in seen.items() if picture == number]
        assert sum(counts) == epochs * rows * columns
        expected = epochs * rows * columns / len(counts)
        assert max(abs(count - expected) for count in counts) <= 5 * expected**0.5


def test_a_crop_has_the_label_of_its_picture(tmp_path: Path) -> None:
    table, known = crops_of(pictures_in(tmp_path), "device"), places()
    for number in range(30):
        batch = table.batch(number)
        assert [known[as_bytes(crop)][0] for crop in batch["x"]] == batch["label"].tolist()


@pytest.mark.parametrize("stored", ["host", "disk"])
def test_crops_are_bit_for_bit_the_same_wherever_the_cells_are_stored(tmp_path: Path, stored: str) -> None:
    pictures = pictures_in(tmp_path)
    resident, other = crops_of(pictures, "device"), crops_of(pictures, stored)
    cells = replace(pictures.columns["x"], rows=pictures.columns["x"].rows.clone(), file=None)
    in_memory = crops_of(replace(pictures, columns={**pictures.columns, "x": cells}), "device")
    for number in [*range(12), 4, 17, 0, 200]:
        expected = resident.batch(number)
        for found in (other.batch(number), in_memory.batch(number)):
            assert expected.keys() == found.keys() == {"x", "label"}
            assert all(torch.equal(value, found[name]) for name, value in expected.items())


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
@pytest.mark.parametrize("stored", ["device", "host", "disk"])
def test_crops_are_bit_for_bit_the_same_on_a_gpu(tmp_path: Path, stored: str) -> None:
    pictures = pictures_in(tmp_path)
    here = crops_of(pictures, "device")
    there = pictures.batches("train", 4, seed=3, residence=stored, keep_last=True, device="cuda")
    for number in [*range(12), 200]:
        found = there.batch(number)
        assert all(torch.equal(value, found[name].cpu()) for name, value in here.batch(number).items())


def test_crops_do_not_depend_on_pictures_of_other_splits_between_them(tmp_path: Path) -> None:
    one = crops_of(pictures_in(tmp_path / "one"), "disk")
    other = crops_of(pictures_in(tmp_path / "other", order=(0, 2, 1, 3, 4, 5)), "disk")
    assert all(torch.equal(one.batch(number)["x"], other.batch(number)["x"]) for number in range(9))


@pytest.mark.parametrize("split", SPLITS)
def test_one_pass_gives_the_cells_as_they_are(tmp_path: Path, split: str) -> None:
    pictures = pictures_in(tmp_path)
    for stored in ("device", "disk"):
        batches = pictures.batches(split, 3, residence=stored).once()
        found = torch.cat([batch["x"] for batch in batches]).mul(255).round().to(torch.uint8)
        assert torch.equal(found, pictures.columns["x"].rows[pictures.splits[split]])


@pytest.mark.parametrize("split", ["validation", "test"])
def test_held_out_batches_are_never_cropped(tmp_path: Path, split: str) -> None:
    pictures = pictures_in(tmp_path)
    cells = {cell.numpy().tobytes() for cell in pictures.columns["x"].rows[pictures.splits[split]]}
    table = pictures.batches(split, 2)
    assert {as_bytes(crop) for number in range(20) for crop in table.batch(number)["x"]} == cells


def test_with_other_splits_the_cells_are_a_plain_data_set_that_is_never_cropped(tmp_path: Path) -> None:
    pictures = pictures_in(tmp_path)
    rows = pictures.splits["train"][torch.tensor([7, 0, 3])]
    plain = pictures.with_splits({"train": rows, "validation": rows[:0], "test": rows[:0]})
    assert type(plain) is Dataset
    assert plain.fingerprint == pictures.fingerprint
    table = plain.batches("train", 3, seed=3)
    assert not isinstance(table, Mosaic)
    cells = {cell.numpy().tobytes() for cell in pictures.columns["x"].rows[rows]}
    assert {as_bytes(item) for number in range(5) for item in table.batch(number)["x"]} == cells
    (batch,) = held_out.batches(pictures, rows, CPU)
    assert [as_bytes(item) for item in batch["x"]] == [
        cell.numpy().tobytes() for cell in pictures.columns["x"].rows[rows]
    ]


def test_the_set_is_described_in_crops_and_pictures(tmp_path: Path) -> None:
    pictures = pictures_in(tmp_path)
    assert pictures.describe_items() == "18 crops side by side"
    assert [pictures.describe_split(name) for name in SPLITS] == [
        "train 10 (of 3 pictures)",
        "validation 4 (of 2 pictures)",
        "test 4 (of 1 picture)",
    ]


def moved(pictures: Pictures, start: str, end: str, row: int) -> dict[str, Tensor]:
    """The splits after one cell has moved from one split to another."""
    cell = pictures.splits[start][row : row + 1]
    left = pictures.splits[start][pictures.splits[start] != cell]
    return {**pictures.splits, start: left, end: torch.cat([pictures.splits[end], cell]).sort().values}


def test_a_picture_in_two_splits_or_out_of_order_is_refused(tmp_path: Path) -> None:
    pictures = pictures_in(tmp_path)
    for row in range(3):
        with pytest.raises(ConfigError, match="^Split 'train' must hold whole pictures, with their cells row by row.$"):
            replace(pictures, splits=moved(pictures, "train", "test", row))
    backwards = {**pictures.splits, "validation": pictures.splits["validation"].flip(0)}
    with pytest.raises(ConfigError, match="^Split 'validation' must hold whole pictures"):
        replace(pictures, splits=backwards)
    only_train = {"train": pictures.splits["train"], "validation": torch.arange(0), "test": torch.arange(0)}
    assert len(replace(pictures, splits=only_train).splits["train"]) == 10


@pytest.mark.parametrize("grid", [torch.zeros(3, 4, dtype=torch.int64), torch.zeros(18, 4)], ids=["few", "floats"])
def test_a_grid_of_another_shape_is_refused(tmp_path: Path, grid: Tensor) -> None:
    with pytest.raises(ConfigError, match="^The grid must be 18 x 4 of torch.int64, got "):
        replace(pictures_in(tmp_path), grid=grid)


def test_the_same_cells_in_other_pictures_are_other_data(tmp_path: Path) -> None:
    pictures = pictures_in(tmp_path)
    single = torch.tensor([0, 0, 1, 1]).expand(len(pictures), 4).contiguous()
    fingerprints = {replace(pictures, fingerprint="", grid=grid).fingerprint for grid in (single, pictures.grid)}
    fingerprints.add(Dataset(pictures.columns, pictures.splits).fingerprint)
    assert len(fingerprints) == 3
