"""`genlab translate`: pictures in another domain, and targets of inputs."""

import csv
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

import genlab
from genlab.contract import Translates
from genlab.registry import ConfigError
from tests.fixtures.program import assert_refused, assert_resumed_exactly
from tests.fixtures.program import genlab as program

FACES = {"data": "faces", "data.count": 60, "data.size": 16, "data.validation": 10, "data.test": 20}
TINY = {"model.width": 4, "model.discriminator_width": 4, "model.patch": 16}
SMALL: dict[str, Any] = {"trainer": "smoke", "trainer.batch_size": 8, "quiet": True, **TINY}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with runs of both models, and with pictures."""
    folder = tmp_path_factory.mktemp("trained")
    for name in ("targets", "inputs"):
        (folder / name).mkdir()
        for number in range(20):
            shade = (10 * number, 90, 20) if name == "targets" else (10 * number,) * 3
            Image.new("RGB", (20, 16), shade).save(folder / name / f"{number}.png")
    settings: dict[str, dict[str, Any]] = {
        "hat": {"model": "cyclegan", "model.blocks": 1, **FACES, "data.label": "hat"},
        "colour": {"model": "pix2pix", "model.task": "colorize", **FACES},
        "pairs": {
            "model": "pix2pix",
            "model.task": "pairs",
            "data": "pairs",
            "data.path": str(folder / "targets"),
            "data.input": str(folder / "inputs"),
            "data.size": 16,
            "data.channels": 3,
        },
    }
    for name, more in settings.items():
        genlab.train(run=folder / name, **SMALL, **more)
    return folder


def test_each_item_goes_to_the_other_domain_and_back(trained: Path) -> None:
    run = genlab.load(trained / "hat")
    assert isinstance(run.model, Translates)
    found = run.translate(count=10)
    label = found.given.columns["label"]
    assert label.bincount().tolist() == [5, 5]
    assert torch.allclose(found.translated, run.model.translate(found.rows["input"], 1 - label), atol=1e-6)
    assert torch.allclose(found.rows["and back"], run.model.translate(found.translated, label), atol=1e-6)
    # Of drawn faces the truth is known: those with a hat are drawn without one, all else being equal.
    assert not torch.equal(found.rows["redrawn"], found.rows["input"])
    assert found.means["model"].keys() == found.means["input"].keys() == {"PSNR", "SSIM"}
    only = run.translate(to="hat", count=6)
    assert set(only.given.columns["label"].tolist()) == {0}


def test_files_need_the_class_that_they_are_translated_to(trained: Path, tmp_path: Path) -> None:
    run = genlab.load(trained / "hat")
    with pytest.raises(ConfigError, match="The class of these pictures is not known.*'no hat' or 'hat'"):
        run.translate(trained / "targets")
    with pytest.raises(ConfigError, match="Unknown class 'hut'. Did you mean 'hat'"):
        run.translate(trained / "targets", to="hut")
    out = tmp_path / "out"
    arguments = [str(trained / "targets"), "--to", "hat", "--compare", "--out", str(out)]
    done = program(trained, "translate", "hat", *arguments)
    assert done.returncode == 0, done.stderr
    assert "20 from 'no hat' to 'hat'" in done.stdout
    assert "20 of 20 pictures were resized to 16 x 16." in done.stdout
    assert Image.open(out / "3.png").size == (16, 16)
    assert Image.open(out / "3-compare.png").width > 3 * 128
    assert (out / "sheet.png").exists()


def test_colorize_takes_the_colour_away_and_measures(trained: Path, tmp_path: Path) -> None:
    run = genlab.load(trained / "colour")
    found = run.translate(count=5)
    assert found.rows["input"].shape == (5, 1, 16, 16)
    assert found.translated.shape == found.rows["target"].shape == (5, 3, 16, 16)
    # Files that are grey already can be used as they are, and have no target.
    given = run.translate(trained / "inputs", as_is=True)
    assert given.rows.keys() == {"input", "translated"}
    assert not given.metrics
    with pytest.raises(ConfigError, match="translates in one direction only"):
        run.translate(to="hat")
    assert program(trained, "translate", "colour", "--out", str(tmp_path / "out")).returncode == 0
    with open(tmp_path / "out/metrics.csv", newline="") as file:
        assert len(list(csv.DictReader(file))) == 20


def test_pairs_are_translated_from_the_inputs_to_the_targets(trained: Path) -> None:
    run = genlab.load(trained / "pairs")
    found = run.translate(count=2)
    pixels = run.dataset.columns["y"].rows
    assert all(any(torch.equal((row * 255).round().byte(), other) for other in pixels) for row in found.rows["input"])
    assert "target" in found.rows
    assert run.translate(trained / "inputs").rows.keys() == {"input", "translated"}


def test_a_model_that_cannot_translate_says_what_can(place: Path) -> None:
    assert_refused(program(place, "translate", "outputs/mine"), "cannot translate")


def test_previews_show_input_translation_and_target(trained: Path) -> None:
    for name in ("hat", "colour"):
        assert list((trained / name / "images").glob("translations*")), name


def test_an_evaluation_has_the_baselines(trained: Path) -> None:
    done = program(trained, "evaluate", "colour", "--only", "translate")
    assert done.returncode == 0, done.stderr
    metrics = (genlab.load(trained / "colour").evaluation or {})["last"]["metrics"]
    assert {f"PSNR-{way}" for way in ("translation", "mean_colour", "nearest")} <= metrics.keys()
    assert metrics["PSNR-translation"]["better"] == "higher"


def test_a_resumed_run_ends_with_the_same_past_images(tmp_path: Path) -> None:
    settings = [f"{name}={value}" for name, value in {"model": "cyclegan", **TINY, **FACES}.items()]
    more = ["data.label=hat", "model.blocks=1", "model.past=6", "trainer=smoke", "trainer.batch_size=8", "device=cpu"]
    assert_resumed_exactly(tmp_path, *settings, *more)
    assert int(genlab.load(tmp_path / "two").model.state_dict()["past_first.stored"]) == 6
