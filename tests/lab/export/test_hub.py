"""A folder for the hub opens with genlab.load, and its card carries the protocol of each metric."""

import importlib.util
import json
import shutil
from pathlib import Path

import pytest
import torch
from huggingface_hub import ModelCard

import genlab
from tests.fixtures.program import assert_refused
from tests.fixtures.program import genlab as program
from tests.fixtures.runs_made_up import evaluate

METRICS = {"FD-classifier": (12.5, 0.25, 0.4), "negative_elbo": (99.0, 0.5, None), "odd|<name>": (1.0, None, None)}


@pytest.fixture
def run(trained: Path, tmp_path: Path) -> Path:
    """A copy of the VAE with an evaluation and a fitted prior."""
    copy = Path(shutil.copytree(trained / "vae", tmp_path / "vae"))
    evaluate(copy, METRICS)
    record = json.loads((copy / "evaluation.json").read_text())
    record["last"] |= {"checkpoint": genlab.load(copy).checkpoint_digest}
    (copy / "evaluation.json").write_text(json.dumps(record))
    genlab.load(copy).fit_prior(components=[2], count=0)
    return copy


def test_the_folder_opens_and_samples_like_the_run(run: Path, tmp_path: Path) -> None:
    done = program(tmp_path, "export", "vae", "--format", "hub", "--out", "mine")
    assert done.returncode == 0, done.stderr
    assert "hf upload USER/vae-digits mine" in done.stdout
    assert "license" in done.stdout
    mine, original = genlab.load(tmp_path / "mine"), genlab.load(run)
    assert torch.equal(mine.sample(4, seed=3), original.sample(4, seed=3))
    assert mine.fitted_prior is not None
    assert mine.evaluation is not None
    assert mine.evaluation["last"]["checkpoint"] == mine.checkpoint_digest
    sizes = [sum(file.stat().st_size for file in path.glob("checkpoints/*80.*")) for path in (tmp_path / "mine", run)]
    assert sizes[0] <= sizes[1]
    texts = [path.read_text() for path in (tmp_path / "mine").iterdir() if path.suffix in (".json", ".yaml", ".md")]
    assert not any(str(tmp_path) in text for text in texts)


def test_the_card_carries_the_protocol_of_each_metric(run: Path, tmp_path: Path) -> None:
    found = genlab.load(run).export("hub", out=tmp_path / "mine")
    card = ModelCard.load(found.files["hub"] / "README.md")
    results = {result.metric_name: result for result in card.data.eval_results or []}
    assert set(results) == set(METRICS)
    distance = results["FD-classifier"]
    assert distance.metric_value == 12.5
    assert distance.dataset_name == "fashion-mini"
    assert distance.dataset_split == "test"
    assert distance.metric_args == {
        "std": 0.25,
        "baseline": 0.4,
        "samples": 2000,
        "seeds": [0, 1, 2],
        "features": "classifier",
        "features_digest": "fedcba9876543210",
    }
    assert "12.50 ± 0.2500" in card.text
    assert "seeds: 0, 1, 2" in card.text
    assert "odd\\|&lt;name&gt;" in card.text
    assert 'genlab.load("model")' in card.text


def test_folders_of_the_user_are_not_published(run: Path, tmp_path: Path) -> None:
    config = (run / "config.yaml").read_text()
    (run / "config.yaml").write_text(config.replace("run: ", "run: /home/someone/secret/"))
    found = genlab.load(run).export("hub", out=tmp_path / "mine")
    assert not any("secret" in file.read_text(errors="replace") for file in found.folder.rglob("*") if file.is_file())
    assert "command" not in json.loads((found.folder / "run.json").read_text())


def test_an_existing_folder_and_a_missing_package_are_refused(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = program(tmp_path, "export", "vae", "--format", "hub", "--out", ".")
    assert_refused(done, "is not empty. A folder for the hub must be new")
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "huggingface_hub" else find(name))
    done = program(tmp_path, "export", "vae", "--format", "hub")
    assert_refused(done, "pip install 'genlab[hub]'")
