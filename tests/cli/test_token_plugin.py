"""A plugin can bring a kind of data that genlab has no model for: train, sample and measure from one file."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from genlab.build import TABLES
from tests.fixtures import words_plugin
from tests.fixtures.program import genlab


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    place = tmp_path_factory.mktemp("outsider")
    tables = {name: dict(table) for name, table in TABLES.items()}
    for group, text in (
        ("model/letters", "class: letters\nbest: loss\noptimizers: {model: {lr: 0.1}}\n"),
        ("data/words", "class: words\ncount: 100\nlength: 6\n"),
    ):
        file = place / f"configs/{group}.yaml"
        file.parent.mkdir(parents=True)
        file.write_text(text)
    shutil.copy(str(words_plugin.__file__), place / "words.py")
    done = genlab(
        place,
        "train",
        "--plugin",
        "words.py",
        "model=letters",
        "data=words",
        "trainer.steps=2",
        "trainer.batch_size=16",
    )
    assert done.returncode == 0, done.stderr
    assert "look at its texts/. Next:" in done.stdout
    yield place
    for name, table in tables.items():
        TABLES[name].clear()
        TABLES[name].update(table)


def test_features_of_a_plugin_of_the_run_measure_its_samples(folder: Path) -> None:
    few = ("--count", "20", "--draws", "2")
    done = genlab(folder, "evaluate", "latest", *few, "--features", "counts")
    assert done.returncode == 0, done.stderr
    assert "FD-counts" in done.stdout
    done = genlab(folder, "evaluate", "latest", *few)
    assert "No features of genlab take token sequences (6 of 4 symbols). Add an extractor" in done.stdout
    done = genlab(folder, "evaluate", "latest", *few, "--features", "count")
    assert "Unknown features 'count'. Did you mean 'counts'?" in done.stderr


def test_samples_of_token_sequences_are_symbols_that_their_kind_can_decode(folder: Path) -> None:
    import genlab as api

    path = next(folder.glob("outputs/letters-words/*"))
    assert json.loads((path / "run.json").read_text())["state"] == "finished"
    run = api.load(path, trust=True)
    texts = run.kinds["x"].decode(run.sample(3))  # type: ignore[attr-defined]
    assert all(set(text) <= set("abc") for text in texts)
    assert run.score(texts).shape == (3,)
