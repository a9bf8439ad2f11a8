"""A folder of the user's own images: the files that are found, their splits and labels, and what is refused."""

import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from genlab.config import compose as config
from genlab.data import SOURCES
from genlab.data.dataset import SPLITS, Dataset
from genlab.data.files import cache, first_pass
from genlab.data.files.decode import Bytes, Style, decode
from genlab.registry import ConfigError, build
from tests.fixtures.files import FOLDER, assert_splits_part
from tests.fixtures.program import genlab

SETTINGS = FOLDER


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GENLAB_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Forty different images in nested folders."""
    for number in range(40):
        draw(tmp_path / "photos" / "abc"[number % 3] / f"{number % 2}" / f"{number:02}.png", number)
    return tmp_path / "photos"


def draw(path: Path, number: int, channels: int = 3) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    shape = (8, 8, channels) if channels > 1 else (8, 8)
    Image.fromarray(np.random.default_rng(number).integers(0, 256, shape, dtype=np.uint8)).save(path)


def read(path: Path, **settings: Any) -> Dataset:
    images: Dataset = SOURCES["folder"](path=str(path), **SETTINGS | settings)
    return images


def mistake(path: Path, **settings: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        read(path, **settings)
    return str(caught.value)


def split_of(images: Dataset) -> dict[bytes, str]:
    """The split of every image, by its pixels."""
    return {
        images.columns["x"].rows[at].numpy().tobytes(): name for name in SPLITS for at in images.splits[name].tolist()
    }


@pytest.fixture
def forbid_decoding(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*arguments: object) -> None:
        raise AssertionError("a file was decoded again")

    monkeypatch.setattr(first_pass, "decode", never)
    monkeypatch.setattr(first_pass, "is_grey", never)


def test_images_at_any_depth_are_read_in_the_order_of_their_names(photos: Path) -> None:
    images = read(photos)
    assert images.kind.shape == (3, 8, 8)
    assert images.labels is None
    assert images.bad_files == ()
    paths = sorted(photos.rglob("*.png"), key=lambda path: path.relative_to(photos).as_posix())
    for row, path in zip(images.columns["x"].rows, paths, strict=True):
        assert np.array_equal(row.numpy().transpose(1, 2, 0), np.asarray(Image.open(path)))
    assert_splits_part(images)


def test_the_file_holds_the_pixels_row_after_row(photos: Path) -> None:
    images = read(photos)
    assert images.columns["x"].file
    assert images.columns["x"].file.read_bytes() == images.columns["x"].rows.numpy().tobytes()


def test_images_written_as_pngs_are_read_bit_for_bit(tmp_path: Path) -> None:
    fashion = SOURCES["fashion-mini"](validation=1000)
    for number in range(200):
        path = tmp_path / "fashion" / f"{number:05}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(fashion.columns["x"].rows[number, 0].numpy()).save(path)
    images = read(tmp_path / "fashion", size=28, crop="none")
    assert torch.equal(images.columns["x"].rows, fashion.columns["x"].rows[:200])


def test_with_a_warm_cache_no_image_is_opened_and_nothing_is_printed(
    photos: Path, capsys: pytest.CaptureFixture[str], request: pytest.FixtureRequest
) -> None:
    first = read(photos)
    request.getfixturevalue("forbid_decoding")
    again = read(photos, validation=0.2)
    assert torch.equal(first.columns["x"].rows, again.columns["x"].rows)
    assert first.columns["x"].file == again.columns["x"].file
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("change", ["rewritten", "added", "removed", "renamed", "size", "crop", "background"])
def test_every_change_of_the_bytes_is_noticed(photos: Path, change: str) -> None:
    before = read(photos)
    first = photos / "a/0/00.png"
    settings: dict[str, Any] = {"size": {"size": 9}, "crop": {"crop": "none"}, "background": {"background": "red"}}
    if change == "rewritten":
        # A file of the same size, a moment later.
        Image.fromarray(255 - np.asarray(Image.open(first))).save(first)
    elif change == "added":
        draw(photos / "new.png", 99)
    elif change == "removed":
        first.unlink()
    elif change == "renamed":
        first.rename(photos / "z.png")
    after = read(photos, **settings.get(change, {}))
    assert after.columns["x"].file != before.columns["x"].file
    paths = sorted(photos.rglob("*.png"), key=lambda path: path.relative_to(photos).as_posix())
    if change not in settings:
        expected = np.stack([np.asarray(Image.open(path)) for path in paths]).transpose(0, 3, 1, 2)
        assert np.array_equal(after.columns["x"].rows.numpy(), expected)
        assert after.fingerprint != before.fingerprint


def test_touched_or_moved_files_have_the_same_fingerprint(photos: Path, tmp_path: Path) -> None:
    before = read(photos)
    for path in photos.rglob("*.png"):
        os.utime(path, (0, 0))
    touched = read(photos)
    assert touched.columns["x"].file != before.columns["x"].file
    shutil.copytree(photos, tmp_path / "elsewhere")
    moved = read(tmp_path / "elsewhere")
    assert before.fingerprint == touched.fingerprint == moved.fingerprint


def test_an_image_stays_in_its_split_when_others_are_added(tmp_path: Path) -> None:
    for number in range(150):
        draw(tmp_path / "photos" / f"{number:03}.png", number)
    before = split_of(read(tmp_path / "photos"))
    for number in range(150, 400):
        draw(tmp_path / "photos" / f"{'0a' if number % 2 else 'z/'}{number}.png", number)
    # Copies of the first images, with names before and after theirs.
    for number in range(150):
        for prefix in "+~":
            copy = tmp_path / "photos" / f"{prefix}{number}.png"
            shutil.copy(tmp_path / "photos" / f"{number:03}.png", copy)
    images = read(tmp_path / "photos")
    after = split_of(images)
    assert len(images) == 700
    assert len(after) == 400
    assert {pixels: after[pixels] for pixels in before} == before
    # 40 are expected, with a standard deviation of 6.
    assert 20 < sum(name == "test" for name in after.values()) < 60


def test_copies_are_in_one_split_whatever_their_format(tmp_path: Path) -> None:
    for number in range(60):
        draw(tmp_path / "photos" / f"{number}.png", number)
        with Image.open(tmp_path / "photos" / f"{number}.png") as image:
            image.save(tmp_path / "photos" / f"copy of {number}.bmp")
    images = read(tmp_path / "photos", crop="random")
    assert len(images) == 120
    assert len(split_of(images)) == 60
    sides = {
        name: {images.columns["x"].rows[at].numpy().tobytes() for at in images.splits[name].tolist()} for name in SPLITS
    }
    assert sum(map(len, sides.values())) == 60
    assert all(sides.values())


def test_the_test_images_do_not_depend_on_the_number_of_validation_images(photos: Path) -> None:
    few, many = read(photos, test=0.3, validation=0.1), read(photos, test=0.3, validation=0.4)
    assert torch.equal(few.splits["test"], many.splits["test"])


def test_all_images_are_for_training_without_validation_and_test(photos: Path) -> None:
    images = read(photos, validation=0, test=0)
    assert [len(images.splits[name]) for name in SPLITS] == [40, 0, 0]


@pytest.mark.parametrize("count", [3, 4, 7, 11])
def test_a_small_folder_has_an_image_in_every_split(tmp_path: Path, count: int) -> None:
    for number in range(count):
        draw(tmp_path / "photos" / f"{number}.png", number)
    images = read(tmp_path / "photos", validation=0.01, test=0.01)
    assert [len(images.splits[name]) for name in SPLITS] == [count - 2, 1, 1]


@pytest.mark.parametrize("count", [1, 2])
def test_one_or_two_images_leave_none_for_training(tmp_path: Path, count: int) -> None:
    for number in range(count):
        draw(tmp_path / "photos" / f"{number}.png", number)
    message = mistake(tmp_path / "photos")
    assert message.startswith({1: "1 image leaves no training", 2: "2 images (2 different) leave no training"}[count])
    assert len(read(tmp_path / "photos", validation=0, test=0).splits["train"]) == count


def test_grey_files_have_one_channel_unless_one_has_colours_or_the_setting_says_so(tmp_path: Path) -> None:
    for number in range(6):
        draw(tmp_path / "photos" / f"{number}.png", number, channels=1)
    (tmp_path / "photos" / "not.png").write_text("bad")
    shapes = [read(tmp_path / "photos", channels=channels, tolerate=0.5).kind.shape[0] for channels in ("auto", 1, 3)]
    draw(tmp_path / "photos" / "z.png", 7)
    assert shapes == [1, 1, 3]
    assert read(tmp_path / "photos", tolerate=0.5).kind.shape == (3, 8, 8)


@pytest.mark.parametrize(
    "name",
    [
        "with blanks.png",
        "it's.png",
        'say "hi".png',
        "été 日本.png",
        "-rf.png",
        "--help/-x.PNG",
        "new\nline.png",
        "%s {0} $HOME *.jpg",
        "e\u0301.png",
        b"\xff\xfe.png".decode("utf-8", "surrogateescape"),
    ],
)
def test_names_may_have_any_characters(photos: Path, name: str) -> None:
    (photos / name).parent.mkdir(exist_ok=True)
    Image.fromarray(np.full((8, 8, 3), 7, np.uint8)).save(photos / "seven.png")
    (photos / "seven.png").rename(photos / name)
    assert bytes([7] * 192) in split_of(read(photos))
    (photos / name).write_text("bad")
    images = read(photos, tolerate=0.5)
    assert len(images) == 40
    assert len(images.bad_files) == 1
    # The list can be written to a file, although a name may be any bytes.
    assert "\n".join(images.bad_files).encode()


def test_a_folder_may_have_any_name(photos: Path, tmp_path: Path) -> None:
    for name in ("-my photos'", "été", '"$HOME"'):
        shutil.copytree(photos, tmp_path / name)
        assert len(read(tmp_path / name)) == 40


def test_hidden_files_and_files_with_other_suffixes_are_skipped(photos: Path) -> None:
    for name in ("notes.txt", "a/._01.png", ".hidden/x.png", "b/.DS_Store"):
        (photos / name).parent.mkdir(exist_ok=True)
        (photos / name).write_text("no image")
    os.mkfifo(photos / "pipe.png")
    images = read(photos)
    assert len(images) == 40
    assert not images.bad_files


def test_links_are_followed_without_endless_loops(photos: Path, tmp_path: Path) -> None:
    draw(tmp_path / "other" / "x.png", 77)
    (photos / "a" / "up").symlink_to(photos)
    (photos / "linked").symlink_to(tmp_path / "other")
    (photos / "one.png").symlink_to(tmp_path / "other" / "x.png")
    assert len(read(photos)) == 42
    (photos / "dangling.png").symlink_to(tmp_path / "absent.png")
    assert read(photos, tolerate=0.1).bad_files == ("dangling.png: No such file or directory",)


def spoil(photos: Path, count: int) -> None:
    for path in sorted(photos.rglob("*.png"))[:count]:
        path.write_bytes(path.read_bytes()[:60])


def test_tolerated_bad_files_are_skipped_and_listed(photos: Path) -> None:
    spoil(photos, 4)
    images = read(photos, tolerate=0.1)
    assert len(images) == 36
    assert [line.partition(":")[0] for line in images.bad_files] == [
        "a/0/00.png",
        "a/0/06.png",
        "a/0/12.png",
        "a/0/18.png",
    ]
    assert_splits_part(images)


def test_a_file_that_disappears_during_decoding_is_bad(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def decode_without(path: Path, style: Style) -> Bytes:
        (photos / "b/1/01.png").unlink(missing_ok=True)
        return decode(path, style)

    monkeypatch.setattr(first_pass, "decode", decode_without)
    images = read(photos, tolerate=0.1)
    assert images.bad_files == ("b/1/01.png: No such file or directory",)
    assert len(read(photos)) == 39


@pytest.mark.parametrize("warm", [False, True], ids=["cold", "warm"])
def test_one_bad_file_too_many_is_an_error_that_names_them(photos: Path, warm: bool) -> None:
    spoil(photos, 5)
    if warm:
        read(photos, tolerate=1.0)
    message = mistake(photos, tolerate=0.1)
    assert message.startswith(f"5 of the 40 files in {photos} cannot be used, more than tolerate=0.1 of them:")
    assert message.count(".png: ") == 5
    assert "a/0/00.png: " in message
    assert warm or not list(cache.cache_folder().rglob("*.bytes"))


def test_only_the_first_ten_of_many_bad_files_are_opened_and_named(photos: Path) -> None:
    spoil(photos, 30)
    message = mistake(photos)
    assert message.startswith("10 of the 40 files")
    assert "so far" in message
    assert message.count(".png: ") == 10


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"size": 7}, "size must be between 8 and 1024, got 7."),
        ({"size": 1025}, "size must be between 8 and 1024, got 1025."),
        ({"validation": 10.0}, "validation must be a part between 0 and 1, such as 0.1, got 10."),
        ({"test": -0.1}, "test must be a part between 0 and 1, such as 0.1, got -0.1."),
        ({"tolerate": 2.0}, "tolerate must be a part between 0 and 1"),
        (
            {"validation": 0.5, "test": 0.5},
            "validation + test must be below 1, got 0.5 + 0.5: that leaves no training images.",
        ),
        (
            {"background": "whit"},
            "background must be a colour such as white or #ff8000, got 'whit'. Did you mean",
        ),
        ({"background": "#12"}, "got '#12'."),
        ({"labels": "foldr"}, "labels must be null, folder or a table; found no file foldr in"),
        ({"labels": "foldr"}, "Did you mean 'folder'?"),
        (
            {"label": "Smiling"},
            "label=Smiling needs a table of attributes. Set data.labels=TABLE, such as attributes.csv.",
        ),
    ],
)
def test_an_impossible_setting_is_refused(photos: Path, settings: dict[str, Any], sentence: str) -> None:
    assert sentence in mistake(photos, **settings)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"crop": "centre"}, "data 'mine': crop must be one of none, center, random, got 'centre'."),
        ({"channels": 2}, "data 'mine': channels must be one of auto, 1, 3, got 2."),
        ({"path": None}, "data 'mine': path is not set. Set data.path=FOLDER to the folder with your images."),
        ({"sise": 8}, "data 'mine' has no setting 'sise'. Did you mean 'size'?"),
    ],
)
def test_the_signature_is_the_schema(photos: Path, settings: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ConfigError) as caught:
        build("data", "mine", SOURCES, {"class": "folder", "path": str(photos)} | SETTINGS | settings)
    assert str(caught.value).startswith(sentence)


def test_a_missing_folder_a_file_and_a_folder_without_images_are_refused(tmp_path: Path) -> None:
    (tmp_path / "file.png").touch()
    (tmp_path / "empty" / "more").mkdir(parents=True)
    (tmp_path / "empty" / "notes.txt").touch()
    assert mistake(tmp_path / "absent") == f"path must name a folder, and {tmp_path}/absent does not exist."
    assert mistake(tmp_path / "file.png") == f"path must name a folder, and {tmp_path}/file.png is a file."
    assert mistake(tmp_path / "empty").startswith(f"There is no image in {tmp_path}/empty (.jpg, ")


def test_a_folder_with_only_bad_files_is_refused_whatever_is_tolerated(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.png").touch()
    assert mistake(tmp_path / "photos", tolerate=1.0).startswith("None of the 1 files in")


def test_the_sub_folders_are_the_classes(photos: Path) -> None:
    images = read(photos, labels="folder")
    assert images.classes == ("a", "b", "c")
    assert images.labels is not None
    assert images.labels.bincount().tolist() == [14, 13, 13]
    for row, label in zip(images.columns["x"].rows, images.labels.tolist(), strict=True):
        number = next(number for number in range(40) if np.array_equal(drawn(number), row.numpy()))
        assert "abc"[number % 3] == "abc"[label]
    assert images.fingerprint != read(photos).fingerprint


def drawn(number: int) -> np.ndarray[Any, np.dtype[np.uint8]]:
    return np.random.default_rng(number).integers(0, 256, (8, 8, 3), dtype=np.uint8).transpose(2, 0, 1)


def test_every_class_needs_two_images_and_every_image_a_class(photos: Path) -> None:
    draw(photos / "lonely" / "x.png", 50)
    (photos / "spoilt").mkdir()
    message = "Every class needs at least two images; these have fewer: lonely (1)."
    assert mistake(photos, labels="folder") == message
    draw(photos / "x.png", 51)
    draw(photos / "y.png", 52)
    assert "and 2 images are in none, such as x.png, y.png." in mistake(photos, labels="folder")


@pytest.mark.parametrize(
    "path",
    ["~/photos", "it's", 'say "hi"', "a{b}", "x=y", "été (1)", "-x", "a\\'b", "end\\", "new\nline", "plain", "/a b"],
)
def test_a_path_needs_no_quotes_for_hydra(path: str) -> None:
    composed = config.compose(["data=folder", f"data.path={path}", "data.background=#ff8000"])
    assert composed.data["path"] == path
    assert composed.data["background"] == "#ff8000"


def test_the_program_trains_on_a_folder_and_cleans_up(photos: Path, tmp_path: Path) -> None:
    shutil.copytree(photos, tmp_path / "my 'photos'")
    command = ["train", "data=folder", "data.path=my 'photos'", "data.size=8"]
    more = ["trainer=smoke", "trainer.batch_size=4", "model.network.hidden=[8]", "data.labels=folder", "run=mine"]
    done = genlab(tmp_path, *command, *more)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "mine" / "run.json").exists()
    assert list(cache.cache_folder().rglob("*.bytes"))
    done = genlab(tmp_path, "data", "clean")
    assert done.stdout == f"Removed from {cache.cache_folder()}: 0.0 MB of decoded images.\n"
    assert not list(cache.cache_folder().iterdir())


def test_a_run_lists_the_files_that_could_not_be_used(tmp_path: Path) -> None:
    place = tmp_path / "photos"
    place.mkdir()
    for number in range(30):
        Image.new("L", (9, 9), number * 8).save(place / f"{number}.png")
    (place / "broken.png").write_text("no image")
    recipe = ["data=folder", f"data.path={place}", "data.size=8", "data.tolerate=0.1", "trainer=smoke", "run=mine"]
    done = genlab(tmp_path, "train", *recipe)
    assert done.returncode == 0, done.stderr
    assert "They are listed in mine/bad_files.txt." in done.stdout
    assert (tmp_path / "mine/bad_files.txt").read_text().startswith("broken.png: ")
