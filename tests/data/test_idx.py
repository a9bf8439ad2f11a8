"""The idx format, and four of its files as a data set."""

import gzip
from pathlib import Path

import pytest
import torch
from torch import Tensor

from genlab.data.dataset import SPLITS
from genlab.data.files import idx
from genlab.data.sources import downloaded
from genlab.registry import ConfigError
from tests.fixtures.files import assert_splits_part, four_arrays, four_files

TEN = tuple("0123456789")

# Two images of 2 x 3 pixels, written down by hand.
BY_HAND = bytes.fromhex("00 00 08 03  00 00 00 02  00 00 00 02  00 00 00 03  00 01 02 03 04 05  fa fb fc fd fe ff")
AS_ARRAY = [[[0, 1, 2], [3, 4, 5]], [[250, 251, 252], [253, 254, 255]]]


def mistake_in(path: Path) -> str:
    """The message for a file that cannot be used."""
    with pytest.raises(ConfigError) as caught:
        idx.read(path)
    return str(caught.value)


@pytest.mark.parametrize("shape", [(7,), (2, 3), (4, 2, 3), (0, 2, 3), ()], ids=str)
def test_an_array_is_read_as_it_was_written(tmp_path: Path, shape: tuple[int, ...]) -> None:
    array = torch.randint(0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    idx.write(tmp_path / "array.gz", array)
    found = idx.read(tmp_path / "array.gz")
    assert found.dtype == torch.uint8
    assert found.shape == shape
    assert torch.equal(found, array)


def test_a_file_written_by_hand_is_read_gzipped_or_not(tmp_path: Path) -> None:
    (tmp_path / "plain").write_bytes(BY_HAND)
    (tmp_path / "packed.gz").write_bytes(gzip.compress(BY_HAND))
    assert idx.read(tmp_path / "plain").tolist() == AS_ARRAY
    assert idx.read(tmp_path / "packed.gz").tolist() == AS_ARRAY


def test_the_same_array_is_written_to_the_same_bytes_each_time(tmp_path: Path) -> None:
    array = torch.tensor(AS_ARRAY, dtype=torch.uint8)
    for name in ("a.gz", "b.gz"):
        idx.write(tmp_path / name, array)
    assert gzip.decompress((tmp_path / "a.gz").read_bytes()) == BY_HAND
    assert (tmp_path / "a.gz").read_bytes() == (tmp_path / "b.gz").read_bytes()


def test_an_array_that_was_read_may_be_changed_in_place(tmp_path: Path) -> None:
    (tmp_path / "plain").write_bytes(BY_HAND)
    idx.read(tmp_path / "plain").add_(1)
    assert (tmp_path / "plain").read_bytes() == BY_HAND


@pytest.mark.parametrize(
    ("data", "beginning"),
    [
        (b"\x89PNG\r\n", "89 50 4e 47"),
        (bytes.fromhex("00 00 0d 01 00 00 00 01 00 00 00 00"), "00 00 0d 01"),
        (b"\x00\x00\x08", "00 00 08"),
        (b"", "nothing"),
    ],
    ids=["a picture", "idx of floats", "three bytes", "empty"],
)
def test_a_file_in_another_format_is_refused(tmp_path: Path, data: bytes, beginning: str) -> None:
    path = tmp_path / "train-images-idx3-ubyte"
    path.write_bytes(data)
    assert mistake_in(path) == f"{path} is not an idx file of bytes: it must begin with 00 00 08, got {beginning}."


def test_a_file_with_missing_pixels_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "images"
    for missing in (1, 6, 12):
        path.write_bytes(BY_HAND[:-missing])
        sizes = f"its header says 2 x 2 x 3 = 12 values, and it holds {12 - missing}."
        assert mistake_in(path) == f"{path} is truncated: {sizes}"


def test_a_file_that_continues_after_its_pixels_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "images"
    path.write_bytes(BY_HAND + b"\0")
    assert mistake_in(path) == f"{path} is too long: its header says 2 x 2 x 3 = 12 values, and it holds 13."


def test_a_gzipped_file_is_read_whatever_its_name_says(tmp_path: Path) -> None:
    path = tmp_path / "train-images-idx3-ubyte"
    path.write_bytes(gzip.compress(BY_HAND, mtime=0))
    assert idx.read(path).tolist() == AS_ARRAY


@pytest.mark.parametrize("length", range(4, 16))
def test_a_file_with_a_truncated_header_is_refused(tmp_path: Path, length: int) -> None:
    path = tmp_path / "images"
    path.write_bytes(BY_HAND[:length])
    assert mistake_in(path).startswith(f"{path} is truncated: ")
    assert str(length) in mistake_in(path)


def test_sizes_that_overflow_64_bits_are_not_taken_for_0(tmp_path: Path) -> None:
    # 2^31 x 2^31 x 4 is 0 in 64 bits, and the file holds 0 bytes.
    path = tmp_path / "images"
    path.write_bytes(bytes.fromhex("00 00 08 03  80 00 00 00  80 00 00 00  00 00 00 04"))
    sizes = f"its header says 2147483648 x 2147483648 x 4 = {2**64} values, and it holds 0."
    assert mistake_in(path) == f"{path} is truncated: {sizes}"


def test_a_truncated_or_damaged_gzip_cannot_be_read_and_the_error_names_the_file(tmp_path: Path) -> None:
    path = tmp_path / "images.gz"
    packed = gzip.compress(BY_HAND, mtime=0)
    damaged = [packed[:-1], packed[:-8], packed[: len(packed) // 2], packed[:5]]
    flipped = bytearray(packed)
    flipped[-6] ^= 1
    for data in [*damaged, bytes(flipped), packed[:10] + b"\xff" * 20]:
        path.write_bytes(data)
        assert mistake_in(path).startswith(f"{path} cannot be read: ")


def test_a_file_that_is_a_folder_or_absent_cannot_be_read(tmp_path: Path) -> None:
    assert mistake_in(tmp_path).startswith(f"{tmp_path} cannot be read: ")
    assert mistake_in(tmp_path / "absent.gz").startswith(f"{tmp_path / 'absent.gz'} cannot be read: ")


@pytest.mark.parametrize("below", ["", "raw", "MNIST", "MNIST/raw"])
@pytest.mark.parametrize("gzipped", [True, False], ids=["gzipped", "plain"])
def test_files_are_found_in_the_folder_and_where_torchvision_keeps_them(
    tmp_path: Path, below: str, gzipped: bool
) -> None:
    files = four_files(tmp_path / below)
    if not gzipped:
        for path in files.values():
            path.with_suffix("").write_bytes(gzip.decompress(path.read_bytes()))
            path.unlink()
    images = downloaded.mnist(root=str(tmp_path), validation=3)
    arrays = list(four_arrays().values())
    assert images.classes == TEN
    assert images.kind.shape == (1, 2, 2)
    assert torch.equal(images.columns["x"].rows, torch.cat([arrays[0], arrays[2]]).unsqueeze(1))
    assert images.labels is not None
    assert torch.equal(images.labels, torch.cat([arrays[1], arrays[3]]).long())


def test_find_takes_the_folder_with_most_files_and_never_mixes_two(tmp_path: Path) -> None:
    near, below = four_files(tmp_path), four_files(tmp_path / "raw")
    assert idx.find(tmp_path) == near
    near[idx.PARTS[0]].unlink()
    assert idx.find(tmp_path) == below
    below[idx.PARTS[1]].unlink()
    assert not idx.exists(tmp_path)
    with pytest.raises(ConfigError, match=idx.PARTS[0]):
        idx.find(tmp_path)


def test_the_test_images_are_the_ones_of_the_test_files(tmp_path: Path) -> None:
    four_files(tmp_path)
    images = downloaded.mnist(root=str(tmp_path), validation=3)
    assert_splits_part(images)
    assert images.splits["test"].tolist() == [12, 13, 14, 15, 16]
    assert [len(images.splits[name]) for name in SPLITS] == [9, 3, 5]


def test_missing_files_are_named_with_their_folder(tmp_path: Path) -> None:
    files = four_files(tmp_path)
    for part in (idx.PARTS[1], idx.PARTS[2]):
        files[part].unlink()
    with pytest.raises(ConfigError) as caught:
        downloaded.mnist(root=str(tmp_path), validation=3)
    missing = "train-labels-idx1-ubyte, t10k-images-idx3-ubyte"
    looked = "with or without .gz, in it or in its raw/, MNIST/, MNIST/raw/"
    assert str(caught.value).startswith(f"{tmp_path} lacks {missing} ({looked}). Fetch train-images-idx3-ubyte.gz, ")


def test_a_missing_folder_is_not_created(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=f"^There is no folder {tmp_path / 'absent'}."):
        downloaded.fashion_mnist(root=str(tmp_path / "absent"), validation=3)
    assert not (tmp_path / "absent").exists()


@pytest.mark.parametrize(
    ("part", "array", "mistake"),
    [
        (
            "train_labels",
            torch.zeros(11, dtype=torch.uint8),
            "must hold one label per image, got 12 images and 11 labels.",
        ),
        ("t10k_labels", torch.zeros(6, dtype=torch.uint8), "must hold one label per image, got 5 images and 6 labels."),
        (
            "train_images",
            torch.zeros(12, 4, dtype=torch.uint8),
            "must have 3 dimensions, as a file of images has, got 2.",
        ),
        (
            "t10k_labels",
            torch.zeros(5, 1, dtype=torch.uint8),
            "must have 1 dimensions, as a file of labels has, got 2.",
        ),
        ("t10k_images", torch.zeros(5, 3, 2, dtype=torch.uint8), "of one size, got 2 x 2 and 3 x 2."),
    ],
)
def test_images_and_labels_that_do_not_fit_are_refused(tmp_path: Path, part: str, array: Tensor, mistake: str) -> None:
    files = four_files(tmp_path, **{part: array})
    with pytest.raises(ConfigError) as caught:
        idx.images(files, TEN, 3)
    assert mistake in str(caught.value)
    assert str(files[next(name for name in files if name.startswith(part.replace("_", "-")))]) in str(caught.value)


@pytest.mark.parametrize(("part", "count"), [("train", 12), ("t10k", 5)])
def test_a_label_without_a_name_is_refused_and_its_file_named(tmp_path: Path, part: str, count: int) -> None:
    labels = torch.zeros(count, dtype=torch.uint8)
    labels[2] = 10
    files = four_files(tmp_path, **{f"{part}_labels": labels})
    with pytest.raises(ConfigError) as caught:
        idx.images(files, TEN, 3)
    assert str(caught.value) == f"{files[f'{part}-labels-idx1-ubyte']}: labels must be at most 9, got 10."
