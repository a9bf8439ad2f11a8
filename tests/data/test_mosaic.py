"""Crops are slices of whole pictures, of every place alike, wherever the cells of the pictures lie."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from genlab.data import residence
from genlab.data.batches import Loader
from genlab.data.dataset import SPLITS, Images
from genlab.data.files import cache
from genlab.data.mosaic import grid_of, place
from genlab.registry import ConfigError

HEIGHT, WIDTH = 3, 4
# Rows and columns of each picture; the first three are trained on.
GRIDS = [(3, 2), (1, 1), (1, 3), (2, 1), (1, 2), (2, 2)]
PARTS = {"train": [0, 1, 2], "validation": [3, 4], "test": [5]}
CPU = torch.device("cpu")


def pictures() -> list[Tensor]:
    """Pictures of which no two parts look alike."""
    draws = torch.Generator().manual_seed(0)
    shapes = [(2, rows * HEIGHT, columns * WIDTH) for rows, columns in GRIDS]
    return [torch.randint(0, 256, shape, dtype=torch.uint8, generator=draws) for shape in shapes]


def cells(picture: Tensor) -> list[Tensor]:
    return [row for band in picture.split(HEIGHT, 1) for row in band.split(WIDTH, 2)]


def images_in(folder: Path, order: tuple[int, ...] = (4, 0, 5, 2, 3, 1)) -> Images:
    """The pictures' cells in a file, those of other splits between them."""
    folder.mkdir(exist_ok=True)
    found = pictures()
    pixels = torch.stack([cell for number in order for cell in cells(found[number])])
    (folder / "pixels").write_bytes(pixels.numpy().tobytes())
    owner = torch.cat([torch.full((len(cells(found[number])),), number) for number in order])
    splits = {name: torch.isin(owner, torch.tensor(part)).nonzero().flatten() for name, part in PARTS.items()}
    grid = grid_of(torch.tensor([GRIDS[number] for number in order]))
    names = tuple("abcdef")
    mapped = cache.mapped(folder / "pixels", *pixels.shape)
    return Images(mapped, splits, owner, names, file=folder / "pixels", grid=grid)


def loader(images: Images, lives: str, **settings: object) -> Loader:
    """A loader of four crops a batch; what streams to a GPU streams here too."""
    wanted = "device" if lives == "device" else "disk"
    made = Loader(images, "train", 4, seed=3, residence=wanted, keep_last=True, **settings)  # type: ignore[arg-type]
    if lives == "host":
        made._split = residence.Streamed(images, images.splits["train"], CPU, from_disk=False)
    return made


def as_bytes(crop: Tensor) -> bytes:
    return crop.mul(255).round().to(torch.uint8).contiguous().numpy().tobytes()


def places() -> dict[bytes, tuple[int, int, int]]:
    """Where each crop of the training pictures that can be is: the picture, the row and the column."""
    found = {}
    for number in PARTS["train"]:
        picture = pictures()[number]
        for top in range(picture.shape[1] - HEIGHT + 1):
            for left in range(picture.shape[2] - WIDTH + 1):
                crop = picture[:, top : top + HEIGHT, left : left + WIDTH]
                found[crop.contiguous().numpy().tobytes()] = (number, top, left)
    return found


@pytest.mark.parametrize("side", [1, 2, 5, 8])
@pytest.mark.parametrize("count", [1, 2, 3, 7])
def test_the_draws_of_all_cells_hit_every_place_equally_often(count: int, side: int) -> None:
    room = (count - 1) * side + 1
    cell, draw = torch.cartesian_prod(torch.arange(count), torch.arange(room)).unbind(1)
    found = place(cell, torch.full_like(cell, count), side, draw)
    assert found.bincount().tolist() == [count] * room
    # And it overlaps with the cell, so that what is chosen is also what is seen.
    assert (found - cell * side).abs().max() < side


@pytest.mark.parametrize("lives", ["device", "host", "disk"])
def test_every_crop_is_a_slice_of_its_picture_and_all_slices_are_equally_likely(tmp_path: Path, lives: str) -> None:
    known, epochs = places(), 600
    made = loader(images_in(tmp_path), lives)
    batches = [made.batch(number) for number in range(epochs * made.batches_per_epoch)]
    seen = Counter(known[as_bytes(crop)] for batch in batches for crop in batch["image"])
    assert set(seen) == set(known.values())
    for number in PARTS["train"]:
        rows, columns = GRIDS[number]
        counts = [count for (picture, _, _), count in seen.items() if picture == number]
        assert sum(counts) == epochs * rows * columns
        expected = epochs * rows * columns / len(counts)
        assert max(abs(count - expected) for count in counts) <= 5 * expected**0.5


def test_a_crop_has_the_label_of_its_picture(tmp_path: Path) -> None:
    made, known = loader(images_in(tmp_path), "device"), places()
    for number in range(30):
        batch = made.batch(number)
        assert [known[as_bytes(crop)][0] for crop in batch["image"]] == batch["label"].tolist()


@pytest.mark.parametrize("lives", ["host", "disk"])
def test_crops_are_bit_for_bit_the_same_wherever_the_cells_live(tmp_path: Path, lives: str) -> None:
    images = images_in(tmp_path)
    resident, other = loader(images, "device"), loader(images, lives)
    in_memory = loader(replace(images, pixels=images.pixels.clone(), file=None), "device")
    for number in [*range(12), 4, 17, 0, 200]:
        ours = resident.batch(number)
        for theirs in (other.batch(number), in_memory.batch(number)):
            assert ours.keys() == theirs.keys() == {"image", "label"}
            assert all(torch.equal(value, theirs[name]) for name, value in ours.items())


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
@pytest.mark.parametrize("lives", ["device", "host", "disk"])
def test_crops_are_bit_for_bit_the_same_on_a_gpu(tmp_path: Path, lives: str) -> None:
    images = images_in(tmp_path)
    here = loader(images, "device")
    there = Loader(images, "train", 4, seed=3, residence=lives, keep_last=True, device="cuda")  # type: ignore[arg-type]
    for number in [*range(12), 200]:
        theirs = there.batch(number)
        assert all(torch.equal(value, theirs[name].cpu()) for name, value in here.batch(number).items())


def test_the_same_pictures_in_the_same_order_give_the_same_crops_whatever_lies_between_them(tmp_path: Path) -> None:
    one = loader(images_in(tmp_path / "one"), "disk")
    other = loader(images_in(tmp_path / "other", order=(0, 2, 1, 3, 4, 5)), "disk")
    assert all(torch.equal(one.batch(number)["image"], other.batch(number)["image"]) for number in range(9))


@pytest.mark.parametrize("split", SPLITS)
def test_whoever_looks_sees_the_cells_as_they_are(tmp_path: Path, split: str) -> None:
    images = images_in(tmp_path)
    for lives in ("device", "disk"):
        shown = Loader(images, split, 3, residence=lives).once()  # type: ignore[arg-type]
        found = torch.cat([batch["image"] for batch in shown]).mul(255).round().to(torch.uint8)
        assert torch.equal(found, images.pixels[images.splits[split]])


@pytest.mark.parametrize("split", ["validation", "test"])
def test_held_out_batches_are_never_cropped(tmp_path: Path, split: str) -> None:
    images = images_in(tmp_path)
    held_out = {pixels.numpy().tobytes() for pixels in images.pixels[images.splits[split]]}
    made = Loader(images, split, 2)
    assert {as_bytes(crop) for number in range(20) for crop in made.batch(number)["image"]} == held_out


def moved(images: Images, start: str, end: str, row: int) -> dict[str, Tensor]:
    """The splits when one cell has gone from one to the other."""
    cell = images.splits[start][row : row + 1]
    left = images.splits[start][images.splits[start] != cell]
    return {**images.splits, start: left, end: torch.cat([images.splits[end], cell]).sort().values}


def test_a_picture_on_two_sides_or_out_of_order_is_refused(tmp_path: Path) -> None:
    images = images_in(tmp_path)
    for row in range(3):
        with pytest.raises(ConfigError, match="^The split 'train' must have whole pictures, their cells row by row.$"):
            replace(images, splits=moved(images, "train", "test", row))
    backwards = {**images.splits, "validation": images.splits["validation"].flip(0)}
    with pytest.raises(ConfigError, match="^The split 'validation' must have whole pictures"):
        replace(images, splits=backwards)
    nothing = {"train": images.splits["train"], "validation": torch.arange(0), "test": torch.arange(0)}
    assert replace(images, splits=nothing)


@pytest.mark.parametrize("grid", [torch.zeros(3, 4, dtype=torch.int64), torch.zeros(18, 4)], ids=["few", "floats"])
def test_a_grid_of_another_shape_is_refused(tmp_path: Path, grid: Tensor) -> None:
    with pytest.raises(ConfigError, match="^The grid must be 18 x 4 of torch.int64, and "):
        replace(images_in(tmp_path), grid=grid)


def test_the_same_cells_in_other_pictures_are_other_data(tmp_path: Path) -> None:
    images = replace(images_in(tmp_path), fingerprint="")
    single = torch.tensor([0, 0, 1, 1]).expand(len(images.pixels), 4).contiguous()
    fingerprints = {replace(images, fingerprint="", grid=grid).fingerprint for grid in (None, single, images.grid)}
    assert len(fingerprints) == 3
