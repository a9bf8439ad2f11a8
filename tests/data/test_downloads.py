"""Missing data is downloaded, and the user reads what to do if that is impossible."""

import ast
import importlib
import subprocess
import sys
from pathlib import Path
from typing import NoReturn
from urllib.error import URLError

import pytest

import genlab
from genlab.data import SOURCES
from genlab.data.files import cache, idx
from genlab.data.sources import downloaded
from genlab.registry import ConfigError
from tests.fixtures.files import four_files

PACKAGE = Path(genlab.__file__).parent


@pytest.fixture
def downloads(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """The addresses that are requested, without a network and with the cache in `tmp_path`."""
    from genlab.data.files.vision import torchvision

    asked: list[str] = []

    def unreachable(url: str, *arguments: object, **options: object) -> NoReturn:
        asked.append(url)
        raise URLError("Name or service not known")

    torchvision()
    home = importlib.import_module("torchvision.datasets.mnist")
    monkeypatch.setattr(home, "download_and_extract_archive", unreachable)
    monkeypatch.setenv("GENLAB_CACHE", str(tmp_path))
    return asked


@pytest.mark.parametrize(
    ("source", "name"), [("mnist", "MNIST"), ("fashion-mnist", "FashionMNIST"), ("kmnist", "KMNIST")]
)
def test_without_a_network_the_message_says_what_to_fetch_and_where_to_put_it(
    downloads: list[str], tmp_path: Path, source: str, name: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        SOURCES[source](root=None, validation=3)
    assert downloads
    text = str(caught.value)
    assert text.startswith(f"{name} is not in {tmp_path} and could not be downloaded: ")
    assert "Name or service not known" in text
    assert all(f"{part}.gz" in text for part in idx.PARTS)
    assert text.endswith("data.root=FOLDER.")


def test_a_cache_that_cannot_be_created_is_a_config_error(
    downloads: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("GENLAB_CACHE", str(tmp_path / "file"))
    with pytest.raises(ConfigError, match="could not be downloaded"):
        downloaded.mnist(root=None, validation=3)
    assert not downloads


@pytest.mark.parametrize("below", ["MNIST/raw", "MNIST", ""])
def test_files_in_the_cache_are_not_downloaded(downloads: list[str], tmp_path: Path, below: str) -> None:
    four_files(tmp_path / below)
    assert len(downloaded.mnist(root=None, validation=3)) == 17
    assert not downloads


def test_nothing_is_downloaded_into_a_folder_of_the_user(downloads: list[str], tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="lacks"):
        downloaded.mnist(root=str(tmp_path), validation=3)
    assert not downloads
    assert not list(tmp_path.iterdir())


def test_the_cache_is_genlab_cache_then_xdg_cache_home_then_in_the_home(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/someone")
    monkeypatch.setenv("GENLAB_CACHE", "~/own")
    monkeypatch.setenv("XDG_CACHE_HOME", "/cache")
    assert cache.cache_folder() == Path("/home/someone/own")
    for unset in ("GENLAB_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.setenv(unset, "")
        blank = cache.cache_folder()
        monkeypatch.delenv(unset)
        expected = "/cache/genlab" if unset == "GENLAB_CACHE" else "/home/someone/.cache/genlab"
        assert cache.cache_folder() == blank == Path(expected)


FRESH = """
import sys
import torch
import genlab.data
from genlab.data.files.vision import torchvision

assert "torchvision" not in sys.modules, "genlab.data imports torchvision before it is needed"
register = torch.library.register_fake
module = torchvision()
assert module is sys.modules["torchvision"] and torchvision() is module
assert torch.library.register_fake is register, "register_fake was not restored"
assert issubclass(module.datasets.MNIST, torch.utils.data.Dataset)
assert module.transforms.functional.hflip(torch.arange(4).view(2, 2)).tolist() == [[1, 0], [3, 2]]
assert module.models.vgg11(weights=None).features(torch.zeros(1, 3, 32, 32)).shape == (1, 512, 1, 1)
"""


def test_torchvision_imports_in_a_fresh_process_and_leaves_torch_as_it_was() -> None:
    done = subprocess.run([sys.executable, "-c", FRESH], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr


def test_only_one_file_imports_torchvision() -> None:
    homes = set()
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom):
                names = [str(node.module)]
            # A name in a string could be imported with importlib.
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and " " not in node.value:
                names = [node.value]
            if any(name.split(".")[0] == "torchvision" for name in names):
                homes.add(str(path.relative_to(PACKAGE)))
    assert homes == {"data/files/vision.py"}
