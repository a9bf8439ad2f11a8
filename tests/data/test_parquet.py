"""Parquet files as Hugging Face's hub has them: columns, class names, splits, damage, and what is refused."""

import io
import json
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from genlab.data import SOURCES
from genlab.data.dataset import SPLITS, Dataset
from genlab.data.files import first_pass
from genlab.data.files.decode import Bytes, Source, Style, decode
from genlab.kinds import Classes, Number
from genlab.registry import ConfigError
from tests.fixtures.files import assert_splits_part
from tests.fixtures.program import assert_refused, genlab

SETTINGS: dict[str, Any] = {
    "size": 8,
    "crop": "center",
    "channels": "auto",
    "background": "white",
    "image": "auto",
    "label": "auto",
    "validation": 0.1,
    "test": 0.1,
    "tolerate": 0.01,
}
NAMES = ("cat", "dog", "bird")


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GENLAB_CACHE", str(tmp_path / "cache"))


def pixels_of(number: int) -> NDArray[np.uint8]:
    return np.random.default_rng(number).integers(0, 256, (8, 8, 3), dtype=np.uint8)


def png(number: int, mode: str = "RGB") -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels_of(number)).convert(mode).save(file, "png")
    return file.getvalue()


def images(numbers: range, mode: str = "RGB") -> pa.Array:
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    return pa.array([{"bytes": png(number, mode), "path": f"{number}.png"} for number in numbers], kind)


def save(path: Path, columns: dict[str, Any], features: dict[str, Any] | None = None, group: int = 10) -> None:
    """Write a file as the library `datasets` does: its features are in the metadata of the schema."""
    table = pa.table(columns)
    if features is not None:
        noted = {"info": {"features": features}}
        table = table.replace_schema_metadata({"huggingface": json.dumps(noted)})
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path, row_group_size=group)


def as_on_the_hub(path: Path, numbers: range, **more: Any) -> None:
    """Write images of three classes, in the order cat, dog, bird."""
    features = {"image": {"_type": "Image"}, "label": {"_type": "ClassLabel", "names": list(NAMES)}}
    columns = {"image": images(numbers), "label": pa.array([number % 3 for number in numbers], pa.int64())}
    save(path, columns | more, features)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Sixty training images in two files, and twelve test images."""
    folder = tmp_path / "set"
    as_on_the_hub(folder / "data/train-00000-of-00002.parquet", range(40))
    as_on_the_hub(folder / "data/train-00001-of-00002.parquet", range(40, 60))
    as_on_the_hub(folder / "data/test-00000-of-00001.parquet", range(60, 72))
    return folder


def read(path: Path, **settings: Any) -> Dataset:
    return SOURCES["parquet"](path=str(path), **SETTINGS | settings)


def mistake(path: Path | str, **settings: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        SOURCES["parquet"](path=str(path), **SETTINGS | settings)
    return str(caught.value)


def numbers_in(dataset: Dataset, split: str) -> list[int]:
    """The images of a split, by their pixels."""
    known = {pixels_of(number).transpose(2, 0, 1).tobytes(): number for number in range(100)}
    return [known[dataset.columns["x"].rows[row].numpy().tobytes()] for row in dataset.splits[split].tolist()]


def test_images_labels_and_splits_are_those_of_the_files(place: Path) -> None:
    dataset = read(place)
    assert dataset.kind.shape == (3, 8, 8)
    assert dataset.classes == NAMES
    assert sorted(numbers_in(dataset, "test")) == list(range(60, 72))
    held_out = numbers_in(dataset, "validation")
    assert 0 < len(held_out) < 20
    assert sorted(held_out + numbers_in(dataset, "train")) == list(range(60))
    assert_splits_part(dataset)
    assert dataset.labels is not None
    for split in SPLITS:
        labels = dataset.labels[dataset.splits[split]].tolist()
        assert labels == [number % 3 for number in numbers_in(dataset, split)]
    assert dataset.columns["x"].file
    assert dataset.columns["x"].file.read_bytes() == dataset.columns["x"].rows.numpy().tobytes()


def test_the_same_images_as_files_give_the_same_pixels(place: Path, tmp_path: Path) -> None:
    as_on_the_hub(tmp_path / "one.parquet", range(30))
    for number in range(30):
        (tmp_path / "files").mkdir(exist_ok=True)
        (tmp_path / "files" / f"{number:02}.png").write_bytes(png(number))
    settings = {name: value for name, value in SETTINGS.items() if name not in ("image", "label")}
    settings |= {"size": 9, "crop": "none", "labels": None, "label": None}
    files = SOURCES["folder"](path=str(tmp_path / "files"), **settings)
    rows = read(tmp_path / "one.parquet", size=9, crop="none", label=None)
    assert torch.equal(files.columns["x"].rows, rows.columns["x"].rows)
    assert rows.labels is None
    assert files.contents == rows.contents
    assert all(torch.equal(files.splits[name], rows.splits[name]) for name in SPLITS)


@pytest.mark.parametrize(
    ("name", "split"),
    [
        ("validation-00000-of-00001.parquet", "validation"),
        ("val.parquet", "validation"),
        ("plain_text/dev/0000.parquet", "validation"),
        ("default/test/0003.parquet", "test"),
        ("my-set-eval.parquet", "test"),
        ("extra-00000-of-00001.parquet", "train"),
        ("train_test.parquet", "train"),
        ("latest/testament.pq", "train"),
    ],
)
def test_the_name_of_a_file_says_its_split(place: Path, name: str, split: str) -> None:
    (place / "data/test-00000-of-00001.parquet").unlink()
    as_on_the_hub(place / name, range(72, 84))
    dataset = read(place, validation=0.0, test=0.0)
    assert set(range(72, 84)) <= set(numbers_in(dataset, split))
    assert len(dataset.splits["train"]) == (72 if split == "train" else 60)


def test_files_without_a_split_are_split_by_content(tmp_path: Path) -> None:
    as_on_the_hub(tmp_path / "set/a.parquet", range(40))
    before = read(tmp_path / "set")
    assert_splits_part(before)
    tested = set(numbers_in(before, "test"))
    as_on_the_hub(tmp_path / "set/0.parquet", range(40, 80))
    assert tested <= set(numbers_in(read(tmp_path / "set"), "test"))


def test_one_file_is_split_whatever_its_name(place: Path) -> None:
    dataset = read(place / "data/test-00000-of-00001.parquet")
    assert_splits_part(dataset)
    assert sorted(number for split in SPLITS for number in numbers_in(dataset, split)) == list(range(60, 72))


def test_hidden_folders_are_skipped_and_links_are_followed(place: Path, tmp_path: Path) -> None:
    shutil.move(place / "data", tmp_path / "blobs")
    (place / "data").symlink_to(tmp_path / "blobs")
    as_on_the_hub(place / ".cache/huggingface/train.parquet", range(80, 90))
    assert len(read(place)) == 72


@pytest.mark.parametrize("form", ["bytes", "large", "struct"])
@pytest.mark.parametrize("name", ["img", "anything"])
def test_images_are_found_whatever_their_form_and_their_column(tmp_path: Path, form: str, name: str) -> None:
    kinds = {"bytes": pa.binary(), "large": pa.large_binary(), "struct": pa.struct([("bytes", pa.large_binary())])}
    values = [{"bytes": png(number)} if form == "struct" else png(number) for number in range(12)]
    save(tmp_path / "set.parquet", {name: pa.array(values, kinds[form]), "text": [f"a {n}" for n in range(12)]})
    dataset = read(tmp_path / "set.parquet")
    assert len(dataset) == 12
    assert set(dataset.columns) == {"x"}


@pytest.mark.parametrize(
    ("values", "names", "numbers"),
    [
        (["b", "a", "b", "c"], ("a", "b", "c"), [1, 0, 1, 2]),
        ([7, 3, 7, 10], ("3", "7", "10"), [1, 0, 1, 2]),
        ([True, False, True, True], ("no", "yes"), [1, 0, 1, 1]),
        (pa.array(["b", "a", "b", "c"]).dictionary_encode(), ("a", "b", "c"), [1, 0, 1, 2]),
    ],
)
def test_labels_without_names_are_texts_or_whole_numbers(
    tmp_path: Path, values: Any, names: tuple[str, ...], numbers: list[int]
) -> None:
    column = pa.chunked_array([values] * 6) if isinstance(values, pa.Array) else values * 6
    save(tmp_path / "set.parquet", {"image": images(range(24)), "Label": column})
    dataset = read(tmp_path / "set.parquet")
    assert dataset.classes == names
    assert dataset.labels is not None
    assert dataset.labels.tolist() == numbers * 6


def test_other_columns_are_attributes_if_they_are_classes_or_numbers(tmp_path: Path) -> None:
    count = 24
    columns = {
        "image": images(range(count)),
        "label": [number % 2 for number in range(count)],
        "age": [number / 4 for number in range(count)],
        "colour": ["red", "green", "blue"] * 8,
        "smiling": [number % 3 == 0 for number in range(count)],
        "breed": pa.array([number % 4 for number in range(count)], pa.int32()),
        "legs": [number % 5 for number in range(count)],
        "id": list(range(count)),
        "caption": [f"a picture of {number}" for number in range(count)],
        "boxes": [[1, 2]] * count,
        "lacking": [None, *range(count - 1)],
        "x": [2.0] * count,
    }
    breeds = {"_type": "ClassLabel", "names": ["w", "x", "y", "z"]}
    save(tmp_path / "set.parquet", columns, {"breed": breeds, "image": {"_type": "Image"}})
    dataset = read(tmp_path / "set.parquet", label="label")
    kinds = {name: column.kind for name, column in dataset.attributes.items()}
    assert kinds == {
        "age": Number(),
        "colour": Classes(("blue", "green", "red")),
        "smiling": Classes(("no", "yes")),
        "breed": Classes(("w", "x", "y", "z")),
        "legs": Number(),
        "x_attribute": Number(),
    }
    assert dataset.attributes["colour"].rows.tolist() == [2, 1, 0] * 8
    assert dataset.attributes["age"].rows.tolist() == columns["age"]
    assert read(tmp_path / "set.parquet").classes == ("w", "x", "y", "z")


# Damage.


def test_rows_that_cannot_be_used_count_like_bad_files(tmp_path: Path) -> None:
    values = [png(number) for number in range(20)]
    labels = [number % 2 for number in range(20)]
    columns = {"image": pa.array([*values[:6], None, b"no image", b"", *values[9:]], pa.binary()), "label": labels}
    save(tmp_path / "set/train.parquet", columns)
    assert mistake(tmp_path / "set").startswith(
        f"3 of the 20 rows in {tmp_path}/set cannot be used, more than tolerate=0.01 of them:"
    )
    dataset = read(tmp_path / "set", tolerate=0.2)
    assert [line.partition(":")[0] for line in dataset.bad_files] == [f"train.parquet, row {row}" for row in (6, 7, 8)]
    assert "it holds no bytes of an image" in dataset.bad_files[0]
    assert dataset.labels is not None
    assert dataset.labels.tolist() == labels[:6] + labels[9:]
    assert dataset.columns["x"].rows[6].numpy().tobytes() == pixels_of(9).transpose(2, 0, 1).tobytes()


def test_a_damaged_group_of_rows_costs_its_own_rows(place: Path) -> None:
    file = place / "data/train-00000-of-00002.parquet"
    sizes = pq.ParquetFile(file).metadata.row_group(2).column(0)
    data = bytearray(file.read_bytes())
    start = sizes.dictionary_page_offset or sizes.data_page_offset
    data[start : start + sizes.total_compressed_size] = bytes(sizes.total_compressed_size)
    file.write_bytes(data)
    dataset = read(place, tolerate=0.5)
    assert [line.partition(":")[0] for line in dataset.bad_files] == [
        f"data/train-00000-of-00002.parquet, row {row}" for row in range(20, 30)
    ]
    known = sorted(number for split in SPLITS for number in numbers_in(dataset, split))
    assert known == [*range(20), *range(30, 72)]


@pytest.mark.parametrize(
    ("contents", "sentence"),
    [
        (b"no table", "bad.parquet is no Parquet file or is damaged: "),
        (
            b"version https://git-lfs.github.com/spec/v1\noid",
            "bad.parquet holds only a pointer of Git LFS, not the data.",
        ),
    ],
)
def test_a_file_that_is_no_table_is_refused(place: Path, contents: bytes, sentence: str) -> None:
    (place / "bad.parquet").write_bytes(contents)
    assert sentence in mistake(place)


# The cache.


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """The images that are decoded from now on."""
    found: list[bytes] = []

    def noting(source: Source, style: Style) -> Bytes:
        assert isinstance(source, bytes)
        found.append(source)
        return decode(source, style)

    monkeypatch.setattr(first_pass, "decode", noting)
    return found


def test_a_warm_cache_decodes_nothing_and_a_new_file_only_its_rows(place: Path, decoded: list[bytes]) -> None:
    first = read(place)
    assert len(decoded) == 72
    assert torch.equal(read(place, label=None).columns["x"].rows, first.columns["x"].rows)
    assert len(decoded) == 72
    as_on_the_hub(place / "data/more.parquet", range(72, 80))
    again = read(place)
    assert decoded[72:] == [png(number) for number in range(72, 80)]
    known = sorted(number for split in SPLITS for number in numbers_in(again, split))
    assert known == list(range(80))


def test_an_interrupted_first_pass_is_continued(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, decoded: list[bytes]
) -> None:
    def interrupted(source: Source, style: Style) -> Bytes:
        if source == png(35):
            raise KeyboardInterrupt
        return decode(source, style)

    with monkeypatch.context() as patch:
        patch.setattr(first_pass, "decode", interrupted)
        with pytest.raises(KeyboardInterrupt):
            read(place)
    found = read(place)
    # The test images come first, because the files are in the order of their names.
    assert decoded == [png(number) for number in range(35, 60)]
    monkeypatch.setenv("GENLAB_CACHE", str(tmp_path / "fresh"))
    expected = read(place)
    assert torch.equal(found.columns["x"].rows, expected.columns["x"].rows)
    assert found.fingerprint == expected.fingerprint


def test_groups_of_rows_that_are_known_are_not_read(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    groups: list[int] = []
    whole = pq.ParquetFile.iter_batches

    def noting(self: Any, *arguments: Any, **options: Any) -> Any:
        groups.extend(options["row_groups"])
        return whole(self, *arguments, **options)

    monkeypatch.setattr(pq.ParquetFile, "iter_batches", noting)
    from genlab.data.files.arrow import Files, Rows
    from genlab.data.files.listing import single

    files = Files.read(single(place / "data/train-00000-of-00002.parquet"))
    rows = Rows(files, files.fields["image"])
    assert list(rows.opened([3, 4, 38])) == [png(3), png(4), png(38)]
    assert groups == [0, 3]


# Refusals.


def test_a_name_of_the_hub_gives_the_command_that_downloads_it(tmp_path: Path) -> None:
    command = "hf download ylecun/mnist --repo-type dataset --include '*.parquet' --local-dir ylecun/mnist"
    for name in ("ylecun/mnist", "https://huggingface.co/datasets/ylecun/mnist", "hf://datasets/ylecun/mnist/"):
        assert f"\n{command}\nThen set data.path=ylecun/mnist." in mistake(name)
    for name in (str(tmp_path / "absent"), "./a/b", "~/a/b", "a/b/c", "absent"):
        assert mistake(name) == f"path must name a folder or a Parquet file, and {name} does not exist."


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"image": "imag"}, "has no column 'imag' for data.image. Did you mean 'image'? Available: image (images),"),
        ({"image": "label"}, "data.image must name a column with images, and 'label' holds classes."),
        ({"label": "labl"}, "has no column 'labl' for data.label. Did you mean 'label'?"),
        ({"label": "image"}, "label must name a column with classes, texts or whole numbers; 'image' holds images."),
        ({"size": 7}, "size must be between 8 and 1024, got 7."),
        ({"background": "whit"}, "background must be a colour"),
        ({"validation": 0.5, "test": 0.5}, "that leaves no training images."),
    ],
)
def test_an_impossible_setting_is_refused(place: Path, settings: dict[str, Any], sentence: str) -> None:
    assert sentence in mistake(place, **settings)


def test_columns_that_are_not_clear_are_named(tmp_path: Path) -> None:
    file = tmp_path / "set.parquet"
    two = {"left": images(range(12)), "right": images(range(12))}
    save(file, two)
    assert mistake(file) == "Several columns hold images: left, right. Set data.image=COLUMN to one of them."
    save(file, {"text": ["a", "b"], "n": [1.5, 2.5]})
    assert mistake(file).endswith("holds the bytes of images. Its columns are: text (text), n (numbers).")
    classes = {"_type": "ClassLabel", "names": ["a", "b"]}
    features = {"image": {"_type": "Image"}, "fine": classes, "coarse": classes}
    save(file, {"image": images(range(12)), "fine": [0, 1] * 6, "coarse": [1, 0] * 6}, features)
    assert mistake(file).startswith("Several columns hold classes: fine, coarse. Set data.label=COLUMN")
    assert read(file, label="coarse").classes == ("a", "b")
    save(file, {"image": images(range(12)), "label": [0, 1, -1] * 4}, {"label": classes})
    assert "Column 'label' has no class for 4 of 12 images, such as set.parquet, row 2." in mistake(file)
    assert len(read(file, label=None)) == 12


def test_folders_that_make_no_data_set_are_refused(place: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert mistake(tmp_path / "empty").startswith(f"There is no Parquet file in {tmp_path}/empty (.parquet, .pq).")
    shutil.copytree(place / "data", place / "small")
    assert f"{place} holds several data sets: test-00000-of-00001.parquet is in data, small." in mistake(place)
    for name in ("data", "small"):
        for file in (place / name).glob("train*"):
            file.unlink()
    shutil.move(place / "small/test-00000-of-00001.parquet", place / "small/dev.parquet")
    assert mistake(place).startswith(f"No file in {place} is for training: their names say test, validation.")
    save(tmp_path / "none.parquet", {"image": images(range(0))})
    assert mistake(tmp_path / "none.parquet").startswith("There are no rows")


def test_a_missing_package_is_named(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    assert mistake(place) == "A package is not installed: pyarrow. Run pip install 'genlab[parquet]'."


# Through the program.


def test_the_program_shows_and_trains_on_parquet_files(place: Path, tmp_path: Path) -> None:
    done = genlab(tmp_path, "data", "show", "set", "data.size=8")
    assert done.returncode == 0, done.stderr
    assert "cat 24, dog 24, bird 24" in done.stdout
    assert (tmp_path / "outputs/data/parquet.png").exists()
    recipe = ["model=vae", "data=parquet", "data.path=set", "data.size=8", "trainer=smoke", "trainer.batch_size=8"]
    done = genlab(tmp_path, "train", *recipe, "model.network.hidden=[8]", "run=mine")
    assert done.returncode == 0, done.stderr
    assert_refused(genlab(tmp_path, "train", "data=parquet", "data.path=a/b"), "hf download a/b --repo-type dataset")
