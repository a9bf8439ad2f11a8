"""`genlab evaluate`: the abilities of a model are measured on test items, and the record says how."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from genlab.evaluation.record import FORMAT, merged
from genlab.extractors import classifier
from genlab.runs.run import Run
from genlab.training import checkpoint
from tests.fixtures.program import TINY, Done, assert_refused, genlab

FEW = ["--count", "120", "--images", "120", "--draws", "2", "--importance", "3"]
# The KL divergence grows during the training, so that the lowest is not the last.
LONG = ["trainer.steps=300", "trainer.validate_every=60", "model.best=kl", "model.optimizers.model.lr=0.01"]
# Data without test images.
UNTESTED = """
import torch
from genlab.data.dataset import Dataset, split_off

def untested() -> Dataset:
    pixels = torch.randint(256, (40, 1, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    left, held_out = split_off(40, 10)
    return Dataset.of_images(pixels, {"train": left, "validation": held_out, "test": held_out[:0]})

SOURCES = {"untested": untested}
"""
GAN = ["model=cgan", "model/network=mlp-small", "data=digits", "trainer=smoke", "model.optimizers.generator.ema=0.9"]


@pytest.fixture(scope="module", autouse=True)
def _hasty() -> Iterator[None]:
    """Train the classifier for a few steps only, because its quality is not tested here."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(classifier, "LEAST_STEPS", 30)
        patch.setattr(classifier, "EPOCHS", 3)
        yield


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a VAE whose best checkpoint is not the last, and a conditional GAN with a moving average."""
    folder = tmp_path_factory.mktemp("evaluated")
    for arguments in (["run=outputs/vae", "model=vae", *TINY, *LONG], ["run=outputs/cgan", *GAN]):
        done = genlab(folder, "train", *arguments)
        assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture
def place(trained: Path, tmp_path: Path) -> Path:
    """A copy of the folder, which a test may change."""
    return Path(shutil.copytree(trained, tmp_path / "copy"))


def evaluate(place: Path, *arguments: str, options: list[str] = FEW) -> Done:
    done = genlab(place, "evaluate", *arguments, *options)
    assert done.returncode == 0, done.stderr
    return done


def record_of(place: Path, name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((place / "outputs" / name / "evaluation.json").read_text())
    return found


def facts_of(place: Path, name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((place / "outputs" / name / "run.json").read_text())
    return found


def means(entry: dict[str, Any]) -> dict[str, float]:
    return {name: metric["mean"] for name, metric in entry["metrics"].items()}


@pytest.fixture(scope="module")
def vae(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], str]:
    """The record of the VAE with all parts measured, and what was printed."""
    place = Path(shutil.copytree(trained, tmp_path_factory.mktemp("all") / "copy"))
    done = evaluate(place, "outputs/vae")
    return record_of(place, "vae"), done.stdout


def test_the_protocol_names_the_data_the_checkpoints_and_the_features(
    vae: tuple[dict[str, Any], str], trained: Path
) -> None:
    record, _ = vae
    facts, files = facts_of(trained, "vae"), checkpoint.steps(trained / "outputs/vae/checkpoints")
    fingerprints = {name: facts[name] for name in ("fingerprint", "modelled")}
    assert record["data"] == {"name": "digits", **fingerprints, "split": "test", "count": 360}
    for name, step in (("last", 300), ("best", facts["best"]["step"])):
        entry = record[name]
        assert entry["step"] == step
        assert files[step].stem == f"step-{step:010d}-{entry['checkpoint']}"
        assert entry["weights"] == "live"
    sample = record["parts"]["sample-classifier"]
    assert (sample["samples"], sample["seeds"], sample["features"]) == (120, [0, 1], "classifier")
    assert len(sample["features_digest"]) == 16
    assert sample["versions"]["torch"].partition("+")[0] == torch.__version__.partition("+")[0]
    assert record["parts"]["score"]["importance_samples"] == 3


def test_every_ability_of_a_vae_is_measured(vae: tuple[dict[str, Any], str]) -> None:
    metrics = vae[0]["last"]["metrics"]
    assert {metric["part"] for metric in metrics.values()} == {
        "reconstruct",
        "denoise",
        "score",
        "sample-classifier",
        "remember",
        "code",
    }
    assert {"squared_error", "PSNR", "negative_elbo", "negative_bound-3", "bits_per_dimension"} <= metrics.keys()
    assert {"FD-classifier", "KID-classifier", "recall-classifier", "copies", "active_units"} <= metrics.keys()
    assert not any("FID" in name for name in metrics)


def test_random_metrics_have_a_std_and_others_have_none(vae: tuple[dict[str, Any], str]) -> None:
    metrics = vae[0]["last"]["metrics"]
    for name in ("FD-classifier", "negative_elbo", "PSNR-noise-0.3"):
        assert metrics[name]["std"] > 0
    for name in ("squared_error", "active_units", "probe_accuracy"):
        assert metrics[name]["std"] is None


def test_real_items_are_nearer_to_each_other_than_the_samples_of_a_short_training(
    vae: tuple[dict[str, Any], str],
) -> None:
    metric = vae[0]["last"]["metrics"]["FD-classifier"]
    assert 0 < metric["baseline"] < metric["mean"]
    assert metric["better"] == "lower"


def test_the_test_loss_of_the_training_and_of_the_evaluation_agree(trained: Path, tmp_path: Path) -> None:
    """Both use all test images, and the noise averages out."""
    place = Path(shutil.copytree(trained, tmp_path / "copy"))
    evaluate(place, "outputs/vae", "--only", "score", options=["--importance", "1"])
    record, loss = record_of(place, "vae"), facts_of(place, "vae")["test"]["loss"]
    metric = record["last"]["metrics"]["negative_elbo"]
    assert metric["mean"] == pytest.approx(loss, abs=0.3)
    assert record["last"]["metrics"]["negative_bound-1"]["mean"] == pytest.approx(metric["mean"], abs=0.5)


def test_the_best_checkpoint_is_measured_as_if_the_run_had_ended_there(trained: Path, tmp_path: Path) -> None:
    place = Path(shutil.copytree(trained, tmp_path / "copy"))
    best = facts_of(place, "vae")["best"]["step"]
    assert best < 300, "this test needs a run whose last checkpoint is not its best"
    done = genlab(place, "train", "run=outputs/short", "model=vae", *TINY, *LONG, f"trainer.steps={best}")
    assert done.returncode == 0, done.stderr
    evaluate(place, "outputs/vae", "outputs/short", "--only", "reconstruct,score")
    longer, shorter = record_of(place, "vae"), record_of(place, "short")
    assert means(longer["best"]) == means(shorter["last"])
    assert means(longer["best"]) != means(longer["last"])
    assert shorter["best"] == shorter["last"]


def test_the_moving_average_is_measured_and_the_protocol_says_so(place: Path) -> None:
    evaluate(place, "outputs/cgan", "--only", "sample,classes")
    record = record_of(place, "cgan")
    assert record["last"]["weights"] == "ema"
    assert record["best"] is None
    assert set(record["last"]["metrics"]) >= {"class_accuracy", "class_diversity", "FD-classifier"}
    accuracy = record["last"]["metrics"]["class_accuracy"]
    assert 0 <= accuracy["mean"] < accuracy["baseline"]
    assert accuracy["columns"] == ["label"]


def test_a_second_evaluation_gives_the_same_metrics(place: Path) -> None:
    found = []
    for _ in range(2):
        evaluate(place, "outputs/cgan", "--only", "sample")
        found.append(record_of(place, "cgan")["last"])
    assert found[0] == found[1]


def test_parts_that_are_not_measured_again_stay_as_they_were(place: Path) -> None:
    evaluate(place, "outputs/vae", "--only", "reconstruct,code")
    before = record_of(place, "vae")
    evaluate(place, "outputs/vae", "--only", "score")
    evaluate(place, "outputs/vae", "--only", "score", options=[*FEW, "--importance", "5"])
    after = record_of(place, "vae")
    kept = {name for name, metric in after["last"]["metrics"].items() if metric["part"] in ("reconstruct", "code")}
    assert {name: after["last"]["metrics"][name] for name in kept} == before["last"]["metrics"]
    assert "negative_bound-5" in after["last"]["metrics"]
    assert "negative_bound-3" not in after["last"]["metrics"], "a part is replaced whole"


def test_metrics_of_another_checkpoint_are_dropped() -> None:
    def record(digest: str, name: str, part: str) -> dict[str, Any]:
        entry = {"checkpoint": digest, "metrics": {name: {"part": part}}, "notes": {part: []}}
        return {"format": FORMAT, "genlab": "1", "data": {}, "parts": {part: {}}, "last": entry, "best": None}

    old = record("a", "PSNR", "reconstruct")
    assert set(merged(old, record("a", "kl", "score"))["last"]["metrics"]) == {"PSNR", "kl"}
    assert set(merged(old, record("b", "kl", "score"))["last"]["metrics"]) == {"kl"}
    assert set(merged(None, record("b", "kl", "score"))["last"]["metrics"]) == {"kl"}


@pytest.mark.parametrize(
    "text",
    [
        '{"last": ',
        "[]",
        '{"format": 2, "last": {"metrics": {}}, "parts": 3}',
        '{"format": 1, "last": {"metrics": {}, "notes": {}}}',
    ],
)
def test_a_record_that_is_damaged_or_of_another_format_is_replaced(place: Path, text: str) -> None:
    (place / "outputs/vae/evaluation.json").write_text(text)
    evaluate(place, "outputs/vae", "--only", "reconstruct")
    assert "PSNR" in record_of(place, "vae")["last"]["metrics"]


def test_more_samples_than_test_images_are_noted_and_cut_to_as_many(place: Path) -> None:
    done = evaluate(place, "outputs/cgan", "--only", "sample", options=["--count", "5000", "--draws", "1"])
    assert "The test split has 360 images" in done.stdout
    record = record_of(place, "cgan")
    assert record["parts"]["sample-classifier"]["samples"] == 360
    assert record["last"]["metrics"]["FD-classifier"]["std"] is None


def test_missing_features_are_noted_and_the_other_parts_are_measured(place: Path) -> None:
    done = evaluate(place, "outputs/vae", "--features", f"inception={place / 'nothing.pth'}")
    assert "sample cannot be measured: " in done.stdout
    metrics = record_of(place, "vae")["last"]["metrics"]
    assert "negative_elbo" in metrics
    assert "copies" in metrics
    assert not any(name.startswith("FD") for name in metrics)


def test_each_of_several_runs_has_its_own_notes(place: Path) -> None:
    options, few = ["--count", "5000", "--draws", "1"], "The test split has 360 images"
    evaluate(place, "outputs/vae", "outputs/cgan", "--only", "sample", options=options)
    for name in ("vae", "cgan"):
        assert sum(note.startswith(few) for note in record_of(place, name)["last"]["notes"]["sample"]) == 1
    before = record_of(place, "vae")["last"]["notes"]["sample"]
    evaluate(place, "outputs/vae", "--only", "reconstruct")
    assert record_of(place, "vae")["last"]["notes"]["sample"] == before, "a part that stays keeps its notes"
    evaluate(place, "outputs/vae", "--only", "sample")
    assert not any(note.startswith(few) for note in record_of(place, "vae")["last"]["notes"]["sample"])


STRANGE = """
import torch
from genlab.contract import Model, Result
from genlab.kinds import Image

class Strange(Model):
    def __init__(self, *, x: Image, way: str):
        super().__init__()
        self.x, self.way, self.weight = x, way, torch.nn.Parameter(torch.zeros(()))
        self.register_buffer("seen", torch.zeros(16, *x.shape))
    def loss(self, batch):
        if self.training:
            self.seen.copy_(batch["x"][:16])
        return Result((self.weight - 1) ** 2)
    def reconstruct(self, batch):
        return batch["x"] * 0.5
    def encode(self, batch):
        raise ValueError("I do not like this image")
    def sample(self, count, condition=None, generator=None):
        if self.way == "copies":
            return self.seen[torch.arange(count) % 16]
        return torch.rand(count, *self.x.shape, generator=generator)

MODELS = {"strange": Strange}
"""


@pytest.fixture(scope="module")
def strange(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with runs of a plugin's model that breaks a promise, and one of them copies training images."""
    folder = tmp_path_factory.mktemp("strange")
    (folder / "configs/model").mkdir(parents=True)
    (folder / "strange.py").write_text(STRANGE)
    recipe = "class: strange\nway: plain\nbest: null\noptimizers: {model: {lr: 0.1}}\n"
    (folder / "configs/model/strange.yaml").write_text(recipe)
    for way in ("random", "copies"):
        given = ["--plugin", str(folder / "strange.py"), "model=strange", "data=digits", "trainer=smoke"]
        done = genlab(folder, "train", *given, f"model.way={way}", f"run=outputs/{way}")
        assert done.returncode == 0, done.stderr
    return folder


def test_an_error_in_one_ability_is_noted_and_the_other_abilities_are_measured(strange: Path) -> None:
    done = evaluate(strange, "outputs/random")
    sentence = "code cannot be measured: ValueError: I do not like this image"
    assert sentence in done.stdout
    record = record_of(strange, "random")["last"]
    assert record["notes"]["code"] == [sentence]
    assert "squared_error" in record["metrics"]
    assert not {name for name, metric in record["metrics"].items() if metric["part"] == "code"}


def test_a_model_that_has_memorised_training_images_is_caught(strange: Path) -> None:
    done = evaluate(strange, "outputs/copies", "--only", "remember,sample")
    assert "100% of the samples are near copies of training images" in done.stdout
    metrics = record_of(strange, "copies")["last"]["metrics"]
    assert metrics["copies"]["mean"] == 1 > metrics["copies"]["baseline"]
    assert metrics["nearest_training"]["mean"] == pytest.approx(0, abs=1e-6)
    # The samples are real images; only their low recall tells this model from a good one.
    assert metrics["precision-classifier"]["mean"] > metrics["recall-classifier"]["mean"]
    assert "near copies" not in evaluate(strange, "outputs/random", "--only", "remember").stdout


def test_metrics_are_printed_even_if_the_record_cannot_be_written(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Run, "keep", refuse)
    done = genlab(place, "evaluate", "outputs/vae", "--only", "reconstruct", *FEW)
    assert_refused(done, "evaluation.json cannot be written: No space left on device.")
    assert "PSNR" in done.stdout


def test_points_are_compared_by_their_coordinates(tmp_path: Path) -> None:
    done = genlab(tmp_path, "train", "model=gan", "data=gaussian", "trainer=smoke", "run=outputs/points")
    assert done.returncode == 0, done.stderr
    evaluate(tmp_path, "outputs/points")
    record = record_of(tmp_path, "points")
    assert {"FD-coordinates", "nearest_training"} <= set(record["last"]["metrics"])
    assert record["last"]["notes"]["sample"] == []
    assert "copies" not in record["last"]["metrics"], "on a line the nearest point is always much nearer"


def test_codes_are_compared_with_known_factors(tmp_path: Path) -> None:
    small = ["data.count=400", "data.size=16", "data.validation=50", "data.test=150", "trainer=smoke"]
    done = genlab(tmp_path, "train", "model=ae", "data=shapes", *small, "run=outputs/shapes")
    assert done.returncode == 0, done.stderr
    evaluate(tmp_path, "outputs/shapes", "--only", "factors")
    record = record_of(tmp_path, "shapes")
    assert {"MIG", "SAP", "DCI-disentanglement"} <= set(record["last"]["metrics"])
    assert record["parts"]["factors"]["factors"] == ["shape", "size", "angle", "position_x", "position_y"]


def test_upscaling_is_measured_beside_the_bicubic_filter(tmp_path: Path) -> None:
    small = ["model.blocks=1", "model.width=4", "trainer=smoke", "trainer.batch_size=2"]
    done = genlab(tmp_path, "train", "model=srresnet", "data=photos-mini", *small, "run=outputs/large")
    assert done.returncode == 0, done.stderr
    evaluate(tmp_path, "outputs/large", options=["--images", "3"])
    metrics = record_of(tmp_path, "large")["last"]["metrics"]
    assert {"PSNR-Y", "PSNR-Y-bicubic", "SSIM-RGB", "SSIM-RGB-bicubic"} <= set(metrics)
    assert {metric["part"] for metric in metrics.values()} == {"upscale"}


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """A run on a folder of pictures."""
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    draws = torch.Generator().manual_seed(0)
    for number in range(60):
        pixels = torch.randint(256, (16, 16), generator=draws, dtype=torch.uint8)
        Image.fromarray(pixels.numpy()).save(pictures / f"{number}.png")
    given = ["model=vae", "data=folder", f"data.path={pictures}", "data.size=16", "trainer=smoke"]
    done = genlab(tmp_path, "train", *given, "trainer.batch_size=8", "data.test=0.3", "run=outputs/own")
    assert done.returncode == 0, done.stderr
    return tmp_path


def test_data_that_has_moved_is_refused_and_then_found_in_the_given_folder(own: Path) -> None:
    (own / "pictures").rename(own / "elsewhere")
    assert_refused(genlab(own, "evaluate", "outputs/own", *FEW), "pictures")
    evaluate(own, "outputs/own", "--data", str(own / "elsewhere"), "--only", "reconstruct,sample")
    assert "FD-random" in record_of(own, "own")["last"]["metrics"]


def test_data_that_has_changed_is_refused(own: Path) -> None:
    (own / "pictures" / "0.png").unlink()
    done = genlab(own, "evaluate", "outputs/own", *FEW)
    assert_refused(done, "The data is not what outputs/own was trained on")
    assert not (own / "outputs/own/evaluation.json").exists()


def test_a_run_that_cannot_be_measured_does_not_stop_the_others(place: Path) -> None:
    for file in (place / "outputs/vae/checkpoints").iterdir():
        file.unlink()
    done = genlab(place, "evaluate", "outputs/vae", "outputs/cgan", *FEW, "--only", "sample")
    assert done.returncode == 1
    assert "outputs/vae has no checkpoint yet" in done.stdout
    assert "1 of the 2 runs could not be measured: outputs/vae" in done.stderr
    assert "FD-classifier" in record_of(place, "cgan")["last"]["metrics"]
    assert_refused(genlab(place, "evaluate", "outputs/vae", *FEW), "outputs/vae has no checkpoint yet")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["outputs/vae", "--only", "reconstructs"], "Did you mean 'reconstruct'?"),
        (["outputs/vae", "--features", "inceptoin"], "Did you mean 'inception'?"),
        (["outputs/vae", "--only", ""], "Unknown part ''."),
        (["outputs/vae", "--count", "1"], "--count must be at least 2, got 1."),
        (["outputs/vaee"], "Did you mean"),
        (["outputs/vae", "--only", "upscale"], "upscale cannot be measured: the model lacks the ability"),
        (["outputs/vae", "--data", "elsewhere"], "Data 'digits' is not read from a folder"),
    ],
)
def test_a_mistake_is_refused_with_a_sentence(trained: Path, arguments: list[str], sentence: str) -> None:
    assert_refused(genlab(trained, "evaluate", *arguments), sentence)


def test_a_folder_of_runs_stands_for_all_of_them(place: Path) -> None:
    evaluate(place, "outputs", "--only", "sample")
    assert record_of(place, "vae")["name"] == "vae-digits"
    assert record_of(place, "cgan")["name"] == "cgan-digits"


def test_data_without_test_images_is_refused(tmp_path: Path) -> None:
    plugin = tmp_path / "own.py"
    plugin.write_text(UNTESTED)
    (tmp_path / "configs" / "data").mkdir(parents=True)
    (tmp_path / "configs" / "data" / "untested.yaml").write_text("class: untested\n")
    given = ["--plugin", str(plugin), "model=ae", "data=untested", "trainer=smoke", "run=outputs/mine"]
    done = genlab(tmp_path, "train", *given)
    assert done.returncode == 0, done.stderr
    assert_refused(genlab(tmp_path, "evaluate", "outputs/mine"), "Data 'untested' has no test images to measure on.")
