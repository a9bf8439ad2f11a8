"""Features of the images' own: what they are learnt from, that they are learnt once, and what is said of them."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from genlab.data.dataset import Images
from genlab.data.sources.built_in import digits
from genlab.data.sources.photos import photos_mini
from genlab.extractors.features import FEATURES, rotation
from genlab.extractors.features.rotation import Rotation, recipe_of
from genlab.networks.extractor import Features
from genlab.registry import ConfigError
from genlab.training.console import Console
from genlab.training.trainer import Trainer

NONE = torch.arange(0)


@pytest.fixture(scope="module", autouse=True)
def _small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Narrow ones that learn for a moment, in a cache of their own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rotation, "STEPS", 60)
        patch.setattr(rotation, "WIDTHS", (8, 12, 16, 24))
        patch.setenv("GENLAB_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def images() -> Images:
    return digits(validation=180, test=360)


@pytest.fixture(scope="module")
def learnt(images: Images, tmp_path_factory: pytest.TempPathFactory) -> tuple[Features, str]:
    """The features of the digits, and what was said of them."""
    log = tmp_path_factory.mktemp("said") / "log.txt"
    return FEATURES["self"](images=images, console=Console(log=log)), log.read_text()


def test_it_learns_which_way_up_digits_stand_and_says_how_well(learnt: tuple[Features, str], images: Images) -> None:
    first, *_, last = learnt[1].splitlines()
    assert first == f"Training a rotation network of the data, once; it is kept in {recipe_of(images).folder}"
    assert last.startswith("The features 'self' are of a network that tells ")
    assert last.endswith("% of the rotations of held-out images; 25% is chance.")
    # Measured 0.60 to 0.68 with four seeds.
    assert float(last.partition(" tells ")[2].partition("%")[0]) > 50


def test_of_photographs_too_only_some_held_out_cells_are_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rotation, "HELD_OUT", 5)
    photographs = photos_mini(size=64)
    assert len(photographs.splits["validation"]) > 5
    chosen = recipe_of(photographs).images
    assert torch.equal(chosen.splits["validation"], photographs.splits["validation"][:5])
    assert torch.equal(chosen.splits["train"], photographs.splits["train"])
    assert chosen.fingerprint == photographs.fingerprint
    assert FEATURES["self"](images=photographs)(torch.rand(1, *photographs.shape)).isfinite().all()


def test_it_is_learnt_once_and_then_found(
    learnt: tuple[Features, str], images: Images, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Trainer, "fit", None)
    again = FEATURES["self"](images=images, console=Console(log=tmp_path / "log.txt"), factor=2.0)
    assert (again.digest, again.name, again.factor) == (learnt[0].digest, "self", 2.0)
    assert (tmp_path / "log.txt").read_text() == learnt[1].splitlines(keepends=True)[-1]


def test_other_images_or_layers_make_other_features(images: Images, monkeypatch: pytest.MonkeyPatch) -> None:
    fewer = {**images.splits, "train": images.splits["train"][:-1]}
    folders = {recipe_of(images).folder, recipe_of(replace(images, splits=fewer, fingerprint="")).folder}
    for name, value in {"STEPS": 61, "SIDE": 6, "WIDTHS": (8, 12, 16, 25), "SEED": 1, "LAYERS": "others"}.items():
        with monkeypatch.context() as patch:
            patch.setattr(rotation, name, value)
            folders.add(recipe_of(images).folder)
    assert len(folders) == 7
    assert "rot90" in rotation.LAYERS


def test_it_is_frozen_with_its_normalisation_and_yet_teaches(learnt: tuple[Features, str], images: Images) -> None:
    features = learnt[0].train()
    assert list(features.parameters()) == []
    assert features.state_dict() == {}
    shown = (images.pixels[:5] / 255).requires_grad_()
    seen = features(shown)
    assert torch.allclose(seen[:1], features(shown[:1]), atol=1e-5)
    seen.square().mean().backward()  # type: ignore[no-untyped-call]
    assert shown.grad is not None
    assert (shown.grad.abs().sum((1, 2, 3)) > 0).all()


@pytest.mark.parametrize("size", [(1, 8, 8), (3, 9, 33), (1, 28, 28), (3, 96, 64), (3, 384, 384)], ids=str)
def test_it_takes_images_of_every_size(size: tuple[int, int, int]) -> None:
    network, shown = Rotation(size[0]), torch.rand(2, *size)
    network.loss({"image": shown})["loss"].backward()  # type: ignore[no-untyped-call]
    assert all(weight.grad is not None for weight in network.parameters())
    features = rotation.RotationFeatures(network, channels=size[0], factor=1.0)
    expected = [tuple(-(-side // stride) for side in size[1:]) for stride in (2, 4, 8)]
    assert [tuple(layer.shape[2:]) for layer in features.layers(shown)] == expected
    assert tuple(features(shown).shape[2:]) == expected[1]


def test_each_image_is_asked_about_in_all_four_ways() -> None:
    network, shown = Rotation(3).eval(), torch.rand(4, 3, 24, 16)
    middle, expected = shown[:, :, 4:20], []
    for quarters in range(4):
        for image in middle:
            turned = image.rot90(quarters, (1, 2))[None]
            scores = network.head(network.depths(turned)[-1].relu().mean((2, 3)))
            expected.append(-scores.log_softmax(1)[0, quarters])
    loss = network.loss({"image": shown})["loss"]
    assert float(loss.detach()) == pytest.approx(float(torch.stack(expected).mean().detach()), rel=1e-4)


def test_features_of_grey_images_refuse_colour_and_those_of_colour_take_grey() -> None:
    of_grey, of_colour = (rotation.RotationFeatures(Rotation(many), channels=many, factor=1.0) for many in (1, 3))
    grey = torch.rand(2, 1, 16, 16)
    assert torch.equal(of_colour(grey), of_colour(grey.repeat(1, 3, 1, 1)))
    with pytest.raises(ConfigError, match="learnt from grey images, and these are in colour"):
        of_grey(torch.rand(2, 3, 16, 16))


def test_without_held_out_images_it_says_how_well_it_does_on_the_others(
    images: Images, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rotation, "STEPS", 50)
    only = replace(images, splits={**images.splits, "validation": NONE, "test": NONE}, fingerprint="")
    FEATURES["self"](images=only, console=Console(log=tmp_path / "log.txt"))
    assert "% of the rotations of the training images; 25%" in (tmp_path / "log.txt").read_text()
    with pytest.raises(ConfigError, match="learnt from training images, and this data has none"):
        FEATURES["self"](images=replace(only, splits=dict.fromkeys(only.splits, NONE), fingerprint=""))
