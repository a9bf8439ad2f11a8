"""Items that a user names: files, data sets and the run's own data."""

from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

import genlab
from genlab.lab.given import given
from tests.fixtures.upscaling import photo


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> genlab.Run:
    folder = tmp_path_factory.mktemp("trained")
    settings: dict[str, Any] = {"trainer": "smoke", "trainer.batch_size": 16, "model.network.hidden": [8]}
    return genlab.train("vae", data="digits", run=folder / "vae", quiet=True, **settings)


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Return a folder with a grey picture of the run's size, a large one in colour, and a text with a wrong name."""
    folder = tmp_path / "pictures"
    (folder / "deeper").mkdir(parents=True)
    Image.new("L", (8, 8), 51).save(folder / "a.png")
    (folder / "b.png").write_text("no picture")
    Image.fromarray(photo(20, 30)).save(folder / "deeper/c.jpg")
    return folder


def test_without_inputs_the_items_are_the_test_data_of_the_run(run: genlab.Run) -> None:
    found = given(run, None)
    rows = run.dataset.splits["test"]
    assert len(found) == len(rows)
    assert torch.equal(found.items, run.dataset.columns["x"].rows[rows].float() / 255)
    assert torch.equal(found.columns["label"], run.dataset.columns["label"].rows[rows])
    few = given(run, None, count=10)
    assert sorted(few.columns["label"].tolist()) == list(range(10))
    assert few.names[0].startswith("digits/test/")


def test_pictures_are_converted_and_the_conversions_are_told(run: genlab.Run, pictures: Path) -> None:
    found = given(run, str(pictures), skip_bad=True)
    assert [Path(name).name for name in found.names] == ["a.png", "c.jpg"]
    assert found.items[0].eq(51 / 255).all()
    assert found.items.shape == (2, 1, 8, 8)
    assert found.notes == (
        "1 of 2 pictures was resized to 8 x 8.",
        "1 of 2 pictures was converted from colour to grey.",
    )
    assert len(found.bad) == 1
    assert "b.png cannot be read: it is none of JPEG, PNG" in found.bad[0]


def test_the_first_bad_file_is_an_error_unless_bad_files_are_left_out(run: genlab.Run, pictures: Path) -> None:
    with pytest.raises(genlab.ConfigError, match=r"b\.png cannot be read"):
        given(run, pictures)
    with pytest.raises(genlab.ConfigError, match="None of the files can be read"):
        given(run, [pictures / "b.png"], skip_bad=True)
    with pytest.raises(genlab.ConfigError, match="cannot be read: No such file"):
        given(run, "nowhere.png")


def test_a_data_set_is_named_and_its_images_are_converted(run: genlab.Run, pictures: Path) -> None:
    found = given(run, ["fashion-mini", str(pictures / "a.png")], count=20)
    assert found.items.shape == (21, 1, 8, 8)
    assert found.names[0].startswith("fashion-mini/test/")
    assert found.columns == {}, "the file has no label"
    assert "images of fashion-mini were converted from images (1x28x28) to images (1x8x8)" in found.notes[0]
    with pytest.raises(genlab.ConfigError, match=r"takes images \(1x8x8\), and data 'ring' holds points"):
        given(run, "ring")


def test_arrays_are_items_too(run: genlab.Run) -> None:
    found = given(run, torch.rand(3, 1, 8, 8))
    assert found.names == ("item 0-0", "item 0-1", "item 0-2")
