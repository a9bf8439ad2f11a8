"""The same batches wherever the rows are stored, and no more memory than is needed."""

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import torch

from genlab.data import residence
from genlab.data.batches import Table
from genlab.data.dataset import SPLITS, Column, Dataset
from genlab.data.files import cache
from genlab.data.residence import Ahead, choose, in_turn
from genlab.kinds import Image

CPU = torch.device("cpu")


def images_in(folder: Path, count: int = 97) -> Dataset:
    """Images in a file, with labels, and with splits in no order."""
    pixels = torch.randint(0, 256, (count, 3, 6, 5), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    file = folder / "pixels.bytes"
    file.write_bytes(pixels.numpy().tobytes())
    order = torch.randperm(count, generator=torch.Generator().manual_seed(1))
    splits = dict(zip(SPLITS, (order[:71], order[71:90], order[90:]), strict=True))
    labels = torch.arange(count) % 7
    return Dataset.of_images(cache.mapped(file, *pixels.shape), splits, labels, tuple("abcdefg"), file=file)


@pytest.mark.parametrize("keep_last", [False, True])
@pytest.mark.parametrize("place", ["disk", "host"])
def test_batches_are_bit_for_bit_the_same_wherever_the_rows_are_stored(
    tmp_path: Path, place: str, keep_last: bool
) -> None:
    images = images_in(tmp_path)
    for split in SPLITS:
        size = 8 if split == "train" else 5
        resident = Table(images, split, size, seed=3, residence="device", keep_last=keep_last)
        other = Table(images, split, size, seed=3, residence="disk", keep_last=keep_last)
        if place == "host":
            other._split = residence.Streamed(images.columns, images.splits[split], CPU, from_disk=False)
        numbers = [*range(30), 4, 17, 0, 200]
        pairs = [(resident.batch(number), other.batch(number)) for number in numbers]
        pairs += zip(resident.once(), other.once(), strict=True)
        for expected, found in pairs:
            assert expected.keys() == found.keys() == {"x", "label"}
            assert torch.equal(expected["x"], found["x"])
            assert torch.equal(expected["label"], found["label"])


@pytest.mark.parametrize("place", ["disk", "device"])
def test_a_column_in_memory_goes_with_one_in_a_file(tmp_path: Path, place: residence.Residence) -> None:
    images = images_in(tmp_path)
    order = torch.arange(97, dtype=torch.uint8).view(-1, 1, 1, 1)
    pairs = Dataset({**images.columns, "y": Column(Image(1, 1, 1), order)}, images.splits)
    table = Table(pairs, "train", 8, seed=3, residence=place)
    assert table.residence == place
    for number in range(10):
        batch = table.batch(number)
        items = batch["y"].mul(255).round().long().flatten()
        assert torch.equal(batch["x"].mul(255).round().to(torch.uint8), images.columns["x"].rows[items])
        assert torch.equal(batch["label"], items % 7)


def test_batches_hold_the_pixels_of_the_split(tmp_path: Path) -> None:
    images = images_in(tmp_path)
    for place in ("disk", "device"):
        (batch,) = images.batches("train", 71, residence=place).once()
        pixels = batch["x"].mul(255).round().to(torch.uint8)
        assert torch.equal(pixels, images.columns["x"].rows[images.splits["train"]])


def test_a_last_batch_that_is_kept_completes_the_epoch(tmp_path: Path) -> None:
    images = images_in(tmp_path)
    table = Table(images, "train", 8, seed=3, keep_last=True)
    assert table.batches_per_epoch == 9
    for epoch in range(3):
        dealt = [table.batch(9 * epoch + position)["x"] for position in range(9)]
        assert [len(part) for part in dealt] == [8] * 8 + [7]
        seen = torch.cat(dealt).flatten(1).mul(255).round().sum(1).sort().values
        pixels = images.columns["x"].rows[images.splits["train"]]
        assert torch.equal(seen, pixels.flatten(1).float().sum(1).sort().values)


def test_skipped_batches_are_not_read() -> None:
    prepared: list[int] = []

    def make(number: int) -> dict[str, torch.Tensor]:
        prepared.append(number)
        return {"x": torch.tensor(number)}

    ahead = Ahead(make)
    assert [int(ahead.get(number)["x"]) for number in (1000, 1001, 1002, 7)] == [1000, 1001, 1002, 7]
    ahead._pool.shutdown()
    assert set(prepared) <= {*range(1000, 1007), *range(7, 12)}


def test_an_error_in_a_batch_that_is_prepared_ahead_is_raised() -> None:
    def fail(number: int) -> dict[str, torch.Tensor]:
        raise OSError(f"no batch {number}")

    ahead = Ahead(fail)
    for number in (3, 4):
        with pytest.raises(OSError, match=f"no batch {number}"):
            ahead.get(number)


def test_one_pass_over_a_streamed_split_is_prepared_ahead_but_not_far(tmp_path: Path) -> None:
    table = Table(images_in(tmp_path), "train", 2, residence="disk")
    gathered: list[tuple[int, str]] = []
    gather = table._split.gather

    def noting(rows: torch.Tensor) -> dict[str, torch.Tensor]:
        gathered.append((len(rows), threading.current_thread().name))
        return gather(rows)

    table._split.gather = noting  # type: ignore[method-assign]
    before = set(threading.enumerate())
    batches = table.once()
    for number in range(1, 20):
        next(batches)
        end = time.monotonic() + 30
        while len(gathered) < number + residence._AHEAD and time.monotonic() < end:
            time.sleep(0.001)
        assert len(gathered) == number + residence._AHEAD
    assert {name.partition("_")[0] for _, name in gathered} == {"genlab-loader"}
    batches.close()  # type: ignore[attr-defined]
    assert len(gathered) == 19 + residence._AHEAD
    assert set(threading.enumerate()) <= before


def test_an_error_in_one_pass_is_raised_and_ends_its_threads() -> None:
    def fail(number: int) -> dict[str, torch.Tensor]:
        if number == 3:
            raise OSError("no batch 3")
        return {"x": torch.tensor(number)}

    before = set(threading.enumerate())
    batches = in_turn(fail, range(10), CPU)
    assert [int(next(batches)["x"]) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(OSError, match="no batch 3"):
        next(batches)
    assert set(threading.enumerate()) <= before


def test_auto_streams_from_disk_only_what_does_not_fit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    images = images_in(tmp_path)
    pixels = images.columns["x"].rows
    assert choose("auto", images.columns, CPU) == "device"
    monkeypatch.setattr(residence, "memory", lambda: 4 * pixels.numel() - 1)
    assert choose("auto", images.columns, CPU) == "disk"
    in_memory = Dataset.of_images(pixels.clone(), images.splits)
    assert choose("auto", in_memory.columns, CPU) == "device"
    monkeypatch.setattr(residence, "memory", lambda: 2**40)
    assert choose("auto", images.columns, CPU) == "device"
    monkeypatch.setattr(residence, "_MOST_ON_CPU", pixels.numel() - 1)
    assert choose("auto", images.columns, CPU) == "disk"


@pytest.mark.parametrize("wanted", ["disk", "host"])
def test_a_residence_that_is_impossible_becomes_the_device(wanted: residence.Residence) -> None:
    splits = dict(zip(SPLITS, torch.arange(9).split(3), strict=True))
    in_memory = Dataset.of_images(torch.zeros(9, 1, 2, 2, dtype=torch.uint8), splits)
    assert choose(wanted, in_memory.columns, CPU) == "device"
    assert Table(in_memory, "train", 3, residence=wanted).residence == "device"


LARGE = """
import resource, sys, torch
from pathlib import Path
from genlab.data.files import cache
from genlab.data.dataset import Dataset
count = 40_000
file = Path(sys.argv[1])
with open(file, "wb") as opened:
    for _ in range(count // 1000):
        opened.write(bytes(1000 * 3 * 64 * 64))
order = torch.arange(count)
splits = {"train": order[:-200], "validation": order[-200:-100], "test": order[-100:]}
images = Dataset.of_images(cache.mapped(file, count, 3, 64, 64), splits, fingerprint="large", file=file)
table = images.batches("train", 128, residence="disk")
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for number in range(table.batches_per_epoch):
    table.batch(number)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


def test_streaming_does_not_fill_the_memory(tmp_path: Path) -> None:
    # With this setting glibc returns freed blocks at once; without it, the peak depends on how busy the machine is.
    environment = os.environ | {"MALLOC_MMAP_THRESHOLD_": "65536"}
    command = [sys.executable, "-c", LARGE, str(tmp_path / "large")]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    grown, whole = int(done.stdout) / 1024, 40_000 * 3 * 64 * 64 / 2**20
    assert grown < whole / 10
