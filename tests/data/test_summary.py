"""The facts about a data set agree with numpy, and its grid shows the images that it names."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from genlab.data.dataset import Column, Dataset, attribute
from genlab.data.summary import copies, described, moments, picture
from genlab.kinds import Tokens
from tests.fixtures.program import assert_refused, genlab


def splits_of(count: int) -> dict[str, torch.Tensor]:
    """Three splits of equal size."""
    return dict(zip(("train", "validation", "test"), torch.arange(count).split(count // 3), strict=True))


def images(count: int = 90) -> Dataset:
    """Images in colour with classes and attributes; every fifth image is a copy."""
    pixels = torch.randint(0, 256, (count, 3, 9, 7), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    pixels[::5] = pixels[0]
    order = torch.arange(count)
    splits = {"train": order[:-20], "validation": order[-20:-10], "test": order[-10:]}
    attributes = {
        "smile": attribute(order % 2, ("no", "yes")),
        "hair": attribute(order % 3, ("black", "brown", "red")),
        "tilt": attribute(order.float() / 10),
    }
    bad = ("a.png: cut short",)
    return Dataset.of_images(pixels, splits, order % 2, ("left", "right"), attributes, bad_files=bad)


def test_mean_and_std_of_each_channel_agree_with_numpy() -> None:
    column = images(3000).columns["x"]
    expected = column.rows.numpy().astype(np.float64) / 255
    found = moments(column)
    assert found
    assert np.allclose(found[0], expected.mean((0, 2, 3)))
    assert np.allclose(found[1], expected.std((0, 2, 3)))


def test_mean_and_std_of_each_coordinate_of_points_agree_with_numpy() -> None:
    points = torch.randn(2001, 2, generator=torch.Generator().manual_seed(0)) * torch.tensor([2.0, 3.0]) + 1
    found = moments(Dataset.of_points(points, splits_of(2001)).columns["x"])
    assert found
    assert np.allclose(found[0], points.numpy().mean(0), atol=1e-5)
    assert np.allclose(found[1], points.numpy().std(0), atol=1e-5)


def test_copies_are_counted_but_not_the_first_of_them() -> None:
    assert copies(images(90).columns["x"].rows) == 17
    assert copies(torch.arange(100, dtype=torch.uint8).view(100, 1, 1, 1)) == 0


def test_every_fact_is_listed() -> None:
    facts = dict(described(images()))
    assert facts["kind"] == "images (3x9x7)"
    assert facts["images"] == "90"
    assert facts["splits"] == "train 70, validation 10, test 10"
    assert facts["classes"] == "left 45, right 45"
    assert facts["smile"] == "no 45, yes 45"
    assert facts["hair"] == "black 30, brown 30, red 30"
    assert facts["tilt"] == "0 to 8.9, mean 4.45"
    assert facts["copies"] == "17"
    assert "a.png: cut short" in facts["bad files"]
    assert {"mean", "std", "fingerprint"} <= facts.keys()


def test_points_are_described_as_points() -> None:
    facts = dict(described(Dataset.of_points(torch.zeros(9, 2), splits_of(9))))
    assert facts["kind"] == "points (2 numbers each)"
    assert facts["points"] == "9"
    assert facts["mean"] == facts["std"] == "0.0000, 0.0000"
    assert "classes" not in facts


def test_token_sequences_have_no_moments_and_are_drawn_as_text() -> None:
    kind = Tokens((" ", "a", "b"), 4)
    words = Dataset({"x": Column(kind, kind.encode(["ab", "ba", "a"] * 3))}, splits_of(9))
    facts = dict(described(words))
    assert facts["token sequences"] == "9"
    assert facts["copies"] == "6"
    assert not {"mean", "std"} & facts.keys()
    assert (np.asarray(picture(words)) < 128).any()


def test_the_grid_shows_training_images_pixel_by_pixel() -> None:
    some = images()
    sheet = np.asarray(picture(some))
    cell = sheet[8 : 8 + 96, 8 : 8 + 75]
    assert (cell[5::11, 5::11][:9, :7] == some.columns["x"].rows[0].permute(1, 2, 0).numpy()).all()


@pytest.mark.parametrize("dimensions", [1, 2])
def test_points_are_drawn_at_their_places(dimensions: int) -> None:
    points = torch.tensor([[0.0, 0.0], [1.0, 1.0], [1.0, 1.0]])[:, :dimensions]
    sheet = np.asarray(picture(Dataset.of_points(points.contiguous(), splits_of(3))))[:, :, 0]
    dark = sheet < 128
    assert dark[:, -1].any()  # two of three points are at 1
    assert not dark[:, 100:300].any()
    assert dark[-1, 0] if dimensions == 1 else sheet[-1, 0] < 255


def test_the_command_prints_the_facts_and_writes_the_grid(tmp_path: Path) -> None:
    done = genlab(tmp_path, "data", "show", "digits", "data.validation=100")
    assert done.returncode == 0, done.stderr
    assert "validation 100" in done.stdout
    assert (tmp_path / "outputs/data/digits.png").read_bytes().startswith(b"\x89PNG")


def test_a_folder_is_shown_by_its_path(tmp_path: Path) -> None:
    place = tmp_path / "my photos"
    place.mkdir()
    for number in range(12):
        Image.new("RGB", (40, 30), (20 * number, 0, 0)).save(place / f"{number}.png")
    done = genlab(tmp_path, "data", "show", str(place), "data.size=16", "--picture", "grid.png")
    assert done.returncode == 0, done.stderr
    assert "images (3x16x16)" in done.stdout
    assert (tmp_path / "grid.png").exists()


def test_an_unknown_set_and_an_unknown_format_are_refused(tmp_path: Path) -> None:
    assert_refused(genlab(tmp_path, "data", "show", "digitz"), "Unknown data set 'digitz'. Did you mean 'digits'?")
    done = genlab(tmp_path, "data", "show", "digits", "--picture", "grid.nonsense")
    assert_refused(done, "The grid cannot be written to grid.nonsense: ")


@pytest.mark.parametrize("name", ["it's", "a {b}=c [d]", "~nobody"])
def test_a_folder_of_any_name_is_shown(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()
    for number in range(12):
        Image.new("L", (9, 9), 20 * number).save(tmp_path / name / f"{number}.png")
    done = genlab(tmp_path, "data", "show", f"{tmp_path}/{name}", "data.size=8")
    assert done.returncode == 0, done.stderr
    assert "images (1x8x8)" in done.stdout


def test_the_name_of_a_set_goes_before_a_folder_with_that_name(tmp_path: Path) -> None:
    (tmp_path / "digits").mkdir()
    assert "1,797" in genlab(tmp_path, "data", "show", "digits").stdout
    assert_refused(genlab(tmp_path, "data", "show", "./digits"), "There is no image in")
    assert_refused(
        genlab(tmp_path, "data", "show", "./nowhere"), "path must name a folder, and ./nowhere does not exist."
    )
    assert_refused(genlab(tmp_path, "data", "show", "~nobody/x"), "~nobody/x does not exist")
