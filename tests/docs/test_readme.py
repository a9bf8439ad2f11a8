"""What README.md tells people to type works, and the model that it shows trains."""

import re
import shlex
import subprocess
from pathlib import Path

import pytest
from PIL import Image

from genlab.extractors import classifier
from tests.fixtures.program import genlab

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
SHORT = ["trainer=smoke", "trainer.epochs=null", "trainer.steps=2"]


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


COMMANDS = [shlex.split(line, comments=True) for block in blocks("sh") for line in block.splitlines()]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where somebody who reads from top to bottom works: with a run to resume, and the files that are shown."""
    place = tmp_path_factory.mktemp("reader")
    (place / "configs/model").mkdir(parents=True)
    for path, (text,) in {"sparse.py": blocks("python"), "configs/model/sparse.yaml": blocks("yaml")}.items():
        (place / path).write_text(text, encoding="utf-8")
    (place / "photos").mkdir()
    for number in range(30):
        Image.new("RGB", (80, 70), (8 * number, 90, 20)).save(place / "photos" / f"{number}.jpg")
    Image.new("RGB", (30, 20), "teal").save(place / "holiday.jpg")
    return place


def shortened(command: list[str]) -> list[str]:
    """The same with a budget of two steps, and of a few images; what takes no time is left as it is."""
    if command[1] == "train" and not {"--help", "--cfg"} & set(command):
        return [*command, *SHORT]
    if command[1] == "evaluate":
        return [*command, "--count", "20", "--images", "20", "--draws", "1"]
    return ["genlab", "resume", "latest", "trainer.steps=3"] if command[1] == "resume" else command


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_of_the_readme_runs(folder: Path, command: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.setattr(classifier, "LEAST_STEPS", 3)
    monkeypatch.setattr(classifier, "EPOCHS", 0)
    if command[0] == "make":
        done = subprocess.run(["make", "-n", *command[1:]], cwd=ROOT, capture_output=True, text=True, check=False)
    else:
        assert command[0] == "genlab"
        done = genlab(folder, *shortened(command)[1:])
    assert done.returncode == 0, done.stderr


def test_the_readme_is_short_and_its_links_and_files_are_there() -> None:
    assert README.count("\n") <= 200
    named = re.findall(r"`((?:genlab|configs|benchmarks|tests)/[\w./]*)`", README)
    named += re.findall(r"\]\(([\w./-]+)\)", README)
    assert named
    assert not [name for name in named if not (ROOT / name).exists() and not re.search(r"/(x|sparse)\.", name)]


def test_the_readme_knows_every_model() -> None:
    listed = set(re.findall(r"^\| `([\w-]+)` \|", README, re.MULTILINE))
    assert listed == {path.stem for path in (ROOT / "configs/model").glob("*.yaml")}
