"""Tables of attributes: kinds of columns, rows of files, and messages for a table that does not fit."""

from pathlib import Path
from typing import Any

import pytest
import torch

from genlab.data.dataset import Dataset
from genlab.kinds import Classes, Number
from genlab.registry import ConfigError
from tests.data.test_folder import draw, read


@pytest.fixture(autouse=True)
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Six images in two folders: a/0.png to a/2.png, b/3.png to b/5.png."""
    monkeypatch.setenv("GENLAB_CACHE", str(tmp_path / "cache"))
    for number in range(6):
        draw(tmp_path / "photos" / "ab"[number // 3] / f"{number}.png", number)
    return tmp_path / "photos"


def table(photos: Path, text: str, **settings: Any) -> Dataset:
    (photos / "attributes.csv").write_text(text, encoding="utf-8")
    return read(photos, labels="attributes.csv", **settings)


def mistake(photos: Path, text: str, **settings: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        table(photos, text, **settings)
    return str(caught.value).replace(f"{photos}/", "")


def lines(*values: str, header: str = "image,Smiling") -> str:
    return "\n".join([header, *(f"{number}.png,{value}" for number, value in enumerate(values))])


def test_the_values_of_a_column_decide_its_kind(photos: Path) -> None:
    rows = ["1,0,0.5,red", "-1,1,2,blue", "1,1,3,red", "-1,0,4,red", "-1,0,-5e1,green", "1,1,6,red"]
    images = table(photos, lines(*rows, header="image,Smiling,Hat,Age,Colour"))
    found = {name: (column.rows.tolist(), column.kind) for name, column in images.attributes.items()}
    assert found == {
        "Smiling": ([1, 0, 1, 0, 0, 1], Classes(("no", "yes"))),
        "Hat": ([0, 1, 1, 0, 0, 1], Classes(("no", "yes"))),
        "Age": ([0.5, 2.0, 3.0, 4.0, -50.0, 6.0], Number()),
        "Colour": ([2, 0, 2, 2, 1, 2], Classes(("blue", "green", "red"))),
    }
    assert images.labels is None


def test_columns_with_names_of_the_data_set_itself_get_a_suffix(photos: Path) -> None:
    rows = [f"{number},{number % 2},c{number % 3},9" for number in range(6)]
    images = table(photos, lines(*rows, header="image,x,y,label,x_attribute"), label="y")
    assert list(images.attributes) == [
        "x_attribute_attribute",
        "y_attribute",
        "label_attribute",
        "x_attribute",
    ]
    assert images.attributes["x_attribute_attribute"].rows.tolist() == [0, 1, 2, 3, 4, 5]
    assert images.attributes["x_attribute"].rows.tolist() == [9] * 6
    assert images.classes == ("no", "yes")
    assert images.labels is not None
    assert images.labels.tolist() == [0, 1, 0, 1, 0, 1]
    assert "x" in images.columns
    assert images.kind.plural == "images"


@pytest.mark.parametrize("order", [range(6), range(5, -1, -1)])
@pytest.mark.parametrize("written", ["{name}", "./{name}", "{bare}", "{back}"])
def test_rows_are_found_by_path_or_bare_name_in_any_order(photos: Path, order: range, written: str) -> None:
    rows = []
    for number in order:
        name = f"{'ab'[number // 3]}/{number}.png"
        rows.append(f"{written.format(name=name, bare=f'{number}.png', back=name.replace('/', chr(92)))},{number}.5")
    images = table(photos, "\n".join(["file,Age", *rows, "elsewhere.png,9"]))
    assert images.attributes["Age"].rows.tolist() == [0.5, 1.5, 2.5, 3.5, 4.5, 5.5]


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_quotes_byte_order_marks_and_other_delimiters_are_read(photos: Path, delimiter: str) -> None:
    text = lines(*(f'"a, {number % 2};\u2028 ""b"""' for number in range(6)))
    text = "\ufeff" + text.replace(".png,", f".png{delimiter}").replace("image,", f"image{delimiter}")
    assert table(photos, text).attributes["Smiling"].kind == Classes(('a, 0;\u2028 "b"', 'a, 1;\u2028 "b"'))


def test_the_format_of_celeba_is_read(photos: Path) -> None:
    rows = [f"{number}.png  {'-1' if number % 2 else ' 1'} -1" for number in range(6)]
    images = table(photos, "\n".join(["6", "Smiling Young ", *rows, ""]), label="Smiling")
    assert list(images.attributes) == ["Smiling", "Young"]
    assert images.attributes["Smiling"].rows.tolist() == [1, 0, 1, 0, 1, 0]
    assert images.classes == ("no", "yes")


def test_names_with_accents_are_found_whether_they_are_composed_or_not(photos: Path) -> None:
    draw(photos / "e\u0301te\u0301.png", 9)
    assert len(table(photos, lines(*"101011") + "\n\u00e9t\u00e9.png,1")) == 7


@pytest.mark.parametrize(
    ("values", "names", "labels"),
    [
        ("yynnyn", ("n", "y"), [1, 1, 0, 0, 1, 0]),
        ("110010", ("no", "yes"), [1, 1, 0, 0, 1, 0]),
        (["10", "9", "10", "9", "9", "10"], ("9", "10"), [1, 0, 1, 0, 0, 1]),
    ],
)
def test_a_column_can_be_the_class(photos: Path, values: Any, names: tuple[str, ...], labels: list[int]) -> None:
    images = table(photos, lines(*values), label="Smiling")
    assert images.classes == names
    assert images.labels is not None
    assert images.labels.dtype == torch.int64
    assert images.labels.tolist() == labels


def test_the_table_may_be_in_another_folder(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (photos.parent / "mine.csv").write_text(lines(*"101010"))
    monkeypatch.chdir(photos.parent)
    for name in ("mine.csv", str(photos.parent / "mine.csv")):
        assert list(read(photos, labels=name).attributes) == ["Smiling"]


def test_another_value_changes_the_fingerprint_without_decoding_again(photos: Path) -> None:
    before = table(photos, lines(*"101010"))
    after = table(photos, lines(*"101011"))
    assert before.columns["x"].file == after.columns["x"].file
    assert before.fingerprint != after.fingerprint


@pytest.mark.parametrize(
    ("text", "settings", "sentence"),
    [
        (
            lines(*"101010"),
            {"label": "Smilling"},
            "attributes.csv has no attribute 'Smilling'. Did you mean 'Smiling'? Available: Smiling",
        ),
        (
            "image,Smiling\nx.jpg,1\ny.jpg,0\n",
            {},
            "The rows of attributes.csv match no file: its rows are for x.jpg, y.jpg, and the files are a/0.png, ",
        ),
        (lines(*"1010"), {}, "attributes.csv has no row for 2 of the 6 images, such as b/4.png, b/5.png."),
        (lines(*"10101", "1,2"), {}, "attributes.csv, line 7: expected 2 values, got 3."),
        (lines(*"101010") + "\n0.png,0", {}, "attributes.csv, line 8: 0.png has a row already."),
        (lines(*"10101", ""), {}, "attributes.csv: 'Smiling' has no value for an image."),
        (lines(*"12345", "nan"), {}, "attributes.csv: 'Smiling' must be finite numbers or choices, got nan or inf."),
        (
            lines(*"10000", "0"),
            {"label": "Smiling"},
            "Every class needs at least two images; these have fewer: yes (1).",
        ),
        (
            lines("0.5", *"12345"),
            {"label": "Smiling"},
            "label must name an attribute with choices or whole numbers, got 'Smiling'.",
        ),
        (lines("1,1", header="image,A,A"), {}, "attributes.csv has two columns named 'A'."),
        ("", {}, "attributes.csv needs a line with the names of its columns, and then one line for each image."),
        ("image,Smiling\n", {}, "attributes.csv needs a line with"),
    ],
)
def test_a_table_that_does_not_fit_is_refused(photos: Path, text: str, settings: dict[str, Any], sentence: str) -> None:
    assert mistake(photos, text, **settings).startswith(sentence)


def test_a_bare_name_that_two_files_have_is_refused(photos: Path) -> None:
    draw(photos / "b" / "0.png", 9)
    expected = "attributes.csv has a row for 0.png, and 2 files have this name. Write their paths instead, such as "
    assert mistake(photos, lines(*"101010")) == f"{expected}a/0.png."


def test_a_table_that_is_not_text_is_refused(photos: Path) -> None:
    (photos / "attributes.csv").write_bytes(b"image,Name\n0.png,\xff\xfe\n")
    with pytest.raises(ConfigError, match="cannot be read: it is not UTF-8"):
        read(photos, labels="attributes.csv")
    assert "cannot be read: field larger than" in mistake(photos, lines("x" * 200_000))
