"""Tests of the built wheel, as `uv tool install genlab` installs it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from genlab import __version__

ROOT = Path(__file__).parents[2]


def run(*command: str | Path, cwd: Path, **variables: str) -> str:
    """Run a command in a folder and return what it prints; this checkout is not on its path."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | variables
    done = subprocess.run(
        [str(word) for word in command], cwd=cwd, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_wheel_runs_as_a_tool_of_uv(tmp_path: Path) -> None:
    package = pytest.importorskip("uv")
    build: list[str | Path] = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        ROOT,
        "--quiet",
        "--no-deps",
        "--no-build-isolation",
    ]
    run(*build, "--wheel-dir", tmp_path, cwd=tmp_path)
    (wheel,) = tmp_path.glob("genlab-*.whl")
    # The CPU build of torch: on Linux, PyPI's own brings CUDA along. pip may have a folder with it.
    found = (
        run(sys.executable, "-m", "pip", "config", "get", "global.find-links", cwd=tmp_path) if _has_folder() else ""
    )
    where = ["--find-links", found.strip()] if found else ["--torch-backend", "cpu"]
    tools = {"UV_TOOL_DIR": str(tmp_path / "tools"), "UV_TOOL_BIN_DIR": str(tmp_path / "bin")}
    install: list[str | Path] = [
        package.find_uv_bin(),
        "tool",
        "install",
        "--python",
        sys.executable,
        "-c",
        ROOT / "constraints.txt",
    ]
    run(*install, *where, wheel, cwd=tmp_path, **tools)
    genlab = tmp_path / "bin" / "genlab"
    assert run(genlab, "--version", cwd=tmp_path) == f"genlab {__version__}\n"
    assert "vae " in run(genlab, "list", "models", cwd=tmp_path)
    assert "run.json" not in run(genlab, "train", "data=digits", "trainer=smoke", "run=mine", cwd=tmp_path)
    assert (tmp_path / "mine/run.json").exists()
    assert "trials" in run(genlab, "search", "--help", cwd=tmp_path)
    python = tmp_path / "tools" / "genlab" / "bin" / "python"
    where_from = "import hydra_plugins.genlab_search as plugin, genlab; print(plugin.__file__, genlab.__file__)"
    assert run(python, "-c", where_from, cwd=tmp_path).count(str(tmp_path / "tools")) == 2


def _has_folder() -> bool:
    command = [sys.executable, "-m", "pip", "config", "get", "global.find-links"]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0
