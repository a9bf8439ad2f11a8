"""Tests of plugins: what they add can be trained, their mistakes are explained, and those of strangers need consent."""

import contextlib
import hashlib
import json
import py_compile
import sys
from pathlib import Path

import pytest

from genlab.config.trust import Trust
from genlab.registry import ConfigError
from tests.fixtures.program import assert_refused, genlab

SMALL = ["model.network.hidden=[8]", "trainer=smoke", "trainer.batch_size=16"]
DATA = """
import torch
from genlab.data.dataset import Dataset, split_off

def stripes(*, count: int) -> Dataset:
    pixels = (torch.arange(count).view(-1, 1, 1, 1) * 40 + torch.arange(8) * 30).expand(count, 1, 8, 8)
    left, held_out = split_off(count, 4)
    splits = {"train": left, "validation": held_out[:2], "test": held_out[2:]}
    return Dataset.of_images(pixels.to(torch.uint8).contiguous(), splits)

SOURCES = {"stripes": stripes}
"""


@pytest.fixture
def plugin(tmp_path: Path) -> Path:
    """Write a plugin with a data source, and a recipe beside it."""
    (tmp_path / "own/configs/data").mkdir(parents=True)
    (tmp_path / "own/configs/data/stripes.yaml").write_text("class: stripes\ncount: 40\n")
    (tmp_path / "own/stripes.py").write_text(DATA)
    return tmp_path / "own/stripes.py"


def test_data_of_a_plugin_can_be_trained_on_and_the_run_resumes_without_the_original_file(
    tmp_path: Path, plugin: Path
) -> None:
    done = genlab(tmp_path, "train", "--plugin", str(plugin), "data=stripes", "trainer=smoke", "run=mine")
    assert done.returncode == 0, done.stderr
    plugin.unlink()
    again = genlab(tmp_path, "resume", "mine", "trainer.steps=3")
    assert again.returncode == 0, again.stderr


def test_help_lists_the_recipes_beside_a_plugin(tmp_path: Path, plugin: Path) -> None:
    done = genlab(tmp_path, "train", "--plugin", str(plugin), "data=stripes", "--help")
    assert "stripes" in done.stdout
    assert "data.count=40" in done.stdout


def test_a_run_is_not_continued_with_a_changed_plugin(tmp_path: Path, plugin: Path) -> None:
    command = ["train", "--plugin", str(plugin), "data=stripes", "trainer=smoke", "run=mine"]
    assert genlab(tmp_path, *command).returncode == 0
    plugin.write_text(DATA + "\n# another\n")
    assert_refused(genlab(tmp_path, *command), "mine was started with another")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("1 / 0", "Cannot load the plugin 'mine.py': ZeroDivisionError: division by zero"),
        ("def", "Cannot load the plugin 'mine.py': SyntaxError"),
        ("import nowhere_to_be_found", "Cannot load the plugin 'mine.py': ModuleNotFoundError"),
        ("x = 1", "defines none of MODELS, NETWORKS, SOURCES, EXTRACTORS."),
        ("MODELS = {'vae': dict}", "defines MODELS['vae'], but genlab has this name already."),
        ("MODELS = [1]", "MODELS must be a dict of names and classes, got [1]."),
        ("MODELS = {'mine': 1}", "MODELS['mine'] must be a class or a function."),
    ],
)
def test_a_mistake_in_a_plugin_is_explained_and_leaves_no_run(tmp_path: Path, text: str, sentence: str) -> None:
    (tmp_path / "mine.py").write_text(text)
    assert_refused(genlab(tmp_path, "train", "--plugin", "mine.py", "trainer=smoke"), sentence)
    assert [path.name for path in tmp_path.iterdir() if path.name != "__pycache__"] == ["mine.py"]


@pytest.fixture
def stranger(tmp_path: Path, plugin: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make a folder with a run, outputs/mine, that contains a plugin of a stranger; running it writes `ran`."""
    plugin.write_text(f"{DATA}\nopen({str(tmp_path / 'ran')!r}, 'a').write('x')\n")
    done = genlab(tmp_path, "train", "--plugin", str(plugin), "data=stripes", *SMALL, "run=outputs/mine")
    assert done.returncode == 0, done.stderr
    (tmp_path / "ran").unlink()
    monkeypatch.setenv("GENLAB_CACHE", str(tmp_path / "cache"))
    return tmp_path


OPENINGS = {
    "evaluate": ["evaluate", "outputs/mine", "--count", "20", "--only", "sample"],
    "resume": ["resume", "outputs/mine", "trainer.steps=3"],
    "start": ["train", "data=digits", *SMALL, "start=outputs/mine", "run=outputs/new"],
    "sweep": ["train", "-m", "seed=1,2", "data=digits", *SMALL, "start=outputs/mine", "run=outputs/new"],
}


@pytest.mark.parametrize(
    "command",
    [
        pytest.param(OPENINGS["evaluate"], marks=pytest.mark.slow),
        OPENINGS["resume"],
        OPENINGS["start"],
        pytest.param(OPENINGS["sweep"], marks=pytest.mark.slow),
    ],
)
def test_a_plugin_of_a_stranger_does_not_run_without_consent(stranger: Path, command: list[str]) -> None:
    file = stranger / "outputs/mine/plugins/stripes.py"
    done = genlab(stranger, *command)
    assert_refused(done, "outputs/mine contains plugins that you have not trained with:")
    assert "outputs/mine/plugins/stripes.py" in done.stderr
    assert hashlib.sha256(file.read_bytes()).hexdigest() in done.stderr
    assert "add --trust to the command." in done.stderr
    assert not (stranger / "ran").exists()
    assert not (stranger / "outputs/new/run.json").exists()
    trusted = genlab(stranger, *command, "--trust")
    assert (trusted.returncode, (stranger / "ran").exists()) == (0, True), trusted.stderr
    # --trust is for one command.
    assert genlab(stranger, "evaluate", "outputs/mine").returncode == 2


def test_upscale_needs_consent_to_run_a_plugin(stranger: Path) -> None:
    facts = stranger / "outputs/mine/run.json"
    kept = json.loads(facts.read_text())
    facts.write_text(json.dumps(kept | {"abilities": ["upscale"]}))
    (stranger / "pic.png").touch()
    assert_refused(
        genlab(stranger, "upscale", "outputs/mine", "pic.png"), "contains plugins that you have not trained with"
    )
    assert not (stranger / "ran").exists()


def test_a_comparison_leaves_out_the_samples_of_an_untrusted_run(stranger: Path) -> None:
    assert genlab(stranger, "train", "data=digits", *SMALL, "run=outputs/other").returncode == 0
    done = genlab(stranger, "compare", "outputs/mine", "outputs/other", "--out", "compared")
    assert done.returncode == 0, done.stderr
    assert "There are no samples of mine: " in done.stdout
    assert "add --trust to the command." in done.stdout
    assert not (stranger / "ran").exists()
    done = genlab(stranger, "compare", "outputs/mine", "outputs/other", "--out", "compared", "--trust")
    assert "There are no samples of" not in done.stdout
    assert (stranger / "ran").exists()


def test_a_plugin_that_the_user_has_trained_with_needs_no_consent(stranger: Path) -> None:
    own = [str(stranger / "own/stripes.py")]
    assert genlab(stranger, "train", "--plugin", *own, "data=stripes", *SMALL, "run=outputs/third").returncode == 0
    for name in ("evaluate", "resume", "start"):
        done = genlab(stranger, *OPENINGS[name])
        assert done.returncode == 0, done.stderr
    (digest,) = json.loads((stranger / "cache/trusted-plugins.json").read_text())
    assert digest == hashlib.sha256((stranger / "own/stripes.py").read_bytes()).hexdigest()
    kept = stranger / "outputs/mine/plugins/stripes.py"
    kept.write_text(kept.read_text() + "# changed\n")
    assert_refused(genlab(stranger, *OPENINGS["evaluate"]), "contains plugins that you have not trained with")


def test_repeating_a_train_command_needs_no_consent(stranger: Path) -> None:
    command = ["train", "--plugin", str(stranger / "own/stripes.py"), "data=stripes", *SMALL, "run=outputs/mine"]
    facts = stranger / "outputs/mine/run.json"
    facts.write_text(facts.read_text().replace('"finished"', '"stopped"'))
    done = genlab(stranger, *command)
    assert done.returncode == 0, done.stderr


def test_bytecode_beside_a_trusted_plugin_does_not_run(stranger: Path) -> None:
    folder = stranger / "outputs/mine/plugins"
    evil = stranger / "evil.py"
    evil.write_text(f"open({str(stranger / 'evil')!r}, 'w')\n" + DATA)
    for suffix in ("", f".{sys.implementation.cache_tag}"):
        place = folder / "__pycache__" / f"stripes{suffix}.pyc"
        py_compile.compile(str(evil), str(place), invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH)
    assert genlab(stranger, *OPENINGS["evaluate"], "--trust").returncode == 0
    assert (stranger / "ran").exists()
    assert not (stranger / "evil").exists()


@pytest.mark.parametrize("answer", [True, False])
def test_the_user_is_asked_once_per_command(tmp_path: Path, answer: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GENLAB_CACHE", str(tmp_path / "cache"))
    asked: list[str] = []

    def ask(question: str) -> bool:
        asked.append(question)
        return answer

    trust = Trust(ask=ask)
    for _ in range(2):
        with contextlib.nullcontext() if answer else pytest.raises(ConfigError, match="add --trust"):
            trust.require(tmp_path, {tmp_path / "p.py": b"x = 1"})
    assert len(asked) == (1 if answer else 2)
    assert "p.py\n    sha256 " in asked[0]
    assert asked[0].endswith("Run it?")
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize("content", [b"", b"[]", b"\xff", b"3"])
def test_a_damaged_list_of_known_plugins_trusts_nothing_and_is_replaced(
    tmp_path: Path, content: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GENLAB_CACHE", str(tmp_path))
    (tmp_path / "trusted-plugins.json").write_bytes(content)
    sources = {tmp_path / "p.py": b"x = 1"}
    with pytest.raises(ConfigError):
        Trust().require(tmp_path, sources)
    Trust().remember(sources)
    Trust().require(tmp_path, sources)


def test_a_cache_that_cannot_be_written_does_not_stop_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("GENLAB_CACHE", str(tmp_path / "file"))
    trust, sources = Trust(), {tmp_path / "p.py": b"x = 1"}
    with pytest.warns(UserWarning, match="so runs with these plugins need --trust"):
        trust.remember(sources)
    trust.require(tmp_path, sources)
