"""Images as the files, the package and scikit-learn have them, and what the user reads where they do not."""

import ast
import gzip
import importlib
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import NoReturn
from urllib.error import URLError

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from torch import Tensor

import genlab
from genlab.data import SOURCES, downloaded, idx
from genlab.data.fashion_mini.make import make
from genlab.data.images import SPLITS, Images, split_off
from genlab.registry import ConfigError

PACKAGE = Path(genlab.__file__).parent
SHIPPED = PACKAGE / "data/fashion_mini"
DEBIAN = Path("/usr/share/datasets/fashion-mnist")
TEN = tuple("0123456789")

# Two images of 2 x 3 pixels, written down by hand.
BY_HAND = bytes.fromhex("00 00 08 03  00 00 00 02  00 00 00 02  00 00 00 03  00 01 02 03 04 05  fa fb fc fd fe ff")
AS_ARRAY = [[[0, 1, 2], [3, 4, 5]], [[250, 251, 252], [253, 254, 255]]]


def four_arrays(train: int = 12, test: int = 5, side: int = 2) -> dict[str, Tensor]:
    """A data set as the four files of MNIST have it, each image of a brightness of its own."""
    arrays = {}
    for part, first, count in (("train", 0, train), ("t10k", 100, test)):
        brightness = torch.arange(first, first + count, dtype=torch.uint8)
        arrays[f"{part}-images-idx3-ubyte"] = brightness.view(-1, 1, 1).expand(count, side, side).contiguous()
        arrays[f"{part}-labels-idx1-ubyte"] = brightness % 10
    return arrays


def four_files(folder: Path, **replaced: Tensor) -> dict[str, Path]:
    """The same as gzipped files in a folder, some of them replaced: `train_labels=...`."""
    folder.mkdir(parents=True, exist_ok=True)
    files = {}
    for part, array in four_arrays().items():
        files[part] = folder / f"{part}.gz"
        idx.write(files[part], replaced.get("_".join(part.split("-")[:2]), array))
    return files


def mistake_in(path: Path) -> str:
    """What the user reads of a file that cannot be used."""
    with pytest.raises(ConfigError) as caught:
        idx.read(path)
    return str(caught.value)


def assert_splits_part(images: Images) -> None:
    """Every image is in exactly one split, and every split has some."""
    assert set(images.splits) == set(SPLITS)
    assert all(len(images.splits[name]) for name in SPLITS)
    assert torch.cat([images.splits[name] for name in SPLITS]).sort().values.tolist() == list(range(len(images.pixels)))


# The idx format


@pytest.mark.parametrize("shape", [(7,), (2, 3), (4, 2, 3), (0, 2, 3), ()], ids=str)
def test_an_array_that_was_written_is_the_one_that_is_read(tmp_path: Path, shape: tuple[int, ...]) -> None:
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


def test_what_is_written_is_the_file_written_by_hand_the_same_each_time(tmp_path: Path) -> None:
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
        (gzip.compress(BY_HAND, mtime=0), "1f 8b 08 00"),
        (b"\x00\x00\x08", "00 00 08"),
        (b"", "nothing"),
    ],
    ids=["a picture", "idx of floats", "gzipped under a plain name", "three bytes", "empty"],
)
def test_what_is_no_idx_file_is_said_to_be_none(tmp_path: Path, data: bytes, beginning: str) -> None:
    path = tmp_path / "train-images-idx3-ubyte"
    path.write_bytes(data)
    assert mistake_in(path) == f"{path} is no idx file of bytes: it begins with {beginning}."


def test_a_file_whose_pixels_are_cut_short_says_what_it_lacks(tmp_path: Path) -> None:
    path = tmp_path / "images"
    for missing in (1, 6, 12):
        path.write_bytes(BY_HAND[:-missing])
        assert mistake_in(path) == f"{path} is cut short: it says 2 x 2 x 3 and holds {12 - missing} bytes."


@pytest.mark.parametrize("length", range(4, 16))
def test_a_file_whose_header_is_cut_short_says_so(tmp_path: Path, length: int) -> None:
    path = tmp_path / "images"
    path.write_bytes(BY_HAND[:length])
    assert mistake_in(path).startswith(f"{path} is cut short: ")
    assert str(length) in mistake_in(path)


def test_sizes_past_all_counting_are_not_taken_for_none(tmp_path: Path) -> None:
    # 2^31 x 2^31 x 4 is 0 in 64 bits, and the file holds 0 bytes.
    path = tmp_path / "images"
    path.write_bytes(bytes.fromhex("00 00 08 03  80 00 00 00  80 00 00 00  00 00 00 04"))
    assert mistake_in(path) == f"{path} is cut short: it says 2147483648 x 2147483648 x 4 and holds 0 bytes."


def test_a_truncated_or_damaged_gzip_cannot_be_read_and_the_error_names_the_file(tmp_path: Path) -> None:
    path = tmp_path / "images.gz"
    packed = gzip.compress(BY_HAND, mtime=0)
    damaged = [packed[:-1], packed[:-8], packed[: len(packed) // 2], packed[:5], BY_HAND]
    flipped = bytearray(packed)
    flipped[-6] ^= 1
    for data in [*damaged, bytes(flipped), packed[:10] + b"\xff" * 20]:
        path.write_bytes(data)
        assert mistake_in(path).startswith(f"{path} cannot be read: ")


def test_a_file_that_is_a_folder_or_absent_cannot_be_read(tmp_path: Path) -> None:
    assert mistake_in(tmp_path).startswith(f"{tmp_path} cannot be read: ")
    assert mistake_in(tmp_path / "absent.gz").startswith(f"{tmp_path / 'absent.gz'} cannot be read: ")


# Four files are a data set


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
    assert images.names == TEN
    assert images.classes == 10
    assert images.shape == (1, 2, 2)
    assert torch.equal(images.pixels, torch.cat([arrays[0], arrays[2]]).unsqueeze(1))
    assert images.labels is not None
    assert torch.equal(images.labels, torch.cat([arrays[1], arrays[3]]).long())


def test_find_knows_only_what_is_there_and_takes_the_nearest(tmp_path: Path) -> None:
    assert idx.find(tmp_path / "absent") == {}
    near, _ = four_files(tmp_path), four_files(tmp_path / "raw")
    assert idx.find(tmp_path) == near
    near[idx.PARTS[0]].unlink()
    assert idx.find(tmp_path) == {**near, idx.PARTS[0]: tmp_path / "raw" / f"{idx.PARTS[0]}.gz"}
    near[idx.PARTS[1]].unlink()
    shutil.rmtree(tmp_path / "raw")
    assert set(idx.find(tmp_path)) == set(idx.PARTS[2:])


def test_the_test_images_are_those_of_the_test_files(tmp_path: Path) -> None:
    four_files(tmp_path)
    images = downloaded.mnist(root=str(tmp_path), validation=3)
    assert_splits_part(images)
    assert images.splits["test"].tolist() == [12, 13, 14, 15, 16]
    assert [len(images.splits[name]) for name in SPLITS] == [9, 3, 5]


def test_missing_files_are_named_with_the_folder_that_lacks_them(tmp_path: Path) -> None:
    files = four_files(tmp_path)
    for part in (idx.PARTS[1], idx.PARTS[2]):
        files[part].unlink()
    with pytest.raises(ConfigError) as caught:
        downloaded.mnist(root=str(tmp_path), validation=3)
    lacking = "train-labels-idx1-ubyte, t10k-images-idx3-ubyte"
    assert str(caught.value) == f"data.root={tmp_path} lacks {lacking} (with or without .gz)."


def test_a_folder_that_is_not_there_lacks_all_four(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=f"lacks {', '.join(idx.PARTS)}"):
        downloaded.fashion_mnist(root=str(tmp_path / "absent"), validation=3)
    assert not (tmp_path / "absent").exists()


@pytest.mark.parametrize(
    ("part", "array", "shapes"),
    [
        ("train_labels", torch.zeros(11, dtype=torch.uint8), "(12, 2, 2) and (11,)"),
        ("t10k_labels", torch.zeros(6, dtype=torch.uint8), "(5, 2, 2) and (6,)"),
        ("train_images", torch.zeros(12, 4, dtype=torch.uint8), "(12, 4) and (12,)"),
        ("t10k_labels", torch.zeros(5, 1, dtype=torch.uint8), "(5, 2, 2) and (5, 1)"),
    ],
)
def test_images_and_labels_that_do_not_fit_are_refused(tmp_path: Path, part: str, array: Tensor, shapes: str) -> None:
    files = four_files(tmp_path, **{part: array})
    images = files[f"{part.split('_')[0]}-images-idx3-ubyte"]
    with pytest.raises(ConfigError) as caught:
        idx.images(files, TEN, 3)
    assert str(caught.value) == f"{images} and its labels do not fit each other: {shapes}."


@pytest.mark.parametrize(("part", "count"), [("train", 12), ("t10k", 5)])
def test_a_label_without_a_name_is_refused_and_its_file_named(tmp_path: Path, part: str, count: int) -> None:
    labels = torch.zeros(count, dtype=torch.uint8)
    labels[2] = 10
    files = four_files(tmp_path, **{f"{part}_labels": labels})
    with pytest.raises(ConfigError) as caught:
        idx.images(files, TEN, 3)
    assert str(caught.value) == f"{files[f'{part}-labels-idx1-ubyte']} has the label 10; 9 is the largest."


# What needs no download


@pytest.fixture(scope="module")
def fashion() -> Images:
    return SOURCES["fashion-mini"](validation=1000)


@pytest.fixture(scope="module")
def digits() -> Images:
    return SOURCES["digits"](validation=180, test=360)


def test_fashion_mini_has_1000_images_of_each_class_to_train_on_and_200_to_test_on(fashion: Images) -> None:
    assert fashion.labels is not None
    training = torch.cat([fashion.splits["train"], fashion.splits["validation"]])
    assert fashion.pixels.dtype == torch.uint8
    assert fashion.shape == (1, 28, 28)
    assert fashion.labels[training].bincount().tolist() == [1000] * 10
    assert fashion.labels[fashion.splits["test"]].bincount().tolist() == [200] * 10
    assert fashion.classes == len(set(fashion.names)) == 10
    assert (fashion.names[0], fashion.names[4], fashion.names[9]) == ("T-shirt/top", "Coat", "Ankle boot")


def test_fashion_mini_shares_no_image_between_splits(fashion: Images) -> None:
    assert_splits_part(fashion)
    assert [len(fashion.splits[name]) for name in SPLITS] == [9000, 1000, 2000]


def test_the_validation_images_are_the_same_in_every_call_and_of_every_class(fashion: Images) -> None:
    again = SOURCES["fashion-mini"](validation=1000)
    assert all(torch.equal(again.splits[name], fashion.splits[name]) for name in SPLITS)
    assert again.fingerprint == fashion.fingerprint
    assert fashion.labels is not None
    # 100 expected of each class, with a standard deviation of 9.
    assert fashion.labels[fashion.splits["validation"]].bincount().sub(100).abs().max() < 45


def test_fashion_mini_is_small_and_has_its_licence_beside_it() -> None:
    files = [SHIPPED / f"{part}.gz" for part in idx.PARTS]
    assert sum(path.stat().st_size for path in files) < 6_000_000
    licence = (SHIPPED / "LICENSE").read_text()
    assert "MIT" in licence
    assert "Zalando" in licence


def test_digits_are_those_of_scikit_learn_in_256_greys(digits: Images) -> None:
    bunch = load_digits()
    expected = np.array([round(sixteenths * 255 / 16) for sixteenths in bunch.images.ravel()])
    assert digits.pixels.shape == (1797, 1, 8, 8)
    assert digits.pixels.dtype == torch.uint8
    assert np.array_equal(digits.pixels.numpy().ravel(), expected)
    assert digits.pixels.max() == 255
    assert digits.labels is not None
    assert np.array_equal(digits.labels.numpy(), bunch.target)
    assert digits.names == TEN


def test_digits_share_no_image_between_splits(digits: Images) -> None:
    assert_splits_part(digits)
    assert [len(digits.splits[name]) for name in SPLITS] == [1257, 180, 360]


def test_the_test_images_do_not_depend_on_how_many_are_validated(digits: Images) -> None:
    other = SOURCES["digits"](validation=7, test=360)
    assert torch.equal(other.splits["test"], digits.splits["test"])
    assert_splits_part(other)


@pytest.mark.parametrize("settings", [{"validation": 1437, "test": 360}, {"validation": 10, "test": 1797}], ids=str)
def test_digits_that_leave_nothing_to_train_on_are_refused(settings: dict[str, int]) -> None:
    with pytest.raises(ConfigError, match="must be between 1 and"):
        SOURCES["digits"](**settings)


# Splits


@pytest.mark.parametrize("part", [1, 5, 19])
def test_what_is_split_off_and_what_is_left_are_the_whole_in_order(part: int) -> None:
    left, off = split_off(20, part)
    assert len(off) == part
    assert sorted([*left.tolist(), *off.tolist()]) == list(range(20))
    assert left.tolist() == sorted(left.tolist())
    assert off.tolist() == sorted(off.tolist())
    assert all(torch.equal(one, other) for one, other in zip((left, off), split_off(20, part), strict=True))


@pytest.mark.parametrize("part", [0, -1, 20, 21])
def test_a_split_that_leaves_one_side_empty_is_refused(part: int) -> None:
    with pytest.raises(ConfigError) as caught:
        split_off(20, part)
    assert str(caught.value) == f"validation must be between 1 and 19, and {part} is not."
    with pytest.raises(ConfigError, match="^test must be"):
        split_off(20, part, "test")


# The fingerprint


def some_images() -> Images:
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (10, 1, 4, 4), dtype=torch.uint8, generator=generator)
    splits = {"train": torch.arange(6), "validation": torch.arange(6, 8), "test": torch.arange(8, 10)}
    return Images(pixels, splits, torch.arange(10) % 3, ("a", "b", "c"))


def changed(**fields: object) -> str:
    """The fingerprint of the same images with other fields."""
    return replace(some_images(), fingerprint="", **fields).fingerprint  # type: ignore[arg-type]


def test_equal_data_has_an_equal_fingerprint() -> None:
    fingerprint = some_images().fingerprint
    assert len(fingerprint) == 16
    assert int(fingerprint, 16)
    assert changed() == fingerprint
    other_layout = some_images().pixels.permute(1, 2, 3, 0).contiguous().permute(3, 0, 1, 2)
    assert changed(pixels=other_layout) == fingerprint


@pytest.mark.parametrize("place", [(0, 0, 0, 0), (5, 0, 2, 1), (9, 0, 3, 3)], ids=str)
def test_one_pixel_changes_the_fingerprint(place: tuple[int, ...]) -> None:
    pixels = some_images().pixels.clone()
    pixels[place] ^= 1
    assert changed(pixels=pixels) != some_images().fingerprint


def test_the_shape_of_the_same_pixels_changes_the_fingerprint() -> None:
    assert changed(pixels=some_images().pixels.view(10, 1, 2, 8)) != some_images().fingerprint


def test_one_label_changes_the_fingerprint() -> None:
    labels = torch.arange(10) % 3
    labels[7] = 0
    assert len({changed(labels=labels), changed(labels=None), some_images().fingerprint}) == 3


def test_one_image_in_another_split_changes_the_fingerprint() -> None:
    swapped = {
        "train": torch.tensor([0, 1, 2, 3, 4, 6]),
        "validation": torch.tensor([5, 7]),
        "test": torch.arange(8, 10),
    }
    moved = {"train": torch.arange(5), "validation": torch.arange(5, 8), "test": torch.arange(8, 10)}
    moved_again = {"train": torch.arange(6), "validation": torch.arange(6, 9), "test": torch.arange(9, 10)}
    fingerprints = [changed(splits=splits) for splits in (swapped, moved, moved_again)]
    assert len({*fingerprints, some_images().fingerprint}) == 4


# Downloads


@pytest.fixture
def downloads(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """The addresses that are asked for, where there is no network and the cache is `tmp_path`."""
    from genlab.data.vision import torchvision

    asked: list[str] = []

    def unreachable(url: str, *arguments: object, **options: object) -> NoReturn:
        asked.append(url)
        raise URLError("Name or service not known")

    torchvision()
    home = importlib.import_module("torchvision.datasets.mnist")
    monkeypatch.setattr(home, "download_and_extract_archive", unreachable)
    monkeypatch.setenv("GENLAB_CACHE", str(tmp_path))
    return asked


@pytest.mark.parametrize(("source", "name"), [("mnist", "MNIST"), ("fashion-mnist", "FashionMNIST")])
def test_without_a_network_the_user_reads_what_to_fetch_and_where_to_put_it(
    downloads: list[str], tmp_path: Path, source: str, name: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        SOURCES[source](root=None, validation=3)
    assert downloads
    text = str(caught.value)
    assert text.startswith(f"{name} could not be downloaded to {tmp_path}: ")
    assert "Name or service not known" in text
    assert all(f"{part}.gz" in text for part in idx.PARTS)
    assert text.endswith("data.root=FOLDER")


def test_a_cache_that_cannot_be_made_is_the_users_to_mend(
    downloads: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("GENLAB_CACHE", str(tmp_path / "file"))
    with pytest.raises(ConfigError, match="could not be downloaded"):
        downloaded.mnist(root=None, validation=3)
    assert not downloads


@pytest.mark.parametrize("below", ["MNIST/raw", "MNIST", ""])
def test_what_is_in_the_cache_is_not_downloaded(downloads: list[str], tmp_path: Path, below: str) -> None:
    four_files(tmp_path / below)
    assert len(downloaded.mnist(root=None, validation=3).pixels) == 17
    assert not downloads


def test_a_folder_of_the_users_own_is_never_downloaded_into(downloads: list[str], tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="lacks"):
        downloaded.mnist(root=str(tmp_path), validation=3)
    assert not downloads
    assert not list(tmp_path.iterdir())


def test_the_cache_is_genlabs_own_then_the_users_then_in_the_home(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/someone")
    monkeypatch.setenv("GENLAB_CACHE", "~/own")
    monkeypatch.setenv("XDG_CACHE_HOME", "/cache")
    assert downloaded.cache_folder() == Path("/home/someone/own")
    for unset in ("GENLAB_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.setenv(unset, "")
        blank = downloaded.cache_folder()
        monkeypatch.delenv(unset)
        expected = "/cache/genlab" if unset == "GENLAB_CACHE" else "/home/someone/.cache/genlab"
        assert downloaded.cache_folder() == blank == Path(expected)


# torchvision

FRESH = """
import sys
import torch
import genlab.data
from genlab.data.vision import torchvision

assert "torchvision" not in sys.modules, "genlab.data imports torchvision before it is asked for"
register = torch.library.register_fake
module = torchvision()
assert module is sys.modules["torchvision"] and torchvision() is module
assert torch.library.register_fake is register, "register_fake was not put back"
assert issubclass(module.datasets.MNIST, torch.utils.data.Dataset)
assert module.transforms.functional.hflip(torch.arange(3)).tolist() == [2, 1, 0]
assert module.models.vgg11(weights=None).features(torch.zeros(1, 3, 32, 32)).shape == (1, 512, 1, 1)
"""


def test_torchvision_imports_in_a_fresh_process_and_leaves_torch_as_it_was() -> None:
    done = subprocess.run([sys.executable, "-c", FRESH], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr


def test_nothing_but_one_file_imports_torchvision() -> None:
    homes = set()
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom):
                names = [str(node.module)]
            # A name in a string could be imported by importlib.
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and " " not in node.value:
                names = [node.value]
            if any(name.split(".")[0] == "torchvision" for name in names):
                homes.add(str(path.relative_to(PACKAGE)))
    assert homes == {"data/vision.py"}


# The full Fashion-MNIST


@pytest.fixture(scope="module")
def full_fashion() -> Path:
    """The folder of Debian's package, which is installed where it is not."""
    if not DEBIAN.is_dir():
        if not shutil.which("apt-get"):
            pytest.skip("no apt-get to install dataset-fashion-mnist with")
        subprocess.run(["apt-get", "update"], check=True)
        subprocess.run(["apt-get", "install", "--yes", "dataset-fashion-mnist"], check=True)
    return DEBIAN


@pytest.mark.slow
def test_fashion_mini_can_be_made_again_byte_for_byte(full_fashion: Path, tmp_path: Path) -> None:
    make(full_fashion, tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(f"{part}.gz" for part in idx.PARTS)
    for path in tmp_path.iterdir():
        assert path.read_bytes() == (SHIPPED / path.name).read_bytes(), path.name


@pytest.mark.slow
def test_the_full_fashion_mnist_has_7000_images_of_each_class(full_fashion: Path) -> None:
    images = downloaded.fashion_mnist(root=str(full_fashion), validation=2000)
    assert images.pixels.shape == (70_000, 1, 28, 28)
    assert images.labels is not None
    assert images.labels.bincount().tolist() == [7000] * 10
    assert_splits_part(images)
    assert [len(images.splits[name]) for name in SPLITS] == [58_000, 2000, 10_000]
