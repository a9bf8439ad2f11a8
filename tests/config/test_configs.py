"""Tests of the YAML files: each composes, lists every setting of what it configures, and builds."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from genlab.build import build_model
from genlab.config.compose import GROUPS, as_yaml, choices, compose, directory, load
from genlab.config.help import described
from genlab.config.schema import Config, changed, differences, flatten
from genlab.contract import Model
from genlab.data import SOURCES
from genlab.extractors import EXTRACTORS
from genlab.kinds import Classes, Image, Kind
from genlab.models import MODELS
from genlab.networks import NETWORKS
from genlab.registry import ConfigError, schema
from genlab.runs import codes as codes  # makes codes a data source
from genlab.training.settings import LoadingSettings, PlayerSettings, TrainerSettings

FACTS = ("self", "x", "y", "label", "network", "features", "dataset", "device", "console")
GREY: dict[str, Kind] = {"x": Image(1, 28, 28), "label": Classes(tuple("abcdefghij"))}


def settings_of(factory: Callable[..., Any]) -> set[str]:
    """Return the settings that a class takes from a YAML file."""
    return {name for name in schema(factory, FACTS) if name != "return"}


def written(group: str, name: str) -> dict[str, Any]:
    """Return the content of one file."""
    return dict(yaml.safe_load(choices(group)[name].read_text(encoding="utf-8")))


def test_every_file_is_in_a_group_that_is_searched() -> None:
    for path in directory().rglob("*.yaml"):
        group = str(path.parent.relative_to(directory()))
        assert path.name == "train.yaml" or choices(group)[path.stem] == path


@pytest.mark.parametrize("group", GROUPS)
def test_every_recipe_has_a_description(group: str) -> None:
    rows = described(group)
    assert [name for name, text in rows if not text] == []
    assert {name for name, _ in rows} == set(choices(group))


def test_the_main_file_lists_every_setting_of_loading() -> None:
    assert set(yaml.safe_load((directory() / "train.yaml").read_text())["data"]) == {
        "keep",
        *settings_of(LoadingSettings),
    }


@pytest.mark.parametrize("name", choices("model"))
def test_every_model_composes_builds_and_lists_every_setting_of_its_class_and_optimizers(name: str) -> None:
    config = compose([f"model={name}"])
    listed = written("model", name)
    own = set(listed) - {"defaults", "class", "optimizers", "best", "fitted_prior", "batch_size"}
    assert own == settings_of(MODELS[listed["class"]])
    model = build_model(config, GREY)
    assert isinstance(model, Model)
    assert set(config.optimizers) == set(model.players())
    for settings in listed["optimizers"].values():
        assert set(settings) == settings_of(PlayerSettings)


@pytest.mark.parametrize("name", choices("model/network"))
def test_every_network_composes_builds_and_lists_every_setting(name: str) -> None:
    listed = written("model/network", name)
    settings = {key for key in compose([f"model/network={name}"]).model["network"] if key not in ("name", "class")}
    assert settings == settings_of(NETWORKS[listed["class"]])
    assert build_model(compose(["model=ae", f"model/network={name}"]), GREY)


@pytest.mark.parametrize("name", choices("model/features"))
def test_all_features_compose_and_list_every_setting(name: str) -> None:
    listed = written("model/features", name)
    assert set(listed) - {"class"} == settings_of(EXTRACTORS[listed["class"]])
    for argument in (f"model/features={name}", f"model.features={name}"):
        assert compose(["model=srgan", argument]).model["features"] == {"name": name, **listed}


@pytest.mark.parametrize("name", choices("data"))
def test_every_data_set_composes_and_lists_every_setting(name: str) -> None:
    listed = written("data", name)
    # A source may have a setting `label`: it takes no columns, it makes them.
    assert set(listed) - {"class", "defaults"} == set(schema(SOURCES[listed["class"]]))
    assert compose([f"data={name}"]).data["name"] == name


@pytest.mark.parametrize("name", choices("trainer"))
def test_every_trainer_composes_and_the_default_lists_every_setting(name: str) -> None:
    assert compose([f"trainer={name}"]).trainer
    assert set(written("trainer", "default")) == settings_of(TrainerSettings)


@pytest.mark.parametrize("name", choices("experiment"))
def test_every_experiment_composes_and_builds(name: str) -> None:
    config = compose([f"experiment={name}"])
    assert build_model(config, GREY)
    assert flatten(config.plain) != flatten(compose([]).plain)


def test_the_batch_size_comes_from_the_arguments_then_the_trainer_then_the_model() -> None:
    assert compose(["model=srgan"]).trainer.batch_size == 16
    assert compose(["model=vae"]).trainer.batch_size == 128
    assert compose(["model=srgan", "trainer.batch_size=3"]).trainer.batch_size == 3
    assert compose(["model=srgan", "trainer=gpu"]).plain["trainer"]["batch_size"] == 512


def test_arguments_override_an_experiment() -> None:
    config = compose(["experiment=vae-fast", "model.optimizers.model.lr=0.5", "trainer.steps=7"])
    assert config.optimizers["model"].lr == 0.5
    assert (config.trainer.steps, config.trainer.epochs) == (7, None)


def test_the_config_of_a_run_is_read_as_it_was_written(tmp_path: Path) -> None:
    config = compose(["model=beta-vae", "model/network=conv", "run=here"])
    (tmp_path / "config.yaml").write_text(as_yaml(config.plain), encoding="utf-8")
    assert load(tmp_path / "config.yaml") == config


def test_differences_are_dotted_keys() -> None:
    one, two = (compose(["model=beta-vae", f"seed={seed}", f"model.beta={seed}"]).plain for seed in (1, 2))
    assert differences(one, two) == ["model.beta", "seed"]


# Resuming.


@pytest.mark.parametrize(
    ("override", "epochs", "steps"), [("trainer.epochs=30", 30, None), ("trainer.steps=900", None, 900)]
)
def test_a_resumed_run_can_have_another_budget(override: str, epochs: int | None, steps: int | None) -> None:
    config = changed(compose(["run=here"]), [override, "device=cuda:1"])
    assert (config.trainer.epochs, config.trainer.steps, config.device, config.run) == (epochs, steps, "cuda:1", "here")


CAN = "only trainer.epochs, trainer.steps, trainer.patience, trainer.rollback, device and devices can change."


@pytest.mark.parametrize(
    ("override", "message"),
    [
        (
            "model.beta=2",
            f"Cannot change model.beta when resuming; {CAN}",
        ),
        (
            "seed=3",
            f"Cannot change seed when resuming; {CAN}",
        ),
        ("trainer.steps", "Cannot read the argument 'trainer.steps'. Write trainer.steps=VALUE."),
        ("trainer.steps=many", "trainer: steps must be an integer or null, got 'many'."),
    ],
)
def test_nothing_else_can_change_when_resuming(override: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        changed(compose([]), [override])
    assert str(caught.value) == message


# Mistakes in a file of the user.


def in_folder(folder: Path, text: str, *overrides: str) -> Config:
    """Return the config of a model whose YAML file lies in the user's own folder."""
    (folder / "model").mkdir(exist_ok=True)
    (folder / "model" / "mine.yaml").write_text(text, encoding="utf-8")
    return compose(["model=mine", *overrides], [folder])


GOOD = "defaults: [{network: mlp}, _self_]\nclass: vae\nlatent_dim: 3\noptimizers: {model: {lr: 0.1}}\nbest: loss\n"


def test_a_folder_of_the_user_adds_recipes(tmp_path: Path) -> None:
    config = in_folder(tmp_path, GOOD, "model.latent_dim=4")
    assert config.name == "mine-fashion-mini"
    assert build_model(config, GREY)


def test_a_setting_that_a_recipe_leaves_out_can_be_set(tmp_path: Path) -> None:
    config = in_folder(tmp_path, GOOD, "model.beta=4", "model.optimizers.model.clip=1")
    assert config.model["beta"] == 4
    assert config.optimizers["model"].clip == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (GOOD + "latentdim: 4\n", "model 'mine' has no setting 'latentdim'. Did you mean 'latent_dim'?"),
        (GOOD.replace("vae", "vay"), "Unknown model class 'vay'. Did you mean 'vae'?"),
        (GOOD.replace("latent_dim: 3\n", ""), "model 'mine' needs the setting 'latent_dim'."),
        (
            GOOD.replace("optimizers", "optimizer"),
            "model 'mine' has no setting 'optimizer'. Did you mean 'optimizers'?",
        ),
        (GOOD.replace("lr", "lrr"), "model.optimizers.model has no setting 'lrr'. Did you mean 'lr'?"),
        (GOOD.replace("0.1", "fast"), "model.optimizers.model: lr must be a number, got 'fast'."),
        (GOOD.replace("0.1", "-1"), "model.optimizers.model: lr must be at least 0, got -1.0."),
        (GOOD + "name: mine\n", "model.name cannot be set; it is the name of the recipe. Write model=NAME."),
        ("defaults: [{network: mlpp}, _self_]\nclass: vae\n", "Unknown network 'mlpp'. Did you mean 'mlp'?"),
        ("class: [vae\n", "A YAML file cannot be read: while parsing a flow sequence"),
    ],
)
def test_a_mistake_in_a_file_of_the_user_is_explained(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        build_model(in_folder(tmp_path, text), GREY)
    assert message in str(caught.value)
