"""Tests of the guidance for mistyped arguments: it names the right argument and never guesses silently."""

from pathlib import Path

import pytest

from genlab.config.compose import compose
from genlab.config.schema import Config
from genlab.config.sweeps import combinations, engine_of, sweep
from genlab.registry import ConfigError

GAN_LR = "model.optimizers.discriminator.lr=0.1 or model.optimizers.generator.lr=0.1"
UNKNOWN = "`genlab train --help` lists all settings."


def message_of(arguments: str, folders: tuple[Path, ...] = ()) -> str:
    """Return the error for arguments, which are separated by spaces."""
    with pytest.raises(ConfigError) as caught:
        compose(arguments.split(" "), folders)
    return str(caught.value)


@pytest.mark.parametrize(
    ("word", "advice"),
    [
        ("vae", "Did you mean model=vae?"),
        ("vaee", "Did you mean model=vae?"),
        ("mnist", "Did you mean data=mnist?"),
        ("vae-fast", "Did you mean experiment=vae-fast?"),
        ("dcgan", "Did you mean model=dcgan or model/network=dcgan?"),
        ("model", "Did you mean model=NAME?"),
        ("epochs", "Did you mean trainer.epochs=VALUE?"),
        ("=3", "Arguments are GROUP=NAME or SETTING=VALUE."),
        ("nonsense", "Arguments are GROUP=NAME or SETTING=VALUE."),
    ],
)
def test_a_word_without_an_equals_sign_is_explained(word: str, advice: str) -> None:
    assert message_of(word) == f"Cannot read the argument {word!r}. {advice}"


@pytest.mark.parametrize(
    ("arguments", "advice"),
    [
        ("epochs=3", "Did you mean trainer.epochs=3?"),
        ("epoch=3", "Did you mean trainer.epochs=3?"),
        ("lr=0.1", "Did you mean model.optimizers.model.lr=0.1?"),
        ("lr=0.1 model=gan", f"Did you mean {GAN_LR}?"),
        ("batch_size=3", "Did you mean trainer.batch_size=3?"),
        ("sed=3", "Did you mean seed=3?"),
        ("network=conv", "Did you mean model/network=conv?"),
        ("dataset=mnist", "Did you mean data=mnist?"),
        ("network.hidden=[3]", "Did you mean model.network.hidden=[3]?"),
        ("trainers.epochs=3", "Did you mean trainer.epochs=3?"),
        ("zebra=3", UNKNOWN),
        # The right setting, in the wrong section.
        ("model.epochs=3", "Did you mean trainer.epochs=3?"),
        ("trainer.seed=3", "Did you mean seed=3?"),
        ("model.lr=0.1", "Did you mean model.optimizers.model.lr=0.1?"),
        ("model.optimizer.model.lr=0.1", "Did you mean model.optimizers.model.lr=0.1?"),
        ("model.optimizers.critic.lr=0.1 model=gan", "Did you mean model.optimizers.discriminator.lr=0.1?"),
    ],
)
def test_an_unknown_setting_is_searched_in_all_sections(arguments: str, advice: str) -> None:
    key = arguments.partition("=")[0]
    assert message_of(arguments) == f"Unknown setting {key!r}. {advice}"


@pytest.mark.parametrize(
    ("arguments", "advice"),
    [
        ("rate=0.1", "model.optimizers.model.lr=0.1"),
        ("model.rate=0.1", "model.optimizers.model.lr=0.1"),
        ("model.players.model.rate=0.1", "model.optimizers.model.lr=0.1"),
        ("model.optimizers.model.rate=0.1", "model.optimizers.model.lr=0.1"),
        ("model.players.critic.rate=0.1 model=gan", "model.optimizers.discriminator.lr=0.1"),
        ("model.average=0.9", "model.optimizers.model.ema=0.9"),
        ("trainer.average=0.9", "model.optimizers.model.ema=0.9"),
        ("model.critic_turns=3 model=gan", "model.discriminator_turns=3"),
        ("model.deviation=1", "model.std=1"),
    ],
)
def test_a_name_of_an_earlier_version_is_answered_with_the_present_one(arguments: str, advice: str) -> None:
    key = arguments.partition("=")[0]
    assert message_of(arguments) == f"Unknown setting {key!r}. Did you mean {advice}?"


@pytest.mark.parametrize(
    ("argument", "start"),
    [
        ("model=vaee", "Unknown model 'vaee'. Did you mean 'vae'? Available: aae, acgan, ae, "),
        ("model=conv", "Unknown model 'conv'. Did you mean model/network=conv? Available: aae, acgan, ae, "),
        ("data=vae", "Unknown data set 'vae'. Did you mean model=vae? Available: "),
        ("model=null", "Unknown model 'null'. Available: aae, acgan, ae, "),
        ("model=3", "Unknown model '3'. Available: aae, acgan, "),
        ("trainer=zebra", "Unknown trainer recipe 'zebra'. Available: default, "),
    ],
)
def test_an_unknown_recipe_is_searched_in_all_groups(argument: str, start: str) -> None:
    assert message_of(argument).startswith(start)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("+seed=2", "seed exists already; write it without +."),
        ("+model=ae", "model is chosen already; write model=NAME without +."),
        ("++model=ae", "Write model=ae without +."),
        ("~foo", "Cannot remove 'foo': there is no such setting."),
        ("seed=${foo}", "seed refers to 'foo', and there is no such setting."),
        ("model.foo/x=3", "Cannot read the argument 'model.foo/x=3'."),
        ("foo/bar=3", f"Unknown setting 'foo/bar'. {UNKNOWN}"),
        (
            "seed=1,2",
            "seed takes one value, got '1,2'. Add -m to train with each of them; a list needs brackets: [1,2].",
        ),
        (
            "device=cuda:0,cuda:1",
            "device takes one value, got 'cuda:0,cuda:1'. Add -m to train once on each of them, or write devices=2 to "
            "train one model on two GPUs.",
        ),
        (
            "model.beta=interval(0.25,8)",
            "model.beta takes one value, got 'interval(0.25,8)'. Add -m to train with several values; a range is for "
            "`genlab search`.",
        ),
        (
            "hydra/launcher=joblib",
            "hydra/launcher is for commands that train several models. Add -m for a sweep, or leave it out.",
        ),
        (
            "model=srgan model/network=conv",
            "This model takes no network. `genlab train --help model=NAME` lists the settings of a model.",
        ),
    ],
)
def test_the_errors_of_hydra_are_plain_sentences(arguments: str, message: str) -> None:
    assert message_of(arguments) == message


def test_a_recipe_of_the_user_is_suggested_too(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model/mine.yaml").write_text("class: vae\ntheirs: 3\n")
    assert "Did you mean model=mine?" in message_of("mine", (tmp_path,))
    assert "Did you mean model.theirs=VALUE?" in message_of("model=mine theirs", (tmp_path,))


def test_a_setting_that_is_added_with_a_plus_is_left_to_the_class() -> None:
    assert compose(["+model.epochs=3"]).model["epochs"] == 3


def test_a_sweep_is_refused_before_its_first_run(tmp_path: Path) -> None:
    runs: list[Config] = []

    def task(config: Config, folder: Path) -> None:
        runs.append(config)

    with pytest.raises(ConfigError, match="Unknown setting 'epochs'. Did you mean trainer.epochs=1?"):
        sweep(["model=ae,vae", "epochs=1,2"], tmp_path, task)
    assert runs == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            "model.beta=interval(0.25,8)",
            "model.beta takes one value, or with -m a list such as model.beta=1,2,4, got 'interval(0.25,8)'. A range "
            "is for a search: genlab search 'model.beta=interval(0.25,8)'",
        ),
        ("seed=glob(*)", "seed=glob(*): there is no such recipe. glob is for recipes, such as model=glob(*vae)."),
        ("hydra/sweeper=optuna", "Unknown sweeper 'optuna'. To search for good settings, use `genlab search`."),
        ("hydra/launcher=jobli", "Unknown launcher 'jobli'. Did you mean 'joblib'? Available: basic, joblib, "),
        ("hydra/launcher=basic,joblib", "hydra/launcher takes one value, got 'hydra/launcher=basic,joblib'."),
        ("hydra.sweep.dir=here", "hydra.sweep.dir cannot be set. run=FOLDER chooses the folder, and a sweep takes "),
        ("hydra.launcher.n_jobs=2", "hydra.launcher.n_jobs is a setting of a launcher. Choose one, such as "),
        ("hydra.sweeper.max_batch_size=0", "hydra.sweeper.max_batch_size must be an integer of at least 1 or null, "),
        ("hydra.sweeper.max_batch_size=x", "hydra.sweeper.max_batch_size must be an integer of at least 1 or null, "),
    ],
)
def test_a_mistake_in_a_sweep_is_a_plain_sentence(arguments: str, message: str) -> None:
    given = ["seed=1,2", *arguments.split()]
    with pytest.raises(ConfigError) as error:
        engine_of(given, jobs=len(combinations(given, Path("sweep"))))
    assert str(error.value).startswith(message)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("n_job=2", "Unknown setting of hydra/launcher=joblib 'n_job'. Did you mean 'n_jobs'?"),
        ("n_jobs=two", "hydra.launcher.n_jobs must be an integer, got 'two'."),
        ("n_jobs=0", "hydra.launcher.n_jobs must be at least 1, or -1 for all cores, got 0."),
    ],
)
def test_a_mistake_in_the_settings_of_a_launcher_is_a_plain_sentence(setting: str, message: str) -> None:
    pytest.importorskip("hydra_plugins.hydra_joblib_launcher")
    with pytest.raises(ConfigError) as error:
        engine_of(["seed=1,2", "hydra/launcher=joblib", f"hydra.launcher.{setting}"])
    assert str(error.value).startswith(message)
