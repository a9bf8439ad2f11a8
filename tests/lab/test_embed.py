"""`genlab embed`: tables and plots of codes, and their metrics beside PCA of the pixels."""

import csv
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.decomposition import PCA
from sklearn.neighbors import KNeighborsClassifier
from torch import Tensor

import genlab
from genlab.data.dataset import Column
from genlab.kinds import Classes, Number
from genlab.lab.embed import Embedding, Method
from genlab.lab.results import Results
from genlab.lab.scatter import Colours, View, scatter
from genlab.metrics.codes import neighbour_accuracy, trust
from tests.fixtures.program import assert_refused
from tests.fixtures.program import genlab as program

SMALL: dict[str, Any] = {"trainer": "smoke", "trainer.batch_size": 16, "quiet": True}
NO_PRIOR: dict[str, Any] = {"model.fitted_prior": []}
FACES: dict[str, Any] = {"data.size": 16, "data.count": 90, "data.validation": 10, "data.test": 30}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("embedded")
    narrow: dict[str, Any] = {"model.network.hidden": [8]}
    unbounded: dict[str, Any] = {"model.output_activation": "none"}
    mlp: dict[str, Any] = {"model/network": "mlp-small"}
    genlab.train("ae", data="digits", run=folder / "ae", **SMALL, **NO_PRIOR, **narrow)
    genlab.train("vae", data="faces", run=folder / "faces", **SMALL, **FACES, **narrow)
    genlab.train("ae", data="gaussian", run=folder / "points", **SMALL, **NO_PRIOR, **unbounded)
    genlab.train("cgan", data="digits", run=folder / "cgan", **SMALL, **mlp)
    return folder


@pytest.fixture(scope="module")
def ae(trained: Path) -> genlab.Run:
    return genlab.load(trained / "ae")


@pytest.fixture(scope="module")
def faces(trained: Path) -> genlab.Run:
    return genlab.load(trained / "faces")


def read(path: Path) -> list[dict[str, str]]:
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def test_neighbours_vote_as_in_a_search_of_all_pairs() -> None:
    draws = torch.Generator().manual_seed(0)
    train, test = torch.randn(200, 3, generator=draws), torch.randn(50, 3, generator=draws)
    labels, truth = (rows[:, 0] > 0 for rows in (train, test))
    votes = labels[torch.cdist(test, train).topk(15, largest=False).indices].float().mean(1) > 0.5
    accuracy = neighbour_accuracy(train, labels.long(), test, truth.long())
    assert accuracy == pytest.approx(float((votes == truth).float().mean()))
    assert 0.5 < accuracy < 1
    # Fewer training items than neighbours: all of them vote.
    assert neighbour_accuracy(train[:3], torch.tensor([1, 1, 0]), test, torch.ones(50, dtype=torch.int64)) == 1


def test_all_neighbours_of_equal_points_are_kept_and_few_points_have_no_scale() -> None:
    points = torch.randn(60, 4, generator=torch.Generator().manual_seed(1))
    assert trust(points, points) == 1
    mixed = trust(points[torch.randperm(60, generator=torch.Generator().manual_seed(2))], points)
    assert mixed is not None
    assert mixed < 0.8
    assert trust(points[:24], points[:24]) is None


def test_codes_of_two_numbers_are_plotted_as_they_are_beside_pca_of_the_pixels(ae: genlab.Run) -> None:
    found = ae.embed()
    rows, training = ae.dataset.splits["test"], ae.dataset.splits["train"]
    pixels = {name: ae.dataset.columns["x"].rows[split].flatten(1) / 255 for name, split in ae.dataset.splits.items()}
    labels = ae.dataset.labels
    assert labels is not None
    places = [int(name.rpartition("/")[2]) for name in found.given.names]
    assert sorted(places) == rows.tolist()
    assert torch.equal(found.coordinates, found.codes)
    assert [view.title for view in found.views] == ["Codes as they are", "PCA of the pixels"]
    # Every value of the table comes out of scikit-learn, too.
    pca = PCA(2, random_state=0).fit(pixels["train"].numpy())
    items = found.given.items.flatten(1).numpy()
    assert np.allclose(found.baseline.numpy(), pca.transform(items), atol=1e-4)
    codes = ae.encode(ae.dataset.columns["x"].rows[training])
    for name, of_training, of_items in (
        ("code (2 numbers)", codes.numpy(), found.codes.numpy()),
        ("PCA of the pixels (2 numbers)", pca.transform(pixels["train"].numpy()), pca.transform(items)),
    ):
        voting = KNeighborsClassifier(15).fit(of_training, labels[training].numpy())
        expected = voting.score(of_items, labels[places].numpy())
        assert found.metrics[name]["neighbour_accuracy"] == pytest.approx(expected, abs=0.006)
    assert found.metrics["code (2 numbers)"].keys() == {"trustworthiness", "neighbour_accuracy", "probe_accuracy"}
    assert found.notes == ()


@pytest.mark.parametrize(("method", "called"), [("pca", "PCA"), ("tsne", "t-SNE")])
@pytest.mark.parametrize("dimensions", [1, 3])
def test_longer_codes_are_reduced(faces: genlab.Run, method: Method, called: str, dimensions: int) -> None:
    found = faces.embed(method=method, dimensions=dimensions)
    assert found.codes.shape == (30, 20)
    assert found.coordinates.shape == (30, dimensions)
    assert found.views[0].title == f"{called} of the codes (20 numbers)"
    assert len(found.metrics) == 4
    # The table holds what the plot shows: training items were laid out with the items, not without them.
    numbers = "1 number" if dimensions == 1 else "3 numbers"
    shown = trust(found.coordinates, found.given.items)
    assert found.metrics[f"code, {called} ({numbers})"]["trustworthiness"] == shown
    again = faces.embed(method=method, dimensions=dimensions)
    assert torch.equal(again.coordinates, found.coordinates)


def test_the_files_hold_names_labels_attributes_codes_and_coordinates(faces: genlab.Run, tmp_path: Path) -> None:
    found = faces.embed(method="tsne", by="HAIR")
    found.write(Results(tmp_path))
    rows = read(tmp_path / "codes.csv")
    codes, coordinates = [f"code_{n}" for n in range(1, 21)], ["coordinate_1", "coordinate_2"]
    assert list(rows[0]) == ["item", *found.given.kinds, *codes, *coordinates]
    assert {row["hair"] for row in rows} <= {"black", "red", "blond", "grey"}
    assert float(rows[3]["tilt"]) == pytest.approx(float(found.given.columns["tilt"][3]), rel=1e-4)
    written = np.array([[float(row[name]) for name in codes] for row in rows])
    assert np.allclose(written, found.codes.numpy(), rtol=1e-4)
    with np.load(tmp_path / "codes.npz") as arrays:
        assert {"item", "code", "coordinates", *found.given.kinds} == set(arrays)
        assert np.array_equal(arrays["coordinates"], found.coordinates.numpy())
        assert arrays["item"].tolist() == list(found.given.names)
    again = tmp_path / "again"
    faces.embed(method="tsne", by="hair").write(Results(again))
    for name in ("codes.csv", "codes.npz", "embedding.png"):
        assert (again / name).read_bytes() == (tmp_path / name).read_bytes()


def test_tensorboard_finds_the_codes_with_words_and_pictures(faces: genlab.Run, tmp_path: Path) -> None:
    results = Results(tmp_path)
    found = faces.embed()
    found.write(results)
    found.write(results)  # nothing is overwritten
    assert (tmp_path / "projector-2").is_dir()
    folder = tmp_path / "projector"
    config = (folder / "projector_config.pbtxt").read_text()
    assert re.findall(r'tensor_name: "(\w+):', config) == ["codes", "pca"]
    assert list(folder.glob("events.out.tfevents.*")), "TensorBoard shows folders with such a file only"
    tables, words, sprites = (re.findall(rf'{name}_path: "(.+)"', config) for name in ("tensor", "metadata", "image"))
    for place, rows in enumerate((found.codes, found.baseline)):
        assert np.allclose(np.loadtxt(folder / tables[place]), rows.numpy(), atol=1e-5)
        lines = (folder / words[place]).read_text().splitlines()
        assert lines[0].split("\t") == ["item", *found.given.kinds]
        assert len(lines) == 31
        with Image.open(folder / sprites[place]) as sprite:
            assert sprite.size == (6 * 16, 6 * 16)


def test_a_number_colours_the_points_and_has_no_accuracy(faces: genlab.Run, tmp_path: Path) -> None:
    found = faces.embed(by="tilt")
    assert all(values.keys() == {"trustworthiness"} for values in found.metrics.values())
    assert found.notes == ("The attribute tilt is a number and not a class, so no accuracy is measured.",)
    found.write(Results(tmp_path))
    assert (tmp_path / "embedding.png").exists()


def test_unlabelled_items_are_drawn_over_training_items(ae: genlab.Run, tmp_path: Path) -> None:
    found = ae.embed(ae.dataset.columns["x"].rows[:30])
    assert found.colours.own is None
    assert found.colours.training is not None
    assert len(found.colours.training.rows) == len(found.views[0].training)
    assert all(values.keys() == {"trustworthiness"} for values in found.metrics.values())
    assert found.notes == ("The label of the items is not known, so no accuracy is measured.",)
    found.write(Results(tmp_path))
    assert list(read(tmp_path / "codes.csv")[0])[:2] == ["item", "code_1"]
    few = ae.embed(ae.dataset.columns["x"].rows[:3])
    assert few.notes[-1] == "There are too few items to measure trustworthiness."


def test_classes_of_other_data_predict_nothing(ae: genlab.Run) -> None:
    found = ae.embed("fashion-mini", count=30)
    assert found.notes == ("The training items have other classes than the items, so no accuracy is measured.",)
    assert found.colours.classes[0] == "T-shirt/top"


def test_points_are_embedded_and_their_baseline_has_no_more_numbers_than_they_have(trained: Path) -> None:
    found: Embedding = genlab.load(trained / "points").embed(count=100)
    assert list(found.metrics) == ["code (2 numbers)", "PCA of the coordinates (1 number)"]
    assert len(found.views) == 1


@pytest.mark.parametrize("size", [1, 2, 3])
@pytest.mark.parametrize("count", [2, 15, 70])
def test_any_number_of_classes_can_be_drawn(size: int, count: int) -> None:
    draws = torch.Generator().manual_seed(count)
    points = torch.randn(200, size, generator=draws)
    column = Column(
        Classes(tuple(f"a class with a long name {number}" for number in range(count))), classes(200, count)
    )
    chart = scatter([View("one", points, points), View("two", points, points)], Colours("class", column))
    texts = [text.get_text() for text in chart.axes[0].texts]
    legend = chart.axes[1].get_legend()
    # The names of many classes stand among the points, in place of a legend.
    assert (legend is None) == (count > 20)
    assert len(texts) == (count if size > 1 and count > 10 else 0)
    if legend:
        chart.canvas.draw()
        assert legend.get_window_extent().x1 <= chart.bbox.x1


def test_a_number_has_a_colour_bar() -> None:
    points = torch.randn(50, 2, generator=torch.Generator().manual_seed(0))
    chart = scatter([View("one", points, points)], Colours("age", Column(Number(), points[:, 0])))
    assert len(chart.axes) == 2
    assert chart.axes[1].get_ylabel() == "age"


def classes(count: int, most: int) -> Tensor:
    return torch.arange(count) % most


def test_mistakes_are_named(trained: Path, tmp_path: Path) -> None:
    for arguments, sentence in (
        (["faces", "--by", "hiar"], "Unknown attribute 'hiar'. Did you mean 'hair'? Available: background, beard"),
        (["faces", "--dimensions", "0"], "dimensions must be 1, 2 or 3, got 0."),
        (["ae", "--dimensions", "3"], "has 2 numbers: dimensions must be at most that, got 3."),
        (["ae", "--count", "0"], "count must be at least 1, got 0."),
        (["cgan"], "(cgan-digits) cannot encode; it can decode and sample."),
        (["points", "--by", "hair"], "Unknown attribute 'hair'. Available: label"),
        (["ae", "no-such-file.png"], "no-such-file.png"),
    ):
        done = program(trained, "embed", *arguments, "--out", str(tmp_path / "out"))
        assert_refused(done, sentence)
    assert not (tmp_path / "out").exists()
    (tmp_path / "file").touch()
    assert_refused(program(trained, "embed", "ae", "--out", str(tmp_path / "file")), "is not a folder")


def test_a_missing_umap_is_named_with_the_way_to_get_it(ae: genlab.Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("genlab.lab.embed.find_spec", lambda name: None)
    with pytest.raises(genlab.ConfigError, match=r"Run pip install 'genlab\[umap\]'"):
        ae.embed(method="umap")


def test_the_command_prints_the_table_and_writes_into_the_run(trained: Path) -> None:
    done = program(trained, "embed", "ae", "--count", "100")
    assert done.returncode == 0, done.stderr
    assert "PCA of the pixels (2 numbers)" in done.stdout
    assert "genlab board ae/lab/embed-1" in done.stdout
    assert {path.name for path in (trained / "ae/lab/embed-1").iterdir()} == {
        "codes.csv",
        "codes.npz",
        "embedding.png",
        "projector",
    }
