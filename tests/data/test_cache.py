"""Files that are made once: sharing between processes, cleaning, and what is left after a failure."""

import errno
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any, BinaryIO

import pytest
import torch

from genlab.data.files import cache
from genlab.registry import ConfigError
from tests.fixtures.program import unmeasured


@pytest.fixture(autouse=True)
def decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GENLAB_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "decoded"


def twelve(file: BinaryIO) -> dict[str, Any]:
    file.write(bytes(range(12)))
    return {"name": "twelve"}


def never(file: BinaryIO) -> dict[str, Any]:
    raise AssertionError("the file was made again")


def mistake(make: cache.Make = twelve) -> str:
    with pytest.raises(ConfigError) as caught:
        cache.once("family", "1", 12, make)
    return str(caught.value)


def test_a_file_is_made_once_and_then_found_with_its_notes(decoded: Path) -> None:
    made = cache.once("family", "1", 100, twelve)
    found = cache.once("family", "1", 100, never)
    assert made == found
    assert found.notes == {"name": "twelve"}
    assert torch.equal(cache.mapped(found.file, 3, 2, 2), torch.arange(12, dtype=torch.uint8).view(3, 2, 2))
    assert sorted(path.suffix for path in decoded.iterdir()) == [".bytes", ".json"]


def test_room_that_was_not_needed_is_freed() -> None:
    assert cache.once("family", "1", 5000, twelve).file.stat().st_size == 12


def test_the_last_version_of_a_family_is_kept_and_other_families_are_untouched(decoded: Path) -> None:
    for family, version in (("other", "1"), ("family", "1"), ("family", "2")):
        cache.once(family, version, 12, twelve)
    assert {path.stem for path in decoded.iterdir()} == {"other-1", "family-2"}


@pytest.mark.parametrize("damage", ["shorter", "no notes", "no bytes", "half the notes", "other notes"])
def test_an_incomplete_file_is_made_again(decoded: Path, damage: str) -> None:
    file = cache.once("family", "1", 12, twelve).file
    notes = decoded / "family-1.json"
    if damage == "shorter":
        os.truncate(file, 11)
    elif damage == "half the notes":
        notes.write_bytes(notes.read_bytes()[:10])
    elif damage == "other notes":
        notes.write_text("[]")
    else:
        (notes if damage == "no notes" else file).unlink()
    assert cache.once("family", "1", 12, twelve).file.read_bytes() == bytes(range(12))


@pytest.mark.parametrize("error", [KeyboardInterrupt, ConfigError("a mistake"), RuntimeError("a bug")], ids=repr)
def test_a_failure_leaves_nothing(decoded: Path, error: BaseException) -> None:
    def stops(file: BinaryIO) -> dict[str, Any]:
        file.write(b"half")
        raise error

    with pytest.raises(error if isinstance(error, type) else type(error)):
        cache.once("family", "1", 12, stops)
    assert list(decoded.iterdir()) == []


def test_threads_that_want_the_same_file_make_it_once(capsys: pytest.CaptureFixture[str]) -> None:
    made, found = [], []

    def slowly(file: BinaryIO) -> dict[str, Any]:
        made.append(1)
        time.sleep(0.2)
        return twelve(file)

    threads = [threading.Thread(target=lambda: found.append(cache.once("family", "1", 12, slowly))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 1
    assert len(found) == 4
    assert "Waiting for another process" in capsys.readouterr().err


SLOW = """
import sys, time
from pathlib import Path
from genlab.data.files import cache

def make(file):
    file.write(b"half")
    file.flush()
    Path(sys.argv[1]).touch()
    # Short sleeps: a signal just before a long one is not noticed until it ends.
    end = time.monotonic() + float(sys.argv[2])
    while time.monotonic() < end:
        time.sleep(0.01)
    file.write(b"done")
    return {}

cache.once("family", "1", 8, make)
"""


def slow_process(begun: Path, seconds: float) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", SLOW, str(begun), str(seconds)], stderr=subprocess.PIPE, text=True
    )
    while not begun.exists():
        assert process.poll() is None
        time.sleep(0.01)
    return process


def test_another_process_is_waited_for(tmp_path: Path) -> None:
    process = slow_process(tmp_path / "begun", 0.3)
    assert cache.once("family", "1", 8, never).file.read_bytes() == b"halfdone"
    assert process.wait() == 0
    assert process.stderr
    process.stderr.close()


def test_the_files_of_a_killed_process_are_not_used_and_are_removed(tmp_path: Path, decoded: Path) -> None:
    process = slow_process(tmp_path / "begun", 60)
    # A file that is being made is not removed.
    assert cache.clean() == 0
    assert (decoded / "family-1.tmp").exists()
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert (decoded / "family-1.tmp").exists()
    cache.once("other", "1", 12, twelve)
    assert {path.name for path in decoded.iterdir()} == {"other-1.bytes", "other-1.json"}
    assert cache.once("family", "1", 12, twelve).file.read_bytes() == bytes(range(12))


def test_ctrl_c_in_a_process_leaves_nothing(tmp_path: Path, decoded: Path) -> None:
    process = slow_process(tmp_path / "begun", 60)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=10)
    assert list(decoded.iterdir()) == []


def test_clean_removes_decoded_files_and_no_downloads(decoded: Path) -> None:
    assert cache.clean() == 0
    downloaded = decoded.parent / "MNIST" / "raw"
    downloaded.mkdir(parents=True)
    (downloaded / "images").write_text("kept")
    for version in ("a", "b"):
        cache.once(version, "1", 12, twelve)
    there = sum(path.stat().st_size for path in decoded.iterdir())
    assert cache.clean() == there > 24
    assert not decoded.exists()
    assert (downloaded / "images").exists()


def test_a_mapped_file_stays_readable_after_cleaning() -> None:
    file = cache.once("family", "1", 12, twelve).file
    pixels = cache.mapped(file, 12)
    cache.clean()
    assert pixels.tolist() == list(range(12))


@pytest.mark.parametrize("place", ["cache", "cache/decoded"])
def test_a_cache_folder_that_cannot_be_created_is_a_config_error(tmp_path: Path, place: str) -> None:
    (tmp_path / place).parent.mkdir(exist_ok=True)
    (tmp_path / place).write_text("in the way")
    message = mistake()
    assert message.startswith(f"The decoded images cannot be stored in {tmp_path}/cache/decoded: ")
    assert message.endswith("Set GENLAB_CACHE=FOLDER to use another folder.")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_cache_can_be_read_and_refuses_new_files(decoded: Path) -> None:
    cache.once("family", "1", 12, twelve)
    decoded.chmod(0o500)
    try:
        assert cache.once("family", "1", 12, never)
        with pytest.raises(ConfigError, match="Permission denied"):
            cache.once("family", "2", 12, twelve)
    finally:
        decoded.chmod(0o700)


def test_a_file_in_the_cache_is_found_without_writing(monkeypatch: pytest.MonkeyPatch) -> None:
    cache.once("family", "1", 12, twelve)

    def refused(*arguments: object, **options: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(cache, "lock", refused)
    monkeypatch.setattr(Path, "mkdir", refused)
    assert cache.once("family", "1", 12, never)
    with pytest.raises(ConfigError, match="cannot be stored in .*: Permission denied"):
        cache.once("family", "2", 12, twelve)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
@pytest.mark.parametrize("when", ["before", "while"])
def test_a_full_disk_is_a_config_error_and_leaves_nothing(
    decoded: Path, monkeypatch: pytest.MonkeyPatch, number: int, when: str
) -> None:
    def full(*arguments: object) -> dict[str, Any]:
        raise OSError(number, os.strerror(number))

    if when == "before":
        monkeypatch.setattr(os, "posix_fallocate", full)
    message = mistake(never if when == "before" else full)
    assert message.startswith(f"The decoded images take up to 0.0 MB, and {decoded} has no room for them (")
    assert "genlab data clean" in message
    assert list(decoded.iterdir()) == []


def test_a_file_system_that_cannot_reserve_room_is_accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    def cannot(*arguments: object) -> None:
        raise OSError(errno.EOPNOTSUPP, "Operation not supported")

    monkeypatch.setattr(os, "posix_fallocate", cannot)
    assert cache.once("family", "1", 12, twelve).file.stat().st_size == 12


LIMITED = """
import resource
from genlab.data.files import cache
from genlab.registry import ConfigError

resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
try:
    cache.once("family", "1", 200_000, lambda file: {})
except ConfigError as error:
    print(error)
"""


def test_a_limit_on_file_size_is_noticed_before_anything_is_made(decoded: Path) -> None:
    command = [sys.executable, "-c", LIMITED]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=unmeasured())
    assert "take up to 0.2 MB" in done.stdout
    assert list(decoded.iterdir()) == []


def test_a_file_larger_than_memory_can_be_mapped(tmp_path: Path) -> None:
    with open(tmp_path / "large", "wb") as file:
        file.truncate(2**42)
    pixels = cache.mapped(tmp_path / "large", 2**20, 1, 2**10, 2**10)
    assert int(pixels[-1].sum()) == 0


def test_the_notes_are_plain_json(decoded: Path) -> None:
    cache.once("family", "1", 12, twelve)
    assert json.loads((decoded / "family-1.json").read_text()) == {"size": 12, "notes": {"name": "twelve"}}
