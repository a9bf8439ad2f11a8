"""`genlab evaluate`: what a model can do is measured on test images, and how it was measured stands beside it."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from genlab.evaluation.record import merged
from genlab.extractors import classifier
from genlab.runs.run import Run
from genlab.training import checkpoint
from tests.fixtures.program import TINY, Done, assert_refused, genlab

FEW = ["--count", "120", "--images", "120", "--draws", "2", "--importance", "3"]
# The divergence grows while it learns: the lowest is not the last.
LONG = ["trainer.steps=300", "trainer.validate_every=60", "model.best=kl", "model.players.model.rate=0.01"]
# Data of which nothing was set aside to test on.
UNTESTED = """
import torch
from genlab.data.dataset import Images, split_off

def untested() -> Images:
    pixels = torch.randint(256, (40, 1, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    left, held_out = split_off(40, 10)
    return Images(pixels, {"train": left, "validation": held_out, "test": held_out[:0]})

SOURCES = {"untested": untested}
"""
GAN = ["model=cgan", "model/network=mlp-small", "data=digits", "trainer=smoke", "trainer.average=0.9"]


@pytest.fixture(scope="module", autouse=True)
def _hasty() -> Iterator[None]:
    """What is judged by is not what is tested here: a classifier of a few steps serves."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(classifier, "LEAST_STEPS", 30)
        patch.setattr(classifier, "EPOCHS", 3)
        yield


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a VAE of which the best checkpoint is not the last, and a conditional GAN with an average."""
    folder = tmp_path_factory.mktemp("evaluated")
    for arguments in (["run=outputs/vae", "model=vae", *TINY, *LONG], ["run=outputs/cgan", *GAN]):
        done = genlab(folder, "train", *arguments)
        assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture
def place(trained: Path, tmp_path: Path) -> Path:
    """A copy of it, to be spoilt."""
    return Path(shutil.copytree(trained, tmp_path / "copy"))


def evaluate(place: Path, *arguments: str, options: list[str] = FEW) -> Done:
    done = genlab(place, "evaluate", *arguments, *options)
    assert done.returncode == 0, done.stderr
    return done


def record_of(place: Path, name: str) -> dict[str, Any]:
    return json.loads((place / "outputs" / name / "evaluation.json").read_text())


def facts_of(place: Path, name: str) -> dict[str, Any]:
    return json.loads((place / "outputs" / name / "run.json").read_text())


def means(entry: dict[str, Any]) -> dict[str, float]:
    return {name: figure["mean"] for name, figure in entry["figures"].items()}


@pytest.fixture(scope="module")
def vae(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], str]:
    """The record of the VAE with everything measured, and what was printed."""
    place = Path(shutil.copytree(trained, tmp_path_factory.mktemp("all") / "copy"))
    done = evaluate(place, "outputs/vae")
    return record_of(place, "vae"), done.stdout


def test_the_protocol_says_on_what_by_what_and_how_it_was_measured(
    vae: tuple[dict[str, Any], str], trained: Path
) -> None:
    record, _ = vae
    facts, files = facts_of(trained, "vae"), checkpoint.steps(trained / "outputs/vae/checkpoints")
    assert record["data"] == {"name": "digits", "fingerprint": facts["fingerprint"], "split": "test", "count": 360}
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
    figures = vae[0]["last"]["figures"]
    assert {figure["part"] for figure in figures.values()} == {
        "reconstruct",
        "denoise",
        "score",
        "sample-classifier",
        "remember",
        "code",
    }
    assert {"squared_error", "PSNR", "negative_elbo", "negative_bound-3", "bits_per_dimension"} <= figures.keys()
    assert {"FD-classifier", "KID-classifier", "recall-classifier", "copies", "active_units"} <= figures.keys()
    assert not any("FID" in name for name in figures)


def test_what_is_drawn_has_a_spread_and_what_is_not_has_none(vae: tuple[dict[str, Any], str]) -> None:
    figures = vae[0]["last"]["figures"]
    for name in ("FD-classifier", "negative_elbo", "PSNR-noise-0.3"):
        assert figures[name]["spread"] > 0
    for name in ("squared_error", "active_units", "probe_accuracy"):
        assert figures[name]["spread"] is None


def test_real_data_is_nearer_to_itself_than_what_little_was_taught(vae: tuple[dict[str, Any], str]) -> None:
    figure = vae[0]["last"]["figures"]["FD-classifier"]
    assert 0 < figure["floor"] < figure["mean"]
    assert figure["better"] == "lower"


def test_the_test_loss_of_the_training_and_of_the_evaluation_agree(trained: Path, tmp_path: Path) -> None:
    """All test images, and noise that averages out: the program's two ways to the same figure."""
    place = Path(shutil.copytree(trained, tmp_path / "copy"))
    evaluate(place, "outputs/vae", "--only", "score", options=["--importance", "1"])
    record, loss = record_of(place, "vae"), facts_of(place, "vae")["test"]["loss"]
    figure = record["last"]["figures"]["negative_elbo"]
    assert figure["mean"] == pytest.approx(loss, abs=0.3)
    assert record["last"]["figures"]["negative_bound-1"]["mean"] == pytest.approx(figure["mean"], abs=0.5)


def test_the_best_checkpoint_is_measured_as_it_was_then(trained: Path, tmp_path: Path) -> None:
    """As if the run had ended there."""
    place = Path(shutil.copytree(trained, tmp_path / "copy"))
    best = facts_of(place, "vae")["best"]["step"]
    assert best < 300, "this test is of a run whose last checkpoint is not its best"
    done = genlab(place, "train", "run=outputs/short", "model=vae", *TINY, *LONG, f"trainer.steps={best}")
    assert done.returncode == 0, done.stderr
    evaluate(place, "outputs/vae", "outputs/short", "--only", "reconstruct,score")
    longer, shorter = record_of(place, "vae"), record_of(place, "short")
    assert means(longer["best"]) == means(shorter["last"])
    assert means(longer["best"]) != means(longer["last"])
    assert shorter["best"] == shorter["last"]


def test_an_average_is_what_is_measured_and_the_protocol_says_so(place: Path) -> None:
    evaluate(place, "outputs/cgan", "--only", "sample,classes")
    record = record_of(place, "cgan")
    assert record["last"]["weights"] == "average"
    assert record["best"] is None
    assert set(record["last"]["figures"]) >= {"class_accuracy", "class_diversity", "FD-classifier"}
    assert (
        0 <= record["last"]["figures"]["class_accuracy"]["mean"] < record["last"]["figures"]["class_accuracy"]["floor"]
    )


def test_the_same_is_measured_twice(place: Path) -> None:
    found = []
    for _ in range(2):
        evaluate(place, "outputs/cgan", "--only", "sample")
        found.append(record_of(place, "cgan")["last"])
    assert found[0] == found[1]


def test_only_some_parts_leave_the_others_as_they_were(place: Path) -> None:
    evaluate(place, "outputs/vae", "--only", "reconstruct,code")
    before = record_of(place, "vae")
    evaluate(place, "outputs/vae", "--only", "score")
    evaluate(place, "outputs/vae", "--only", "score", options=[*FEW, "--importance", "5"])
    after = record_of(place, "vae")
    kept = {name for name, figure in after["last"]["figures"].items() if figure["part"] in ("reconstruct", "code")}
    assert {name: after["last"]["figures"][name] for name in kept} == before["last"]["figures"]
    assert "negative_bound-5" in after["last"]["figures"]
    assert "negative_bound-3" not in after["last"]["figures"], "a part is replaced whole"


def test_figures_of_another_checkpoint_do_not_stay() -> None:
    def record(digest: str, name: str, part: str) -> dict[str, Any]:
        entry = {"checkpoint": digest, "figures": {name: {"part": part}}, "notes": {part: []}}
        return {"genlab": "1", "data": {}, "parts": {part: {}}, "last": entry, "best": None}

    old = record("a", "PSNR", "reconstruct")
    assert set(merged(old, record("a", "kl", "score"))["last"]["figures"]) == {"PSNR", "kl"}
    assert set(merged(old, record("b", "kl", "score"))["last"]["figures"]) == {"kl"}
    assert set(merged(None, record("b", "kl", "score"))["last"]["figures"]) == {"kl"}


@pytest.mark.parametrize("text", ['{"last": ', "{}", '{"last": 1}', "[]", '{"last": {"figures": {}}, "parts": 3}'])
def test_a_damaged_record_is_written_anew(place: Path, text: str) -> None:
    (place / "outputs/vae/evaluation.json").write_text(text)
    evaluate(place, "outputs/vae", "--only", "reconstruct")
    assert "PSNR" in record_of(place, "vae")["last"]["figures"]


def test_more_samples_than_real_images_is_said_and_as_many_are_compared(place: Path) -> None:
    done = evaluate(place, "outputs/cgan", "--only", "sample", options=["--count", "5000", "--draws", "1"])
    assert "There are 360 test images" in done.stdout
    record = record_of(place, "cgan")
    assert record["parts"]["sample-classifier"]["samples"] == 360
    assert record["last"]["figures"]["FD-classifier"]["spread"] is None


def test_features_that_are_not_there_are_a_sentence_and_the_rest_is_measured(place: Path) -> None:
    done = evaluate(place, "outputs/vae", "--features", f"inception={place / 'nothing.pth'}")
    assert "sample: " in done.stdout
    figures = record_of(place, "vae")["last"]["figures"]
    assert "negative_elbo" in figures
    assert "copies" in figures
    assert not any(name.startswith("FD") for name in figures)


def test_every_run_of_several_has_its_own_notes(place: Path) -> None:
    options = ["--count", "5000", "--draws", "1"]
    evaluate(place, "outputs/vae", "outputs/cgan", "--only", "sample", options=options)
    for name in ("vae", "cgan"):
        (note,) = record_of(place, name)["last"]["notes"]["sample"]
        assert note.startswith("There are 360 test images")
    evaluate(place, "outputs/vae", "--only", "reconstruct")
    assert record_of(place, "vae")["last"]["notes"]["sample"] == [note], "a part that stays keeps its notes"
    evaluate(place, "outputs/vae", "--only", "sample")
    assert record_of(place, "vae")["last"]["notes"]["sample"] == []


STRANGE = """
import torch
from genlab.contract import Model

class Strange(Model):
    def __init__(self, *, shape, way: str):
        super().__init__()
        self.shape, self.way, self.weight = shape, way, torch.nn.Parameter(torch.zeros(()))
        self.register_buffer("seen", torch.zeros(16, *shape))
    def loss(self, batch):
        if self.training:
            self.seen.copy_(batch["image"][:16])
        return {"loss": (self.weight - 1) ** 2}
    def reconstruct(self, images):
        return images * 0.5
    def encode(self, images):
        if self.way == "raises":
            raise ValueError("I do not like this image")
        codes = images.flatten(1)[:, 20:23]
        return {"rows": codes[:2], "maps": codes[:, :, None, None]}.get(self.way, codes)
    def sample(self, count, labels=None, generator=None):
        images = torch.rand(count, *self.shape, generator=generator)
        if self.way == "copies":
            images = self.seen[torch.arange(count) % 16]
        if self.way == "infinite":
            images[0] = float("inf")
        return {"double": images.double(), "small": images[:, :, :4]}.get(self.way, images)

MODELS = {"strange": Strange}
"""


@pytest.mark.parametrize(
    ("way", "part", "sentence"),
    [
        ("raises", "code", "code: it cannot be measured: ValueError: I do not like this image"),
        ("rows", "code", "encode gives 2 x 3, and 120 x 3 was asked for."),
        ("maps", "code", "encode gives 120 x 3 x 1 x 1, and 120 x 3 was asked for."),
        ("infinite", "sample", "sample gives numbers that are not finite."),
        ("small", "remember", "sample gives 120 x 1 x 4 x 8, and 120 x 1 x 8 x 8 was asked for."),
    ],
)
def test_a_model_that_breaks_its_promise_is_told_so_and_its_other_abilities_are_measured(
    strange: Path, way: str, part: str, sentence: str
) -> None:
    done = evaluate(strange, f"outputs/{way}")
    assert sentence in done.stdout
    record = record_of(strange, way)["last"]
    assert sentence in record["notes"][part][0]
    assert "squared_error" in record["figures"]
    assert not {name for name, figure in record["figures"].items() if figure["part"].startswith(part)}


def test_samples_in_double_precision_are_samples(strange: Path) -> None:
    evaluate(strange, "outputs/double", "--only", "sample,remember")
    assert {"FD-classifier", "copies"} <= record_of(strange, "double")["last"]["figures"].keys()


def test_a_model_that_has_memorised_is_caught(strange: Path) -> None:
    done = evaluate(strange, "outputs/copies", "--only", "remember,sample")
    assert "100% of the samples are nearly copies of training images" in done.stdout
    figures = record_of(strange, "copies")["last"]["figures"]
    assert figures["copies"]["mean"] == 1 > figures["copies"]["floor"]
    assert figures["nearest_training"]["mean"] == pytest.approx(0, abs=1e-6)
    # What it makes is real: only that it makes nothing else tells it from a good model.
    assert figures["precision-classifier"]["mean"] > figures["recall-classifier"]["mean"]
    assert "nearly copies" not in evaluate(strange, "outputs/double", "--only", "remember").stdout


@pytest.fixture(scope="module")
def strange(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with runs of somebody's own model, which does what no model should."""
    folder = tmp_path_factory.mktemp("strange")
    (folder / "configs/model").mkdir(parents=True)
    (folder / "strange.py").write_text(STRANGE)
    recipe = "class: strange\nway: plain\nbest: null\nplayers: {model: {rate: 0.1}}\n"
    (folder / "configs/model/strange.yaml").write_text(recipe)
    for way in ("raises", "rows", "maps", "infinite", "small", "double", "copies"):
        given = ["--plugin", str(folder / "strange.py"), "model=strange", "data=digits", "trainer=smoke"]
        done = genlab(folder, "train", *given, f"model.way={way}", f"run=outputs/{way}")
        assert done.returncode == 0, done.stderr
    return folder


def test_figures_that_cannot_be_kept_are_shown_all_the_same(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Run, "keep", refuse)
    done = genlab(place, "evaluate", "outputs/vae", "--only", "reconstruct", *FEW)
    assert_refused(done, "evaluation.json cannot be written: No space left on device.")
    assert "squared_error" in done.stdout


def test_points_are_compared_by_their_coordinates(tmp_path: Path) -> None:
    done = genlab(tmp_path, "train", "model=gan", "data=gaussian", "trainer=smoke", "run=outputs/points")
    assert done.returncode == 0, done.stderr
    evaluate(tmp_path, "outputs/points")
    record = record_of(tmp_path, "points")
    assert {"FD-coordinates", "nearest_training"} <= set(record["last"]["figures"])
    assert record["last"]["notes"]["sample"] == []
    assert "copies" not in record["last"]["figures"], "on a line the nearest point is always much nearer"


def test_factors_that_are_known_are_looked_for_in_the_code(tmp_path: Path) -> None:
    small = ["data.count=400", "data.size=16", "data.validation=50", "data.test=150", "trainer=smoke"]
    done = genlab(tmp_path, "train", "model=ae", "data=shapes", *small, "run=outputs/shapes")
    assert done.returncode == 0, done.stderr
    evaluate(tmp_path, "outputs/shapes", "--only", "factors")
    record = record_of(tmp_path, "shapes")
    assert {"MIG", "SAP", "DCI-disentanglement"} <= set(record["last"]["figures"])
    assert record["parts"]["factors"]["factors"] == ["shape", "size", "angle", "x", "y"]


def test_enlarging_is_measured_beside_the_filter(tmp_path: Path) -> None:
    small = ["model.blocks=1", "model.width=4", "trainer=smoke", "trainer.batch_size=2"]
    done = genlab(tmp_path, "train", "model=srresnet", "data=photos-mini", *small, "run=outputs/large")
    assert done.returncode == 0, done.stderr
    evaluate(tmp_path, "outputs/large", options=["--images", "3"])
    figures = record_of(tmp_path, "large")["last"]["figures"]
    assert {"PSNR-Y", "PSNR-Y-bicubic", "SSIM-RGB", "SSIM-RGB-bicubic"} <= set(figures)
    assert {figure["part"] for figure in figures.values()} == {"upscale"}


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """A run on a folder of somebody's own pictures."""
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


def test_data_that_moved_is_a_sentence_and_is_found_where_it_is_said_to_be(own: Path) -> None:
    (own / "pictures").rename(own / "elsewhere")
    assert_refused(genlab(own, "evaluate", "outputs/own", *FEW), "pictures")
    evaluate(own, "outputs/own", "--data", str(own / "elsewhere"), "--only", "reconstruct,sample")
    assert "FD-random" in record_of(own, "own")["last"]["figures"]


def test_data_that_changed_is_refused_by_its_fingerprint(own: Path) -> None:
    (own / "pictures" / "0.png").unlink()
    done = genlab(own, "evaluate", "outputs/own", *FEW)
    assert_refused(done, "The data is not what outputs/own was trained on")
    assert not (own / "outputs/own/evaluation.json").exists()


def test_one_run_that_cannot_be_measured_does_not_end_the_others(place: Path) -> None:
    for file in (place / "outputs/vae/checkpoints").iterdir():
        file.unlink()
    done = genlab(place, "evaluate", "outputs/vae", "outputs/cgan", *FEW, "--only", "sample")
    assert done.returncode == 1
    assert "outputs/vae has no checkpoint yet" in done.stdout
    assert "1 of the 2 runs could not be measured: outputs/vae" in done.stderr
    assert "FD-classifier" in record_of(place, "cgan")["last"]["figures"]
    assert_refused(genlab(place, "evaluate", "outputs/vae", *FEW), "outputs/vae has no checkpoint yet")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["outputs/vae", "--only", "reconstructs"], "Did you mean 'reconstruct'?"),
        (["outputs/vae", "--features", "inceptoin"], "Did you mean 'inception'?"),
        (["outputs/vae", "--only", ""], "No part is called ''"),
        (["outputs/vae", "--count", "1"], "--count must be at least 2, and 1 is not."),
        (["outputs/vaee"], "Did you mean"),
        (["outputs/vae", "--only", "upscale"], "this model cannot do what is measured there"),
        (["outputs/vae", "--data", "elsewhere"], "lies in no folder"),
    ],
)
def test_a_mistake_is_a_sentence(trained: Path, arguments: list[str], sentence: str) -> None:
    assert_refused(genlab(trained, "evaluate", *arguments), sentence)


def test_a_folder_of_runs_stands_for_all_of_them(place: Path) -> None:
    evaluate(place, "outputs", "--only", "sample")
    assert record_of(place, "vae")["name"] == "vae-digits"
    assert record_of(place, "cgan")["name"] == "cgan-digits"


def test_data_without_test_images_is_a_sentence(tmp_path: Path) -> None:
    plugin = tmp_path / "own.py"
    plugin.write_text(UNTESTED)
    (tmp_path / "configs" / "data").mkdir(parents=True)
    (tmp_path / "configs" / "data" / "untested.yaml").write_text("class: untested\n")
    given = ["--plugin", str(plugin), "model=ae", "data=untested", "trainer=smoke", "run=outputs/mine"]
    done = genlab(tmp_path, "train", *given)
    assert done.returncode == 0, done.stderr
    assert_refused(genlab(tmp_path, "evaluate", "outputs/mine"), "The data has no test images to measure on.")
