"""Tests of building from a config: kinds that do not fit are refused uniformly, and extensions take three touches."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from genlab.build import build_data, build_model, build_trainer
from genlab.config.compose import compose
from genlab.contract import conditions
from genlab.kinds import Classes, Image, Kind, Points
from genlab.registry import ConfigError
from tests.fixtures.program import assert_refused, genlab

IMAGES: dict[str, Kind] = {"x": Image(1, 28, 28)}
POINTS: dict[str, Kind] = {"x": Points(2)}
LABELS: dict[str, Kind] = {"label": Classes(("cat", "dog"))}
ADVICE = "Choose data with labels, such as data=fashion-mini; for a folder of your own, set data.labels=folder. "
ADVICE += "Or set model.condition=none."
NETWORKS = "Choose a network that takes points: model/network=mlp"


@pytest.mark.parametrize(
    ("recipes", "kinds", "message"),
    [
        (
            "model=srresnet data=ring",
            POINTS,
            "model 'srresnet' takes images, and data 'ring' holds points (2 numbers each).",
        ),
        (
            "model=ae model/network=conv data=gaussian",
            {"x": Points(1)},
            f"network 'conv' takes images, and data 'gaussian' holds points (1 number each). {NETWORKS}",
        ),
        (
            "model=dcgan data=ring",
            POINTS,
            f"network 'dcgan' takes images, and data 'ring' holds points (2 numbers each). {NETWORKS}",
        ),
        (
            "model=cgan data=photos-mini",
            IMAGES,
            f"model 'cgan' needs labels, and data 'photos-mini' has none. {ADVICE}",
        ),
    ],
)
def test_data_that_does_not_fit_is_refused_with_the_uniform_sentence(
    recipes: str, kinds: dict[str, Kind], message: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        build_model(compose(recipes.split()), kinds)
    assert str(caught.value) == message


def test_images_that_a_network_cannot_halve_are_refused_by_the_network() -> None:
    with pytest.raises(ConfigError, match="model 'dcgan': dcgan halves images until"):
        build_model(compose(["model=dcgan"]), {"x": Image(1, 30, 30)})


def test_labels_are_optional_for_a_model_that_can_do_without() -> None:
    for kinds in (IMAGES, IMAGES | LABELS):
        assert conditions(build_model(compose(["model=gan"]), kinds)) == {}


def test_the_first_weights_depend_on_the_seed_alone() -> None:
    one, two, other = (build_model(compose([f"seed={seed}"]), IMAGES | LABELS).state_dict() for seed in (1, 1, 2))
    torch.manual_seed(5)
    again = build_model(compose(["seed=1"]), IMAGES).state_dict()
    for name, weights in one.items():
        assert torch.equal(weights, two[name])
        assert torch.equal(weights, again[name])
    assert any(not torch.equal(weights, other[name]) for name, weights in one.items())


def test_a_part_must_be_settings() -> None:
    config = compose([])
    with pytest.raises(ConfigError, match="model.network must be settings, got 3. Choose with model/network=NAME"):
        build_model(replace(config, model={**config.model, "network": 3}), IMAGES)


def test_a_trainer_gets_the_settings_of_the_config() -> None:
    config = compose(["model=ae", "data=digits", "trainer.steps=2", "trainer.batch_size=8", "device=cpu"])
    trainer = build_trainer(config, build_data(config))
    assert (trainer.total, trainer.settings.batch_size, trainer.best) == (2, 8, "loss")


# Adding something takes three touches: a class, an entry in a table, and a YAML file.

PLUGIN = """
import torch
from torch import Tensor, nn

from genlab.contract import Batch, Model, Result
from genlab.data.dataset import Dataset, split_off
from genlab.kinds import Points


class Centre(Model):
    def __init__(self, *, x: Points, scale: float) -> None:
        super().__init__()
        self.scale, self.centre = scale, nn.Parameter(torch.zeros(x.dimensions))

    def loss(self, batch: Batch) -> Result:
        return Result(self.scale * (batch["x"] - self.centre).square().mean())

    def reconstruct(self, batch: Batch) -> Tensor:
        return self.centre.expand_as(batch["x"])


def corner(*, count: int) -> Dataset:
    left, held_out = split_off(count, 20)
    return Dataset.of_points(torch.ones(count, 3), {"train": left, "validation": held_out[:10], "test": held_out[10:]})


MODELS = {"centre": Centre}
SOURCES = {"corner": corner}
"""
MODEL = """# The mean of points
class: centre
scale: 2.0  # factor of the loss
best: loss
optimizers: {model: {lr: 0.1}}
"""
DATA = """# Points at one place
class: corner
count: 60  # number of points in all splits
"""


def test_a_model_and_a_data_source_of_the_user_take_a_class_an_entry_and_a_file(tmp_path: Path) -> None:
    for name, text in {"mine.py": PLUGIN, "configs/model/mean.yaml": MODEL, "configs/data/point.yaml": DATA}.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    command = ["train", "--plugin", "mine.py", "model=mean", "data=point", "trainer=smoke", "run=run"]
    done = genlab(tmp_path, *command)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "run/run.json").exists()
    helped = genlab(tmp_path, *command, "--help").stdout
    assert "model.scale=2.0" in helped
    assert "factor of the loss" in helped
    refused = genlab(tmp_path, "train", "--plugin", "mine.py", "model=mean", "data=digits", "trainer=smoke")
    assert refused.stderr.strip().startswith("model 'mean' takes points, and data 'digits' holds images (")


def test_data_that_does_not_fit_is_refused_by_the_models_name_before_its_features_are_built(tmp_path: Path) -> None:
    done = genlab(tmp_path, "train", "model=srgan", "data=gaussian")
    assert_refused(done, "model 'srgan' takes images, and data 'gaussian' holds points (1 number each).")
