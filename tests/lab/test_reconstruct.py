"""`genlab reconstruct`: items beside their reconstructions and beside PCA."""

import csv
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import genlab
from genlab.kinds import Tokens
from genlab.lab.given import given
from genlab.lab.methods import measured
from genlab.lab.reconstruct import reconstruct
from tests.fixtures.program import assert_refused
from tests.fixtures.program import genlab as program

SMALL: dict[str, Any] = {"trainer": "smoke", "trainer.batch_size": 16, "quiet": True}
HIDDEN = {"model.network.hidden": [8]}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with an autoencoder of fashion, one of points, one of a folder of pictures, and a GAN."""
    folder = tmp_path_factory.mktemp("trained")
    (folder / "photos").mkdir()
    for number in range(40):
        Image.new("L", (12, 12), 6 * number).save(folder / "photos" / f"{number}.png")
    settings: dict[str, dict[str, Any]] = {
        "ae": {"model": "ae", "data": "fashion-mini", "model.latent_dim": 5, **HIDDEN},
        "points": {"model": "ae", "data": "ring", "model.output_activation": "none", **HIDDEN},
        "photos-ae": {"model": "ae", "data": folder / "photos", "data.size": 12, **HIDDEN},
        "gan": {"model": "gan", "data": "digits", "model/network": "mlp-small"},
    }
    for name, more in settings.items():
        genlab.train(run=folder / name, **SMALL, **more)
    return folder


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Return a folder with two pictures of one name, one deeper, and between them a file that is no picture."""
    folder = tmp_path / "pictures"
    (folder / "deeper").mkdir(parents=True)
    Image.new("L", (28, 28), 51).save(folder / "a.png")
    Image.new("RGB", (40, 40), "red").save(folder / "a.jpg")
    (folder / "b.png").write_text("no picture")
    Image.new("L", (28, 28), 102).save(folder / "deeper/c.v2.png")
    return folder


def rows(path: Path) -> list[dict[str, str]]:
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def test_each_picture_of_a_folder_gets_its_reconstruction_and_a_bad_one_is_told(
    trained: Path, pictures: Path, tmp_path: Path
) -> None:
    done = program(trained, "reconstruct", "ae", str(pictures), "--out", str(tmp_path / "out"))
    assert done.returncode == 1
    assert "1 file could not be read; the others are done:" in done.stderr
    assert "b.png cannot be read" in done.stderr
    assert "1 of 3 pictures was resized to 28 x 28." in done.stdout
    written = {str(path.relative_to(tmp_path / "out")) for path in (tmp_path / "out").rglob("*.*")}
    assert written == {"sheet.png", "metrics.csv", "a.png.png", "a.jpg.png", "deeper/c.v2.png"}
    expected = genlab.load(trained / "ae").reconstruct(pictures / "deeper/c.v2.png")[0, 0]
    found = np.asarray(Image.open(tmp_path / "out/deeper/c.v2.png"))
    assert np.array_equal(found, expected.mul(255).round().byte().numpy())
    lines = rows(tmp_path / "out/metrics.csv")
    assert [Path(line["item"]).name for line in lines] == ["a.jpg", "a.png", "c.v2.png"]
    error = float((expected - 0.4).square().mean())
    assert float(lines[2]["PSNR-model"]) == pytest.approx(-10 * np.log10(error), abs=1e-3)
    assert 0 < float(lines[2]["SSIM-model"]) < 1


def test_the_baseline_is_the_best_linear_code_of_the_same_length(trained: Path) -> None:
    run = genlab.load(trained / "ae")
    found = reconstruct(run, given(run, None, count=30))
    training = run.dataset.columns["x"].rows[run.dataset.splits["train"]].flatten(1).double() / 255
    centre = training.mean(0)
    directions = torch.linalg.svd(training - centre, full_matrices=False).Vh[:5]
    items = found.given.items.flatten(1).double()
    expected = (centre + (items - centre) @ directions.T @ directions).clamp(0, 1)
    assert torch.allclose(found.found["PCA"].flatten(1).double(), expected, atol=1e-3)
    assert found.notes == (
        f"PCA has 5 components, fitted to {len(training):,} training images, as many as a code has numbers.",
    )
    assert found.means["PCA"]["PSNR"] > found.means["model"]["PSNR"] + 1, "after two steps the model knows nothing"


def test_the_metrics_of_the_table_are_the_means_of_the_file(trained: Path, tmp_path: Path) -> None:
    done = program(trained, "reconstruct", "ae", "--count", "60", "--format", "npz", "--out", str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert "mean of 60 images" in done.stdout
    assert "The sheet shows the first 48 of 60 images." in done.stdout
    lines = rows(tmp_path / "metrics.csv")
    for name in ("model", "PCA"):
        mean = np.mean([float(line[f"PSNR-{name}"]) for line in lines])
        line = next(line for line in done.stdout.splitlines() if f"│ {name} " in line)
        assert float(line.split("│")[2]) == pytest.approx(mean, rel=1e-3)
    run = genlab.load(trained / "ae")
    expected = run.reconstruct(given(run, None, count=60).items)
    arrays = np.load(tmp_path / "reconstructions.npz")["x"]
    assert np.array_equal(arrays, expected.mul(255).round().byte().numpy())
    # Four blocks of an input, a reconstruction and PCA, of twelve columns each.
    assert Image.open(tmp_path / "sheet.png").size == (2 + 12 * 58, 2 + 12 * (15 + 58))


def test_the_same_command_gives_the_same_files(trained: Path, tmp_path: Path) -> None:
    for out in ("one", "two"):
        program(trained, "reconstruct", "ae", "fashion-mini", "--count", "5", "--out", str(tmp_path / out))
    files = sorted(path.relative_to(tmp_path / "one") for path in (tmp_path / "one").rglob("*.*"))
    assert len(files) == 7
    assert all((tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes() for file in files)


def test_in_python_the_inputs_are_also_a_data_set_or_the_test_items(trained: Path) -> None:
    run = genlab.load(trained / "ae")
    pixels = run.dataset.columns["x"].rows[run.dataset.splits["test"]].float() / 255
    expected = run.reconstruct(pixels)
    assert torch.equal(run.reconstruct(), expected)
    assert torch.equal(run.reconstruct("fashion-mini"), expected)


def test_points_are_measured_by_their_squared_error_and_written_as_arrays(trained: Path, tmp_path: Path) -> None:
    done = program(trained, "reconstruct", "points", "--out", str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert {path.name for path in tmp_path.iterdir()} == {"sheet.png", "metrics.csv", "reconstructions.npz"}
    run = genlab.load(trained / "points")
    items = given(run, None, count=200).items
    expected = (run.reconstruct(items) - items).square().mean(1)
    found = [float(line["squared_error-model"]) for line in rows(tmp_path / "metrics.csv")]
    assert found == pytest.approx(expected.tolist(), rel=1e-4)


def test_texts_are_measured_by_the_share_of_equal_symbols() -> None:
    kind = Tokens(("_", "a", "b"), 4)
    truth = torch.tensor([[1, 2, 1, 0], [1, 1, 0, 0], [0, 0, 0, 0], [1, 0, 0, 0]])
    found = torch.tensor([[1, 2, 2, 0], [1, 1, 1, 1], [0, 0, 0, 0], [2, 0, 0, 0]])
    assert measured(kind, found, truth)["equal_symbols"].tolist() == pytest.approx([2 / 3, 1 / 2, 1, 0])


def test_without_the_runs_data_there_is_no_baseline(trained: Path, pictures: Path, tmp_path: Path) -> None:
    shutil.move(trained / "photos", tmp_path / "moved")
    arguments = ("reconstruct", "photos-ae", str(pictures / "a.png"), "--out", str(tmp_path / "out"))
    try:
        done = program(trained, *arguments)
        assert done.returncode == 0, done.stderr
        assert "PCA is left out, because the run's own data cannot be read." in done.stdout
        assert "PSNR-PCA" not in rows(tmp_path / "out/metrics.csv")[0]
        again = program(trained, *arguments, "--data", str(tmp_path / "moved"))
        assert "PCA has 2 components" in again.stdout
    finally:
        shutil.move(tmp_path / "moved", trained / "photos")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["gan"], "(gan-digits) cannot reconstruct; it can"),
        (["ae", "empty"], "There are no pictures in empty"),
        (["ae", "--label", "3"], "ae-fashion-mini is not conditional"),
        (["ae", "--count", "0"], "count must be at least 1, got 0."),
        (["ae", "--out", "ae/run.json"], "is not a folder"),
        (["ae", "photos", "--out", "photos/out"], "The folder of the results, photos/out, lies in the folder of"),
        (["ae", "nowhere.png"], "nowhere.png cannot be read: No such file"),
        (["nothing"], "nothing"),
    ],
)
def test_a_mistake_is_a_sentence_and_leaves_no_folder(trained: Path, arguments: list[str], sentence: str) -> None:
    (trained / "empty").mkdir(exist_ok=True)
    before = set(trained.rglob("lab/*"))
    assert_refused(program(trained, "reconstruct", *arguments), sentence)
    assert set(trained.rglob("lab/*")) == before
