"""`genlab detect` and `Run.detect`: planted anomalies are found, thresholds hold, and mistakes are sentences."""

import csv
import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from sklearn.decomposition import PCA
from sklearn.metrics import average_precision_score, roc_auc_score
from sklearn.neighbors import NearestNeighbors

import genlab
from genlab.contract import Reconstructs, home
from genlab.lab.results import Results
from tests.fixtures import words_plugin
from tests.fixtures.program import assert_refused
from tests.fixtures.program import genlab as program

SMALL: dict[str, Any] = {"trainer.steps": 60, "trainer.batch_size": 32, "quiet": True}
NO_PRIOR: dict[str, Any] = {"model.fitted_prior": []}
KEEP: dict[str, Any] = {"data.keep": [0, 1]}
LONG: dict[str, Any] = {"trainer.steps": 400, "model.optimizers.model.lr": 5e-3}
MLP: dict[str, Any] = {"model/network": "mlp-small", "model.latent_dim": 8}
UNBOUNDED: dict[str, Any] = {"model.output_activation": "none"}
WAYS = ("error", "smooth", "code", "combined", "score")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with runs of different abilities and kinds; `ones` knows only two digits."""
    folder = tmp_path_factory.mktemp("trained")
    genlab.train("vae", data="digits", run=folder / "ones", **(SMALL | LONG | MLP | KEEP))
    genlab.train("ae", data="digits", run=folder / "all", **SMALL, **NO_PRIOR, **MLP)
    genlab.train("gan", data="digits", run=folder / "gan", **(SMALL | {"trainer.steps": 2}))
    genlab.train("ae", data="ring", run=folder / "points", **SMALL, **NO_PRIOR, **MLP, **UNBOUNDED)
    return folder


@pytest.fixture(scope="module")
def ones(trained: Path) -> genlab.Run:
    return genlab.load(trained / "ones")


def pictures(folder: Path, run: genlab.Run) -> Path:
    """Write test images into one folder for each class, and a bad file between them."""
    images, labels = run.dataset.columns["x"].rows, run.dataset.labels
    assert labels is not None
    for row in run.dataset.splits["test"][:60].tolist():
        place = folder / ("good" if int(labels[row]) in (0, 1) else "bad") / f"{row}.png"
        place.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(images[row, 0].numpy()).save(place)
    (folder / "bad" / "00.png").write_text("no picture")
    return folder


def table(file: Path) -> list[dict[str, str]]:
    with file.open() as text:
        return list(csv.DictReader(text))


@pytest.mark.parametrize("by", WAYS)
def test_items_of_other_classes_score_higher_in_every_way(ones: genlab.Run, by: str) -> None:
    found = ones.detect(by=by)
    assert len(found.scores) == 360
    assert found.labels is not None
    truth = [label not in ("0", "1") for label in found.labels]
    measured = found.metrics[f"vae-digits by {by}"]
    assert measured["AUROC"] == pytest.approx(roc_auc_score(truth, found.scores))
    assert measured["AUROC"] > 0.8
    assert measured["average_precision"] == pytest.approx(average_precision_score(truth, found.scores))
    assert found.scores[found.order].tolist() == sorted(found.scores.tolist(), reverse=True)
    again = ones.detect(by=by)
    assert torch.equal(found.scores, again.scores)


def test_the_default_is_the_error_of_the_reconstruction(ones: genlab.Run) -> None:
    found = ones.detect()
    assert isinstance(ones.model, Reconstructs)
    with torch.no_grad():
        decoded = ones.model.reconstruct({"x": found.given.items.to(home(ones.model))}).cpu()
    expected = (decoded - found.given.items).square().mean((1, 2, 3))
    assert torch.allclose(found.scores, expected.double(), rtol=1e-5)
    assert found.by == "error"
    assert torch.allclose(ones.detect(by="score").scores, -ones.score(found.given.items).double())


def test_the_baselines_are_those_of_scikit_learn(ones: genlab.Run) -> None:
    found = ones.detect()
    data = ones.dataset
    training = (data.columns["x"].rows[data.splits["train"]].flatten(1) / 255).numpy()
    items = found.given.items.flatten(1).numpy()
    assert len(training) == len(data.splits["train"]) < 300, "only two of ten classes"
    truth = found.anomalous
    pca = PCA(8).fit(training)
    error = ((pca.inverse_transform(pca.transform(items)) - items) ** 2).mean(1)
    nearest = NearestNeighbors(n_neighbors=5).fit(training).kneighbors(items)[0].mean(1)
    assert found.metrics["PCA error"]["AUROC"] == pytest.approx(roc_auc_score(truth, error), abs=1e-3)
    assert found.metrics["5 nearest in pixels"]["AUROC"] == pytest.approx(roc_auc_score(truth, nearest), abs=1e-3)


def test_the_threshold_comes_from_normal_validation_items_and_can_be_used_again(ones: genlab.Run) -> None:
    found = ones.detect(calibrate=0.2)
    count = len(ones.dataset.splits["validation"])
    assert found.calibration is not None
    assert (found.calibration.count, found.calibration.rate) == (count, 0.2)
    above = int((found.validation > found.calibration.threshold).sum())
    assert above == count - math.ceil((count + 1) * 0.8)
    assert found.flagged is not None
    assert found.anomalous is not None
    model = found.metrics["vae-digits by error"]
    assert model["flagged others"] == float(found.flagged[found.anomalous].double().mean())
    assert model["flagged others"] > 0.5 > model["flagged normal"]
    again = ones.detect(threshold=found.threshold)
    assert again.flagged is not None
    assert torch.equal(again.flagged, found.flagged)


def test_the_command_writes_scores_threshold_sheet_and_histogram(trained: Path, tmp_path: Path) -> None:
    done = program(trained, "detect", "ones", "--calibrate", "0.2", "--out", str(tmp_path / "out"))
    assert done.returncode == 0, done.stderr
    assert {file.name for file in (tmp_path / "out").iterdir()} == {
        "scores.csv",
        "threshold.json",
        "sheet.png",
        "histogram.png",
    }
    rows = table(tmp_path / "out" / "scores.csv")
    scores = [float(row["score"]) for row in rows]
    kept = json.loads((tmp_path / "out" / "threshold.json").read_text())
    assert len(rows) == 360
    assert scores == sorted(scores, reverse=True)
    assert {row["flagged"] for row in rows} == {"yes", "no"}
    assert all((row["flagged"] == "yes") == (float(row["score"]) > kept["threshold"]) for row in rows)
    assert kept["rate"] == 0.2
    assert f"{kept['normal_items']} normal validation images" in done.stdout
    assert "5 nearest in pixels" in done.stdout


def test_folders_are_classes_and_a_bad_file_does_not_stop_the_others(trained: Path, tmp_path: Path) -> None:
    folder = pictures(tmp_path / "photos", genlab.load(trained / "ones"))
    out = ("--out", str(tmp_path / "out"))
    done = program(trained, "detect", "ones", str(folder), "--normal", "good", *out)
    assert done.returncode == 1
    assert "1 file could not be read; the others are done:" in done.stderr
    rows = table(tmp_path / "out" / "scores.csv")
    assert len(rows) == 60
    truth = [row["label"] == "bad" for row in rows]
    area = roc_auc_score(truth, [float(row["score"]) for row in rows])
    assert f"{area:.4f}"[:5] in done.stdout
    assert_refused(program(trained, "detect", "ones", str(folder), "--normal", "god"), "Did you mean 'good'?")
    assert program(trained, "detect", "ones", str(folder), "--normal", "GOOD", *out).returncode == 1
    # Without the name of a normal class nothing is measured.
    program(trained, "detect", "ones", str(folder), "--out", str(tmp_path / "plain"))
    assert table(tmp_path / "plain" / "scores.csv")[0].keys() == {"item", "score"}


def test_a_run_of_all_classes_takes_the_normal_ones_and_says_that_it_knows_the_others(trained: Path) -> None:
    run = genlab.load(trained / "all")
    assert run.detect().metrics == {}
    found = run.detect(normal=["3", 5], calibrate=0.2)
    assert found.normal == ("3", "5")
    assert found.calibration is not None
    labels = run.dataset.labels
    assert labels is not None
    rows = run.dataset.splits["validation"]
    assert found.calibration.count == int(torch.isin(labels[rows], torch.tensor([3, 5])).sum())
    assert "all classes. Train on the normal ones with data.keep=[3, 5]." in " ".join(found.notes)


def test_other_data_counts_as_anomalous_as_a_whole(ones: genlab.Run, tmp_path: Path) -> None:
    found = ones.detect("fashion-mini", count=50)
    assert len(found.scores) == 50
    assert found.metrics == {}
    assert "there are no normal items" in " ".join(found.notes)
    found.write(Results(tmp_path))
    assert (tmp_path / "histogram.png").exists()


def test_texts_are_scored_where_the_model_scores(tmp_path: Path) -> None:
    for file, text in (
        ("configs/model/letters.yaml", "class: letters\nbest: loss\noptimizers: {model: {lr: 0.1}}\n"),
        ("configs/data/words.yaml", "class: words\ncount: 100\nlength: 6\n"),
        ("words.py", Path(words_plugin.__file__).read_text()),
    ):
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).write_text(text)
    smoke = ("trainer.steps=2", "trainer.batch_size=16")
    assert program(tmp_path, "train", "--plugin", "words.py", "model=letters", "data=words", *smoke).returncode == 0
    done = program(tmp_path, "detect", "latest", "--by", "score", "--calibrate", "0.2", "--out", "out")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out" / "sheet.txt").read_text().startswith("most anomalous")
    assert len(table(tmp_path / "out" / "scores.csv")) == 20
    assert_refused(program(tmp_path, "detect", "latest"), "It can with --by score.")


def test_points_are_scored_and_drawn(trained: Path, tmp_path: Path) -> None:
    far = torch.tensor([[40.0, -40.0]])
    run = genlab.load(trained / "points")
    items = torch.cat([run.dataset.columns["x"].rows[:50], far])
    assert int(run.detect(items).order[0]) == 50
    assert int(run.detect(items, by="combined").order[0]) == 50
    done = program(trained, "detect", "points", "--calibrate", "0.1", "--out", str(tmp_path / "out"))
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out" / "sheet.png").exists()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["gan"], "gan-digits cannot detect anomalies by error: it cannot reconstruct."),
        (["gan", "--by", "code"], "gan-digits cannot detect anomalies by code: it cannot encode."),
        (["points", "--by", "smooth"], "--by smooth takes images, and ae-ring holds points (2 numbers each)."),
        (["ones", "--by", "eror"], "Unknown way to detect 'eror'. Did you mean 'error'?"),
        (["ones", "--calibrate", "1.5"], "must be above 0 and below 1"),
        (["ones", "--calibrate", "0.001"], "normal items give no threshold for a false-alarm rate of 0.001"),
        (["ones", "--calibrate", "0.1", "--threshold", "2"], "Give a threshold, or a false-alarm rate"),
        (["ones", "--threshold", "nan"], "The threshold must be a number, got nan."),
        (["ones", "--normal", "12"], "A class must be a number from 0 to 9 or a name, got 12."),
        (["ones", "--count", "0"], "count must be at least 1, got 0."),
    ],
)
def test_a_mistake_is_refused_with_a_sentence_and_nothing_is_written(
    trained: Path, tmp_path: Path, arguments: list[str], sentence: str
) -> None:
    assert_refused(program(trained, "detect", *arguments, "--out", str(tmp_path / "out")), sentence)
    assert list(tmp_path.iterdir()) == []


def test_files_of_an_unknown_class_cannot_be_called_normal(ones: genlab.Run) -> None:
    with pytest.raises(genlab.ConfigError, match="The classes of these items are unknown"):
        ones.detect(torch.zeros(2, 1, 8, 8), normal="3")
