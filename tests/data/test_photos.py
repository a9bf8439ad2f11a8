"""Large photographs: which pixels are kept of them, on which side they fall, what is refused."""

import os
import shutil
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from sklearn.datasets import load_sample_images

from genlab.data import SOURCES
from genlab.data.dataset import SPLITS, Images
from genlab.data.files import cache, first_pass
from genlab.registry import ConfigError
from tests.fixtures.files import assert_splits_part
from tests.fixtures.program import assert_refused, assert_resumed_exactly, genlab

SETTINGS: dict[str, Any] = {
    "size": 16,
    "shrink": 1,
    "channels": "auto",
    "background": "white",
    "validation": 0.1,
    "test": 0.1,
    "tolerate": 0.01,
}


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Twelve photographs of different sizes, no two cells alike."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(12):
        save(folder / f"{number:02}.png", noise(20 + 5 * number, 60 - 3 * number, seed=number))
    return folder


def noise(height: int, width: int, channels: int = 3, seed: int = 0) -> NDArray[np.uint8]:
    shape = (height, width, channels) if channels > 1 else (height, width)
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def save(path: Path, pixels: NDArray[Any], **options: Any) -> None:
    path.parent.mkdir(exist_ok=True)
    Image.fromarray(pixels).save(path, **options)


def read(path: Path, **settings: Any) -> Images:
    images: Images = SOURCES["photos"](path=str(path), **SETTINGS | settings)
    return images


def mistake(path: Path, **settings: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        read(path, **settings)
    return str(caught.value)


def whole(images: Images) -> list[NDArray[np.uint8]]:
    """The photographs, their cells put side by side again, H x W x C."""
    assert images.grid is not None
    grid, found = images.grid.tolist(), []
    for first, (row, column, rows, columns) in enumerate(grid):
        if (row, column) == (0, 0):
            cells = images.pixels[first : first + rows * columns].numpy()
            cells = cells.reshape(rows, columns, *cells.shape[1:]).transpose(0, 3, 1, 4, 2)
            found.append(cells.reshape(rows * cells.shape[1], columns * cells.shape[3], -1))
    return found


def middle(pixels: NDArray[np.uint8], size: int = 16) -> NDArray[np.uint8]:
    """What is left of a photograph when as little as can be is cut off on both sides to make it full cells."""
    height, width = (side // size * size for side in pixels.shape[:2])
    top, left = (pixels.shape[0] - height) // 2, (pixels.shape[1] - width) // 2
    return pixels[top : top + height, left : left + width]


def pictures_of(images: Images, split: str) -> set[bytes]:
    """The photographs of a split, each by its first cell."""
    assert images.grid is not None
    rows = images.splits[split]
    return {images.pixels[row].numpy().tobytes() for row in rows[(images.grid[rows, :2] == 0).all(1)]}


# Which pixels.


def test_the_middle_of_every_photograph_is_kept_pixel_for_pixel(place: Path) -> None:
    images = read(place)
    assert images.shape == (3, 16, 16)
    assert images.labels is None
    for number, found in enumerate(whole(images)):
        assert np.array_equal(found, middle(noise(20 + 5 * number, 60 - 3 * number, seed=number)))
    assert images.file
    assert images.file.read_bytes() == images.pixels.numpy().tobytes()
    assert_splits_part(images)


def test_shrunk_photographs_are_pillows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pixels = noise(71, 110)
    save(tmp_path / "photos/a.png", pixels)
    asked: list[int] = []
    reserve = cache._reserve
    monkeypatch.setattr(cache, "_reserve", lambda handle, room: (asked.append(room), reserve(handle, room)))
    images = read(tmp_path / "photos", validation=0.0, test=0.0, shrink=2)
    small = np.asarray(Image.fromarray(pixels).resize((55, 35), Image.Resampling.BICUBIC))
    assert np.array_equal(whole(images)[0], middle(small))
    assert asked == [images.pixels.numel()]
    assert len(read(tmp_path / "photos", validation=0.0, test=0.0).pixels) > len(images.pixels)


def test_a_config_from_before_photographs_could_be_shrunk_is_still_read(place: Path) -> None:
    earlier = {name: value for name, value in SETTINGS.items() if name != "shrink"}
    assert SOURCES["photos"](path=str(place), **earlier).fingerprint == read(place).fingerprint


def test_a_jpeg_is_decoded_at_its_full_size(tmp_path: Path) -> None:
    soft = Image.fromarray(noise(12, 18)).resize((360, 240), Image.Resampling.BICUBIC)
    (tmp_path / "photos").mkdir()
    soft.save(tmp_path / "photos/a.jpg", quality=95)
    (found,) = whole(read(tmp_path / "photos", validation=0.0, test=0.0))
    with Image.open(tmp_path / "photos/a.jpg") as image:
        assert np.array_equal(found, middle(np.asarray(image)))


def only(tmp_path: Path, **settings: Any) -> NDArray[np.uint8]:
    (found,) = whole(read(tmp_path / "photos", validation=0.0, test=0.0, **settings))
    return found


def test_alpha_lets_the_background_through(tmp_path: Path) -> None:
    pixels = noise(20, 33, channels=4)
    save(tmp_path / "photos/a.png", pixels)
    alpha = pixels[..., 3:].astype(float) / 255
    expected = alpha * pixels[..., :3] + (1 - alpha) * np.array([255, 128, 0])
    assert np.abs(only(tmp_path, background="#ff8000") - middle(expected)).max() <= 1


def test_grey_files_stay_grey_and_sixteen_bits_are_scaled(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 65536, (40, 33), dtype=np.uint16)
    save(tmp_path / "photos/a.png", pixels)
    expected = (pixels / 257).round().astype(np.uint8)[..., None]
    assert np.array_equal(only(tmp_path), middle(expected))
    assert np.array_equal(only(tmp_path, channels=3), middle(expected).repeat(3, axis=2))


def test_a_photograph_that_was_taken_upright_stands_upright(tmp_path: Path) -> None:
    pixels, exif = noise(20, 50), Image.Exif()
    exif[0x0112] = 6  # the camera was turned left: a viewer turns it right again (EXIF 2.3, table 6)
    save(tmp_path / "photos/a.png", pixels, exif=exif)
    assert np.array_equal(only(tmp_path), middle(np.rot90(pixels, -1)))


def test_the_room_that_is_reserved_is_what_the_cells_take(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    reserve = cache._reserve
    monkeypatch.setattr(cache, "_reserve", lambda handle, room: (asked.append(room), reserve(handle, room)))
    exif = Image.Exif()
    exif[0x0112] = 6
    save(place / "turned.png", noise(20, 70), exif=exif)
    images = read(place)
    assert asked == [images.pixels.numel()]


# Which split.


def test_a_photograph_is_on_one_side_with_all_its_cells_and_stays_there(tmp_path: Path) -> None:
    for number in range(60):
        save(tmp_path / f"photos/{number:02}.png", noise(33, 40, seed=number))
    before = read(tmp_path / "photos")
    assert sum(len(pictures_of(before, split)) for split in SPLITS) == 60
    assert [len(before.splits[split]) for split in SPLITS] == [4 * len(pictures_of(before, split)) for split in SPLITS]
    assert all(len(pictures_of(before, split)) > 1 for split in SPLITS)
    for number in range(60, 90):
        save(tmp_path / f"photos/{'0a' if number % 2 else 'z'}{number}.png", noise(50, 17, seed=number))
    after = read(tmp_path / "photos")
    for split in SPLITS:
        assert pictures_of(before, split) <= pictures_of(after, split)


def test_links_to_a_photograph_do_not_make_it_weigh_more_and_copies_are_on_its_side(place: Path) -> None:
    alone = read(place)
    for number in range(12):
        os.symlink(f"{number:02}.png", place / f"{number:02}-1280x800.png")
        os.link(place / f"{number:02}.png", place / f"0{number:02}.png")
    linked = read(place)
    assert torch.equal(linked.pixels, alone.pixels)
    assert linked.fingerprint == alone.fingerprint
    for number in range(12):
        shutil.copy(place / f"{number:02}.png", place / f"copy{number:02}.png")
    copied = read(place)
    assert len(copied.pixels) == 2 * len(alone.pixels)
    for split in SPLITS:
        assert pictures_of(copied, split) == pictures_of(alone, split)


@pytest.mark.parametrize("count", [1, 2])
def test_one_photograph_or_two_can_only_be_trained_on(tmp_path: Path, count: int) -> None:
    for number in range(count):
        save(tmp_path / f"photos/{number}.png", noise(40, 40, seed=number))
    assert "none to train on" in mistake(tmp_path / "photos")
    assert len(read(tmp_path / "photos", validation=0.0, test=0.0).splits["train"]) == 4 * count


# Once, and what changes.


def test_a_warm_cache_opens_no_photograph(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*arguments: object) -> None:
        raise AssertionError("a file was opened again")

    first = read(place)
    for name in ("decode", "is_grey", "size_of"):
        monkeypatch.setattr(first_pass, name, never)
    again = read(place)
    assert first.file == again.file
    assert first.fingerprint == again.fingerprint
    assert torch.equal(first.pixels, again.pixels)


@pytest.mark.parametrize("change", ["rewritten", "size", "channels", "validation", "turned"])
def test_the_fingerprint_tells_other_data_apart(place: Path, change: str) -> None:
    before = read(place)
    settings: dict[str, Any] = {
        "size": {"size": 24, "tolerate": 0.1},
        "channels": {"channels": 1},
        "validation": {"validation": 0.5},
    }
    if change == "rewritten":
        save(place / "00.png", noise(20, 60, seed=99))
    if change == "turned":
        # The same cells one after the other, in another picture.
        pixels = middle(noise(20, 60, seed=0))
        save(place / "00.png", np.concatenate(np.split(pixels, 3, axis=1)))
    after = read(place, **settings.get(change, {}))
    assert after.fingerprint != before.fingerprint
    assert change != "turned" or torch.equal(after.pixels, before.pixels)


def test_many_large_photographs_are_not_all_in_memory_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(first_pass, "memory", lambda: 400)
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    costs = [30, 60, 10, 10, 500, 20, 90, 5, 5, 40] * 3
    held, most, lock = 0, [0], threading.Lock()

    def decode(item: int) -> int:
        nonlocal held
        with lock:
            held += costs[item]
            # One that is larger than all that there is goes alone.
            most.append(held if held > costs[item] else min(held, 100))
        return item

    for found in first_pass._in_order(decode, range(30), costs):
        with lock:
            held -= costs[found]
    assert held == 0
    assert max(most) <= 100


# What is refused.


def test_photographs_smaller_than_a_crop_are_bad_files(place: Path) -> None:
    save(place / "small.png", noise(15, 80))
    said = mistake(place)
    assert said.startswith(f"1 of the 13 files in {place} cannot be used (in all), more than tolerate=0.01 of them:")
    assert "\n  small.png: it is 80 x 15, smaller than a crop (size=16)\n" in said
    images = read(place, tolerate=0.1)
    assert images.bad_files == ("small.png: it is 80 x 15, smaller than a crop (size=16)",)
    assert len(whole(images)) == 12


@pytest.mark.parametrize(
    ("sides", "mend"), [((80, 60), "Set data.size=56 or less."), ((90, 15), "The smallest is 16.")]
)
def test_where_all_are_too_small_the_size_that_fits_is_named(tmp_path: Path, sides: tuple[int, int], mend: str) -> None:
    width, height = sides
    save(tmp_path / "photos/a.png", noise(height, width))
    save(tmp_path / "photos/b.png", noise(9, 9))
    (tmp_path / "photos/c.png").write_text("no picture")
    small = f"No photograph in {tmp_path}/photos is as large as a crop of 96 x 96"
    assert mistake(tmp_path / "photos", size=96) == f"{small}; the largest is {width} x {height}. {mend}"


def test_where_nothing_is_a_photograph_the_size_is_not_blamed(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos/a.png").write_text("no picture")
    assert "a.png: it is none of JPEG" in mistake(tmp_path / "photos")
    assert mistake(tmp_path / "photos", tolerate=1.0).startswith("None of the 1 files in")


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"size": 20}, "size must be a multiple of 8 between 16 and 512, and 20 is not."),
        ({"size": 8}, "size must be a multiple of 8 between 16 and 512, and 8 is not."),
        ({"size": 520}, "size must be a multiple of 8 between 16 and 512, and 520 is not."),
        ({"shrink": 0}, "shrink must be at least 1, and 0 is not; 1 leaves photographs as they are."),
        ({"shrink": 99}, "it is 33 x 65, and shrunk there is nothing left of it"),
        ({"test": 1.5}, "test must be a part between 0 and 1"),
        ({"validation": 0.5, "test": 0.5}, "that leaves nothing to train on."),
        ({"background": "whit"}, "background must be a colour such as white or #ff8000, and 'whit' is not."),
    ],
)
def test_a_setting_that_cannot_be_is_a_sentence(place: Path, settings: dict[str, Any], sentence: str) -> None:
    assert sentence in mistake(place, **settings)


def test_the_program_says_what_is_wrong_in_a_sentence(tmp_path: Path) -> None:
    no_path = "data 'photos': path names the folder with your images: data.path=FOLDER."
    assert_refused(genlab(tmp_path, "data", "show", "photos"), no_path)
    assert_refused(genlab(tmp_path, "data", "show", "photos-mini", "data.size=216"), "between 16 and 208, and 216")


# The two that are built in.


def test_photos_mini_is_four_regions_of_each_photograph_to_train_on_and_one_of_each_elsewhere() -> None:
    images: Images = SOURCES["photos-mini"](size=64)
    china, flower = load_sample_images().images
    regions = [
        photo[top : top + 213, left : left + 213]
        for photo in (china, flower)
        for top in (0, 213)
        for left in (0, 213, 426)
    ]
    for found, region in zip(whole(images), regions, strict=True):
        assert np.array_equal(found, middle(region, 64))
    assert [len(images.splits[split]) for split in SPLITS] == [8 * 9, 2 * 9, 2 * 9]
    assert_splits_part(images)
    for split, numbers in (("validation", (0, 6)), ("test", (1, 7))):
        expected = {middle(regions[n], 64)[:64, :64].transpose(2, 0, 1).tobytes() for n in numbers}
        assert pictures_of(images, split) == expected


@pytest.mark.parametrize("size", [16, 96, 208])
def test_photos_mini_has_crops_of_every_size_that_fits_a_region(size: int) -> None:
    images: Images = SOURCES["photos-mini"](size=size)
    assert images.shape == (3, size, size)
    assert len(images.pixels) == 12 * (213 // size) ** 2


# Through the program.


def test_what_the_set_holds_is_said_in_crops_and_pictures(place: Path, tmp_path: Path) -> None:
    done = genlab(tmp_path, "data", "show", "photos", f"data.path={place}", "data.size=16")
    assert done.returncode == 0, done.stderr
    images = read(place)
    assert f"{len(images.pixels)} crops side by side" in done.stdout
    train = f"train {len(images.splits['train'])} (of {len(pictures_of(images, 'train'))} pictures)"
    assert train in done.stdout
    assert (tmp_path / "outputs/data/photos.png").exists()


def test_a_run_on_photographs_that_is_resumed_ends_as_one_that_was_not(place: Path, tmp_path: Path) -> None:
    recipe = ["data=photos", f"data.path={place}", "data.size=16", "model=ae", "model/network=conv"]
    recipe += ["model.network.width=8", "trainer=smoke", "trainer.batch_size=4", "trainer.average=0.9", "device=cpu"]
    assert_resumed_exactly(tmp_path, *recipe)
