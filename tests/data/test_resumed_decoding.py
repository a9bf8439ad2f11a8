"""A first pass that was interrupted, and one over files of which most are known: only the rest is decoded."""

import errno
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from genlab.data import SOURCES
from genlab.data.dataset import SPLITS, Dataset
from genlab.data.files import cache, draft, first_pass
from genlab.data.files.decode import Bytes, Source, Style, decode, is_grey
from genlab.registry import ConfigError
from tests.fixtures.files import FOLDER

COUNT = 60
SETTINGS = {**FOLDER, "tolerate": 0.5}


@pytest.fixture(autouse=True)
def stored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GENLAB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(draft, "_SECONDS_BETWEEN_SAVES", 0)
    return tmp_path / "cache" / "decoded"


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Sixty images; two of the files are damaged."""
    for number in range(COUNT):
        draw(tmp_path / "photos" / f"{number:02}.png", number)
    for number in (3, 40):
        (tmp_path / "photos" / f"{number:02}.png").write_text("no image")
    return tmp_path / "photos"


def draw(path: Path, number: int, mode: str = "RGB") -> None:
    path.parent.mkdir(exist_ok=True)
    pixels = np.random.default_rng(number).integers(0, 256, (9, 8, 3), dtype=np.uint8)
    Image.fromarray(pixels).convert(mode).save(path)


def read(photos: Path) -> Dataset:
    return SOURCES["folder"](path=str(photos), **SETTINGS)


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of all files that are decoded from now on."""
    names: list[str] = []

    def noting(source: Source, style: Style) -> Bytes:
        assert isinstance(source, Path)
        names.append(source.name)
        return decode(source, style)

    monkeypatch.setattr(first_pass, "decode", noting)
    return names


@pytest.fixture
def stopped_after(monkeypatch: pytest.MonkeyPatch) -> Callable[[Path, int], None]:
    """Begin a first pass that ends with Ctrl-C at the image of a number."""

    def stop(photos: Path, number: int) -> None:
        def interrupted(source: Source, style: Style) -> Bytes:
            if isinstance(source, Path) and source.name == f"{number:02}.png":
                raise KeyboardInterrupt
            return decode(source, style)

        with monkeypatch.context() as patch:
            patch.setattr(first_pass, "decode", interrupted)
            with pytest.raises(KeyboardInterrupt):
                read(photos)

    return stop


def assert_as_if_new(found: Dataset, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Assert that the data equals that of a first pass in an empty cache, bit for bit."""
    with monkeypatch.context() as patch:
        patch.setenv("GENLAB_CACHE", str(tmp_path / "fresh"))
        expected = read(photos)
    assert torch.equal(found.columns["x"].rows, expected.columns["x"].rows)
    assert (found.fingerprint, found.contents) == (expected.fingerprint, expected.contents)
    assert found.bad_files == expected.bad_files
    assert all(torch.equal(found.splits[name], expected.splits[name]) for name in SPLITS)
    files = [data.columns["x"].file for data in (found, expected)]
    for suffix in (".bytes", ".index", ".bad"):
        one, other = (file.with_suffix(suffix).read_bytes() for file in files if file)
        assert one == other


SLOW = """
import sys, time
from genlab.data import SOURCES
from genlab.data.files import draft, first_pass
from genlab.data.files.decode import decode
from tests.data.test_resumed_decoding import SETTINGS

def slowly(path, style):
    time.sleep(0.03)
    return decode(path, style)

draft._SECONDS_BETWEEN_SAVES = 0
first_pass.decode = slowly
SOURCES["folder"](path=sys.argv[1], **SETTINGS)
"""


def test_a_killed_first_pass_is_continued_where_it_was(
    photos: Path, stored: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, opened: list[str], capfd: Any
) -> None:
    process = subprocess.Popen([sys.executable, "-c", SLOW, str(photos)])
    while not any(file.stat().st_size > 20 * 40 for file in stored.glob("*.index")):
        assert process.poll() is None
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    found = read(photos)
    assert 0 < len(opened) <= COUNT - 20
    assert opened == sorted(opened)
    assert f"{COUNT - len(opened)} of 60 images were decoded by an earlier pass." in capfd.readouterr().err
    assert_as_if_new(found, photos, tmp_path, monkeypatch)


def test_after_ctrl_c_only_the_rest_is_decoded_and_reasons_are_kept(
    photos: Path,
    stored: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    opened: list[str],
    stopped_after: Callable[[Path, int], None],
) -> None:
    stopped_after(photos, 30)
    assert {path.suffix for path in stored.iterdir()} == {".tmp", ".index", ".bad"}
    # What was reserved and not used is free again.
    assert next(stored.glob("*.tmp")).stat().st_size == 29 * 3 * 8 * 8
    stopped_after(photos, 45)
    found = read(photos)
    assert opened == [f"{number:02}.png" for number in range(45, 60)]
    assert_as_if_new(found, photos, tmp_path, monkeypatch)
    assert {path.suffix for path in stored.iterdir()} == {".bytes", ".json", ".index", ".bad"}


@pytest.mark.parametrize("change", ["added", "removed", "rewritten", "renamed", "all"])
@pytest.mark.parametrize("when", ["complete", "interrupted"])
def test_only_files_that_are_new_are_decoded(
    photos: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    opened: list[str],
    stopped_after: Callable[[Path, int], None],
    change: str,
    when: str,
) -> None:
    if when == "complete":
        read(photos)
    else:
        stopped_after(photos, 30)
    opened.clear()
    new = set()
    if change in ("added", "all"):
        draw(photos / "05a.png", 99)
        new |= {"05a.png"}
    if change in ("removed", "all"):
        (photos / "11.png").unlink()
    if change in ("rewritten", "all"):
        draw(photos / "20.png", 77)
        (photos / "03.png").write_text("no image again")
        new |= {"20.png", "03.png"}
    if change in ("renamed", "all"):
        (photos / "07.png").rename(photos / "0.png")
        new |= {"0.png"}
    found = read(photos)
    rest = {f"{number}.png" for number in range(30, 60)} if when == "interrupted" else set()
    assert set(opened) == new | rest
    assert len(opened) == len(new | rest)
    assert_as_if_new(found, photos, tmp_path, monkeypatch)


def test_an_interrupted_pass_over_changed_files_takes_over_from_both_passes(
    photos: Path,
    stored: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    opened: list[str],
    stopped_after: Callable[[Path, int], None],
) -> None:
    read(photos)
    draw(photos / "10a.png", 99)
    draw(photos / "55.png", 98)
    stopped_after(photos, 55)
    opened.clear()
    found = read(photos)
    assert opened == ["55.png"]
    assert_as_if_new(found, photos, tmp_path, monkeypatch)
    assert len(list(stored.glob("*.bytes"))) == 1


@pytest.mark.parametrize("damage", ["pixels", "index", "shorter", "longer index", "other index", "no reasons", "empty"])
def test_damaged_rows_of_an_interrupted_pass_are_decoded_again(
    photos: Path,
    stored: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    opened: list[str],
    stopped_after: Callable[[Path, int], None],
    damage: str,
) -> None:
    stopped_after(photos, 30)
    rows, index = next(stored.glob("*.tmp")), next(stored.glob("*.index"))
    if damage == "pixels":
        data = bytearray(rows.read_bytes())
        data[10 * 3 * 8 * 8 + 5] ^= 1
        rows.write_bytes(data)
    elif damage == "index":
        data = bytearray(index.read_bytes())
        data[-70:] = bytes(70)
        index.write_bytes(data[:-3])
    elif damage == "shorter":
        os.truncate(rows, 1000)
    elif damage == "longer index":
        index.write_bytes(index.read_bytes() + bytes(400))
    elif damage == "other index":
        index.write_bytes(bytes(16) + index.read_bytes()[16:])
    elif damage == "no reasons":
        index.with_suffix(".bad").unlink()
    else:
        index.write_bytes(b"")
    found = read(photos)
    first = {"pixels": 11, "index": 28, "shorter": 6, "longer index": 30, "no reasons": 3}.get(damage, 0)
    assert opened == [f"{number:02}.png" for number in range(first, 60)]
    assert_as_if_new(found, photos, tmp_path, monkeypatch)


def test_damaged_rows_of_an_earlier_version_are_decoded_again(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, opened: list[str]
) -> None:
    file = read(photos).columns["x"].file
    assert file
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)
    draw(photos / "a.png", 99)
    opened.clear()
    found = read(photos)
    assert set(opened) == {"59.png", "a.png"}
    assert_as_if_new(found, photos, tmp_path, monkeypatch)


def test_a_colour_image_among_grey_ones_changes_all_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, opened: list[str]
) -> None:
    headers: list[str] = []
    for number in range(20):
        draw(tmp_path / "photos" / f"{number:02}.png", number, "L")

    def noting(source: Source) -> bool | None:
        assert isinstance(source, Path)
        headers.append(source.name)
        return is_grey(source)

    monkeypatch.setattr(first_pass, "is_grey", noting)
    assert read(tmp_path / "photos").kind.shape == (1, 8, 8)
    headers.clear()
    draw(tmp_path / "photos" / "a.png", 1, "L")
    assert read(tmp_path / "photos").kind.shape == (1, 8, 8)
    # Images that were decoded as grey ones are not opened to see if they are.
    assert headers == ["a.png"]
    draw(tmp_path / "photos" / "b.png", 2)
    opened.clear()
    found = read(tmp_path / "photos")
    assert found.kind.shape == (3, 8, 8)
    assert len(opened) == 22
    assert_as_if_new(found, tmp_path / "photos", tmp_path, monkeypatch)


def test_after_too_many_bad_files_the_good_ones_are_not_decoded_again(
    photos: Path, opened: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(SETTINGS, "tolerate", 0.01)
    with pytest.raises(ConfigError, match="2 of the 60 files"):
        read(photos)
    for number in (3, 40):
        (photos / f"{number:02}.png").unlink()
    opened.clear()
    assert len(read(photos)) == 58
    assert opened == []


def test_cells_of_photographs_are_taken_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, opened: list[str]
) -> None:
    for number in range(6):
        pixels = np.random.default_rng(number).integers(0, 256, (20 + 9 * number, 70 - 5 * number, 3), dtype=np.uint8)
        (tmp_path / "large").mkdir(exist_ok=True)
        Image.fromarray(pixels).save(tmp_path / "large" / f"{number}.png")
    settings: dict[str, Any] = {name: SETTINGS[name] for name in ("channels", "background", "validation", "test")}
    settings |= {"path": str(tmp_path / "large"), "size": 16, "shrink": 1, "tolerate": 0.1}
    SOURCES["photos"](**settings)
    shutil.copy(tmp_path / "large" / "4.png", tmp_path / "large" / "0a.png")
    opened.clear()
    found = SOURCES["photos"](**settings)
    assert opened == ["0a.png"]
    monkeypatch.setenv("GENLAB_CACHE", str(tmp_path / "fresh"))
    expected = SOURCES["photos"](**settings)
    assert torch.equal(found.columns["x"].rows, expected.columns["x"].rows)
    assert found.fingerprint == expected.fingerprint


# Room on the disk.


def test_without_room_for_two_versions_the_earlier_one_is_given_up(
    photos: Path, stored: Path, opened: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    read(photos)
    draw(photos / "a.png", 99)
    opened.clear()
    reserve = cache._reserve

    def cramped(handle: int, room: int) -> None:
        if list(stored.glob("*.bytes")):
            raise OSError(errno.ENOSPC, "No space left on device")
        reserve(handle, room)

    monkeypatch.setattr(cache, "_reserve", cramped)
    assert len(read(photos)) == 59
    assert len(opened) == COUNT + 1


def test_an_interrupted_pass_stays_while_another_folder_is_read_and_is_cleaned(
    photos: Path, stored: Path, tmp_path: Path, opened: list[str], stopped_after: Callable[[Path, int], None]
) -> None:
    stopped_after(photos, 30)
    for number in range(5):
        draw(tmp_path / "other" / f"{number}.png", number)
    read(tmp_path / "other")
    opened.clear()
    read(photos)
    assert len(opened) == 30
    draw(photos / "99.png", 99)
    stopped_after(photos, 99)
    assert cache.clean() > 0
    assert not stored.exists()


def test_a_disk_that_fills_up_meanwhile_leaves_nothing(
    photos: Path, stored: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: draft.Draft) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(draft.Draft, "save", full)
        with pytest.raises(ConfigError, match="has no room for them"):
            read(photos)
    assert list(stored.iterdir()) == []
