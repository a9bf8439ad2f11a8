"""Published data sets: pixels, labels, names, splits and attributes, read from files in the published formats."""

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from genlab.data import OFFERS, SOURCES
from genlab.data.dataset import SPLITS, Dataset
from genlab.data.files import idx
from genlab.data.files.vision import torchvision
from genlab.kinds import Classes, Number
from genlab.registry import ConfigError
from tests.fixtures import published
from tests.fixtures.files import assert_splits_part, four_arrays, four_files

EMNIST = {"balanced": 47, "byclass": 62, "bymerge": 47, "digits": 10, "letters": 26, "mnist": 10}


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GENLAB_CACHE", str(tmp_path / "cache"))


def read(name: str, root: Path, **settings: Any) -> Dataset:
    images: Dataset = SOURCES[name](root=str(root), **settings)
    assert images.columns["x"].rows.dtype == torch.uint8
    assert images.columns["x"].rows.is_contiguous()
    assert_splits_part(images)
    return images


def mistake(name: str, root: Path, **settings: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        SOURCES[name](root=str(root), **settings)
    return str(caught.value)


def emnist_files(folder: Path, split: str) -> dict[str, torch.Tensor]:
    folder.mkdir(parents=True, exist_ok=True)
    pixels = {
        "train": torch.from_numpy(published.noise(0, 9, 4, 4)),
        "test": torch.from_numpy(published.noise(1, 5, 4, 4)),
    }
    for part, images in pixels.items():
        labels = torch.arange(1, len(images) + 1, dtype=torch.uint8)
        idx.write(folder / f"emnist-{split}-{part}-images-idx3-ubyte.gz", images)
        idx.write(folder / f"emnist-{split}-{part}-labels-idx1-ubyte.gz", labels)
    return pixels


def test_every_published_set_is_a_source_with_a_licence() -> None:
    local = {"fashion-mini", "digits", "shapes", "faces", "gaussian", "photos-mini", "photos", "codes"}
    local |= {"folder", "pairs", "domains", "parquet"}
    assert set(OFFERS) == set(SOURCES) - local
    for offer in OFFERS.values():
        assert offer.licence
        assert offer.megabytes > 0
        assert not offer.here()


@pytest.mark.parametrize("below", ["", "KMNIST/raw"])
def test_kmnist_is_read_from_four_files_of_ten_hiragana(tmp_path: Path, below: str) -> None:
    four_files(tmp_path / below)
    images = read("kmnist", tmp_path, validation=3)
    arrays = list(four_arrays().values())
    assert torch.equal(images.columns["x"].rows[:, 0], torch.cat([arrays[0], arrays[2]]))
    assert images.classes == tuple(torchvision().datasets.KMNIST.classes)
    assert OFFERS["kmnist"].here(tmp_path)


@pytest.mark.parametrize("below", ["", "gzip", "EMNIST/raw", "EMNIST/raw/gzip"])
def test_emnist_is_upright(tmp_path: Path, below: str) -> None:
    pixels = emnist_files(tmp_path / below, "balanced")
    images = read("emnist", tmp_path, split="balanced", validation=2)
    assert torch.equal(images.columns["x"].rows[:, 0], torch.cat([pixels["train"].mT, pixels["test"].mT]))
    assert images.labels is not None
    assert images.labels.tolist() == [*range(1, 10), *range(1, 6)]
    assert [len(images.splits[name]) for name in SPLITS] == [7, 2, 5]


@pytest.mark.parametrize("split", EMNIST)
def test_emnist_has_the_classes_of_its_selection_and_no_empty_one(tmp_path: Path, split: str) -> None:
    emnist_files(tmp_path, split)
    images = read("emnist", tmp_path, split=split, validation=2)
    classes = torchvision().datasets.EMNIST.classes_split_dict[split]
    first = int(classes[0] == "N/A")
    assert images.classes == tuple(classes[first:])
    assert len(images.classes) == EMNIST[split]
    assert images.labels is not None
    assert images.labels.tolist() == [number - first for number in (*range(1, 10), *range(1, 6))]


def test_a_letter_counted_from_0_is_refused(tmp_path: Path) -> None:
    emnist_files(tmp_path, "letters")
    path = tmp_path / "emnist-letters-train-labels-idx1-ubyte.gz"
    idx.write(path, torch.arange(9, dtype=torch.uint8))
    text = mistake("emnist", tmp_path, split="letters", validation=2)
    assert text == f"{path}: labels must be at least 1, got 0."


def test_the_files_of_another_selection_of_emnist_are_not_used(tmp_path: Path) -> None:
    emnist_files(tmp_path, "mnist")
    text = mistake("emnist", tmp_path, split="balanced", validation=2)
    assert "lacks emnist-balanced-train-images-idx3-ubyte" in text
    assert "Fetch gzip.zip from https://biometrics.nist.gov/" in text


CIFAR = [("cifar10", "CIFAR10", "labels", 10), ("cifar100", "CIFAR100", "fine_labels", 100)]


@pytest.mark.parametrize(("name", "kind", "key", "classes"), CIFAR)
def test_cifar_is_read_as_published(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, kind: str, key: str, classes: int
) -> None:
    pixels, labels = published.cifar(tmp_path, monkeypatch, kind, key, classes)
    images = read(name, tmp_path, validation=3)
    assert np.array_equal(images.columns["x"].rows.numpy(), pixels)
    assert images.labels is not None
    assert images.labels.tolist() == labels
    assert images.classes == tuple(f"thing {number}" for number in range(classes))
    assert images.splits["test"].tolist() == list(range(len(pixels) - 6, len(pixels)))
    inner = tmp_path / getattr(torchvision().datasets, kind).base_folder
    assert read(name, inner, validation=3).fingerprint == images.fingerprint
    assert OFFERS[name].here(tmp_path)


@pytest.mark.parametrize("file", ["data_batch_3", "test_batch", "batches.meta"])
def test_a_pickle_that_is_not_the_published_one_is_never_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file: str
) -> None:
    published.cifar(tmp_path, monkeypatch, "CIFAR10", "labels", 10)
    (tmp_path / "cifar-10-batches-py" / file).write_bytes(pickle.dumps(published.Bomb(), protocol=2))
    text = mistake("cifar10", tmp_path, validation=3)
    assert text.startswith(f"A file of CIFAR10 in {tmp_path} is not the published one: its md5 differs.")
    assert "fetch cifar-10-python.tar.gz again from https://www.cs.toronto.edu/" in text


@pytest.mark.parametrize("below", ["", "SVHN"])
def test_svhn_is_read_as_published_with_the_label_0_for_the_digit_0(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, below: str
) -> None:
    arrays = published.svhn(tmp_path / below, monkeypatch)
    for extra, parts in ((False, ("train", "test")), (True, ("train", "extra", "test"))):
        images = read("svhn", tmp_path, extra=extra, validation=3)
        pixels = np.concatenate([arrays[part][0].transpose(3, 2, 0, 1) for part in parts])
        assert np.array_equal(images.columns["x"].rows.numpy(), pixels)
        assert images.labels is not None
        assert images.labels.tolist() == [int(label) % 10 for part in parts for label in arrays[part][1][:, 0]]
        assert images.splits["test"].tolist() == list(range(len(pixels) - len(arrays["test"][1]), len(pixels)))
        assert images.classes == tuple("0123456789")


def test_the_extra_digits_are_needed_only_if_they_are_wanted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    published.svhn(tmp_path, monkeypatch)
    (tmp_path / "extra_32x32.mat").unlink()
    read("svhn", tmp_path, extra=False, validation=3)
    assert f"{tmp_path} lacks extra_32x32.mat" in mistake("svhn", tmp_path, extra=True, validation=3)


def test_a_damaged_matlab_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    published.svhn(tmp_path, monkeypatch)
    (tmp_path / "test_32x32.mat").write_bytes(b"no matlab")
    assert "A file of SVHN" in mistake("svhn", tmp_path, extra=False, validation=3)


def test_stl10_is_upright_and_needs_no_unlabelled_images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    arrays = published.stl10(tmp_path, monkeypatch)
    (tmp_path / "stl10_binary" / "unlabeled_X.bin").unlink()
    images = read("stl10", tmp_path, validation=3)
    assert np.array_equal(images.columns["x"].rows.numpy(), np.concatenate([arrays["train_X"], arrays["test_X"]]))
    assert images.labels is not None
    assert images.labels.tolist() == [*(arrays["train_y"] - 1), *(arrays["test_y"] - 1)]
    assert images.classes[8] == "ship"
    assert images.splits["test"].tolist() == [11, 12, 13, 14]


CELEBA: dict[str, Any] = {"size": 64, "label": None, "tolerate": 0.0}


@pytest.mark.parametrize("below", ["", "celeba"])
def test_celeba_is_the_middle_of_each_face_in_the_published_splits(tmp_path: Path, below: str) -> None:
    parts, _ = published.celeba(tmp_path)
    images = read("celeba", tmp_path / below, **CELEBA)
    assert images.kind.shape == (3, 64, 64)
    colours = torch.tensor([[8 * number, 250 - 8 * number, 128] for number in range(len(parts))])
    # A JPEG is slightly off, and the filter mixes the border into the outermost rows.
    assert (images.columns["x"].rows.int() - colours[:, :, None, None])[:, :, 1:-1].abs().max() <= 3
    assert [images.splits[name].tolist() for name in SPLITS] == [[*range(20)], [*range(20, 25)], [*range(25, 30)]]
    assert images.labels is None
    assert images.columns["x"].file is not None


def test_celeba_has_its_forty_attributes(tmp_path: Path) -> None:
    _, signs = published.celeba(tmp_path)
    images = read("celeba", tmp_path, **CELEBA | {"label": "Smiling"})
    assert tuple(images.attributes) == published.FORTY
    for place, column in enumerate(images.attributes.values()):
        assert column.kind == Classes(("no", "yes"))
        assert column.rows.tolist() == [int(sign > 0) for sign in signs[:, place]]
    assert images.classes == ("no", "yes")
    assert images.labels is not None
    assert torch.equal(images.labels, images.attributes["Smiling"].rows)
    assert images.fingerprint != read("celeba", tmp_path, **CELEBA).fingerprint


def test_an_unknown_attribute_of_celeba_is_refused_with_the_nearest_one(tmp_path: Path) -> None:
    published.celeba(tmp_path)
    assert "Did you mean 'Smiling'?" in mistake("celeba", tmp_path, **CELEBA | {"label": "Smilling"})


def test_a_face_that_is_missing_or_bad_is_named_or_skipped(tmp_path: Path) -> None:
    parts, signs = published.celeba(tmp_path)
    whole = read("celeba", tmp_path, **CELEBA)
    folder = tmp_path / "celeba/img_align_celeba"
    (folder / "000003.jpg").unlink()
    (folder / "000030.jpg").write_bytes(b"no face")
    text = mistake("celeba", tmp_path, **CELEBA)
    assert "000003.jpg: No such file or directory" in text
    assert "000030.jpg: it is none of JPEG" in text
    images = read("celeba", tmp_path, **CELEBA | {"tolerate": 0.1})
    assert len(images) == len(images.attributes["Young"].rows) == 28
    assert torch.equal(images.columns["x"].rows[2], whole.columns["x"].rows[3])
    assert images.attributes["Young"].rows[2] == (signs[3, 39] > 0)
    assert images.splits["test"].tolist() == [24, 25, 26, 27]
    assert len(images.bad_files) == 2


@pytest.mark.parametrize("text", ["", "000001.jpg", "000001.jpg 3", "image_id,partition\n000001.jpg,0"])
def test_a_file_that_is_not_a_partition_is_refused(tmp_path: Path, text: str) -> None:
    published.celeba(tmp_path)
    path = tmp_path / "celeba/list_eval_partition.txt"
    path.write_text(text)
    assert mistake("celeba", tmp_path, **CELEBA).startswith(f"{path} must have lines of an image's name and 0, 1 or 2")


DSPRITES = {"validation": 4, "test": 5}


@pytest.mark.parametrize("below", ["", "dsprites"])
def test_dsprites_are_white_on_black_with_their_factors(tmp_path: Path, below: str) -> None:
    pixels, factors = published.dsprites(tmp_path / below)
    images = read("dsprites", tmp_path, **DSPRITES)
    assert np.array_equal(images.columns["x"].rows[:, 0].numpy(), pixels * 255)
    assert images.classes == ("square", "ellipse", "heart")
    assert images.labels is not None
    assert images.labels.tolist() == [number % 3 for number in range(24)]
    assert torch.equal(images.attributes["shape"].rows, images.labels)
    for column, name in ((2, "scale"), (3, "orientation"), (4, "position_x"), (5, "position_y")):
        assert images.attributes[name].kind == Number()
        assert np.array_equal(images.attributes[name].rows.numpy(), factors[:, column].astype(np.float32))
    assert [len(images.splits[name]) for name in SPLITS] == [15, 4, 5]


def test_dsprites_are_unpacked_once_and_again_if_the_file_changes(tmp_path: Path) -> None:
    published.dsprites(tmp_path)
    first = read("dsprites", tmp_path, **DSPRITES)
    assert first.columns["x"].file is not None
    time = first.columns["x"].file.stat().st_mtime_ns
    again = read("dsprites", tmp_path, **DSPRITES)
    assert again.columns["x"].file is not None
    assert again.columns["x"].file.stat().st_mtime_ns == time
    assert again.fingerprint == first.fingerprint
    assert read("dsprites", tmp_path, **DSPRITES | {"test": 6}).fingerprint != first.fingerprint
    published.dsprites(tmp_path, imgs=np.ones((24, 64, 64), np.uint8))
    other = read("dsprites", tmp_path, **DSPRITES)
    assert other.columns["x"].rows.min() == 255
    assert other.fingerprint != first.fingerprint


@pytest.mark.parametrize(
    ("replaced", "reason"),
    [
        ({"imgs": np.full((24, 64, 64), 2, np.uint8)}, "its pixels must be 0 and 1"),
        ({"imgs": np.ones((23, 64, 64), np.uint8)}, "imgs is 23 x 64 x 64 of uint8, for 24 rows"),
        ({"imgs": np.ones((24, 64, 64), np.int64)}, "of int64"),
        ({"imgs": np.asfortranarray(np.ones((24, 64, 64), np.uint8))}, "imgs is "),
        ({"latents_values": np.ones((24, 5))}, "latents_values has the shape (24, 5)"),
        ({"latents_values": np.full((24, 6), 4.0)}, "its shapes must be 1, 2 and 3"),
        ({"latents_values": np.array([published.Bomb()], dtype=object)}, "allow_pickle"),
    ],
)
def test_an_archive_that_is_not_dsprites_is_refused(tmp_path: Path, replaced: dict[str, Any], reason: str) -> None:
    published.dsprites(tmp_path, **replaced)
    text = mistake("dsprites", tmp_path, **DSPRITES)
    assert text.startswith(f"{tmp_path / published.DSPRITES} is not the published file or is damaged: ")
    assert reason in text


@pytest.mark.parametrize("keep", [0, 100, 5000])
def test_a_damaged_archive_is_refused(tmp_path: Path, keep: int) -> None:
    published.dsprites(tmp_path)
    path = tmp_path / published.DSPRITES
    path.write_bytes(path.read_bytes()[:keep])
    assert "is not the published file or is damaged" in mistake("dsprites", tmp_path, **DSPRITES)
