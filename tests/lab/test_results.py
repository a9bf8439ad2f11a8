"""Results of lab commands as files."""

import csv
import wave
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageSequence

from genlab.kinds import Image as ImageKind
from genlab.kinds import Points, Row, Spectrogram, Tokens
from genlab.lab.results import Results
from genlab.registry import ConfigError


def test_items_of_every_kind_become_files_that_people_open(tmp_path: Path) -> None:
    results = Results(tmp_path)
    colour = torch.rand(1, 3, 5, 7)
    results.items("x", ["colour"], ImageKind(3, 5, 7), colour, "png")
    read = np.asarray(Image.open(tmp_path / "colour.png"))
    assert np.array_equal(read, colour[0].permute(1, 2, 0).mul(255).round().byte().numpy())
    results.items("x", ["words"], Tokens(("", "a", "b"), 3), torch.tensor([[2, 1, 0]]), "png")
    assert (tmp_path / "words.txt").read_text() == "ba\n"
    sounds = Spectrogram(1, 16, 32, rate=8000)
    results.items("x", ["sound"], sounds, torch.rand(1, 1, 16, 32), "png")
    with wave.open(str(tmp_path / "sound.wav"), "rb") as sound:
        assert (sound.getframerate(), sound.getsampwidth()) == (8000, 2)
        assert sound.getnframes() >= 31 * 200
    assert Image.open(tmp_path / "sound.png").size == (32, 16)
    assert len(results.written) == 4


def test_arrays_keep_images_as_bytes_and_other_items_as_they_are(tmp_path: Path) -> None:
    results = Results(tmp_path)
    points = torch.randn(4, 2)
    results.items("points", [], Points(2), points, "npz", label=torch.arange(4))
    results.items("images", [], ImageKind(1, 2, 2), torch.tensor([[[[0.0, 1.0], [0.5, 2.0]]]]), "npz")
    assert np.array_equal(np.load(tmp_path / "points.npz")["x"], points.numpy())
    assert np.load(tmp_path / "points.npz")["label"].tolist() == [0, 1, 2, 3]
    assert np.load(tmp_path / "images.npz")["x"].tolist() == [[[[0, 255], [128, 255]]]]


def test_an_animation_plays_forwards_and_backwards(tmp_path: Path) -> None:
    frames = [Image.new("L", (4, 4), value) for value in (0, 100, 200)]
    path = Results(tmp_path).animation("path", frames, seconds=0.2)
    with Image.open(path) as shown:
        values = []
        for frame in ImageSequence.Iterator(shown):
            values.append(frame.convert("L").getpixel((0, 0)))
    assert values == [0, 100, 200, 100]


def test_a_table_is_read_by_programs_and_nothing_is_overwritten(tmp_path: Path) -> None:
    results = Results(tmp_path)
    first = results.table("metrics", ["name", "PSNR"], [["a,b.png", 20.5]])
    assert list(csv.reader(first.open())) == [["name", "PSNR"], ["a,b.png", "20.5"]]
    assert results.table("metrics", ["name", "PSNR"], [["a,b.png", 20.5]]) == first
    assert results.table("metrics", ["name", "PSNR"], [["c.png", 1]]).name == "metrics-2.csv"


def test_the_report_names_few_files_and_counts_many(tmp_path: Path) -> None:
    said = list[str]()
    results = Results(tmp_path / "out", said.append)
    kind, rows = ImageKind(1, 2, 2), [Row("", torch.rand(2, 1, 2, 2))]
    results.sheet("sheet", kind, rows)
    results.report()
    results.items("x", [f"{number:02}" for number in range(20)], kind, torch.rand(20, 1, 2, 2), "png")
    results.report()
    assert said == [f"In {tmp_path}/out: sheet.png", f"In {tmp_path}/out: sheet.png, 00.png, 01.png, and 18 more"]


def test_a_folder_that_cannot_be_written_is_refused_before_the_work(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(ConfigError, match="is not a folder"):
        Results(tmp_path / "file" / "out")
    assert Results(tmp_path / "new").folder.exists() is False
