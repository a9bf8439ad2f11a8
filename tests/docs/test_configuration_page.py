"""Tests of docs/configuration.md: it lists every setting of configs/ with its comment."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]
RECIPE = """# Two players
defaults:
  - network: mlp
  - _self_

class: gan
loss: hinge  # hinge | <other>
optimizers:
  generator:
    lr: 1.0e-3  # the step
  discriminator: {lr: 2.0e-3}
"""


@pytest.fixture(scope="module")
def generator() -> ModuleType:
    """Load the script, which lies beside the docs and belongs to no package."""
    spec = importlib.util.spec_from_file_location("generate_configuration", ROOT / "docs" / "generate_configuration.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    # The decorator of a dataclass looks up the module by name.
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, spec.name, module)
        spec.loader.exec_module(module)
    return module


def test_the_committed_page_is_what_the_generator_gives(generator: ModuleType) -> None:
    current = generator.PAGE.read_text(encoding="utf-8")
    assert current == generator.page(current, generator.generate()), "Run `make configuration` and commit the page."


def test_a_setting_has_its_value_as_written_and_its_comment_or_that_of_another_player(
    generator: ModuleType, tmp_path: Path
) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "gan.yaml").write_text(RECIPE)
    (tmp_path / "train.yaml").write_text("seed: 0  # start of the random numbers\nrun: null\n")
    lines = generator.generate(tmp_path).splitlines()
    assert "Two players" in lines
    assert "Starts from `model/network=mlp`." in lines
    assert [line for line in lines if line.startswith("| `")] == [
        "| `seed` | `0` | start of the random numbers |",
        "| `run` | `null` |  |",
        r"| `model.loss` | `hinge` | hinge \| \<other\> |",
        "| `model.optimizers.generator.lr` | `1.0e-3` | the step |",
        "| `model.optimizers.discriminator.lr` | `2.0e-3` | the step |",
    ]


def test_an_experiment_explains_its_settings_by_the_recipes_that_it_starts_from(
    generator: ModuleType, tmp_path: Path
) -> None:
    for name, text in {
        "train": "seed: 0  # start of the random numbers\n",
        "trainer/default": "steps: 1  # in all\n",
        "model/ae": "size: 2  # of the code\n",
        "experiment/fast": (
            "# @package _global_\n# A short one\ndefaults:\n  - override /model: ae\n"
            "seed: 1\nmodel:\n  size: 3\ntrainer:\n  steps: 9\n"
        ),
    }.items():
        path = tmp_path / f"{name}.yaml"
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    _, _, experiment = generator.generate(tmp_path).partition("### experiment=fast")
    for line in (
        "A short one",
        "| `seed` | `1` | start of the random numbers |",
        "| `model.size` | `3` | of the code |",
        "| `trainer.steps` | `9` | in all |",
    ):
        assert line in experiment.splitlines()


def test_text_above_the_marker_stays(generator: ModuleType) -> None:
    assert generator.page(f"# By hand\n\n{generator.MARKER}\nold\n", "new\n") == (
        f"# By hand\n\n{generator.MARKER}\n\nnew\n"
    )
    with pytest.raises(SystemExit, match="must contain this line"):
        generator.page("# By hand\n", "new\n")
