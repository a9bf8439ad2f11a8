"""`genlab denoise`: noisy items, cleaned by a model and by filters."""

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import genlab
from genlab import charts
from genlab.contract import Reconstructs
from genlab.metrics.denoising import denoised
from genlab.randomness import normal_rows
from tests.fixtures.program import assert_refused
from tests.fixtures.program import genlab as program

SMALL: dict[str, Any] = {"trainer": "smoke", "trainer.batch_size": 16, "quiet": True}
HIDDEN = {"model.network.hidden": [8]}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a denoising autoencoder, one of points, a GAN and a super-resolution model."""
    folder = tmp_path_factory.mktemp("trained")
    settings: dict[str, dict[str, Any]] = {
        "dae": {"model": "denoising-ae", "data": "fashion-mini", **HIDDEN},
        "points": {"model": "ae", "data": "ring", "model.output_activation": "none", **HIDDEN},
        "gan": {"model": "gan", "data": "digits", "model/network": "mlp-small"},
        "sr": {"model": "srresnet", "data": "digits", "model.blocks": 1, "model.width": 4, "model.scale": 2},
    }
    for name, more in settings.items():
        genlab.train(run=folder / name, **SMALL, **more)
    return folder


@pytest.fixture
def images() -> torch.Tensor:
    return torch.rand(6, 1, 28, 28, generator=torch.Generator().manual_seed(3))


def rows(path: Path) -> list[dict[str, str]]:
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def test_the_metrics_are_those_of_an_evaluation_with_the_same_noise(trained: Path, images: torch.Tensor) -> None:
    run = genlab.load(trained / "dae")
    assert isinstance(run.model, Reconstructs)
    known = denoised(run.model, [{"x": images}], seed=4, levels=(0.3,))
    found = run.denoise(images, 0.3, seed=4).means
    suffixes = {"noisy": "-input", "model": "", "median": "-median", "non-local means": "-nlmeans"}
    assert list(found) == list(suffixes)
    for method, suffix in suffixes.items():
        for name in ("PSNR", "SSIM"):
            assert found[method][name] == pytest.approx(known[f"{name}-noise-0.3{suffix}"], rel=1e-4)


def test_the_noise_of_an_item_depends_on_the_seed_and_not_on_the_other_items(
    trained: Path, images: torch.Tensor
) -> None:
    run = genlab.load(trained / "dae")
    many, few, other = (
        run.denoise(part, 0.3, seed=seed).noisy for part, seed in ((images, 1), (images[:2], 1), (images, 2))
    )
    assert many is not None
    assert few is not None
    assert other is not None
    assert torch.equal(many[:2], few)
    assert torch.allclose(many, images + 0.3 * normal_rows(1, "denoise/0.3", 0, 6, 1, 28, 28))
    assert not torch.equal(many, other)
    assert many.min() < 0, "the input is not clamped, as in the training"


def test_without_noise_the_pictures_are_cleaned_as_they_are(
    trained: Path, images: torch.Tensor, tmp_path: Path
) -> None:
    run = genlab.load(trained / "dae")
    found = run.denoise(images)
    assert found.metrics == {}
    assert torch.equal(found.cleaned["model"], run.reconstruct(images))
    (tmp_path / "noisy/deeper").mkdir(parents=True)
    Image.new("L", (28, 28), 51).save(tmp_path / "noisy/deeper/a.png")
    (tmp_path / "noisy/b.png").write_text("no picture")
    done = program(tmp_path, "denoise", str(trained / "dae"), "noisy", "--out", "out")
    assert done.returncode == 1
    assert "b.png cannot be read" in done.stderr
    assert "The model was trained with noise of std 0.3." in done.stdout
    assert {path.name for path in (tmp_path / "out").rglob("*.*")} == {"sheet.png", "a.png"}
    expected = run.reconstruct(tmp_path / "noisy/deeper/a.png")[0, 0].mul(255).round().byte().numpy()
    assert np.array_equal(np.asarray(Image.open(tmp_path / "out/deeper/a.png")), expected)


def test_a_sweep_measures_each_method_at_each_level(trained: Path, tmp_path: Path) -> None:
    arguments = ("denoise", "dae", "--sweep", "0.3,0.1", "--count", "20", "--noise", "0.3", "--format", "npz")
    for out in ("one", "two"):
        done = program(trained, *arguments, "--out", str(tmp_path / out))
        assert done.returncode == 0, done.stderr
    files = sorted(path.name for path in (tmp_path / "one").iterdir())
    assert files == ["denoise.csv", "denoise.png", "denoised.npz", "metrics.csv", "sheet.png"]
    assert all((tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes() for name in files)
    lines = rows(tmp_path / "one/denoise.csv")
    methods = ["noisy", "model", "median", "non-local means"]
    assert [(line["noise"], line["method"]) for line in lines] == [(n, m) for n in ("0.1", "0.3") for m in methods]
    items = rows(tmp_path / "one/metrics.csv")
    for line in lines[4:]:
        mean = np.mean([float(item[f"PSNR-{line['method']}"]) for item in items])
        assert float(line["PSNR"]) == pytest.approx(mean, rel=1e-4)
    arrays = np.load(tmp_path / "one/denoised.npz")
    assert arrays["x"].shape == arrays["noisy"].shape == (20, 1, 28, 28)


def test_the_chart_marks_the_noise_of_the_training(trained: Path, images: torch.Tensor) -> None:
    swept = genlab.load(trained / "dae").sweep_noise(images, [0.1, 0.3])
    assert swept.trained == 0.3
    assert swept.curve("model", "PSNR")[0] == (0.1, swept.means[0.1]["model"]["PSNR"])
    chart = charts.curves("title", "x", "y", {"model": [(0.1, 20.0), (0.3, 15.0)]}, {"training": 0.3}, "note")
    (panel,) = chart.axes
    line, mark = panel.get_lines()
    assert np.asarray(line.get_xydata()).tolist() == [[0.1, 20.0], [0.3, 15.0]]
    assert np.asarray(mark.get_xdata()).tolist() == [0.3, 0.3]
    assert panel.get_title() == "title\nnote"


def test_points_have_no_filters_and_a_squared_error(trained: Path, tmp_path: Path) -> None:
    done = program(trained, "denoise", "points", "--noise", "0.5", "--sweep", "0.5", "--out", str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert "ae-ring was trained without noise" in done.stdout
    (noisy, model) = rows(tmp_path / "denoise.csv")
    assert (noisy["method"], model["method"]) == ("noisy", "model")
    assert float(noisy["squared_error"]) == pytest.approx(0.25, rel=0.2)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["dae", "--noise", "0"], "--noise must be a number above 0, such as 0.3 (white is 1), got 0."),
        (["dae", "--noise", "-0.3"], "--noise must be a number above 0, such as 0.3 (white is 1), got -0.3."),
        (["dae", "--noise", "nan"], "got nan."),
        (["dae", "--sweep", "0.1,much"], "Levels must be numbers above 0 such as 0.1,0.3,0.5, got '0.1,much'."),
        (["dae", "--sweep", "0.1,0"], "--sweep must be a number above 0"),
        (["dae", "--sweep", ""], "Levels must be numbers above 0"),
        (["dae", "empty"], "There are no pictures in empty"),
        (["dae", "--out", "dae/run.json"], "is not a folder"),
        (["gan"], "(gan-digits) cannot denoise; it can"),
        (
            ["sr"],
            "(srresnet-digits) cannot denoise; it can upscale. Upscale pictures with it: genlab upscale sr PICTURES",
        ),
    ],
)
def test_a_mistake_is_a_sentence_and_leaves_no_folder(trained: Path, arguments: list[str], sentence: str) -> None:
    (trained / "empty").mkdir(exist_ok=True)
    before = set(trained.rglob("lab/*"))
    assert_refused(program(trained, "denoise", *arguments), sentence)
    assert set(trained.rglob("lab/*")) == before


def test_wrong_arguments_in_python_are_named(trained: Path) -> None:
    run = genlab.load(trained / "dae")
    with pytest.raises(genlab.ConfigError, match="noise must be a number above 0, such as 0.3 .*, got 'much'"):
        run.denoise(noise="much")  # type: ignore[arg-type]
    with pytest.raises(genlab.ConfigError, match="the list is empty"):
        run.sweep_noise(noises=[])
