"""Pairs of images from two folders or from halves, and two folders as two domains."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from genlab.build import build_data
from genlab.config.compose import compose
from genlab.data.dataset import Column, Dataset
from genlab.kinds import Augmentation
from genlab.kinds import Image as ImageKind
from genlab.registry import ConfigError
from tests.fixtures.program import assert_refused, genlab


def picture(seed: int, mode: str = "RGB", width: int = 16) -> Image.Image:
    pixels = np.random.default_rng(seed).integers(0, 256, (16, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels).convert(mode)


@pytest.fixture
def folders(tmp_path: Path) -> Path:
    """Return a folder with 12 targets in colour and their inputs in grey, and the same pairs side by side."""
    for name in ("targets", "inputs", "both"):
        (tmp_path / name / "sub").mkdir(parents=True)
    for number in range(12):
        target, source = picture(number), picture(100 + number, "L")
        name = f"sub/{number}" if number % 2 else f"{number}-a"
        target.save(tmp_path / f"targets/{name}.png")
        source.save(tmp_path / f"inputs/{name}.{'bmp' if number % 3 else 'png'}")
        both = Image.new("RGB", (32, 16))
        both.paste(source, (0, 0))
        both.paste(target, (16, 0))
        both.save(tmp_path / f"both/{name}.png")
    return tmp_path


def built(*settings: str) -> Dataset:
    return build_data(compose([*settings, "data.size=16"]))


def test_files_of_two_folders_are_matched_by_their_names(folders: Path) -> None:
    data = built("data=pairs", f"data.path={folders}/targets", f"data.input={folders}/inputs")
    assert data.kinds == {"x": ImageKind(3, 16, 16), "y": ImageKind(1, 16, 16)}
    targets, sources = (data.columns[key].rows.numpy() for key in "xy")
    found = {row.tobytes(): other.tobytes() for row, other in zip(targets, sources, strict=True)}
    expected = {
        np.asarray(picture(number)).transpose(2, 0, 1).tobytes(): np.asarray(picture(100 + number, "L")).tobytes()
        for number in range(12)
    }
    assert found == expected


def test_halves_side_by_side_are_the_same_pairs_and_can_be_swapped(folders: Path) -> None:
    apart = built("data=pairs", f"data.path={folders}/targets", f"data.input={folders}/inputs", "data.channels=3")
    halves = built("data=pairs", f"data.path={folders}/both")
    swapped = built("data=pairs", f"data.path={folders}/both", "data.left=target")
    for name, other in (("x", "y"), ("y", "x")):
        rows = apart.columns[name].rows
        assert torch.equal(halves.columns[name].rows, rows)
        assert torch.equal(swapped.columns[other].rows, rows)


def test_files_without_a_partner_are_named(folders: Path) -> None:
    for number in range(5):
        picture(number).save(folders / f"inputs/only-{number}.png")
    (folders / "inputs/0-a.png").unlink()
    with pytest.raises(ConfigError) as raised:
        built("data=pairs", f"data.path={folders}/targets", f"data.input={folders}/inputs")
    text = str(raised.value)
    assert f"only in {folders}/targets: 0-a.png" in text
    assert f"only in {folders}/inputs: only-0.png, only-1.png, only-2.png and 2 more" in text


def test_a_pair_with_a_bad_file_is_left_out_whole(folders: Path) -> None:
    (folders / "inputs/2-a.bmp").write_bytes(b"no image")
    data = built("data=pairs", f"data.path={folders}/targets", f"data.input={folders}/inputs", "data.tolerate=0.2")
    assert len(data) == 11
    assert len(data.bad_files) == 1
    lost = np.asarray(picture(2)).transpose(2, 0, 1).tobytes()
    assert lost not in {row.tobytes() for row in data.columns["x"].rows.numpy()}


@pytest.mark.parametrize("residence", ["device", "host"])
def test_both_images_of_a_pair_are_augmented_alike(residence: str) -> None:
    images = torch.randint(0, 256, (20, 3, 9, 9), dtype=torch.uint8)
    column = Column(ImageKind(3, 9, 9), images)
    splits = {"train": torch.arange(20), "validation": torch.arange(0), "test": torch.arange(0)}
    data = Dataset({"x": column, "y": column}, splits)
    changes = Augmentation(flip=True, shift=2, zoom=0.8, jitter=0.3)
    batches = data.batches("train", 10, augmentation=changes, residence=residence)
    plain = data.batches("train", 10)
    for number in range(4):
        batch = batches.batch(number)
        assert torch.equal(batch["x"], batch["y"])
        assert not torch.equal(batch["x"], plain.batch(number)["x"])


def test_two_folders_become_two_classes(folders: Path) -> None:
    data = built("data=domains", f"data.path={folders}/targets", f"data.other={folders}/both")
    assert data.classes == ("targets", "both")
    assert data.labels is not None
    assert data.labels.bincount().tolist() == [12, 12]
    first = {row.tobytes() for row in data.columns["x"].rows[data.labels == 0].numpy()}
    assert first == {np.asarray(picture(number)).transpose(2, 0, 1).tobytes() for number in range(12)}


def test_two_domains_of_different_kinds_are_refused_unless_the_user_says_which(folders: Path) -> None:
    settings = ["data=domains", f"data.path={folders}/targets", f"data.other={folders}/inputs"]
    with pytest.raises(ConfigError, match=r"inputs are grey and those in .*targets are in colour.*data.channels=1"):
        built(*settings)
    assert built(*settings, "data.channels=1").kind == ImageKind(1, 16, 16)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        (["pairs"], "path is not set"),
        (["pairs", "data.path=targets", "data.input=nowhere"], "input must name a folder, and nowhere does not exist"),
        (["pairs", "data.path=targets", "data.input=targets"], "neither of them in the other"),
        (["pairs", "data.path=both", "data.crop=random"], "both images of a pair need the same crop"),
        (["pairs", "data.path=both", "data.left=targets"], "left must be one of input, target, got 'targets'"),
        (["domains", "data.path=targets"], "other is not set"),
        (["domains", "data.path=targets", "data.other=targets/sub"], "neither of them in the other"),
    ],
)
def test_wrong_folders_are_refused(folders: Path, settings: list[str], sentence: str) -> None:
    assert_refused(genlab(folders, "data", "show", *settings), sentence)
