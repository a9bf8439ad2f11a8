"""Monitors warn of a training that has gone wrong, once, and the warning is kept."""

import json
import re
from pathlib import Path

import pytest
import yaml

from genlab.kinds import Image, Kind, Points
from genlab.models.gan import GAN
from genlab.models.losses.adversarial import LOSSES, LossName
from genlab.models.vae import VAE
from genlab.networks import Network
from genlab.networks.convolutional import Conv
from genlab.networks.mlp import Mlp
from genlab.training import checkpoint
from genlab.training.journal import Journal
from genlab.training.monitors import (
    CODES_UNUSED,
    COLLAPSED,
    DISCRIMINATOR_WON,
    MODES_DROPPED,
    POSTERIOR_COLLAPSED,
    Line,
    collapsed,
    discriminator_won,
    warning,
)
from genlab.training.settings import PlayerSettings, TrainerSettings
from genlab.training.trainer import Trainer
from tests.fixtures.program import genlab
from tests.fixtures.toys import toy_images


def validations(values: list[float], apart: int = 500) -> list[Line]:
    """Make validation lines with these values of the diversity, so many steps apart."""
    return [{"split": "validation", "step": apart * (at + 1), "diversity": value} for at, value in enumerate(values)]


def moves(real: list[float], generated: list[float], apart: int = 500) -> list[Line]:
    """Make training lines with these accuracies of the discriminator."""
    names = "discriminator/real_accuracy", "discriminator/generated_accuracy"
    return [
        {"split": "train", "step": apart * (at + 1), **dict(zip(names, both, strict=True))}
        for at, both in enumerate(zip(real, generated, strict=True))
    ]


def values_of(split: str, name: str, values: list[float], apart: int = 500) -> list[Line]:
    """Make lines of a split with these values of one metric."""
    return [{"split": split, "step": apart * (at + 1), name: value} for at, value in enumerate(values)]


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (validations([0.1, 0.1, 0.1]), COLLAPSED),
        (validations([1.0, 0.1, 0.0, 0.1]), COLLAPSED),
        (validations([0.11, 0.12, 0.14, 0.16, 0.17]), None),  # slow, but growing
        (validations([0.1, 0.1], apart=2000), None),  # too few lines
        (validations([0.1] * 9, apart=100), None),  # too few steps
        (validations([0.1] * 11, apart=100), COLLAPSED),
        (validations([0.1, 0.1, 0.1, 0.1, 0.3]), None),  # recovered
        (validations([0.1, 0.1, 0.3, 0.1, 0.1]), None),  # not for long
        (validations([0.2] * 5), None),  # at the threshold
        ([{**line, "split": "test"} for line in validations([0.1] * 5)], None),
        ([{"split": "validation", "step": 500 * at, "loss": 1.0} for at in range(5)], None),
        ([{**line, "diversity": None} for line in validations([0.1] * 5)], None),  # a NaN
        (moves([1.0] * 3, [0.995] * 3), DISCRIMINATOR_WON),
        (moves([1.0] * 5, [0.9] * 5), None),  # it recognises real items only
        (moves([0.9] * 5, [1.0] * 5), None),
        (moves([1.0] * 5, [1.0] * 4 + [0.98]), None),
        (moves([1.0] * 9, [1.0] * 9, apart=100), None),
        (moves([1.0] * 5, [1.0] * 5) + validations([0.1] * 5), COLLAPSED),  # the worse of both
        (moves([1.0] * 5, [1.0] * 5) + validations([1.0] * 5), DISCRIMINATOR_WON),
        (values_of("validation", "active_share", [0.5, 0.05, 0.0, 0.05]), POSTERIOR_COLLAPSED),
        (values_of("validation", "active_share", [0.0, 0.0, 0.1, 0.0]), None),
        (values_of("validation", "active_share", [0.05] * 3, apart=100), None),
        (values_of("validation", "unused", [0.6] * 3), CODES_UNUSED),
        (values_of("train", "autoencoder/unused", [0.6] * 3), CODES_UNUSED),
        (values_of("train", "autoencoder/unused", [0.9, 0.9, 0.5]), None),
        (values_of("validation", "classes_missing", [8.0, 5.0, 3.0, 3.0, 3.0]), MODES_DROPPED),
        (values_of("validation", "classes_missing", [9.0, 7.0, 4.0, 3.0, 2.0]), None),  # fewer and fewer
        (values_of("validation", "classes_missing", [3.0, 3.0, 0.0, 3.0, 3.0]), None),
        (values_of("validation", "classes_missing", [3.0] * 3, apart=100), None),
        ([], None),
    ],
)
def test_a_value_that_was_bad_for_a_thousand_steps_is_warned_of(lines: list[Line], expected: str | None) -> None:
    assert warning(lines) == expected


def test_validations_without_the_quick_metrics_do_not_hide_missing_classes() -> None:
    lines = values_of("validation", "classes_missing", [3.0] * 3, apart=1000)
    lines += [{"split": "validation", "step": step, "loss": 1.0} for step in (1500, 2500, 3500)]
    assert warning(sorted(lines, key=lambda line: int(line["step"]))) == MODES_DROPPED


def test_lines_of_the_other_split_between_do_not_hide_it() -> None:
    lines = [line for pair in zip(validations([0.1] * 3), moves([0.5] * 3, [0.5] * 3), strict=True) for line in pair]
    assert collapsed(lines)
    assert not discriminator_won(lines)


def test_a_journal_with_a_line_for_every_step_still_holds_old_validations(tmp_path: Path) -> None:
    lines = moves([0.5] * 3000, [0.5] * 3000, apart=1)
    for at, line in enumerate(validations([0.1] * 3, apart=1000)):
        lines.insert(1000 * (at + 1) + at, {**line})
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    journal = Journal(tmp_path, 3000, {}, {})
    journal.close()
    assert collapsed(journal.recent)


@pytest.mark.parametrize("name", LOSSES)
def test_accuracies_are_logged_by_every_loss_but_the_wasserstein_distance(tmp_path: Path, name: LossName) -> None:
    model = GAN(x=Image(1, 2, 2), network=Mlp(hidden=[]), latent_dim=1, loss=name)
    players = {player: PlayerSettings() for player in model.players()}
    Trainer(model, toy_images(), TrainerSettings(batch_size=4, steps=1, log_every=1), players).fit(tmp_path)
    journal = Journal(tmp_path, 1, {}, {})
    journal.close()
    (line,) = [line for line in journal.recent if line["split"] == "train"]
    accuracies = {"discriminator/real_accuracy", "discriminator/generated_accuracy"} & set(line)
    assert len(accuracies) == (0 if name == "wasserstein" else 2)
    assert ("discriminator/distance" in line) == (name == "wasserstein")


@pytest.mark.parametrize("sentence", [COLLAPSED, MODES_DROPPED, DISCRIMINATOR_WON])
@pytest.mark.parametrize(
    ("kind", "network"),
    [(Image(1, 2, 2), Mlp(hidden=[3])), (Points(2), Mlp(hidden=[3])), (Image(3, 16, 16), Conv(width=4))],
)
def test_the_settings_that_a_warning_names_can_be_used(sentence: str, kind: Kind, network: Network) -> None:
    changes = {name: yaml.safe_load(value) for name, value in re.findall(r"model\.(\w+)=([\w.\[\]]*[\w\]])", sentence)}
    layer = {name: changes.pop(name) for name in ("discriminator_normalization",) if name in changes}
    assert len(changes) == 2
    for name, value in changes.items():
        if name != "augment" or isinstance(kind, Image):
            GAN(**{"x": kind, "network": network, "latent_dim": 2, name: value, **layer})


def test_the_advice_against_a_collapsed_posterior_names_settings_of_a_vae() -> None:
    changes = {name: float(value) for name, value in re.findall(r"model\.(\w+)=([\d.]+\d)", POSTERIOR_COLLAPSED)}
    assert set(changes) == {"kl_warmup", "free_bits"}
    assert VAE(x=Image(1, 2, 2), network=Mlp(hidden=[3]), latent_dim=2, kl_warmup=2000, free_bits=0.1)


# Whole trainings.

SMALL = [
    "train",
    "model=gan",
    "data=digits",
    "model.network.hidden=[8]",
    "trainer.epochs=null",
    "trainer.batch_size=16",
]
LOOKS = ["trainer.validate_every=200", "trainer.log_every=200", "trainer.checkpoint_every=100000", "device=cpu"]
SMALL += ["model.r1=0", "model.optimizers.generator.ema=0", *LOOKS]
# A discriminator that does not learn has one favourite image, and a generator with a large learning rate finds it.
COLLAPSING = [*SMALL, "model.optimizers.discriminator.lr=0", "model.optimizers.generator.lr=0.02"]


def warnings_of(folder: Path) -> dict[str, int]:
    kept: dict[str, int] = json.loads((folder / "run.json").read_text())["warnings"]
    found = checkpoint.newest(folder / "checkpoints")
    assert found
    assert found.facts["position"]["warnings"] == kept
    return kept


def test_mode_collapse_is_warned_of_once_however_often_a_run_is_stopped(tmp_path: Path) -> None:
    parts = [genlab(tmp_path, *COLLAPSING, "trainer.steps=700", "run=mine")]
    assert warnings_of(tmp_path / "mine") == {}
    parts.append(genlab(tmp_path, "resume", "mine", "trainer.steps=1200"))
    assert warnings_of(tmp_path / "mine") == {COLLAPSED: 1200}
    parts.append(genlab(tmp_path, "resume", "mine", "trainer.steps=1210"))
    assert warnings_of(tmp_path / "mine") == {COLLAPSED: 1200}
    assert [part.returncode for part in parts] == [0, 0, 0]
    assert [part.stdout.count(f"step 1,200: {COLLAPSED}\n") for part in parts] == [0, 1, 0]
    assert (tmp_path / "mine" / "log.txt").read_text().count(COLLAPSED) == 1


def test_a_training_that_goes_well_gets_no_warning(tmp_path: Path) -> None:
    done = genlab(tmp_path, *SMALL, "trainer.steps=1200", "run=mine")
    assert done.returncode == 0, done.stderr
    assert warnings_of(tmp_path / "mine") == {}
    assert COLLAPSED not in done.stdout
    assert DISCRIMINATOR_WON not in done.stdout
