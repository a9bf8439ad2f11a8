"""What is said of a data set is what numpy finds, and its grid shows the images that it names."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from genlab.data.dataset import Attribute, Images
from genlab.data.summary import copies, described, moments, picture
from tests.fixtures.program import assert_refused, genlab


def images(count: int = 90) -> Images:
    """Images in colour of which every fifth is a copy, with classes and attributes."""
    pixels = torch.randint(0, 256, (count, 3, 9, 7), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    pixels[::5] = pixels[0]
    order = torch.arange(count)
    splits = {"train": order[:-20], "validation": order[-20:-10], "test": order[-10:]}
    attributes = {
        "smile": Attribute(order % 2, ("no", "yes")),
        "hair": Attribute(order % 3, ("black", "brown", "red")),
        "tilt": Attribute(order.float() / 10),
    }
    bad = ("a.png: cut short",)
    return Images(pixels, splits, order % 2, ("left", "right"), attributes, bad_files=bad)


def test_mean_and_deviation_are_numpys_by_channel() -> None:
    some = images(3000)
    expected = some.pixels.numpy().astype(np.float64) / 255
    mean, deviation = moments(some.pixels)
    assert np.allclose(mean, expected.mean((0, 2, 3)))
    assert np.allclose(deviation, expected.std((0, 2, 3)))


def test_points_have_moments_of_each_coordinate() -> None:
    points = torch.randn(2000, 1, 1, 2, generator=torch.Generator().manual_seed(0)) * torch.tensor([2.0, 3.0]) + 1
    mean, deviation = moments(points)
    assert np.allclose(mean, points.numpy().mean(0).ravel(), atol=1e-5)
    assert np.allclose(deviation, points.numpy().std(0).ravel(), atol=1e-5)


def test_copies_are_counted_but_not_the_first_of_them() -> None:
    assert copies(images(90).pixels) == 17
    assert copies(torch.arange(100, dtype=torch.uint8).view(100, 1, 1, 1)) == 0


def test_every_fact_is_said() -> None:
    facts = dict(described(images()))
    assert facts["images"] == "90"
    assert facts["shape"].startswith("3 x 9 x 7")
    assert facts["splits"] == "train 70, validation 10, test 10"
    assert facts["classes"] == "left 45, right 45"
    assert facts["smile"] == "no 45, yes 45"
    assert facts["hair"] == "black 30, brown 30, red 30"
    assert facts["tilt"] == "0 to 8.9, mean 4.45"
    assert facts["copies"] == "17"
    assert "a.png: cut short" in facts["bad files"]


def test_the_grid_holds_training_images_pixel_by_pixel() -> None:
    some = images()
    sheet = np.asarray(picture(some))
    cell = sheet[8 : 8 + 96, 8 : 8 + 75]
    assert (cell[5::11, 5::11][:9, :7] == some.pixels[0].permute(1, 2, 0).numpy()).all()


@pytest.mark.parametrize("dimensions", [1, 2])
def test_points_are_drawn_where_they_lie(dimensions: int) -> None:
    points = torch.tensor([[0.0, 0.0], [1.0, 1.0], [1.0, 1.0]])[:, :dimensions].reshape(3, 1, 1, dimensions)
    splits = dict(zip(("train", "validation", "test"), torch.arange(3).split(1), strict=True))
    sheet = np.asarray(picture(Images(points.contiguous(), splits)))[:, :, 0]
    dark = sheet < 128
    assert dark[:, -1].any()  # at 1, where two of three lie
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
    assert "3 x 16 x 16" in done.stdout
    assert (tmp_path / "grid.png").exists()


def test_what_cannot_be_shown_gets_a_sentence(tmp_path: Path) -> None:
    assert_refused(genlab(tmp_path, "data", "show", "digitz"), "No data set is called 'digitz'. Did you mean 'digits'?")
    done = genlab(tmp_path, "data", "show", "digits", "--picture", "grid.nonsense")
    assert_refused(done, "The grid cannot be written to grid.nonsense: ")


@pytest.mark.parametrize("name", ["it's", "a {b}=c [d]", "~nobody"])
def test_a_folder_of_any_name_is_shown(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()
    for number in range(12):
        Image.new("L", (9, 9), 20 * number).save(tmp_path / name / f"{number}.png")
    done = genlab(tmp_path, "data", "show", f"{tmp_path}/{name}", "data.size=8")
    assert done.returncode == 0, done.stderr
    assert "1 x 8 x 8" in done.stdout


def test_the_name_of_a_set_comes_before_a_folder_of_that_name(tmp_path: Path) -> None:
    (tmp_path / "digits").mkdir()
    assert "1,797" in genlab(tmp_path, "data", "show", "digits").stdout
    assert_refused(genlab(tmp_path, "data", "show", "./digits"), "There is no image in")
    assert_refused(genlab(tmp_path, "data", "show", "./nowhere"), "is not there; path must name a folder.")
    assert_refused(genlab(tmp_path, "data", "show", "~nobody/x"), "~nobody/x is not there")
