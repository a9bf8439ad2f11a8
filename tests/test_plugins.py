"""A file of somebody's own: its models, networks and data train, and its mistakes get a sentence."""

from pathlib import Path

import pytest

from tests.program import assert_refused, genlab

DATA = """
import torch
from genlab.data.images import Images, split_off

def stripes(*, count: int) -> Images:
    pixels = (torch.arange(count).view(-1, 1, 1, 1) * 40 + torch.arange(8) * 30).expand(count, 1, 8, 8)
    left, held_out = split_off(count, 4)
    splits = {"train": left, "validation": held_out[:2], "test": held_out[2:]}
    return Images(pixels.to(torch.uint8).contiguous(), splits)

SOURCES = {"stripes": stripes}
"""


@pytest.fixture
def plugin(tmp_path: Path) -> Path:
    """A plugin with data of its own and the recipe beside it."""
    (tmp_path / "own/configs/data").mkdir(parents=True)
    (tmp_path / "own/configs/data/stripes.yaml").write_text("class: stripes\ncount: 40\n")
    (tmp_path / "own/stripes.py").write_text(DATA)
    return tmp_path / "own/stripes.py"


def test_data_of_a_plugin_is_trained_on_and_the_run_goes_on_without_it(tmp_path: Path, plugin: Path) -> None:
    done = genlab(tmp_path, "train", "--plugin", str(plugin), "data=stripes", "trainer=smoke", "run=mine")
    assert done.returncode == 0, done.stderr
    plugin.unlink()
    again = genlab(tmp_path, "resume", "mine", "trainer.steps=3")
    assert again.returncode == 0, again.stderr


def test_a_recipe_of_a_plugin_is_explained_and_completed_from_its_folder(tmp_path: Path, plugin: Path) -> None:
    done = genlab(tmp_path, "train", "--plugin", str(plugin), "data=stripes", "--help")
    assert "stripes" in done.stdout
    assert "data.count=40" in done.stdout


def test_a_plugin_that_changed_since_is_not_mixed_in(tmp_path: Path, plugin: Path) -> None:
    command = ["train", "--plugin", str(plugin), "data=stripes", "trainer=smoke", "run=mine"]
    assert genlab(tmp_path, *command).returncode == 0
    plugin.write_text(DATA + "\n# another\n")
    assert_refused(genlab(tmp_path, *command), "mine was begun with another")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("1 / 0", "does not load: ZeroDivisionError: division by zero"),
        ("def", "does not load: SyntaxError"),
        ("import nowhere_to_be_found", "does not load: ModuleNotFoundError"),
        ("x = 1", "defines none of MODELS, NETWORKS, SOURCES."),
        ("MODELS = {'vae': dict}", "defines MODELS['vae'], a name that genlab has already."),
        ("MODELS = [1]", "MODELS must be a dict"),
    ],
)
def test_a_plugin_that_is_wrong_gets_a_sentence(tmp_path: Path, text: str, sentence: str) -> None:
    (tmp_path / "mine.py").write_text(text)
    assert_refused(genlab(tmp_path, "train", "--plugin", "mine.py", "trainer=smoke"), sentence)
    assert [path.name for path in tmp_path.iterdir() if path.name != "__pycache__"] == ["mine.py"]
