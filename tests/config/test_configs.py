"""Every YAML composes, lists every setting of what it configures, and builds."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from genlab.build import build_model
from genlab.config.compose import GROUPS, Config, as_yaml, choices, compose, directory, flatten, load
from genlab.config.help import complete, described, explain
from genlab.contract import Model, Shape
from genlab.data import SOURCES
from genlab.extractors.features import FEATURES
from genlab.models import MODELS
from genlab.networks import NETWORKS
from genlab.registry import ConfigError, schema
from genlab.training.settings import PlayerSettings, TrainerSettings

FACTS = ("self", "shape", "classes", "network", "features", "images", "device", "console")
GREY = Shape(1, 28, 28)


def asked_of(factory: Callable[..., Any]) -> set[str]:
    """The settings that a class takes from a YAML."""
    return {name for name in schema(factory, FACTS) if name != "return"}


def written(group: str, name: str) -> dict[str, Any]:
    """What stands in one file."""
    return dict(yaml.safe_load(choices(group)[name].read_text(encoding="utf-8")))


@pytest.mark.parametrize("path", sorted(directory().rglob("*.yaml")), ids=lambda path: path.stem)
def test_every_file_is_in_a_group_that_is_searched(path: Path) -> None:
    group = str(path.parent.relative_to(directory()))
    assert path.name == "train.yaml" or choices(group)[path.stem] == path


@pytest.mark.parametrize("group", GROUPS)
def test_every_recipe_says_what_it_is(group: str) -> None:
    rows = described(group)
    assert [name for name, text in rows if not text] == []
    assert {name for name, _ in rows} == set(choices(group))


@pytest.mark.parametrize("name", choices("model"))
def test_every_model_composes_builds_and_lists_every_setting_of_its_class_and_players(name: str) -> None:
    wanted = compose([f"model={name}"])
    listed = written("model", name)
    own = set(listed) - {"defaults", "class", "players", "best", "average", "batch_size"}
    assert own == asked_of(MODELS[listed["class"]])
    model = build_model(wanted, GREY, 10)
    assert isinstance(model, Model)
    assert set(wanted.players) == set(model.players())
    for player in listed["players"].values():
        assert set(player) == asked_of(PlayerSettings)


@pytest.mark.parametrize("name", choices("model/network"))
def test_every_network_composes_builds_and_lists_every_setting(name: str) -> None:
    listed = written("model/network", name)
    settings = {key for key in compose([f"model/network={name}"]).model["network"] if key not in ("name", "class")}
    assert settings == asked_of(NETWORKS[listed["class"]])
    assert build_model(compose(["model=ae", f"model/network={name}"]), GREY, 10)


@pytest.mark.parametrize("name", choices("model/features"))
def test_all_features_compose_and_list_every_setting(name: str) -> None:
    listed = written("model/features", name)
    assert set(listed) - {"class"} == asked_of(FEATURES[listed["class"]])
    for said in (f"model/features={name}", f"model.features={name}"):
        assert compose(["model=srgan", said]).model["features"] == {"name": name, **listed}


def test_a_batch_is_as_large_as_the_recipe_says_unless_told() -> None:
    assert compose(["model=srgan"]).trainer.batch_size == 16
    assert compose(["model=vae"]).trainer.batch_size == 128
    assert compose(["model=srgan", "trainer.batch_size=3"]).trainer.batch_size == 3
    assert compose(["model=srgan", "trainer=gpu"]).plain["trainer"]["batch_size"] == 512


@pytest.mark.parametrize("name", choices("data"))
def test_every_data_set_composes_and_lists_every_setting(name: str) -> None:
    listed = written("data", name)
    assert set(listed) - {"class", "defaults"} == asked_of(SOURCES[listed["class"]])
    assert compose([f"data={name}"]).data["name"] == name


@pytest.mark.parametrize("name", choices("trainer"))
def test_every_trainer_composes_and_the_default_lists_every_setting(name: str) -> None:
    assert compose([f"trainer={name}"]).trainer
    assert set(written("trainer", "default")) == asked_of(TrainerSettings)


@pytest.mark.parametrize("name", choices("experiment"))
def test_every_experiment_composes_and_builds(name: str) -> None:
    wanted = compose([f"experiment={name}"])
    assert build_model(wanted, GREY, 10)
    assert flatten(wanted.plain) != flatten(compose([]).plain)


def test_whoever_overrides_an_experiment_is_obeyed() -> None:
    wanted = compose(["experiment=vae-fast", "model.players.model.rate=0.5", "trainer.steps=7"])
    assert wanted.players["model"].rate == 0.5
    assert (wanted.trainer.steps, wanted.trainer.epochs) == (7, None)


def test_a_config_that_a_run_keeps_is_read_as_it_was(tmp_path: Path) -> None:
    wanted = compose(["model=beta-vae", "model/network=conv", "run=here"])
    (tmp_path / "config.yaml").write_text(as_yaml(wanted.plain), encoding="utf-8")
    assert load(tmp_path / "config.yaml") == wanted


# What a wrong file says.


def in_folder(folder: Path, text: str, *overrides: str) -> Config:
    """The config of a model whose YAML somebody wrote in a folder of their own."""
    (folder / "model").mkdir(exist_ok=True)
    (folder / "model" / "mine.yaml").write_text(text, encoding="utf-8")
    return compose(["model=mine", *overrides], [folder])


GOOD = "defaults: [{network: mlp}, _self_]\nclass: vae\nlatent_dim: 3\nplayers: {model: {rate: 0.1}}\nbest: loss\n"


def test_a_folder_of_ones_own_has_recipes_of_ones_own(tmp_path: Path) -> None:
    wanted = in_folder(tmp_path, GOOD, "model.latent_dim=4")
    assert wanted.name == "mine-fashion-mini"
    assert build_model(wanted, GREY, 10)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (GOOD + "latentdim: 4\n", "model 'mine' has no setting 'latentdim'. Did you mean 'latent_dim'?"),
        (GOOD.replace("vae", "vay"), "No model class is called 'vay'. Did you mean 'vae'?"),
        (GOOD.replace("latent_dim: 3\n", ""), "model 'mine' needs the setting 'latent_dim'."),
        (GOOD.replace("rate", "rat"), "player 'model' has no setting 'rat'. Did you mean 'rate'?"),
        (GOOD.replace("0.1", "fast"), "player 'model': rate must be a number, and 'fast' is not one."),
        (GOOD.replace("0.1", "-1"), "player 'model': rate must be at least 0, and -1.0 is not."),
        ("defaults: [{network: mlpp}, _self_]\nclass: vae\n", "No network is called 'mlpp'. Did you mean 'mlp'?"),
        ("class: [vae\n", "expected ',' or ']'"),
    ],
)
def test_a_wrong_file_of_ones_own_gets_a_sentence(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        build_model(in_folder(tmp_path, text), GREY, 10)
    assert message in str(caught.value)


# What can be typed.


def test_the_shell_completes_groups_settings_and_names() -> None:
    assert complete([], "model=") == [f"model={name}" for name in choices("model")]
    assert complete([], "model=vae,be") == ["model=vae,beta-vae"]
    assert complete(["model", "="], "v") == ["vae"]  # as bash splits it
    assert complete(["model"], "") == [*choices("model")]  # as typer hands on the same without the v
    assert complete([], "trainer.") == [f"trainer.{name}=" for name in written("trainer", "default")]
    assert complete([], "trainer.ba") == ["trainer.batch_size=", "trainer.batch_size=128"]
    assert complete(["model=beta-vae"], "model.be") == ["model.beta=", "model.best="]
    assert complete(["model=ae"], "model.beta") == []
    assert complete(["model=nonsense"], "see") == ["seed=", "seed=0"]


def test_bash_is_answered_as_it_asks() -> None:
    words = ["genlab", "train", "model", "=", "beta-vae", "model.be"]
    asked = {"COMP_WORDS": "\n".join(words), "COMP_CWORD": "5", "_GENLAB_COMPLETE": "complete_bash"}
    done = subprocess.run(
        [sys.executable, "-c", "from genlab.cli.app import app; app(prog_name='genlab')"],
        env={**os.environ, **asked},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.split() == ["model.beta=", "model.best="]


def test_help_names_every_group_and_every_setting_with_its_comment() -> None:
    lines = explain(["model=vae"], [])
    for key in flatten(compose(["model=vae"]).plain):
        if key.rpartition(".")[2] not in ("name", "class", "plugins"):
            assert any(line.strip().startswith(f"{key}=") for line in lines), key
    assert any("model.beta=1.0" in line and "weight of the KL" in line for line in lines)
    adversarial = explain(["model=wgan"], [])
    assert any("model.clip=0.01" in line and "a weight of the critic" in line for line in adversarial)
    for player in ("critic", "generator"):
        assert any(f"{player}.clip=null" in line and "the gradient may be" in line for line in adversarial)
    assert any(line.split()[:1] == ["experiment"] and "vae-fast" in line for line in lines)
