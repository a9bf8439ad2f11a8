"""Large photographs: the pixels that are kept, the splits, and what is refused."""

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
from genlab.data.dataset import SPLITS
from genlab.data.files import cache, first_pass
from genlab.data.mosaic import Pictures
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
    """Twelve photographs of different sizes, without equal cells."""
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


def read(path: Path, **settings: Any) -> Pictures:
    images = SOURCES["photos"](path=str(path), **SETTINGS | settings)
    assert isinstance(images, Pictures)
    return images


def mistake(path: Path, **settings: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        read(path, **settings)
    return str(caught.value)


def mini(size: int) -> Pictures:
    images = SOURCES["photos-mini"](size=size)
    assert isinstance(images, Pictures)
    return images


def whole(images: Pictures) -> list[NDArray[np.uint8]]:
    """The photographs, with their cells put together again, H x W x C."""
    grid, found = images.grid.tolist(), []
    for first, (row, column, rows, columns) in enumerate(grid):
        if (row, column) == (0, 0):
            cells = images.columns["x"].rows[first : first + rows * columns].numpy()
            cells = cells.reshape(rows, columns, *cells.shape[1:]).transpose(0, 3, 1, 4, 2)
            found.append(cells.reshape(rows * cells.shape[1], columns * cells.shape[3], -1))
    return found


def middle(pixels: NDArray[np.uint8], size: int = 16) -> NDArray[np.uint8]:
    """The middle of a photograph that consists of whole cells."""
    height, width = (side // size * size for side in pixels.shape[:2])
    top, left = (pixels.shape[0] - height) // 2, (pixels.shape[1] - width) // 2
    return pixels[top : top + height, left : left + width]


def pictures_of(images: Pictures, split: str) -> set[bytes]:
    """The photographs of a split, each by its first cell."""
    rows = images.splits[split]
    return {images.columns["x"].rows[row].numpy().tobytes() for row in rows[(images.grid[rows, :2] == 0).all(1)]}


# Pixels.


def test_the_middle_of_every_photograph_is_kept_pixel_for_pixel(place: Path) -> None:
    images = read(place)
    assert images.kind.shape == (3, 16, 16)
    assert images.labels is None
    for number, found in enumerate(whole(images)):
        assert np.array_equal(found, middle(noise(20 + 5 * number, 60 - 3 * number, seed=number)))
    assert images.columns["x"].file
    assert images.columns["x"].file.read_bytes() == images.columns["x"].rows.numpy().tobytes()
    assert_splits_part(images)


def test_photographs_are_shrunk_as_pillow_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pixels = noise(71, 110)
    save(tmp_path / "photos/a.png", pixels)
    reserved = note_reserved(monkeypatch)
    images = read(tmp_path / "photos", validation=0.0, test=0.0, shrink=2)
    small = np.asarray(Image.fromarray(pixels).resize((55, 35), Image.Resampling.BICUBIC))
    assert np.array_equal(whole(images)[0], middle(small))
    assert reserved == [images.columns["x"].rows.numel()]
    assert len(read(tmp_path / "photos", validation=0.0, test=0.0)) > len(images)


def test_a_config_without_shrink_is_still_read(place: Path) -> None:
    earlier = {name: value for name, value in SETTINGS.items() if name != "shrink"}
    assert SOURCES["photos"](path=str(place), **earlier).fingerprint == read(place).fingerprint


def test_a_jpeg_is_decoded_at_its_full_size(tmp_path: Path) -> None:
    soft = Image.fromarray(noise(12, 18)).resize((360, 240), Image.Resampling.BICUBIC)
    (tmp_path / "photos").mkdir()
    soft.save(tmp_path / "photos/a.jpg", quality=95)
    (found,) = whole(read(tmp_path / "photos", validation=0.0, test=0.0))
    with Image.open(tmp_path / "photos/a.jpg") as image:
        assert np.array_equal(found, middle(np.asarray(image)))


def note_reserved(patch: pytest.MonkeyPatch) -> list[int]:
    """Return a list that is filled with the bytes that the cache reserves from now on."""
    reserved: list[int] = []
    reserve = cache._reserve

    def noting(handle: int, room: int) -> None:
        reserved.append(room)
        reserve(handle, room)

    patch.setattr(cache, "_reserve", noting)
    return reserved


def only(tmp_path: Path, **settings: Any) -> NDArray[np.uint8]:
    (found,) = whole(read(tmp_path / "photos", validation=0.0, test=0.0, **settings))
    return found


def test_transparent_pixels_show_the_background(tmp_path: Path) -> None:
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


def test_a_photograph_is_turned_upright(tmp_path: Path) -> None:
    pixels, exif = noise(20, 50), Image.Exif()
    exif[0x0112] = 6  # the camera was turned left, so a viewer turns the picture right (EXIF 2.3, table 6)
    save(tmp_path / "photos/a.png", pixels, exif=exif)
    assert np.array_equal(only(tmp_path), middle(np.rot90(pixels, -1)))


def test_the_reserved_room_is_the_size_of_the_cells(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reserved = note_reserved(monkeypatch)
    exif = Image.Exif()
    exif[0x0112] = 6
    save(place / "turned.png", noise(20, 70), exif=exif)
    images = read(place)
    assert reserved == [images.columns["x"].rows.numel()]


# Splits.


def test_a_photograph_is_in_one_split_with_all_its_cells_and_stays_there(tmp_path: Path) -> None:
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


def test_links_to_a_photograph_count_once_and_copies_are_in_its_split(place: Path) -> None:
    alone = read(place)
    for number in range(12):
        os.symlink(f"{number:02}.png", place / f"{number:02}-1280x800.png")
        os.link(place / f"{number:02}.png", place / f"0{number:02}.png")
    linked = read(place)
    assert torch.equal(linked.columns["x"].rows, alone.columns["x"].rows)
    assert linked.fingerprint == alone.fingerprint
    for number in range(12):
        shutil.copy(place / f"{number:02}.png", place / f"copy{number:02}.png")
    copied = read(place)
    assert len(copied) == 2 * len(alone)
    for split in SPLITS:
        assert pictures_of(copied, split) == pictures_of(alone, split)


@pytest.mark.parametrize("count", [1, 2])
def test_one_or_two_photographs_leave_none_for_training(tmp_path: Path, count: int) -> None:
    for number in range(count):
        save(tmp_path / f"photos/{number}.png", noise(40, 40, seed=number))
    assert "no training images beside validation and test" in mistake(tmp_path / "photos")
    assert len(read(tmp_path / "photos", validation=0.0, test=0.0).splits["train"]) == 4 * count


# The cache and the fingerprint.


def test_with_a_warm_cache_no_photograph_is_opened(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*arguments: object) -> None:
        raise AssertionError("a file was opened again")

    first = read(place)
    for name in ("decode", "is_grey", "size_of"):
        monkeypatch.setattr(first_pass, name, never)
    again = read(place)
    assert first.columns["x"].file == again.columns["x"].file
    assert first.fingerprint == again.fingerprint
    assert torch.equal(first.columns["x"].rows, again.columns["x"].rows)


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
        # The same cells in the same order, in a picture of another shape.
        pixels = middle(noise(20, 60, seed=0))
        save(place / "00.png", np.concatenate(np.split(pixels, 3, axis=1)))
    after = read(place, **settings.get(change, {}))
    assert after.fingerprint != before.fingerprint
    assert change != "turned" or torch.equal(after.columns["x"].rows, before.columns["x"].rows)


def test_few_large_photographs_are_in_memory_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(first_pass, "memory", lambda: 400)
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    costs = [30, 60, 10, 10, 500, 20, 90, 5, 5, 40] * 3
    held, most, lock = 0, [0], threading.Lock()

    def decode(item: int) -> int:
        nonlocal held
        with lock:
            held += costs[item]
            # A photograph that is larger than the limit is decoded alone.
            most.append(held if held > costs[item] else min(held, 100))
        return item

    for found in first_pass._in_order(decode, range(30), costs):
        with lock:
            held -= costs[found]
    assert held == 0
    assert max(most) <= 100


# Refusals.


def test_photographs_smaller_than_a_crop_are_bad_files(place: Path) -> None:
    save(place / "small.png", noise(15, 80))
    message = mistake(place)
    assert message.startswith(f"1 of the 13 files in {place} cannot be used, more than tolerate=0.01 of them:")
    assert "\n  small.png: it is 80 x 15, smaller than a crop (size=16)\n" in message
    images = read(place, tolerate=0.1)
    assert images.bad_files == ("small.png: it is 80 x 15, smaller than a crop (size=16)",)
    assert len(whole(images)) == 12


@pytest.mark.parametrize(
    ("sides", "advice"), [((80, 60), "Set data.size=56 or lower."), ((90, 15), "The smallest size is 16.")]
)
def test_if_all_photographs_are_too_small_the_size_that_fits_is_named(
    tmp_path: Path, sides: tuple[int, int], advice: str
) -> None:
    width, height = sides
    save(tmp_path / "photos/a.png", noise(height, width))
    save(tmp_path / "photos/b.png", noise(9, 9))
    (tmp_path / "photos/c.png").write_text("no picture")
    small = f"No photograph in {tmp_path}/photos is as large as a crop of 96 x 96"
    assert mistake(tmp_path / "photos", size=96) == f"{small}; the largest is {width} x {height}. {advice}"


def test_if_no_file_is_a_photograph_the_size_is_not_blamed(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos/a.png").write_text("no picture")
    assert "a.png: it is none of JPEG" in mistake(tmp_path / "photos")
    assert mistake(tmp_path / "photos", tolerate=1.0).startswith("None of the 1 files in")


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"size": 20}, "size must be a multiple of 8 between 16 and 512, got 20."),
        ({"size": 8}, "size must be a multiple of 8 between 16 and 512, got 8."),
        ({"size": 520}, "size must be a multiple of 8 between 16 and 512, got 520."),
        ({"shrink": 0}, "shrink must be at least 1, which leaves photographs as they are, got 0."),
        ({"shrink": 99}, "it is 33 x 65, and nothing is left of it when it is shrunk"),
        ({"test": 1.5}, "test must be a part between 0 and 1"),
        ({"validation": 0.5, "test": 0.5}, "that leaves no training images."),
        ({"background": "whit"}, "background must be a colour such as white or #ff8000, got 'whit'."),
    ],
)
def test_an_impossible_setting_is_refused(place: Path, settings: dict[str, Any], sentence: str) -> None:
    assert sentence in mistake(place, **settings)


def test_the_program_refuses_wrong_settings_with_a_message(tmp_path: Path) -> None:
    no_path = "data 'photos': path is not set. Set data.path=FOLDER to the folder with your images."
    assert_refused(genlab(tmp_path, "data", "show", "photos"), no_path)
    assert_refused(genlab(tmp_path, "data", "show", "photos-mini", "data.size=216"), "between 16 and 208, got 216")


# The built-in photographs.


def test_photos_mini_has_four_training_regions_of_each_photograph_and_one_for_each_other_split() -> None:
    images = mini(64)
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
def test_photos_mini_has_crops_of_every_size_that_fits_into_a_region(size: int) -> None:
    images = mini(size)
    assert images.kind.shape == (3, size, size)
    assert len(images) == 12 * (213 // size) ** 2


# Through the program.


def test_data_show_counts_crops_and_pictures(place: Path, tmp_path: Path) -> None:
    done = genlab(tmp_path, "data", "show", "photos", f"data.path={place}", "data.size=16")
    assert done.returncode == 0, done.stderr
    images = read(place)
    assert f"{len(images)} crops side by side" in done.stdout
    train = f"train {len(images.splits['train'])} (of {len(pictures_of(images, 'train'))} pictures)"
    assert train in done.stdout
    assert (tmp_path / "outputs/data/photos.png").exists()


def test_a_resumed_run_on_photographs_ends_like_an_uninterrupted_one(place: Path, tmp_path: Path) -> None:
    recipe = ["data=photos", f"data.path={place}", "data.size=16", "model=ae", "model/network=conv"]
    recipe += [
        "model.network.width=8",
        "trainer=smoke",
        "trainer.batch_size=4",
        "model.optimizers.model.ema=0.9",
        "device=cpu",
    ]
    assert_resumed_exactly(tmp_path, *recipe)
