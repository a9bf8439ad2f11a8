"""Runs beside each other: what differs is found, the better comes first, and what does not compare is said."""

import csv
import io
import itertools
import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from rich.console import Console
from rich.table import Table
from torch import Tensor

from genlab.comparison import chart, effects, samples
from genlab.comparison import compare as comparing
from genlab.comparison.comparison import Comparison, compared
from genlab.comparison.table import shown, tables, width_of
from genlab.contract import Model
from genlab.metrics.figures import Figure
from genlab.runs import open as open_run
from genlab.runs.run import meant
from tests.fixtures.program import assert_refused, genlab
from tests.fixtures.runs_made_up import evaluate, make_run

SPREAD = {"FD-classifier": (20.25, 0.5, 1.5), "PSNR": (18.125, None, None)}


def comparison(*runs: Path, checkpoint: str = "last") -> Comparison:
    return compared(meant([str(run) for run in runs]), comparing._asked, checkpoint)


def order(found: Comparison) -> list[str]:
    return [row.name for row in found.rows]


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight runs: two values of beta, two of a rate, two seeds; FD is 10 beta + seed, PSNR 20 - beta."""
    folder = tmp_path_factory.mktemp("swept") / "sweep"
    for beta, rate, seed in itertools.product((1, 4), (0.001, 0.01), (0, 1)):
        settings = [f"model.beta={beta}", f"model.players.model.rate={rate}", f"seed={seed}"]
        run = make_run(folder / ",".join(settings), *settings, seconds=10.0 * beta, images_per_second=2000)
        figures = {"FD-classifier": (10.0 * beta + seed, 0.5, 2.0), "PSNR": (20.0 - beta, None, None)}
        evaluate(run, figures | {"negative_elbo": (240.0 + beta, None, None)})
    return folder


@pytest.fixture
def pair(tmp_path: Path) -> list[Path]:
    """Two runs that differ in their seed alone, measured alike."""
    return [evaluate(make_run(tmp_path / str(seed), f"seed={seed}"), SPREAD) for seed in (0, 1)]


def test_only_what_was_chosen_differs(tmp_path: Path) -> None:
    runs = [make_run(tmp_path / model, f"model={model}", "trainer.epochs=3") for model in ("vae", "dcgan", "ae")]
    assert comparison(*runs).settings == ["model"]


def test_what_deviates_from_a_recipe_was_chosen(tmp_path: Path) -> None:
    one = make_run(tmp_path / "one", "model=vae", "model.latent_dim=7", "run=x", "device=cpu")
    two = make_run(tmp_path / "two", "model=dcgan", "model.network=dcgan-small", "seed=3")
    found = comparison(one, two)
    assert found.settings == ["model", "model.network", "model.latent_dim", "seed"]
    assert [row.settings for row in found.rows] == [
        {"model": "vae", "model.network": "mlp", "model.latent_dim": 7, "seed": 0},
        {"model": "dcgan", "model.network": "dcgan-small", "model.latent_dim": 100, "seed": 3},
    ]


def test_what_differs_within_a_recipe_that_is_gone_was_chosen(tmp_path: Path) -> None:
    runs = [make_run(tmp_path / str(dim), f"model.latent_dim={dim}", f"seed={dim}") for dim in (2, 3)]
    runs.append(make_run(tmp_path / "network", "model.latent_dim=2", "model/network=conv", "seed=2"))
    for run in runs:
        (run / "config.yaml").write_text((run / "config.yaml").read_text().replace("name: vae", "name: mine"))
    assert comparison(*runs[:2]).settings == ["model.latent_dim", "seed"]
    assert comparison(runs[0], runs[2]).settings == ["model.network"]
    other = make_run(tmp_path / "other", "model.beta=2")
    assert comparison(runs[0], other).settings == ["model", "model.beta", "seed"]


def test_the_best_comes_first_whichever_way_that_is(sweep: Path) -> None:
    found = comparison(sweep)
    assert [row.figures["FD-classifier"].mean for row in found.sorted("FD-classifier").rows] == [
        *(10, 10, 11, 11, 40, 40, 41, 41)
    ]
    assert [row.figures["PSNR"].mean for row in found.sorted("PSNR").rows] == [19] * 4 + [16] * 4
    assert [row.cost["seconds"] for row in found.sorted("seconds").rows] == [10] * 4 + [40] * 4
    assert set(order(found.sorted("device"))) == set(order(found))


def test_losses_come_lowest_first_and_runs_without_the_figure_last(tmp_path: Path) -> None:
    losses = {"a": {"loss": 3.0}, "b": {}, "c": {"loss": 1.0}, "d": {"loss": float("nan")}, "e": {"loss": -2.0}}
    runs = [make_run(tmp_path / name, validation=loss) for name, loss in losses.items()]
    assert order(comparison(*runs).sorted("validation/loss")) == ["e", "c", "a", "b", "d"]


@pytest.mark.parametrize("option", ["--sort", "--figures"])
def test_an_unknown_figure_is_named_with_the_nearest(pair: list[Path], option: str) -> None:
    done = genlab(pair[0].parent, "compare", "0", "1", option, "FD-clasifier")
    assert_refused(done, "No figure is called 'FD-clasifier'. Did you mean 'FD-classifier'? Known: FD-classifier, PSNR")
    assert not (pair[0].parent / "outputs").exists()


def test_figures_choose_the_columns_and_their_order(pair: list[Path]) -> None:
    found = comparison(*pair).only(["seconds", "PSNR", "test/loss"])
    assert (found.figures, found.costs) == (["PSNR", "test/loss"], ["seconds"])


def test_a_sweep_stands_for_its_runs_and_none_is_taken_twice(sweep: Path, tmp_path: Path) -> None:
    one = next(sweep.iterdir())
    assert len(meant([str(sweep)])) == len(meant([str(one), str(sweep), str(one)])) == 8
    assert_refused(genlab(tmp_path, "compare", str(tmp_path)), f"There are no runs in {tmp_path}.")
    assert_refused(genlab(tmp_path, "compare", "nowhere"), "There is no run 'nowhere'. ")


def test_the_csv_holds_the_same_numbers(sweep: Path) -> None:
    done = genlab(sweep.parent, "compare", "sweep", "--format", "csv", "--sort", "PSNR")
    assert done.returncode == 0, done.stderr
    lines = list(csv.DictReader(io.StringIO(done.stdout)))
    assert len(lines) == 8
    for line in lines:
        beta, seed = float(line["model.beta"]), float(line["seed"])
        numbers = {name: float(line[name]) for name in ("FD-classifier", "FD-classifier spread", "PSNR", "seconds")}
        assert list(numbers.values()) == [10 * beta + seed, 0.5, 20 - beta, 10 * beta]
        assert float(line["FD-classifier floor"]) == 2.0
        assert Path(line["path"]).is_dir()
    assert "PSNR spread" not in lines[0]
    assert [float(line["PSNR"]) for line in lines] == [19] * 4 + [16] * 4


def test_the_json_holds_the_same_numbers_and_what_is_to_be_known(sweep: Path) -> None:
    found = json.loads(genlab(sweep.parent, "compare", "sweep", "--format", "json").stdout)
    assert found["figures"]["FD-classifier"] == {"better": "lower", "comparable": True}
    for run in found["runs"]:
        assert run["figures"]["FD-classifier"] == {
            "mean": 10 * run["settings"]["model.beta"] + run["settings"]["seed"],
            "spread": 0.5,
            "floor": 2.0,
        }
        assert run["cost"]["images/s"] == 2000
    assert any("model.beta changes what these mean" in note for note in found["notes"])


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"fingerprint": "f" * 16}, "the data (fashion-mini, fingerprint 0123456789abcdef for 0; fashion-mini, finger"),
        ({"split": "validation"}, "the split (test for 0; validation for 1)"),
        ({"samples": 500}, "how many samples were measured (2000 for 0; 500 for 1)"),
        ({"features_digest": "0" * 16}, "the weights of the features (fedcba9876543210 for 0; 0000000000000000 for 1)"),
        ({"seeds": [0]}, "the seeds (0, 1, 2 for 0; 0 for 1)"),
        ({"neighbours": 5}, "the neighbours (not said for 0; 5 for 1)"),
    ],
)
def test_figures_of_other_protocols_are_said_not_to_compare(pair: list[Path], changed: Any, why: str) -> None:
    evaluate(pair[1], SPREAD, **changed)
    found = comparison(*pair)
    said = [note for note in found.notes if note.startswith("Not comparable: FD-classifier, PSNR. ")]
    assert len(said) == 1
    assert why in said[0]
    assert {"FD-classifier", "PSNR"} <= found.mixed
    assert found.best("FD-classifier") is None


def test_figures_of_one_protocol_compare(pair: list[Path]) -> None:
    found = comparison(*pair)
    assert found.notes == []
    assert not found.mixed
    assert found.best("FD-classifier") == 20.25
    assert found.floor("FD-classifier") == 1.5


def test_other_versions_of_a_library_are_said_and_nothing_more(pair: list[Path]) -> None:
    for run, version in zip(pair, ("2.12", "2.13"), strict=True):
        evaluate(run, SPREAD, versions={"torch": version})
    found = comparison(*pair)
    assert found.notes == ["Measured by different versions of torch (2.12, 2.13); the last digits may be due to that."]
    assert not found.mixed


def test_losses_on_other_data_or_of_another_kind_are_not_held_against_each_other(tmp_path: Path) -> None:
    one, two = make_run(tmp_path / "one"), make_run(tmp_path / "two", fingerprint="f" * 16)
    three = make_run(tmp_path / "three", "model.beta=3")
    assert comparison(one, two).mixed == {"validation/loss", "test/loss"}
    assert comparison(one, three).best("test/loss") is None
    other = make_run(tmp_path / "other", "model.network.hidden=[8]", test={"loss": 9.0})
    assert comparison(one, other).best("test/loss") == 2.5


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        "{}",
        '{"last": {"figures": {}, "notes": {"sample": 3}}, "data": {}, "parts": {}}',
        '{"last": {"figures": {"FD": 3}}, "data": {}, "parts": {}}',
        '{"last": null, "data": {}}',
    ]
    + ['{"last": {"figures": {"FD": {"mean": NaN}}}, "data": {}, "parts": {}}'],
)
def test_the_runs_own_figures_serve_where_an_evaluation_is_damaged(pair: list[Path], text: str) -> None:
    (pair[0] / "evaluation.json").write_text(text)
    found = comparison(*pair)
    assert set(found.rows[0].figures) == {"validation/loss", "test/loss"}
    assert set(found.rows[1].figures) > set(SPREAD)
    assert any("The evaluation.json of 0 cannot be read (" in note for note in found.notes)


def test_a_run_that_was_not_evaluated_or_not_finished_is_named(tmp_path: Path) -> None:
    found = comparison(make_run(tmp_path / "one"), make_run(tmp_path / "two", "seed=1", state="stopped"))
    assert any("known of all 2 runs; `genlab evaluate RUN...` adds to it." in note for note in found.notes)
    assert "Not finished (stopped): two." in found.notes


def test_an_evaluation_that_training_has_left_behind_is_named(pair: list[Path]) -> None:
    evaluate(pair[1], SPREAD, step=50)
    assert "Evaluated at step 50, and the last checkpoint is of step 100 now: 1." in comparison(*pair).notes


@pytest.mark.parametrize("by_part", [True, False])
def test_the_notes_of_an_evaluation_are_shown_by_runs_once(tmp_path: Path, by_part: bool) -> None:
    runs = [make_run(tmp_path / str(seed), f"seed={seed}") for seed in range(3)]
    for number, run in enumerate(runs):
        all_say, one_says = ["Few images."], ["No labels."] if number == 1 else []
        notes = {"sample": all_say, "remember": all_say, "codes": one_says} if by_part else [*all_say, *one_says]
        evaluate(run, SPREAD, notes=notes)
    assert comparison(*runs).notes == ["Few images (all 3 runs).", "No labels (1)."]


def test_the_best_checkpoint_is_shown_where_it_was_kept_and_else_the_last(tmp_path: Path) -> None:
    kept = make_run(tmp_path / "kept", best={"step": 60, "figure": "loss", "value": 1.25})
    evaluate(kept, SPREAD, best={"PSNR": (30.0, None, None)})
    found = comparison(kept, evaluate(make_run(tmp_path / "none"), SPREAD), checkpoint="best")
    one, two = ({name: figure.mean for name, figure in row.figures.items()} for row in found.rows)
    assert one == {"PSNR": 30.0, "validation/loss": 1.25}
    assert two == {"FD-classifier": 20.25, "PSNR": 18.125, "validation/loss": 2.0, "test/loss": 2.5}
    assert [row.measured.checkpoint for row in found.rows] == ["best", "last"]
    assert "No best checkpoint was kept or measured of none; the last stands." in found.notes


def test_seconds_that_leave_out_what_came_before_a_resumption_are_named(tmp_path: Path) -> None:
    whole = make_run(tmp_path / "whole", step=1000, seconds=128.0, images_per_second=1000)
    part = make_run(tmp_path / "part", "seed=1", step=1000, seconds=64.0, images_per_second=1000)
    assert [note for note in comparison(whole, part).notes if "seconds" in note] == [
        "The seconds are of the last part alone of what was stopped and resumed: part."
    ]


def test_settings_that_change_together_are_named_once_and_those_without_effect_are_not(tmp_path: Path) -> None:
    runs = [
        make_run(tmp_path / f"{n}", *together(n), f"trainer.batch_size={20 if n < 3 else 30}", f"seed={n}", *aside(n))
        for n in (1, 2, 3)
    ]
    said = [note for note in comparison(*runs).notes if "change together" in note]
    group = "model.latent_dim, model.beta, model.players.model.rate"
    assert said == [f"These change together, so no effect is told from the others': {group}."]
    said = [note for note in comparison(*runs[1:]).notes if "change together" in note]
    assert said == [f"These change together, so no effect is told from the others': {group}, trainer.batch_size."]


def test_what_has_no_effect_on_what_is_learnt_stands_last_in_files_and_not_in_tables(tmp_path: Path) -> None:
    runs = [make_run(tmp_path / f"{n}", "model=dcgan", *aside(n), f"seed={n}", f"model.average=0.{n}") for n in (1, 2)]
    found = comparison(*runs)
    without = [override.partition("=")[0] for override in aside(0)]
    assert found.settings[:2] == ["model.average", "seed"]
    assert set(found.settings[2:]) == set(without)
    assert [row.label for row in found.rows] == ["average 0.1, seed 1", "average 0.2, seed 2"]
    assert found.doubtful == frozenset()
    said = headings(tables(found, None))
    assert "seed" in said
    assert not said & set(without)
    # Where nothing else differs, that is what there is to show.
    found = comparison(*(make_run(tmp_path / f"alone {n}", f"trainer.log_every={n}") for n in (1, 2)))
    assert "trainer.log_every" in headings(tables(found, None))
    assert [row.label for row in found.rows] == ["log_every 1", "log_every 2"]


def together(number: int) -> list[str]:
    return [f"model.beta={number}", f"model.latent_dim={10 * number}", f"model.players.model.rate=0.00{number}"]


def aside(number: int) -> list[str]:
    """What is looked at, shown and kept, and how the best is chosen."""
    every = [f"trainer.{name}_every={number}" for name in ("validate", "checkpoint", "log")]
    return [
        *every,
        f"trainer.keep={2 + number}",
        f"trainer.evaluate={['null', 'quick'][number % 2]}",
        f"model.best=n{number}",
    ]


def headings(parts: Sequence[Table]) -> set[str]:
    """What the columns of tables, or the lines of turned ones, are called."""
    cells = [str(cell) for part in parts for column in part.columns for cell in (column.header, *column.cells)]
    return {cell.split("\n")[0].split(" (")[0] for cell in cells}


def test_what_cannot_be_read_of_a_config_is_said_and_the_figures_stand(pair: list[Path]) -> None:
    (pair[0] / "config.yaml").write_text("- no settings")
    found = comparison(*pair)
    assert any(note.startswith("The settings of ") for note in found.notes)
    assert all("PSNR" in row.figures for row in found.rows)


@pytest.mark.parametrize(
    ("figure", "text"),
    [
        (Figure(243.14159), "243.1"),
        (Figure(15.104, 0.8), "15.10 +- 0.80"),
        (Figure(0.73692, 0.0141), "0.737 +- 0.014"),
        (Figure(243.14159, 0.0012), "243.1 +- 0.001"),
        (Figure(15.0, 0.0), "15.00 +- 0"),
        (Figure(12345.0, 55.0), "12,345 +- 55"),
    ],
)
def test_a_spread_is_told_to_two_digits_and_never_hidden(figure: Figure, text: str) -> None:
    assert shown(figure) == text


@pytest.mark.parametrize("width", [80, 120, 200])
def test_every_cell_is_whole_in_a_terminal_of_any_width(sweep: Path, width: int) -> None:
    for found in (comparison(sweep), comparison(*list(sweep.iterdir())[:2])):
        parts = tables(found, width)
        assert all(width_of(part) <= width for part in parts)
        assert {*found.settings, *found.figures, "images/s", *order(found)} <= headings(parts)


@pytest.mark.parametrize("runs", [2, 8])
def test_figures_come_before_many_settings_where_not_all_fits(tmp_path: Path, runs: int) -> None:
    many = [*together(1), "trainer.batch_size=1", "model.network.hidden=[1]", "data.shift=1", "data.zoom=0.1"]
    found = [
        evaluate(make_run(tmp_path / f"{n}", *(override.replace("1", str(n)) for override in many)), SPREAD)
        for n in range(1, runs + 1)
    ]
    said = [text for part in tables(comparison(*found), 80) for text in lines(part)]
    place = {name: next(n for n, text in enumerate(said) if name in text) for name in ("PSNR", "zoom", "beta")}
    assert place["PSNR"] < place["zoom"] < place["beta"]
    (whole,) = tables(comparison(*found), None)
    heads = [str(column.header).split("\n")[0] for column in whole.columns]
    assert heads.index("model.beta") < heads.index("PSNR")


def lines(table: Table) -> list[str]:
    console = Console(width=width_of(table), file=io.StringIO())
    with console.capture() as caught:
        console.print(table)
    return caught.get().splitlines()


def test_on_a_pipe_a_run_is_one_line(sweep: Path) -> None:
    said = genlab(sweep.parent, "compare", "sweep").stdout
    for folder in sweep.iterdir():
        assert sum(folder.name in line for line in said.splitlines()) == 1
    assert any("real data" in line and "2.000" in line for line in said.splitlines())


def test_there_is_a_panel_for_every_figure_with_a_point_for_every_run(sweep: Path) -> None:
    found = comparison(sweep)
    drawn = chart.figures(found)
    assert drawn
    assert [panel.get_title().split("\n")[0] for panel in drawn.axes] == found.figures
    for panel in drawn.axes:
        assert len(panel.containers) == 8
    assert [label.get_text() for label in drawn.axes[0].get_yticklabels()] == [row.label for row in found.rows]
    assert found.rows[0].label == "beta 1, rate 0.001, seed 0"


def test_a_picture_of_many_runs_holds_what_most_have_and_says_what_it_leaves_out(tmp_path: Path) -> None:
    first = make_run(tmp_path / "first")
    for number in range(27):
        run = Path(shutil.copytree(first, tmp_path / "many" / f"{number:02} of {'long' * 10}"))
        evaluate(run, {f"PSNR-{name:02}": (number, None, None) for name in range(40) if number <= 2 * name})
    found = comparison(tmp_path / "many")
    drawn = chart.figures(found)
    assert drawn
    height, width = (drawn.get_size_inches() * drawn.dpi)[::-1]
    # Labels of two lines as large as those of few runs would take twice as much.
    assert height < 3500
    assert [panel.get_title().split("\n")[0] for panel in drawn.axes] == [f"PSNR-{name:02}" for name in range(13, 37)]
    (said,) = comparing._undrawn(found)
    assert said.startswith("figures.png leaves out ")
    assert said.endswith("PSNR-10, PSNR-11 and 6 more.")


def test_what_a_single_run_has_is_drawn_only_where_there_is_no_other(pair: list[Path]) -> None:
    evaluate(pair[0], SPREAD | {"SSIM": (0.5, None, None)})
    assert "SSIM" in chart.panelled(comparison(pair[0]))
    found = comparison(*pair)
    assert chart.panelled(found) == [name for name in found.figures if name != "SSIM"]
    (said,) = comparing._undrawn(found)
    assert said.endswith(": SSIM.")


def test_no_label_lies_on_another_with_many_runs_of_long_names(tmp_path: Path) -> None:
    first, runs = make_run(tmp_path / "first"), list[Path]()
    for number in range(30):
        runs.append(Path(shutil.copytree(first, tmp_path / f"{number:02}{' long' * 20}")))
        text = (first / "config.yaml").read_text()
        (runs[-1] / "config.yaml").write_text(text.replace("    - 400\n", "    - 128\n" * 20 + f"    - {number}\n"))
    drawn = chart.figures(comparison(*runs))
    assert drawn
    renderer = drawn.canvas.get_renderer()  # type: ignore[attr-defined]
    boxes = [label.get_window_extent(renderer) for label in drawn.axes[0].get_yticklabels()]
    assert all(above.y0 >= below.y1 for above, below in itertools.pairwise(boxes))
    assert min(box.x0 for box in boxes) >= 0


def test_there_is_a_panel_for_each_swept_setting_and_measure_with_the_means_over_the_rest(sweep: Path) -> None:
    drawn = effects.effects(comparison(sweep))
    assert drawn
    panels = {(panel.get_xlabel(), panel.get_title().split("\n")[0]): panel for panel in drawn.axes}
    settings = ("model.players.model.rate", "model.beta")
    assert set(panels) == set(itertools.product(settings, ("FD-classifier", "negative_elbo")))
    line = panels["model.beta", "FD-classifier"].lines[-1]
    assert np.allclose(line.get_xydata(), [[1, 10.5], [4, 40.5]])
    line = panels["model.players.model.rate", "FD-classifier"].lines[-1]
    assert np.allclose(line.get_ydata(), 25.5)


def test_values_that_span_much_are_on_a_logarithmic_axis(tmp_path: Path) -> None:
    found = comparison(*(make_run(tmp_path / f"{beta}", f"model.beta={beta}") for beta in (0.01, 1, 4)))
    drawn = effects.effects(found)
    assert drawn
    assert [panel.get_xscale() for panel in drawn.axes] == ["log"]


def test_of_two_runs_no_effect_is_drawn_and_of_settings_that_change_together_one(tmp_path: Path) -> None:
    runs = [make_run(tmp_path / f"{n}", *together(n), f"seed={n}", *aside(n)) for n in (1, 2, 3)]
    assert effects.effects(comparison(*runs[:2])) is None
    drawn = effects.effects(comparison(*runs))
    assert drawn
    assert [panel.get_xlabel().split() for panel in drawn.axes] == [
        ["model.latent_dim", "with", "model.beta,", "model.players.model.rate"]
    ]
    # Of two runs more that repeat the same settings, the effect is one of means.
    again = [make_run(tmp_path / f"again {n}", *together(n), f"seed={n + 9}") for n in (1, 2)]
    drawn = effects.effects(comparison(*runs[:2], *again))
    assert drawn
    assert len(drawn.axes) == 1
    # What only says how often something is looked at has none.
    assert effects.effects(comparison(*(make_run(tmp_path / f"aside {n}", *aside(n)) for n in (1, 2, 3)))) is None


def test_nothing_is_drawn_of_effects_where_only_seeds_differ_or_nothing_compares(pair: list[Path]) -> None:
    assert effects.effects(comparison(*pair)) is None
    other = make_run(pair[0].parent / "other", "data=digits", fingerprint="f" * 16)
    assert effects.effects(comparison(pair[0], other)) is None


class Echo(Model):
    """Gives back the noise that it is given, a class brighter than the one before."""

    def __init__(self, classes: int = 0, side: int = 2) -> None:
        super().__init__()
        self.classes, self.side = classes, side
        self.weight = torch.nn.Parameter(torch.zeros(1))

    def sample(self, count: int, labels: Tensor | None = None, generator: torch.Generator | None = None) -> Tensor:
        if self.classes:
            assert labels is not None
            return (labels.float() / self.classes).view(-1, 1, 1, 1).expand(count, 1, self.side, self.side)
        return self.noise(count, 1, self.side, self.side, generator=generator).sigmoid()


def test_runs_of_equal_weights_make_equal_grids_and_the_classes_come_in_order(pair: list[Path]) -> None:
    for run in pair:
        facts = json.loads((run / "run.json").read_text())
        (run / "run.json").write_text(json.dumps(facts | {"abilities": ["sample"]}))
    panels, left_out = samples.drawn(comparison(*pair).rows, lambda run: Echo())
    assert left_out == []
    assert [panel.label for panel in panels] == ["seed 0", "seed 1"]
    assert torch.equal(panels[0].samples, panels[1].samples)
    assert panels[0].samples.unique().numel() > 100
    (panel, _), _ = samples.drawn(comparison(*pair).rows, lambda run: Echo(classes=3))
    assert (panel.samples[:, 0, 0, 0] * 3).round().tolist() == [number % 3 for number in range(32)]


def test_a_model_that_cannot_be_opened_is_named_and_one_that_cannot_sample_passed_over(tmp_path: Path) -> None:
    unable = make_run(tmp_path / "unable", abilities=["reconstruct"])
    gone = make_run(tmp_path / "gone", "seed=1", abilities=["sample"])
    panels, left_out = samples.drawn(comparison(unable, gone).rows, open_run.open_model)
    assert panels == []
    assert left_out == [f"There are no samples of gone: {gone} has no checkpoint yet."]


def test_the_sheet_shows_each_pixel_below_its_label() -> None:
    images = torch.linspace(0, 1, 32).view(32, 1, 1, 1).expand(32, 1, 40, 40)
    sheet = np.asarray(samples.sheet([samples.Panel("one", images), samples.Panel("two", 1 - images)]))[:, :, 0]
    for number, image in enumerate(images):
        top, left = 16 + 20 + number // 8 * 42, 16 + number % 8 * 42
        grey = round(float(image[0, 0, 0]) * 255)
        assert (sheet[top : top + 40, left : left + 40] == grey).all()
        assert (sheet[top : top + 40, left + 350 : left + 390] == 255 - grey).all()


@pytest.fixture
def trained(place: Path) -> Path:
    """A folder with three real runs of equal weights, which say that they are of different settings."""
    for beta in ("1.0", "2.0", "4.0"):
        run = Path(shutil.copytree(place / "outputs/mine", place / "outputs/sweep" / f"beta={beta}"))
        (run / "config.yaml").write_text((run / "config.yaml").read_text().replace("beta: 1.0", f"beta: {beta}"))
    return place


def test_real_models_of_equal_weights_make_equal_samples(trained: Path) -> None:
    panels, _ = samples.drawn(comparison(trained / "outputs/sweep").rows, open_run.open_model)
    assert [panel.label for panel in panels] == ["beta 1.0", "beta 2.0", "beta 4.0"]
    assert torch.equal(panels[0].samples, panels[2].samples)
    assert panels[0].samples.shape == (32, 1, 8, 8)


def test_real_runs_are_compared_and_nothing_is_overwritten(trained: Path) -> None:
    first = genlab(trained, "compare", "outputs/sweep", "--out", "mine")
    assert first.returncode == 0, first.stderr
    names = {"table.csv", "table.json", "figures.png", "effects.png", "samples.png"}
    before = {path.name: path.read_bytes() for path in (trained / "mine").iterdir()}
    assert set(before) == names
    for name in names:
        if name.endswith(".png"):
            with Image.open(trained / "mine" / name) as picture:
                assert min(picture.size) > 100
    again = genlab(
        trained, "compare", "outputs/sweep", "--out", "mine", "--sort", "test/loss", "--figures", "test/loss"
    )
    assert again.returncode == 0, again.stderr
    assert all((trained / "mine" / name).read_bytes() == content for name, content in before.items())
    assert (trained / "mine" / "table-2.csv").exists()


def test_without_a_folder_of_its_own_each_comparison_gets_a_new_one(trained: Path) -> None:
    for _ in range(2):
        done = genlab(trained, "compare", "latest", "--figures", "test/loss", "--format", "csv")
        assert done.returncode == 0, done.stderr
        assert done.stdout.startswith("run,path,checkpoint,step,test/loss\n")
    folders = list((trained / "outputs" / "comparisons").iterdir())
    assert len(folders) == 2
    assert all((folder / "table.csv").read_text() == done.stdout for folder in folders)


def test_where_nothing_can_be_written_is_said_before_the_work(trained: Path) -> None:
    (trained / "file").write_text("mine")
    assert_refused(genlab(trained, "compare", "latest", "--out", "file/there"), "file/there cannot be written")
