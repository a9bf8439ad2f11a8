"""Images that the package and scikit-learn have, and the full Fashion-MNIST."""

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
from genlab.data.dataset import SPLITS, Images
from genlab.data.files import idx
from genlab.data.sources import downloaded
from genlab.data.sources.fashion_mini.make import make
from genlab.registry import ConfigError
from tests.fixtures.files import assert_splits_part
from tests.fixtures.program import genlab as genlab_program

SHIPPED = Path(genlab.__file__).parent / "data/sources/fashion_mini"
DEBIAN = Path("/usr/share/datasets/fashion-mnist")


@pytest.fixture(scope="module")
def fashion() -> Images:
    return SOURCES["fashion-mini"](validation=1000)


@pytest.fixture(scope="module")
def digits() -> Images:
    return SOURCES["digits"](validation=180, test=360)


def test_the_list_of_data_says_where_each_set_is(tmp_path: Path) -> None:
    done = genlab_program(tmp_path, "list", "data")
    assert done.returncode == 0, done.stderr
    rows = {line.split()[0]: line for line in done.stdout.splitlines()}
    for name, where in {"folder": "yours", "faces": "built in", "ring": "built in", "mnist": "download, 12 MB"}.items():
        assert where in rows[name], rows[name]


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
    assert digits.names == tuple("0123456789")


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


@pytest.mark.slow
def test_a_folder_made_of_the_full_fashion_mnist_has_its_pixels(full_fashion: Path, tmp_path: Path) -> None:
    images = downloaded.fashion_mnist(root=str(full_fashion), validation=2000)
    for number, pixels in enumerate(images.pixels.squeeze(1).numpy()):
        Image.fromarray(pixels).save(tmp_path / f"{number:05}.png", compress_level=1)
    settings = {"size": 28, "crop": "none", "channels": "auto", "background": "white", "labels": None, "label": None}
    parts = {"validation": 0.1, "test": 0.1, "tolerate": 0.0}
    assert torch.equal(SOURCES["folder"](path=str(tmp_path), **settings, **parts).pixels, images.pixels)
