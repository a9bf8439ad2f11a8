"""`genlab mix`, `genlab project` and `genlab traverse --directions sefa`: what one does with the styles of a model."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

import genlab
from genlab.contract import Styles
from genlab.lab import sefa
from genlab.lab.run import Run
from genlab.lab.styles import layers_of
from genlab.registry import ConfigError
from tests.fixtures.program import assert_refused
from tests.fixtures.program import genlab as program

SMALL: dict[str, Any] = {
    "trainer": "smoke",
    "trainer.batch_size": 16,
    "quiet": True,
    "data.size": 16,
    "data.count": 60,
    "data.validation": 16,
    "data.test": 16,
    "model.width": 8,
    "model.most": 16,
    "model.discriminator_width": 8,
    "model.latent_dim": 16,
    "model.mapping_layers": 2,
}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a StyleGAN of faces that has hardly been trained, and a VAE."""
    folder = tmp_path_factory.mktemp("styles")
    genlab.train("stylegan", data="faces", run=folder / "style", **SMALL)
    smoke: dict[str, Any] = {key: SMALL[key] for key in ("trainer", "trainer.batch_size", "quiet")}
    genlab.train("vae", data="digits", run=folder / "vae", **smoke | {"model/network": "mlp-small"})
    return folder


@pytest.fixture(scope="module")
def run(trained: Path) -> Run:
    return genlab.load(trained / "style")


def refused(action: Callable[[], Any]) -> str:
    with pytest.raises(ConfigError) as caught:
        action()
    return str(caught.value)


def test_truncation_0_gives_the_mean_image_and_1_leaves_samples_as_they_are(run: Run) -> None:
    assert isinstance(run.model, Styles)
    codes, _ = run.draw(3, seed=4)
    samples = run.sample(3, seed=4)
    torch.testing.assert_close(samples, run.decode(codes))
    mean = run.decode_styles(run.model.mean_style().detach())
    torch.testing.assert_close(run.sample(3, seed=4, truncation=0), mean.expand(3, -1, -1, -1))
    half = run.styles(codes, truncation=0.5)
    torch.testing.assert_close(half, (run.model.mean_style().detach() + run.styles(codes)) / 2)
    torch.testing.assert_close(run.sample(3, seed=4, truncation=0.5), run.decode_styles(half))
    assert "changes styles, not codes" in refused(lambda: run.draw(2, truncation=0.5))
    assert "truncation must be 0 or more, got -1" in refused(lambda: run.sample(2, truncation=-1))


def test_mixing_takes_the_chosen_layers_from_the_columns_and_the_others_from_the_rows(run: Run) -> None:
    found = run.mix(rows=2, columns=3, layers="3-5", seed=7)
    styles = run.styles(run.draw(5, seed=7)[0])
    for row in range(2):
        for column in range(3):
            mixed = torch.stack([*[styles[row]] * 3, *[styles[2 + column]] * 3])
            torch.testing.assert_close(found.styles[row, column], mixed)
            torch.testing.assert_close(found.items[row, column], run.decode_styles(mixed[None])[0])
    torch.testing.assert_close(torch.cat([found.rows, found.columns]), run.sample(5, seed=7))
    assert found.sentences == ("Columns give the styles of layers 3-5, rows those of layers 0-2.",)


def test_layers_are_named_by_numbers_and_ranges() -> None:
    assert layers_of("0, 3-5", 8) == (0, 3, 4, 5)
    assert layers_of([2, 1], 8) == (1, 2)
    assert "numbers and ranges, got 'fine'" in refused(lambda: layers_of("fine", 8))
    for wrong in ("4-8", "8", [-1], "5-4", "2-99999999999"):
        assert "There are 8 layers" in refused(lambda wrong=wrong: layers_of(wrong, 8))  # type: ignore[misc]


def test_directions_are_orthonormal_and_those_of_an_eigendecomposition() -> None:
    torch.manual_seed(0)
    weights = torch.randn(40, 6) * torch.tensor([5.0, 1, 4, 2, 3, 0.5])
    values, vectors = sefa.directions(weights)
    torch.testing.assert_close(vectors @ vectors.T, torch.eye(6).double())
    squares = weights.double().T @ weights.double()
    torch.testing.assert_close(vectors @ squares @ vectors.T, torch.diag(values), rtol=1e-6, atol=1e-6)
    found, of_numpy = np.linalg.eigh(squares.numpy())
    torch.testing.assert_close(values, torch.from_numpy(found[::-1].copy()))
    alike = (vectors * torch.from_numpy(of_numpy.T[::-1].copy())).sum(1).abs()
    torch.testing.assert_close(alike, torch.ones(6).double())


def test_a_traversal_along_directions_moves_only_the_chosen_layers(run: Run) -> None:
    found = run.traverse(directions="sefa", units=2, steps=3, layers=[1, 2], seed=3)
    assert isinstance(run.model, Styles)
    style = run.styles(run.draw(1, seed=3)[0])[0]
    _, vectors = sefa.directions(run.model.style_weights([1, 2]).detach())
    styles = style.repeat(run.model.layers, 1)
    styles[1:3] += (found.values[1, 2] - style @ vectors[1].float()) * vectors[1].float()
    torch.testing.assert_close(found.items[1, 2], run.decode_styles(styles[None])[0], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(found.start, run.sample(1, seed=3))
    assert list(found.table) == ["direction 0", "direction 1"]
    assert "layers belong to directions of styles" in refused(lambda: run.traverse(layers="0"))


@pytest.fixture(scope="module")
def picture(run: Run) -> tuple[Tensor, Tensor]:
    """Return the style of a sample, far from the mean, and its image."""
    style = run.styles(run.draw(1, seed=11)[0])
    return style, run.decode_styles(style)


def test_projection_recovers_the_style_of_a_generated_image(run: Run, picture: tuple[Tensor, Tensor]) -> None:
    style, image = picture
    found = run.project(image, steps=80, features="random")
    assert found.losses[-1] < 0.02 * found.losses[0]
    means = found.means
    assert means["projection"]["PSNR"] > means["mean image"]["PSNR"] + 15
    start = run.model.mean_style().detach()  # type: ignore[operator]
    distance = (found.styles[0] - style).norm(dim=1)
    assert (distance < 0.5 * (start - style).norm()).all()
    assert torch.equal(found.styles[0], found.styles[0, :1].expand_as(found.styles[0]))
    torch.testing.assert_close(run.decode_styles(found.styles), found.items)


def test_a_projection_is_the_same_again_and_beside_other_pictures(run: Run, picture: tuple[Tensor, Tensor]) -> None:
    image, other = picture[1], run.sample(1, seed=2)
    alone = run.project(image, steps=5, features="random", space="w+")
    beside = run.project(torch.cat([image, other]), steps=5, features="random", space="w+")
    torch.testing.assert_close(beside.styles[:1], alone.styles, rtol=1e-4, atol=1e-5)
    assert not torch.equal(alone.styles[0, 0], alone.styles[0, -1])
    assert torch.equal(run.project(image, steps=5, features="random", space="w+").styles, alone.styles)
    assert not torch.equal(run.project(image, steps=5, features="random", space="w+", seed=1).styles, alone.styles)


def test_the_commands_write_pictures_and_styles(trained: Path, tmp_path: Path, picture: tuple[Tensor, Tensor]) -> None:
    pixels = picture[1][0].permute(1, 2, 0).mul(255).round().byte().numpy()
    Image.fromarray(pixels).save(tmp_path / "face.png")
    place, style = tmp_path / "out", str(trained / "style")
    done = program(tmp_path, "project", style, "face.png", "--steps", "3", "--features", "random", "--out", str(place))
    assert done.returncode == 0, done.stderr
    assert {path.name for path in place.iterdir()} == {"sheet.png", "metrics.csv", "face.png", "styles.npz"}
    assert np.load(place / "styles.npz")["styles"].shape == (1, 6, 16)
    assert "projection" in done.stdout
    done = program(tmp_path, "mix", style, "--rows", "2", "--columns", "2", "--format", "npz", "--out", str(place))
    assert done.returncode == 0, done.stderr
    assert np.load(place / "mix.npz")["styles"].shape == (4, 6, 16)
    done = program(tmp_path, "traverse", style, "--directions", "sefa", "--units", "2", "--out", str(place))
    assert done.returncode == 0, done.stderr
    assert (place / "directions.csv").read_text().startswith("direction,strength\n0,")


def test_models_without_styles_and_wrong_layers_are_refused(trained: Path, tmp_path: Path, run: Run) -> None:
    vae = genlab.load(trained / "vae")
    for action in (vae.mix, lambda: vae.project(count=1), lambda: vae.traverse(directions="sefa")):
        assert "cannot mix styles" in refused(action)
    assert "all 6 layers" in refused(lambda: run.mix(layers="0-5"))
    assert "space must be one of w, w+, got 'z'" in refused(
        lambda: run.project(torch.rand(1, 3, 16, 16), space="z")  # type: ignore[arg-type]
    )
    assert "is not conditional" in refused(lambda: run.sample(2, label=0))
    done = program(tmp_path, "mix", str(trained / "style"), "--layers", "4-9")
    assert_refused(done, "There are 6 layers, got layers 4-9.")
