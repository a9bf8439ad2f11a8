"""The pictures of metrics and effects in a comparison."""

import itertools
import shutil
from pathlib import Path

import numpy as np

from genlab.comparison import chart, effects
from genlab.comparison.compare import undrawn
from genlab.comparison.comparison import Comparison
from tests.fixtures.comparisons import MEASURED, comparison, without_effect
from tests.fixtures.runs_made_up import Metrics, evaluate, make_run


def titles(found: Comparison) -> list[str]:
    drawn = chart.metrics(found)
    return [panel.get_title().split("\n")[0] for panel in drawn.axes] if drawn else []


def test_every_metric_has_a_panel_with_a_point_for_every_run(sweep: Path) -> None:
    found = comparison(sweep)
    drawn = chart.metrics(found)
    assert drawn
    assert titles(found) == ["FD-classifier", "negative_elbo", "PSNR"]
    for panel in drawn.axes:
        assert len(panel.containers) == 8
    assert [label.get_text() for label in drawn.axes[0].get_yticklabels()] == [row.label for row in found.rows]
    assert found.rows[0].label == "beta 1, lr 0.001, seed 0"


def test_a_picture_of_many_runs_holds_the_most_common_metrics_and_the_rest_is_named(tmp_path: Path) -> None:
    first = make_run(tmp_path / "first")
    for number in range(27):
        run = Path(shutil.copytree(first, tmp_path / "many" / f"{number:02} of {'long' * 10}"))
        evaluate(run, {f"PSNR-{name:02}": (number, None, None) for name in range(40) if number <= 2 * name})
    found = comparison(tmp_path / "many")
    drawn = chart.metrics(found)
    assert drawn
    height, width = (drawn.get_size_inches() * drawn.dpi)[::-1]
    # Labels of two lines, in the size that few runs get, would be twice as tall.
    assert height < 3500
    assert [panel.get_title().split("\n")[0] for panel in drawn.axes] == [f"PSNR-{name:02}" for name in range(13, 37)]
    alone, sentence = undrawn(found)
    assert alone == "metrics.png has no panels for metrics that only one run has: PSNR-00."
    assert sentence.startswith("metrics.png has no panels for metrics that have no room: ")
    assert sentence.endswith("PSNR-11, PSNR-12 and 5 more.")


def test_a_metric_of_a_single_run_is_drawn_only_if_no_other_run_is_compared(pair: list[Path]) -> None:
    evaluate(pair[0], MEASURED | {"SSIM": (0.5, None, None)})
    assert "SSIM" in chart.panelled(comparison(pair[0]))
    found = comparison(*pair)
    assert chart.panelled(found) == [name for name in found.metrics if name != "SSIM"]
    assert undrawn(found) == ["metrics.png has no panels for metrics that only one run has: SSIM."]


def test_the_most_telling_metrics_come_first(tmp_path: Path) -> None:
    names = ["SSIM", "probe_accuracy", "PSNR", "PSNR-noise-0.1", "kl", "KID-classifier", "negative_elbo", "FD-lite0"]
    for number in (1, 2):
        evaluate(make_run(tmp_path / f"{number}", f"seed={number}"), dict.fromkeys(names, (number, None, None)))
    first = ["FD-lite0", "KID-classifier", "negative_elbo", "PSNR", "probe_accuracy"]
    assert titles(comparison(tmp_path)) == [*first, "SSIM", "PSNR-noise-0.1", "kl", "validation/loss", "test/loss"]


def test_losses_of_different_objectives_are_not_side_by_side(tmp_path: Path) -> None:
    for model in ("vae", "ae"):
        evaluate(make_run(tmp_path / model, f"model={model}"), {"PSNR": (20.0, None, None)})
    found = comparison(tmp_path)
    assert titles(found) == ["PSNR"]
    assert "metrics.png has no panels for metrics that do not compare: validation/loss, test/loss." in undrawn(found)


def test_baselines_that_are_equal_for_all_runs_are_lines(tmp_path: Path) -> None:
    for number in (1, 2):
        measured: Metrics = {
            "probe_accuracy": (0.5 + 0.1 * number, None, None),
            "probe_accuracy-pixels": (0.8, None, None),
        }
        # Equal for both, and of the model itself.
        measured |= {"SSIM": (0.5, None, None), "FD-classifier": (100.0 + number, None, 2.0)}
        evaluate(make_run(tmp_path / f"{number}", f"seed={number}"), measured)
    found = comparison(tmp_path)
    drawn = chart.metrics(found)
    assert drawn
    panels = {panel.get_title().split("\n")[0]: panel for panel in drawn.axes}
    assert {"SSIM", "probe_accuracy"} < set(panels)
    assert "probe_accuracy-pixels" not in panels
    (words,) = panels["probe_accuracy"].texts
    assert (words.get_text(), words.get_position()[0]) == ("pixels", 0.8)
    # A line that far away would press the runs together.
    assert panels["FD-classifier"].get_title().endswith("lower is better; real data: 2.000")
    assert not panels["FD-classifier"].texts


def test_labels_do_not_overlap_for_many_runs_with_long_names(tmp_path: Path) -> None:
    first, runs = make_run(tmp_path / "first"), list[Path]()
    for number in range(30):
        runs.append(Path(shutil.copytree(first, tmp_path / f"{number:02}{' long' * 20}")))
        text = (first / "config.yaml").read_text()
        (runs[-1] / "config.yaml").write_text(text.replace("    - 400\n", "    - 128\n" * 20 + f"    - {number}\n"))
    drawn = chart.metrics(comparison(*runs))
    assert drawn
    renderer = drawn.canvas.get_renderer()  # type: ignore[attr-defined]
    boxes = [label.get_window_extent(renderer) for label in drawn.axes[0].get_yticklabels()]
    assert all(above.y0 >= below.y1 for above, below in itertools.pairwise(boxes))
    assert min(box.x0 for box in boxes) >= 0


def test_every_swept_setting_and_main_metric_has_a_panel_with_the_means_over_the_other_settings(sweep: Path) -> None:
    drawn = effects.effects(comparison(sweep))
    assert drawn
    panels = {(panel.get_xlabel(), panel.get_title().split("\n")[0]): panel for panel in drawn.axes}
    settings = ("model.optimizers.model.lr", "model.beta")
    assert set(panels) == set(itertools.product(settings, ("PSNR", "negative_elbo", "FD-classifier")))
    line = panels["model.beta", "FD-classifier"].lines[-1]
    assert np.allclose(line.get_xydata(), [[1, 10.5], [4, 40.5]])
    line = panels["model.optimizers.model.lr", "FD-classifier"].lines[-1]
    assert np.allclose(line.get_ydata(), 25.5)


def test_values_of_very_different_size_get_a_logarithmic_axis(tmp_path: Path) -> None:
    rates = (1e-5, 1e-3, 4e-3)
    found = comparison(*(make_run(tmp_path / f"{lr}", f"model.optimizers.model.lr={lr}") for lr in rates))
    drawn = effects.effects(found)
    assert drawn
    assert [panel.get_xscale() for panel in drawn.axes] == ["log"]


def test_an_effect_needs_three_runs_and_settings_that_change_together_share_a_panel(tmp_path: Path) -> None:
    def together(n: int) -> list[str]:
        return [f"model.latent_dim={2 * n}", f"trainer.batch_size={n}", f"model.optimizers.model.lr={n}e-3"]

    runs = [make_run(tmp_path / f"{n}", *together(n), f"seed={n}", *without_effect(n)) for n in (1, 2, 3)]
    assert effects.effects(comparison(*runs[:2])) is None
    drawn = effects.effects(comparison(*runs))
    assert drawn
    assert [panel.get_xlabel().split() for panel in drawn.axes] == [
        ["model.latent_dim", "with", "model.optimizers.model.lr,", "trainer.batch_size"]
    ]
    # Runs that repeat the settings give means.
    again = [make_run(tmp_path / f"again {n}", *together(n), f"seed={n + 9}") for n in (1, 2)]
    drawn = effects.effects(comparison(*runs[:2], *again))
    assert drawn
    assert len(drawn.axes) == 1
    # Settings of logging and validation have no effect.
    idle = (make_run(tmp_path / f"idle {n}", *without_effect(n)) for n in (1, 2, 3))
    assert effects.effects(comparison(*idle)) is None


def test_no_effect_is_drawn_on_losses_of_different_meaning(tmp_path: Path) -> None:
    runs = [make_run(tmp_path / f"{beta}", f"model.beta={beta}") for beta in (1, 2, 4)]
    assert effects.effects(comparison(*runs)) is None


def test_no_effect_is_drawn_if_only_seeds_differ_or_no_metric_compares(pair: list[Path]) -> None:
    assert effects.effects(comparison(*pair)) is None
    other = make_run(pair[0].parent / "other", "data=digits", fingerprint="f" * 16, modelled="f" * 16)
    assert effects.effects(comparison(pair[0], other)) is None
