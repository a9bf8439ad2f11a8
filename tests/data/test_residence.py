"""The same batches wherever the pixels live, and no more memory than is needed."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from genlab.data import residence
from genlab.data.batches import Loader
from genlab.data.dataset import SPLITS, Images
from genlab.data.files import cache
from genlab.data.residence import Ahead, choose

CPU = torch.device("cpu")


def images_in(folder: Path, count: int = 97) -> Images:
    """Images that lie in a file, with labels and in splits that are in no order."""
    pixels = torch.randint(0, 256, (count, 3, 6, 5), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    file = folder / "pixels.bytes"
    file.write_bytes(pixels.numpy().tobytes())
    order = torch.randperm(count, generator=torch.Generator().manual_seed(1))
    splits = dict(zip(SPLITS, (order[:71], order[71:90], order[90:]), strict=True))
    labels = torch.arange(count) % 7
    return Images(cache.mapped(file, *pixels.shape), splits, labels, tuple("abcdefg"), file=file)


def streamed(images: Images, split: str, place: str, **settings: object) -> Loader:
    """A loader that streams even where the device is the host, as it does to a GPU."""
    loader = Loader(images, split, 8, seed=3, residence="disk", **settings)  # type: ignore[arg-type]
    if place == "host":
        loader._split = residence.Streamed(images, images.splits[split], CPU, from_disk=False)
    return loader


@pytest.mark.parametrize("keep_last", [False, True])
@pytest.mark.parametrize("place", ["disk", "host"])
def test_batches_are_bit_for_bit_the_same_wherever_the_pixels_live(tmp_path: Path, place: str, keep_last: bool) -> None:
    images = images_in(tmp_path)
    for split in SPLITS:
        size = 8 if split == "train" else 5
        resident = Loader(images, split, size, seed=3, residence="device", keep_last=keep_last)
        other = Loader(images, split, size, seed=3, residence="disk", keep_last=keep_last)
        if place == "host":
            other._split = residence.Streamed(images, images.splits[split], CPU, from_disk=False)
        numbers = [*range(30), 4, 17, 0, 200]
        pairs = [(resident.batch(number), other.batch(number)) for number in numbers]
        pairs += zip(resident.once(), other.once(), strict=True)
        for ours, theirs in pairs:
            assert ours.keys() == theirs.keys() == {"image", "label"}
            assert torch.equal(ours["image"], theirs["image"])
            assert torch.equal(ours["label"], theirs["label"])


def test_what_is_dealt_are_the_pixels_of_the_split(tmp_path: Path) -> None:
    images = images_in(tmp_path)
    for place in ("disk", "device"):
        loader = Loader(images, "train", 71, residence=place)  # type: ignore[arg-type]
        (batch,) = loader.once()
        assert torch.equal(batch["image"].mul(255).round().to(torch.uint8), images.pixels[images.splits["train"]])


def test_a_last_batch_that_is_kept_completes_the_epoch(tmp_path: Path) -> None:
    images = images_in(tmp_path)
    loader = Loader(images, "train", 8, seed=3, keep_last=True)
    assert loader.batches_per_epoch == 9
    for epoch in range(3):
        dealt = [loader.batch(9 * epoch + position)["image"] for position in range(9)]
        assert [len(part) for part in dealt] == [8] * 8 + [7]
        seen = torch.cat(dealt).flatten(1).mul(255).round().sum(1).sort().values
        assert torch.equal(seen, images.pixels[images.splits["train"]].flatten(1).float().sum(1).sort().values)


def test_going_on_at_a_batch_reads_nothing_that_was_skipped(tmp_path: Path) -> None:
    made: list[int] = []

    def make(number: int) -> dict[str, torch.Tensor]:
        made.append(number)
        return {"image": torch.tensor(number)}

    ahead = Ahead(make)
    assert [int(ahead.get(number)["image"]) for number in (1000, 1001, 1002, 7)] == [1000, 1001, 1002, 7]
    ahead._pool.shutdown()
    assert set(made) <= {*range(1000, 1007), *range(7, 12)}


def test_what_is_made_ahead_and_fails_is_heard_of() -> None:
    def fail(number: int) -> dict[str, torch.Tensor]:
        raise OSError(f"no batch {number}")

    ahead = Ahead(fail)
    for number in (3, 4):
        with pytest.raises(OSError, match=f"no batch {number}"):
            ahead.get(number)


def test_auto_streams_from_disk_only_what_does_not_fit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    images = images_in(tmp_path)
    assert choose("auto", images, CPU) == "device"
    monkeypatch.setattr(residence, "memory", lambda: 4 * images.pixels.numel() - 1)
    assert choose("auto", images, CPU) == "disk"
    in_memory = Images(images.pixels.clone(), images.splits)
    assert choose("auto", in_memory, CPU) == "device"


@pytest.mark.parametrize("wanted", ["disk", "host"])
def test_what_cannot_be_is_said_to_be_on_the_device(wanted: residence.Residence) -> None:
    in_memory = Images(
        torch.zeros(9, 1, 2, 2, dtype=torch.uint8), dict(zip(SPLITS, torch.arange(9).split(3), strict=True))
    )
    assert choose(wanted, in_memory, CPU) == "device"


LARGE = """
import resource, sys, torch
from pathlib import Path
from genlab.data.files import cache
from genlab.data.dataset import Images
from genlab.data.batches import Loader
count = 40_000
file = Path(sys.argv[1])
with open(file, "wb") as opened:
    for _ in range(count // 1000):
        opened.write(bytes(1000 * 3 * 64 * 64))
order = torch.arange(count)
splits = {"train": order[:-200], "validation": order[-200:-100], "test": order[-100:]}
images = Images(cache.mapped(file, count, 3, 64, 64), splits, fingerprint="large", file=file)
loader = Loader(images, "train", 128, residence="disk")
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for number in range(loader.batches_per_epoch):
    loader.batch(number)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


def test_a_set_that_is_streamed_does_not_fill_the_memory(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", LARGE, str(tmp_path / "large")], capture_output=True, text=True, check=True
    )
    grown, whole = int(done.stdout) / 1024, 40_000 * 3 * 64 * 64 / 2**20
    assert grown < whole / 10
