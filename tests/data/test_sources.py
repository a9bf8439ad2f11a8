"""Images of the package and of scikit-learn, and the full Fashion-MNIST."""

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_digits

import genlab
from genlab.data import SOURCES
from genlab.data.dataset import SPLITS, Dataset
from genlab.data.files import idx
from genlab.data.sources import downloaded
from genlab.data.sources.fashion_mini.make import make
from genlab.kinds import Image as ImageKind
from genlab.registry import ConfigError
from tests.fixtures.files import assert_splits_part
from tests.fixtures.program import genlab as genlab_program

SHIPPED = Path(genlab.__file__).parent / "data/sources/fashion_mini"
DEBIAN = Path("/usr/share/datasets/fashion-mnist")


@pytest.fixture(scope="module")
def fashion() -> Dataset:
    return SOURCES["fashion-mini"](validation=1000)


@pytest.fixture(scope="module")
def digits() -> Dataset:
    return SOURCES["digits"](validation=180, test=360)


def test_the_list_of_data_tells_where_each_set_is(tmp_path: Path) -> None:
    done = genlab_program(tmp_path, "list", "data")
    assert done.returncode == 0, done.stderr
    rows = {line.split()[0]: line for line in done.stdout.splitlines()}
    for name, where in {"folder": "yours", "faces": "built in", "ring": "built in", "mnist": "download, 12 MB"}.items():
        assert where in rows[name], rows[name]


def test_fashion_mini_has_1000_training_and_200_test_images_of_each_class(fashion: Dataset) -> None:
    assert fashion.labels is not None
    training = torch.cat([fashion.splits["train"], fashion.splits["validation"]])
    assert fashion.kind == ImageKind(1, 28, 28)
    assert fashion.labels[training].bincount().tolist() == [1000] * 10
    assert fashion.labels[fashion.splits["test"]].bincount().tolist() == [200] * 10
    assert len(fashion.classes) == len(set(fashion.classes)) == 10
    assert (fashion.classes[0], fashion.classes[4], fashion.classes[9]) == ("T-shirt/top", "Coat", "Ankle boot")


def test_fashion_mini_shares_no_image_between_splits(fashion: Dataset) -> None:
    assert_splits_part(fashion)
    assert [len(fashion.splits[name]) for name in SPLITS] == [9000, 1000, 2000]


def test_the_validation_images_are_the_same_in_every_call_and_come_from_every_class(fashion: Dataset) -> None:
    again = SOURCES["fashion-mini"](validation=1000)
    assert all(torch.equal(again.splits[name], fashion.splits[name]) for name in SPLITS)
    assert again.fingerprint == fashion.fingerprint
    assert fashion.labels is not None
    # 100 images of each class are expected, with a standard deviation of 9.
    assert fashion.labels[fashion.splits["validation"]].bincount().sub(100).abs().max() < 45


def test_fashion_mini_is_small_and_has_its_licence_beside_it() -> None:
    files = [SHIPPED / f"{part}.gz" for part in idx.PARTS]
    assert sum(path.stat().st_size for path in files) < 6_000_000
    licence = (SHIPPED / "LICENSE").read_text()
    assert "MIT" in licence
    assert "Zalando" in licence


def test_digits_are_the_ones_of_scikit_learn_in_256_grey_levels(digits: Dataset) -> None:
    bunch = load_digits()
    expected = np.array([round(sixteenths * 255 / 16) for sixteenths in bunch.images.ravel()])
    pixels = digits.columns["x"].rows
    assert len(digits) == 1797
    assert digits.kind == ImageKind(1, 8, 8)
    assert np.array_equal(pixels.numpy().ravel(), expected)
    assert pixels.max() == 255
    assert digits.labels is not None
    assert np.array_equal(digits.labels.numpy(), bunch.target)
    assert digits.classes == tuple("0123456789")


def test_digits_share_no_image_between_splits(digits: Dataset) -> None:
    assert_splits_part(digits)
    assert [len(digits.splits[name]) for name in SPLITS] == [1257, 180, 360]


def test_the_test_images_do_not_depend_on_the_number_of_validation_images(digits: Dataset) -> None:
    other = SOURCES["digits"](validation=7, test=360)
    assert torch.equal(other.splits["test"], digits.splits["test"])
    assert_splits_part(other)


@pytest.mark.parametrize("settings", [{"validation": 1437, "test": 360}, {"validation": 10, "test": 1797}], ids=str)
def test_splits_of_digits_that_leave_no_training_images_are_refused(settings: dict[str, int]) -> None:
    with pytest.raises(ConfigError, match="must be between 1 and"):
        SOURCES["digits"](**settings)


@pytest.fixture(scope="module")
def full_fashion() -> Path:
    """The folder of Debian's package, which is installed if it is missing."""
    if not DEBIAN.is_dir():
        if not shutil.which("apt-get"):
            pytest.skip("no apt-get to install dataset-fashion-mnist with")
        subprocess.run(["apt-get", "update"], check=True)
        subprocess.run(["apt-get", "install", "--yes", "dataset-fashion-mnist"], check=True)
    return DEBIAN


@pytest.mark.slow
def test_fashion_mini_can_be_rebuilt_byte_for_byte(full_fashion: Path, tmp_path: Path) -> None:
    make(full_fashion, tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(f"{part}.gz" for part in idx.PARTS)
    for path in tmp_path.iterdir():
        assert path.read_bytes() == (SHIPPED / path.name).read_bytes(), path.name


@pytest.mark.slow
def test_the_full_fashion_mnist_has_7000_images_of_each_class(full_fashion: Path) -> None:
    images = downloaded.fashion_mnist(root=str(full_fashion), validation=2000)
    assert len(images) == 70_000
    assert images.kind == ImageKind(1, 28, 28)
    assert images.labels is not None
    assert images.labels.bincount().tolist() == [7000] * 10
    assert_splits_part(images)
    assert [len(images.splits[name]) for name in SPLITS] == [58_000, 2000, 10_000]


@pytest.mark.slow
def test_a_folder_with_the_full_fashion_mnist_has_its_pixels(full_fashion: Path, tmp_path: Path) -> None:
    images = downloaded.fashion_mnist(root=str(full_fashion), validation=2000)
    for number, pixels in enumerate(images.columns["x"].rows.squeeze(1).numpy()):
        Image.fromarray(pixels).save(tmp_path / f"{number:05}.png", compress_level=1)
    settings = {"size": 28, "crop": "none", "channels": "auto", "background": "white", "labels": None, "label": None}
    parts = {"validation": 0.1, "test": 0.1, "tolerate": 0.0}
    found = SOURCES["folder"](path=str(tmp_path), **settings, **parts)
    assert torch.equal(found.columns["x"].rows, images.columns["x"].rows)
