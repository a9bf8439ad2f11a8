"""Tests of what the shell completes and what `genlab train --help` lists."""

import os
import subprocess
import sys

from genlab.config.compose import HIDDEN, choices, compose
from genlab.config.help import complete, explain
from genlab.config.schema import flatten
from genlab.training.settings import TrainerSettings


def test_the_shell_completes_groups_settings_and_names() -> None:
    assert complete([], "model=") == [f"model={name}" for name in choices("model")]
    assert complete([], "model=vae,be") == ["model=vae,beta-vae"]
    of_v = [name for name in choices("model") if name.startswith("v")]
    assert complete(["model", "="], "v") == of_v  # bash splits the word at =
    assert complete(["model"], "") == [*choices("model")]  # typer drops the word =
    names = [f"trainer.{name}=" for name in TrainerSettings.__dataclass_fields__]
    assert sorted(complete([], "trainer.")) == sorted(names)
    assert complete([], "trainer.ba") == ["trainer.batch_size=", "trainer.batch_size=128"]
    assert complete(["model=beta-vae"], "model.be") == ["model.beta=", "model.best="]
    assert complete(["model=ae"], "model.beta") == []
    assert complete(["model=nonsense"], "see") == ["seed=", "seed=0"]


def test_bash_gets_completions_through_its_own_protocol() -> None:
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


def test_help_lists_every_group_and_every_setting_with_its_comment() -> None:
    lines = explain(["model=vae"], [])
    for key in flatten(compose(["model=vae"]).plain):
        if key.rpartition(".")[2] not in HIDDEN:
            assert any(line.strip().startswith(f"{key}=") for line in lines), key
    assert any("model.beta=1.0" in line and "weight of the KL" in line for line in lines)
    assert any("data.balance=false" in line and "every class equally often" in line for line in lines)
    assert any(line.split()[:1] == ["experiment"] and "vae-fast" in line for line in lines)


def test_the_players_of_a_model_share_the_comments_of_the_first() -> None:
    lines = explain(["model=wgan"], [])
    comments = {line.split()[0]: line.split(maxsplit=1)[1:] for line in lines if "model.optimizers." in line}
    for name in ("clip=null", "schedule=constant"):
        first = comments[f"model.optimizers.discriminator.{name}"]
        assert first
        assert comments[f"model.optimizers.generator.{name}"] == first
