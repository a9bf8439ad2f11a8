"""Settings in a comparison: those that were chosen and differ, and what their differences mean for losses."""

from pathlib import Path

import pytest

from genlab.comparison.table import tables
from genlab.registry import ConfigError
from tests.fixtures.comparisons import MEASURED, comparison, headings, together, without_effect
from tests.fixtures.runs_made_up import evaluate, make_run


def test_settings_that_follow_from_the_model_are_left_out(tmp_path: Path) -> None:
    runs = [make_run(tmp_path / model, f"model={model}", "trainer.epochs=3") for model in ("vae", "dcgan", "ae")]
    assert comparison(*runs).settings == ["model"]


def test_settings_that_deviate_from_a_recipe_are_shown(tmp_path: Path) -> None:
    one = make_run(tmp_path / "one", "model=vae", "model.latent_dim=7", "run=x", "device=cpu")
    two = make_run(tmp_path / "two", "model=dcgan", "model.network=dcgan-small", "seed=3")
    found = comparison(one, two)
    assert found.settings == ["model", "model.network", "model.latent_dim", "seed"]
    assert [row.settings for row in found.rows] == [
        {"model": "vae", "model.network": "mlp", "model.latent_dim": 7, "seed": 0},
        {"model": "dcgan", "model.network": "dcgan-small", "model.latent_dim": 100, "seed": 3},
    ]


def test_settings_that_differ_within_a_missing_recipe_are_shown(tmp_path: Path) -> None:
    runs = [make_run(tmp_path / str(dim), f"model.latent_dim={dim}", f"seed={dim}") for dim in (2, 3)]
    runs.append(make_run(tmp_path / "network", "model.latent_dim=2", "model/network=conv", "seed=2"))
    for run in runs:
        (run / "config.yaml").write_text((run / "config.yaml").read_text().replace("name: vae", "name: mine"))
    assert comparison(*runs[:2]).settings == ["model.latent_dim", "seed"]
    assert comparison(runs[0], runs[2]).settings == ["model.network"]
    other = make_run(tmp_path / "other", "model.beta=2")
    assert comparison(runs[0], other).settings == ["model", "model.beta", "seed"]


def test_settings_that_change_together_are_named_once_and_those_without_effect_are_not(tmp_path: Path) -> None:
    runs = [
        make_run(
            tmp_path / f"{n}",
            *together(n),
            f"trainer.batch_size={20 if n < 3 else 30}",
            f"seed={n}",
            *without_effect(n),
        )
        for n in (1, 2, 3)
    ]
    notes = [note for note in comparison(*runs).notes if "change together" in note]
    group = "model.latent_dim, model.beta, model.optimizers.model.lr"
    assert notes == [f"These settings change together, so their effects cannot be separated: {group}."]
    notes = [note for note in comparison(*runs[1:]).notes if "change together" in note]
    assert notes == [
        f"These settings change together, so their effects cannot be separated: {group}, trainer.batch_size."
    ]


def test_settings_without_effect_stand_last_in_files_and_not_in_tables(tmp_path: Path) -> None:
    runs = [
        make_run(
            tmp_path / f"{n}", "model=dcgan", *without_effect(n), f"seed={n}", f"model.optimizers.generator.ema=0.{n}"
        )
        for n in (1, 2)
    ]
    found = comparison(*runs)
    without = [override.partition("=")[0] for override in without_effect(0)]
    assert found.settings[:2] == ["model.optimizers.generator.ema", "seed"]
    assert set(found.settings[2:]) == set(without)
    assert [row.label for row in found.rows] == ["ema 0.1, seed 1", "ema 0.2, seed 2"]
    assert found.doubtful == frozenset()
    shown = headings(tables(found, None))
    assert "seed" in shown
    assert not shown & set(without)
    # If nothing else differs, they are shown after all.
    found = comparison(*(make_run(tmp_path / f"alone {n}", f"trainer.log_every={n}") for n in (1, 2)))
    assert "trainer.log_every" in headings(tables(found, None))
    assert [row.label for row in found.rows] == ["log_every 1", "log_every 2"]


def test_a_config_that_cannot_be_read_is_named_and_the_metrics_are_shown(pair: list[Path]) -> None:
    (pair[0] / "config.yaml").write_text("- no settings")
    found = comparison(*pair)
    assert any(note.startswith("The settings of ") for note in found.notes)
    assert all("PSNR" in row.metrics for row in found.rows)


@pytest.mark.parametrize(
    ("overrides", "same"),
    [
        (["model.latent_dim=3", "model/network=conv", "model.optimizers.model.lr=0.1", "seed=4"], True),
        (["model.beta=3"], False),
        (["model.likelihood=gaussian"], False),
        (["model=beta-vae"], False),
        (["model=beta-vae", "model.beta=1.0"], True),
        (["model=ae"], False),
    ],
)
def test_losses_compare_if_the_class_and_the_settings_of_the_loss_are_the_same(
    tmp_path: Path, overrides: list[str], same: bool
) -> None:
    one, two = make_run(tmp_path / "one"), make_run(tmp_path / "two", *overrides, test={"loss": 1.0})
    found = comparison(one, two)
    assert (found.best("test/loss") == 1.0) is same
    assert any("They do not compare" in note for note in found.notes) is not same


def test_sorting_by_a_loss_is_refused_if_the_objectives_differ(tmp_path: Path) -> None:
    runs = [make_run(tmp_path / f"{beta}", f"model.beta={beta}") for beta in (1, 4)]
    with pytest.raises(ConfigError, match=r"^Cannot sort by test/loss: .*\(model\.beta\)\. Run `genlab evaluate"):
        comparison(*runs).sorted("test/loss")
    for run in runs:
        evaluate(run, MEASURED)
    with pytest.raises(ConfigError, match=r"Sort by a metric that all runs share: FD-classifier, PSNR\.$"):
        comparison(*runs).sorted("validation/loss")
    assert len(comparison(*runs).sorted("PSNR").rows) == 2


def test_metrics_that_mean_the_same_for_all_models_can_be_sorted_across_objectives(tmp_path: Path) -> None:
    runs = [
        make_run(tmp_path / model, f"model={model}", validation={"loss": 1.0, "PSNR": value})
        for model, value in (("vae", 11.0), ("ae", 22.0))
    ]
    found = comparison(*runs).sorted("validation/PSNR")
    assert [row.name for row in found.rows] == ["ae", "vae"]
    assert found.best("validation/PSNR") == 22.0
