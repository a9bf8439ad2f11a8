"""`genlab sample`: samples become files, and the same seed gives the same files."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import genlab
from tests.fixtures.program import assert_refused
from tests.fixtures.program import genlab as program

SMALL: dict[str, Any] = {"trainer": "smoke", "trainer.batch_size": 16, "quiet": True}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a VAE, an autoencoder and a conditional GAN of digits."""
    folder = tmp_path_factory.mktemp("trained")
    for model, network in (("vae", "mlp"), ("ae", "mlp"), ("cgan", "mlp-small")):
        settings = {"model/network": network, **({"model.fitted_prior": []} if model == "ae" else {})}
        genlab.train(model, data="digits", run=folder / model, **SMALL, settings=settings)
    return folder


def sample(folder: Path, *arguments: str) -> str:
    done = program(folder, "sample", *arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_each_sample_is_a_picture_of_its_own_size(trained: Path, tmp_path: Path) -> None:
    printed = sample(trained, "vae", "--count", "12", "--seed", "5", "--out", str(tmp_path / "out"))
    assert printed == f"In {tmp_path}/out: 00.png, 01.png, 02.png, and 9 more\n"
    expected = genlab.load(trained / "vae").sample(12, seed=5)
    for number, image in enumerate(expected):
        found = np.asarray(Image.open(tmp_path / f"out/{number:02}.png"))
        assert np.array_equal(found, image[0].mul(255).round().byte().numpy())


def test_the_same_seed_gives_the_same_files_and_no_file_is_overwritten(trained: Path, tmp_path: Path) -> None:
    first = sample(trained, "vae", "--count", "3").split(":")[0].removeprefix("In ")
    second = sample(trained, "vae", "--count", "3").split(":")[0].removeprefix("In ")
    assert (first, second) == ("vae/lab/sample-1", "vae/lab/sample-2")
    files = sorted((trained / first).iterdir())
    assert [file.read_bytes() for file in files] == [(trained / second / file.name).read_bytes() for file in files]
    own = tmp_path / "0.png"
    own.write_text("mine")
    sample(trained, "vae", "--count", "2", "--out", str(tmp_path))
    assert own.read_text() == "mine"
    assert {file.name for file in tmp_path.iterdir()} == {"0.png", "0-2.png", "1.png"}


def test_a_conditional_model_generates_all_classes_in_turn_or_the_given_one(trained: Path, tmp_path: Path) -> None:
    run = genlab.load(trained / "cgan")
    sample(trained, "cgan", "--count", "12", "--format", "npz", "--out", str(tmp_path / "all"))
    arrays = np.load(tmp_path / "all/samples.npz")
    assert arrays["label"].tolist() == [*range(10), 0, 1]
    assert np.array_equal(arrays["x"], run.sample(12, label=list(arrays["label"])).mul(255).round().byte().numpy())
    sample(trained, "cgan", "--count", "2", "--label", "7", "--out", str(tmp_path / "one"))
    assert {file.name for file in (tmp_path / "one").iterdir()} == {"0-7.png", "1-7.png"}
    sample(trained, "cgan", "--count", "40", "--grid", "--out", str(tmp_path / "grid"))
    assert Image.open(tmp_path / "grid/samples.png").height > 10 * 56


def test_truncation_moves_codes_towards_the_mean_code(trained: Path) -> None:
    run = genlab.load(trained / "vae")
    whole, _ = run.draw(50, seed=1)
    half, _ = run.draw(50, seed=1, truncation=0.5)
    assert torch.equal(whole, run.draw(50, seed=1, truncation=1)[0])
    assert torch.allclose(half, 0.5 * whole)
    assert torch.equal(run.sample(50, seed=1, truncation=0.5), run.decode(half))


def test_the_codes_of_a_conditional_gan_and_their_classes_give_its_samples(trained: Path) -> None:
    run = genlab.load(trained / "cgan")
    codes, condition = run.draw(30, seed=2)
    assert codes.shape == (30, 100)
    assert len(set(condition["label"].tolist())) > 3
    assert torch.equal(run.decode(codes, label=condition["label"]), run.sample(30, seed=2))


def test_truncation_0_gives_the_item_of_the_mean_code(trained: Path) -> None:
    run = genlab.load(trained / "cgan")
    labels = [3, 3, 7]
    expected = run.decode(torch.zeros(3, 100), label=labels)
    assert torch.equal(run.sample(3, label=labels, seed=5, truncation=0), expected)
    assert torch.equal(expected[0], expected[1])
    assert not torch.equal(expected[0], expected[2])


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["ae"], "ae-digits cannot sample: its codes have no known distribution. Fit one: genlab fit-prior ae"),
        (["ae", "--prior", "normal"], "(ae-digits) cannot sample with prior 'normal'"),
        (["vae", "--prior", "fitted"], "vae has no fitted prior. Fit one: genlab fit-prior vae"),
        (["vae", "--label", "3"], "vae-digits is not conditional"),
        (["cgan", "--label", "eleven"], "Unknown class 'eleven'. Available: 0, 1"),
        (["cgan", "--label", "11"], "A class must be a number from 0 to 9 or a name, got 11."),
        (["vae", "--count", "0"], "count must be at least 1, got 0."),
        (["vae", "--truncation", "-1"], "truncation must be 0 or more, got -1."),
        (["vae", "--truncation", "nan"], "truncation must be 0 or more, got nan."),
        (["vae", "--grid", "--format", "npz"], "--grid draws a picture"),
        (["vae", "--out", "vae/run.json/deeper"], "is not a folder"),
        (["vae", "--checkpoint", "first"], "'first' is not one of 'last', 'best'"),
    ],
)
def test_a_mistake_is_a_sentence_and_leaves_no_folder(trained: Path, arguments: list[str], sentence: str) -> None:
    before = set(trained.rglob("lab/*"))
    assert_refused(program(trained, "sample", *arguments), sentence)
    assert set(trained.rglob("lab/*")) == before
