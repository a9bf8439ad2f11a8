"""Each published set is downloaded into the cache once and completely; without a network the user reads what to do."""

import importlib
import shutil
import sys
import tarfile
import types
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn
from urllib.error import URLError

import pytest

from genlab.data import OFFERS, SOURCES
from genlab.data.files import cache, idx
from genlab.data.files.vision import torchvision
from genlab.data.sources import dsprites
from genlab.registry import ConfigError
from tests.fixtures import published
from tests.fixtures.files import assert_splits_part, four_files

SETTINGS: dict[str, dict[str, Any]] = {
    "kmnist": {"validation": 3},
    "emnist": {"split": "balanced", "validation": 3},
    "cifar10": {"validation": 3},
    "cifar100": {"validation": 3},
    "svhn": {"extra": True, "validation": 3},
    "stl10": {"validation": 3},
    "celeba": {"size": 16, "label": None, "tolerate": 0.0},
    "dsprites": {"validation": 3, "test": 3},
}
WANTED = {
    "kmnist": (*(f"{part}.gz" for part in idx.PARTS), "http://codh.rois.ac.jp/", "KMNIST/raw"),
    "emnist": ("gzip.zip", "https://biometrics.nist.gov/", "EMNIST/raw"),
    "cifar10": ("cifar-10-python.tar.gz", "https://www.cs.toronto.edu/~kriz/", ""),
    "cifar100": ("cifar-100-python.tar.gz", "https://www.cs.toronto.edu/~kriz/", ""),
    "svhn": ("train_32x32.mat, extra_32x32.mat, test_32x32.mat", "http://ufldl.stanford.edu/housenumbers/", "SVHN"),
    "stl10": ("stl10_binary.tar.gz", "http://ai.stanford.edu/~acoates/stl10/", ""),
    "celeba": (
        "img_align_celeba.zip",
        "list_attr_celeba.txt, list_eval_partition.txt",
        "http://mmlab.ie.cuhk.edu.hk/projects/CelebA.html",
        "celeba",
    ),
    "dsprites": (published.DSPRITES, "https://github.com/google-deepmind/dsprites-dataset/", "dsprites"),
}


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GENLAB_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def downloads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The addresses that are requested, without a network and without gdown."""
    asked: list[str] = []

    def unreachable(request: Any, *arguments: object, **options: object) -> NoReturn:
        asked.append(request.full_url)
        raise URLError("Name or service not known")

    monkeypatch.setattr("urllib.request.urlopen", unreachable)
    monkeypatch.setitem(sys.modules, "gdown", None)
    return asked


def test_every_published_set_is_tested_here() -> None:
    assert set(SETTINGS) == set(WANTED) == set(OFFERS) - {"mnist", "fashion-mnist"}


@pytest.mark.parametrize("name", SETTINGS)
def test_without_a_network_the_message_says_what_to_fetch_and_where_to_put_it(
    downloads: list[str], tmp_path: Path, name: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        SOURCES[name](root=None, **SETTINGS[name])
    text = str(caught.value)
    *files, source, place = WANTED[name]
    assert text.startswith(f"{OFFERS[name].name} is not in {tmp_path / 'cache'} and could not be downloaded: ")
    assert ("'gdown' is required" if name == "celeba" else "Name or service not known") in text
    assert all(file in text for file in files)
    assert f" from {source}" in text
    assert f" {tmp_path / 'cache' / place}, or in" in text
    assert text.endswith(" any folder with data.root=FOLDER.")
    assert not list((tmp_path / "cache").rglob("*"))


@pytest.mark.parametrize("name", SETTINGS)
def test_nothing_is_downloaded_into_a_folder_of_the_user(downloads: list[str], tmp_path: Path, name: str) -> None:
    for folder, reason in ((tmp_path / "own", "lacks "), (tmp_path / "absent", "There is no folder ")):
        (tmp_path / "own").mkdir(exist_ok=True)
        with pytest.raises(ConfigError) as caught:
            SOURCES[name](root=str(folder), **SETTINGS[name])
        *files, source, _ = WANTED[name]
        assert reason in str(caught.value)
        assert str(folder) in str(caught.value)
        assert all(file in str(caught.value) for file in files)
        assert f" from {source}" in str(caught.value)
    assert not downloads
    assert not list((tmp_path / "own").iterdir())
    assert not (tmp_path / "absent").exists()


def packed(folder: Path, archive: Path) -> str:
    """Write an archive of a folder; return its md5."""
    with tarfile.open(archive, "w:gz") as tar:
        for path in folder.iterdir():
            tar.add(path, path.name)
    return published.md5(archive)


def serve_kmnist(site: Path, patch: pytest.MonkeyPatch) -> None:
    files = four_files(site).values()
    patch.setattr(torchvision().datasets.KMNIST, "resources", [(path.name, published.md5(path)) for path in files])


def serve_emnist(site: Path, patch: pytest.MonkeyPatch) -> None:
    files = four_files(site / "part")
    with zipfile.ZipFile(site / "gzip.zip", "w") as archive:
        for split in ("balanced", "mnist"):
            for part, path in files.items():
                # The labels start at 0, which the selection of letters does not have, so it is not served.
                archive.write(path, f"gzip/emnist-{split}-{part.replace('t10k', 'test')}.gz")
    # The published archive is large, so its md5 is replaced.
    patch.setattr(torchvision().datasets.EMNIST, "md5", published.md5(site / "gzip.zip"))


def serve_cifar(name: str, key: str, classes: int) -> Callable[[Path, pytest.MonkeyPatch], None]:
    def serve(site: Path, patch: pytest.MonkeyPatch) -> None:
        kind = getattr(torchvision().datasets, name)
        published.cifar(site / "part", patch, name, key, classes)
        patch.setattr(kind, "tgz_md5", packed(site / "part", site / kind.filename))

    return serve


def serve_stl10(site: Path, patch: pytest.MonkeyPatch) -> None:
    published.stl10(site / "part", patch)
    patch.setattr(torchvision().datasets.STL10, "tgz_md5", packed(site / "part", site / "stl10_binary.tar.gz"))


def serve_svhn(site: Path, patch: pytest.MonkeyPatch) -> None:
    published.svhn(site, patch)


def serve_dsprites(site: Path, patch: pytest.MonkeyPatch) -> None:
    published.dsprites(site)
    patch.setattr(dsprites, "_MD5", published.md5(site / published.DSPRITES))


def serve_celeba(site: Path, patch: pytest.MonkeyPatch) -> None:
    """Serve the files as gdown does from Google Drive, with the texts that torchvision needs, too."""
    published.celeba(site / "part")
    source = site / "part" / "celeba"
    names = " ".join(f"point_{number}" for number in range(2))
    rows = "".join(f"{number:06}.jpg 1 2\n" for number in range(1, 31))
    for name in ("list_bbox_celeba.txt", "list_landmarks_align_celeba.txt"):
        (source / name).write_text(f"30\n{names}\n{rows}")
    (source / "identity_CelebA.txt").write_text(rows.replace(" 2", ""))
    with zipfile.ZipFile(source / "img_align_celeba.zip", "w") as archive:
        for path in (source / "img_align_celeba").iterdir():
            archive.write(path, f"img_align_celeba/{path.name}")
    kind = torchvision().datasets.CelebA
    known = [(file, published.md5(source / file), file) for _, _, file in kind.file_list]
    patch.setattr(kind, "file_list", known)
    gdown = types.ModuleType("gdown")
    gdown.download = lambda id, output, **options: shutil.copy(source / id, output)  # type: ignore[attr-defined]
    patch.setitem(sys.modules, "gdown", gdown)


SERVE: dict[str, Callable[[Path, pytest.MonkeyPatch], None]] = {
    "kmnist": serve_kmnist,
    "emnist": serve_emnist,
    "cifar10": serve_cifar("CIFAR10", "labels", 10),
    "cifar100": serve_cifar("CIFAR100", "fine_labels", 100),
    "svhn": serve_svhn,
    "stl10": serve_stl10,
    "celeba": serve_celeba,
    "dsprites": serve_dsprites,
}


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that stands for every site; the last part of an address is the name of the file."""
    torchvision()
    home = importlib.import_module("torchvision.datasets.utils")
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.setattr(home, "_get_redirect_url", lambda url, **options: url)
    monkeypatch.setattr(home, "_urlretrieve", lambda url, end: shutil.copy(folder / url.rpartition("/")[2], end))
    return folder


@pytest.mark.parametrize("name", SETTINGS)
def test_missing_data_is_downloaded_once_and_then_found(
    site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    SERVE[name](site, monkeypatch)
    images = SOURCES[name](root=None, **SETTINGS[name])
    assert_splits_part(images)
    printed = capsys.readouterr()
    assert f"Downloading {OFFERS[name].name} (" in printed.err
    assert not printed.out
    shutil.rmtree(site)
    again = SOURCES[name](root=None, **SETTINGS[name])
    assert again.fingerprint == images.fingerprint
    assert OFFERS[name].here()
    files = [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]
    assert not [path for path in files if path.suffix in (".zip", ".gz", ".tgz") or "unlabeled" in path.name]
    assert not list((tmp_path / "cache").glob(".download-*"))


@pytest.mark.parametrize("name", ["cifar10", "svhn", "stl10", "dsprites"])
def test_a_damaged_download_is_not_kept(site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    SERVE[name](site, monkeypatch)
    for path in site.iterdir():
        if path.is_file():
            path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ConfigError, match=r"could not be downloaded: File not found or corrupted\."):
        SOURCES[name](root=None, **SETTINGS[name])
    assert not list(cache.cache_folder().rglob("*"))


def test_an_incomplete_set_is_downloaded_again(site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    serve_cifar("CIFAR10", "labels", 10)(site, monkeypatch)
    half = tmp_path / "cache" / "cifar-10-batches-py"
    half.mkdir(parents=True)
    (half / "data_batch_1").write_bytes(b"cut short")
    assert len(SOURCES["cifar10"](root=None, validation=3)) == 36
