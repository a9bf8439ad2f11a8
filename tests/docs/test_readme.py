"""Everything that the README and the docs tell people to type works."""

import re
import shlex
import subprocess
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from genlab.extractors import classifier
from tests.fixtures.program import genlab

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
PAGES = [README, *sorted((ROOT / "docs").glob("*.md")), *sorted((ROOT / "docs/models").glob("*.md"))]
SHORT = ["trainer=smoke", "trainer.epochs=null", "trainer.steps=2"]


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


def commands(page: Path) -> list[list[str]]:
    return [shlex.split(line, comments=True) for block in blocks(page, "sh") for line in block.splitlines()]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Make the folder of a reader who follows a page from top to bottom, with the files that the pages show."""
    place = tmp_path / "reader"
    (place / "configs/model").mkdir(parents=True)
    (place / "configs/data").mkdir()
    shown = {
        "sparse.py": blocks(README, "python")[0],
        "configs/model/sparse.yaml": blocks(README, "yaml")[0],
        "stripes.py": blocks(ROOT / "docs/data.md", "python")[0],
        "configs/data/stripes.yaml": blocks(ROOT / "docs/data.md", "yaml")[0],
    }
    for name, text in shown.items():
        (place / name).write_text(text, encoding="utf-8")
    (place / "photos").mkdir()
    for number in range(30):
        Image.new("RGB", (80, 70), (8 * number, 90, 20)).save(place / "photos" / f"{number}.jpg")
    Image.new("RGB", (30, 20), "teal").save(place / "holiday.jpg")
    (place / "mnist").mkdir()
    digits = [{"bytes": (place / "photos" / f"{number}.jpg").read_bytes()} for number in range(30)]
    pq.write_table(pa.table({"image": digits, "label": [0, 1] * 15}), place / "mnist/train-00000-of-00001.parquet")
    return place


def shortened(command: list[str]) -> list[str]:
    """Return the same command with a budget of two steps and few images, and without a server or a tracker."""
    if command[1] == "explore":
        return [*command[:3], "--out", "page.html"]
    if command[1] == "export" and "hub" not in command:
        return [*command, "--only", "decode"]
    if command[1] == "track":
        return ["genlab", "track", "--help"]
    if command[1] in ("train", "search") and not {"--help", "--cfg"} & set(command):
        return [*command, *SHORT, *(["search.trials=2"] if command[1] == "search" else [])]
    if command[1] == "evaluate":
        return [*command, "--count", "20", "--images", "20", "--draws", "1"]
    if command[1] == "fit-prior":
        return [*command, "--count", "20"]
    if command[1] == "compare":
        return ["genlab", "compare", "outputs", "--sort", "seconds"]
    return ["genlab", "resume", "latest", "trainer.steps=3"] if command[1] == "resume" else command


# One test a page, because a command uses the runs of those above it.
@pytest.mark.timeout(900)
@pytest.mark.parametrize("page", [page for page in PAGES if commands(page)], ids=lambda page: page.name)
def test_the_commands_of_a_page_run_from_top_to_bottom(
    folder: Path, page: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.setattr(classifier, "LEAST_STEPS", 3)
    monkeypatch.setattr(classifier, "EPOCHS", 0)
    for command in commands(page):
        if command[0] in ("npm", "pip"):
            continue
        if command[0] == "make":
            done = subprocess.run(["make", "-n", *command[1:]], cwd=ROOT, capture_output=True, text=True, check=False)
        else:
            assert command[0] == "genlab"
            done = genlab(folder, *shortened(command)[1:])
        assert done.returncode == 0, f"{' '.join(command)}: {done.stderr}"


def test_the_notebook_example_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    _, example = blocks(README, "python")
    scope: dict[str, object] = {}
    exec(example, scope)
    shapes = {name: tuple(getattr(scope[name], "shape", ())) for name in ("images", "codes", "reconstructions")}
    assert shapes == {"images": (16, 1, 8, 8), "codes": (16, 20), "reconstructions": (16, 1, 8, 8)}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_picture_and_file_is_there(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    linked = re.findall(r"\]\(([\w./-]+)\)", text)
    assert [name for name in linked if not (page.parent / name).exists()] == []
    named = re.findall(r"`((?:genlab|configs|benchmarks|tests)/[\w./]*)`", text)
    assert [
        name for name in named if not (ROOT / name).exists() and not re.search(r"/(x|sparse|stripes)\.", name)
    ] == []


def test_the_readme_knows_every_model() -> None:
    listed = set(re.findall(r"^\| `([\w-]+)` \|", README.read_text(encoding="utf-8"), re.MULTILINE))
    assert listed == {path.stem for path in (ROOT / "configs/model").glob("*.yaml")}
