"""`genlab nearest`: the training items next to samples or pictures, and models that copy them."""

import csv
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from sklearn.neighbors import NearestNeighbors
from torch import Tensor

import genlab
from genlab.lab.results import Results, as_picture
from genlab.metrics.memory import memorises, nearest
from tests.fixtures.program import assert_refused
from tests.fixtures.program import genlab as program

SMALL: dict[str, Any] = {"trainer": "smoke", "trainer.batch_size": 16, "quiet": True}
NO_PRIOR: dict[str, Any] = {"model.fitted_prior": []}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("nearest")
    narrow: dict[str, Any] = {"model.network.hidden": [8]}
    mlp: dict[str, Any] = {"model/network": "mlp-small"}
    genlab.train("vae", data="digits", run=folder / "vae", **SMALL, **narrow)
    genlab.train("ae", data="digits", run=folder / "ae", **SMALL, **NO_PRIOR, **narrow)
    genlab.train("gan", data="gaussian", run=folder / "points", **SMALL)
    genlab.train("cgan", data="digits", run=folder / "cgan", **SMALL, **mlp)
    return folder


@pytest.fixture
def vae(trained: Path) -> genlab.Run:
    return genlab.load(trained / "vae")


def training(run: genlab.Run) -> Tensor:
    rows = run.dataset.columns["x"].rows
    return run.kinds["x"].load(rows[run.dataset.splits["train"]])


def test_the_search_in_blocks_finds_what_a_search_of_all_pairs_finds() -> None:
    draws = torch.Generator().manual_seed(0)
    samples, items = (torch.rand(count, 1, 3, 3, generator=draws) for count in (40, 300))
    found = nearest(samples, items.split(37), 7)
    search = NearestNeighbors(n_neighbors=7, algorithm="brute").fit(items.flatten(1).double().numpy())
    distances, places = search.kneighbors(samples.flatten(1).double().numpy())
    assert found.places.tolist() == places.tolist()
    assert torch.allclose(found.distances, torch.from_numpy(distances) / 3)


def test_neighbours_of_samples_are_found_in_both_spaces(vae: genlab.Run) -> None:
    found = vae.nearest(count=6, neighbours=4)
    assert torch.equal(found.given.items, vae.sample(6))
    items, rows = training(vae), vae.dataset.splits["train"]
    spaces = {"pixels": (found.given.items, items), "code": (vae.encode(found.given.items), vae.encode(items))}
    assert list(found.rows) == ["code", "pixels"]
    for space, (asked, learnt) in spaces.items():
        search = NearestNeighbors(n_neighbors=4, algorithm="brute").fit(learnt.flatten(1).double().numpy())
        distances, places = search.kneighbors(asked.flatten(1).double().numpy())
        assert found.rows[space].tolist() == rows[torch.from_numpy(places)].tolist()
        size = asked[0].numel()
        assert torch.allclose(found.distances[space], torch.from_numpy(distances) / size**0.5, atol=1e-6)
        assert torch.equal(found.neighbours[space], items[torch.from_numpy(places)])
    assert list(found.metrics) == ["256 samples", "256 test items"]


def test_a_model_that_has_memorised_is_found_out(vae: genlab.Run, monkeypatch: pytest.MonkeyPatch) -> None:
    items = training(vae)
    honest = vae.nearest()
    assert honest.notes[-1].endswith("no sign of memorising.")
    monkeypatch.setattr(vae, "sample", lambda count, **settings: items[5 : 5 + count])
    found = vae.nearest(count=4)
    assert found.metrics["256 samples"]["copies"] > 0.9
    assert found.metrics["256 test items"]["copies"] < 0.3
    assert found.metrics["256 test items"] == honest.metrics["256 test items"]
    assert found.distances["pixels"][:, 0].tolist() == [0] * 4
    rows = vae.dataset.splits["train"][5:9].tolist()
    assert found.rows["pixels"][:, 0].tolist() == rows
    assert found.notes[0].startswith(
        f"4 of 4 items are in the training data (distance 0): sample 0 is digits/train/{rows[0]}, "
    )
    assert found.notes[1].endswith("the model has memorised training items.")


def test_the_baseline_decides_what_is_memorising() -> None:
    assert memorises(0.2, 0.05)
    assert not memorises(0.2, 0.1)
    assert not memorises(0.04, 0.0)


def test_given_pictures_that_are_training_items_are_named(vae: genlab.Run, tmp_path: Path) -> None:
    copy, other = tmp_path / "copy.png", tmp_path / "other.png"
    as_picture(training(vae)[7]).save(copy)
    Image.new("L", (8, 8), 255).save(other)
    found = vae.nearest([copy, other], neighbours=2)
    row = int(vae.dataset.splits["train"][7])
    assert found.notes[0] == f"1 of 2 items are in the training data (distance 0): {copy} is digits/train/{row}."
    assert found.distances["pixels"][0, 0] == 0 < found.distances["pixels"][1, 0]
    assert list(found.metrics) == ["2 given items", "256 test items"]
    found.write(Results(tmp_path / "out"))
    with open(tmp_path / "out/nearest.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["item", "space", "rank", "row", "distance", "label"]
    assert [(line["space"], line["rank"]) for line in rows[:4]] == [
        ("code", "1"),
        ("code", "2"),
        ("pixels", "1"),
        ("pixels", "2"),
    ]
    assert rows[2] | {"label": ""} == {
        "item": str(copy),
        "space": "pixels",
        "rank": "1",
        "row": str(row),
        "distance": "0.000000",
        "label": "",
    }
    labels = vae.dataset.labels
    assert labels is not None
    assert rows[2]["label"] == vae.dataset.classes[int(labels[row])]
    with Image.open(tmp_path / "out/nearest.png") as sheet:
        # One item, two gaps and two times two neighbours, seven times as large as 8 pixels.
        assert sheet.width >= 7 * (56 + 2)


def test_the_same_seed_gives_the_same_files(trained: Path, tmp_path: Path) -> None:
    for folder, seed in (("one", "3"), ("two", "3"), ("three", "4")):
        done = program(trained, "nearest", "cgan", "--count", "12", "--seed", seed, "--out", str(tmp_path / folder))
        assert done.returncode == 0, done.stderr
        assert "256 test items" in done.stdout
    for name in ("nearest.csv", "nearest.png"):
        one, two, three = ((tmp_path / folder / name).read_bytes() for folder in ("one", "two", "three"))
        assert one == two != three
    # All classes come in turn, and a model that does not encode is searched in pixels alone.
    lines = (tmp_path / "one/nearest.csv").read_text().splitlines()
    assert lines[1].startswith("sample 0 (0),pixels,1,")
    assert lines[-1].startswith("sample 11 (1),pixels,5,")


def test_points_have_a_table_and_no_share_of_copies(trained: Path, tmp_path: Path) -> None:
    found = genlab.load(trained / "points").nearest(count=3)
    assert list(found.rows) == ["coordinates"]
    assert found.metrics["256 samples"].keys() == {"nearest_training-coordinates"}
    found.write(Results(tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == ["nearest.csv"]


def test_mistakes_are_named(trained: Path, tmp_path: Path) -> None:
    for arguments, sentence in (
        (["ae"], "genlab fit-prior ae; or name items: genlab nearest ae PATHS"),
        (["vae", "--count", "0"], "count must be at least 1, got 0."),
        (["vae", "--neighbours", "0"], "neighbours must be at least 1, got 0."),
        (["vae", "--neighbours", "99999"], "training items, got 99999."),
        (["vae", "nothing.png"], "nothing.png"),
        (["va"], "va"),
    ):
        assert_refused(program(trained, "nearest", *arguments, "--out", str(tmp_path / "out")), sentence)
    assert not (tmp_path / "out").exists()


def test_a_bad_file_among_good_ones_is_left_out(trained: Path, vae: genlab.Run, tmp_path: Path) -> None:
    as_picture(training(vae)[0]).save(tmp_path / "a.png")
    (tmp_path / "b.png").write_bytes(b"no picture")
    done = program(trained, "nearest", "ae", str(tmp_path), "--out", str(tmp_path / "out"))
    assert done.returncode == 1
    assert "1 file could not be read" in done.stderr
    assert "1 of 1 item is in the training data (distance 0)" in done.stdout
    assert (tmp_path / "out/nearest.png").exists()
