"""Tests of uv.lock: it is current, and everyone can use it."""

import re
import shutil
import subprocess
import tomllib
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LOCK = ROOT / "uv.lock"


def uv(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run uv without the network."""
    if not find_spec("uv"):
        pytest.skip("uv is not installed")
    import uv as package

    command = [package.find_uv_bin(), *arguments, "--offline", "--no-config"]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_lock_is_that_of_pyproject(tmp_path: Path) -> None:
    done = uv("lock", "--check", "--project", str(ROOT), "--cache-dir", str(tmp_path / "cache"))
    assert done.returncode == 0, f"{done.stderr}\nRun `make lock`."


def test_a_lock_that_is_not_current_is_found(tmp_path: Path) -> None:
    (tmp_path / "genlab").mkdir()
    for name in ("uv.lock", "README.md", "LICENSE", "genlab/__init__.py"):
        shutil.copy(ROOT / name, tmp_path / name)
    changed = (ROOT / "pyproject.toml").read_text(encoding="utf-8").replace('"rich>=13"', '"rich>=14"')
    (tmp_path / "pyproject.toml").write_text(changed, encoding="utf-8")
    assert uv("lock", "--check", "--project", str(tmp_path), "--cache-dir", str(tmp_path / "cache")).returncode != 0


def test_the_lock_names_pypi_alone() -> None:
    text = LOCK.read_text(encoding="utf-8")
    hosts = set(re.findall(r"\w+://[^\"/]+", text))
    assert hosts == {"https://pypi.org", "https://files.pythonhosted.org"}
    sources = [package["source"] for package in tomllib.loads(text)["package"]]
    assert [
        source for source in sources if source not in ({"registry": "https://pypi.org/simple"}, {"editable": "."})
    ] == []


def test_what_the_lock_and_the_constraints_pin_is_the_same_torch() -> None:
    locked = {package["name"]: package.get("version") for package in tomllib.loads(LOCK.read_text())["package"]}
    pinned = dict(line.split("==") for line in (ROOT / "constraints.txt").read_text().splitlines() if "==" in line)
    for name in ("torch", "torchvision", "hydra-core", "omegaconf"):
        assert locked[name] == pinned[name]
