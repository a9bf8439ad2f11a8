"""Output of a comparison: tables of any width, CSV and JSON with the same numbers, files that replace no others."""

import csv
import io
import json
import shutil
from pathlib import Path

import pytest
from PIL import Image
from rich.console import Console
from rich.table import Table

from genlab.comparison.table import tables, width_of
from genlab.metrics.metric import Metric, shown
from tests.fixtures.comparisons import MEASURED, comparison, headings, together
from tests.fixtures.program import assert_refused, genlab
from tests.fixtures.runs_made_up import evaluate, make_run


def test_the_csv_holds_the_same_numbers(sweep: Path) -> None:
    done = genlab(sweep.parent, "compare", "sweep", "--format", "csv", "--sort", "PSNR")
    assert done.returncode == 0, done.stderr
    lines = list(csv.DictReader(io.StringIO(done.stdout)))
    assert len(lines) == 8
    for line in lines:
        beta, seed = float(line["model.beta"]), float(line["seed"])
        numbers = {name: float(line[name]) for name in ("FD-classifier", "FD-classifier std", "PSNR", "seconds")}
        assert list(numbers.values()) == [10 * beta + seed, 0.5, 20 - beta, 10 * beta]
        assert float(line["FD-classifier baseline"]) == 2.0
        assert Path(line["path"]).is_dir()
    assert [float(line["PSNR"]) for line in lines] == [19] * 4 + [16] * 4
    empty = [name for name in lines[0] if not any(line[name] for line in lines)]
    assert empty == [], "columns that are empty for every run are left out"


def test_the_json_holds_the_same_numbers_and_the_notes(sweep: Path) -> None:
    found = json.loads(genlab(sweep.parent, "compare", "sweep", "--format", "json").stdout)
    assert found["metrics"]["FD-classifier"] == {"better": "lower", "comparable": True}
    assert found["metrics"]["test/loss"] == {"better": "lower", "comparable": False}
    for run in found["runs"]:
        assert run["metrics"]["FD-classifier"] == {
            "mean": 10 * run["settings"]["model.beta"] + run["settings"]["seed"],
            "std": 0.5,
            "baseline": 2.0,
        }
        assert run["cost"]["items/s"] == 2000
    assert any("the meaning of the loss depends on model.beta" in note for note in found["notes"])


@pytest.mark.parametrize(
    ("metric", "text"),
    [
        (Metric(243.14159), "243.1"),
        (Metric(15.104, 0.8), "15.10 ± 0.80"),
        (Metric(0.73692, 0.0141), "0.737 ± 0.014"),
        (Metric(243.14159, 0.0012), "243.1 ± 0.001"),
        (Metric(15.0, 0.0), "15.00 ± 0"),
        (Metric(12345.0, 55.0), "12,345 ± 55"),
    ],
)
def test_a_std_has_two_digits_and_is_never_hidden(metric: Metric, text: str) -> None:
    assert shown(metric) == text


@pytest.mark.parametrize("width", [80, 200])
def test_every_cell_is_whole_in_a_terminal_of_any_width(sweep: Path, width: int) -> None:
    for found in (comparison(sweep), comparison(*list(sweep.iterdir())[:2])):
        parts = tables(found, width)
        assert all(width_of(part) <= width for part in parts)
        assert {*found.settings, *found.metrics, "items/s", *(row.name for row in found.rows)} <= headings(parts)


@pytest.mark.parametrize("runs", [2, 8])
def test_metrics_come_before_many_settings_if_not_all_fits(tmp_path: Path, runs: int) -> None:
    many = [*together(1), "trainer.batch_size=1", "model.network.hidden=[1]", "data.shift=1", "data.zoom=0.1"]
    found = [
        evaluate(make_run(tmp_path / f"{n}", *(override.replace("1", str(n)) for override in many)), MEASURED)
        for n in range(1, runs + 1)
    ]
    printed = [text for part in tables(comparison(*found), 80) for text in lines(part)]
    place = {name: next(n for n, text in enumerate(printed) if name in text) for name in ("PSNR", "zoom", "beta")}
    assert place["PSNR"] < place["zoom"] < place["beta"]
    (whole,) = tables(comparison(*found), None)
    heads = [str(column.header).split("\n")[0] for column in whole.columns]
    assert heads.index("model.beta") < heads.index("PSNR")


def lines(table: Table) -> list[str]:
    console = Console(width=width_of(table), file=io.StringIO())
    with console.capture() as caught:
        console.print(table)
    return caught.get().splitlines()


def test_a_run_is_one_line_on_a_pipe(sweep: Path) -> None:
    printed = genlab(sweep.parent, "compare", "sweep").stdout
    for folder in sweep.iterdir():
        assert sum(folder.name in line for line in printed.splitlines()) == 1
    assert any("real-data baseline" in line and "2.000" in line for line in printed.splitlines())


def test_the_main_metrics_are_printed_and_all_of_them_on_request_and_files_hold_all(tmp_path: Path) -> None:
    main = ("PSNR", "negative_elbo", "FD-classifier", "precision-classifier", "recall-classifier")
    one: tuple[float, float | None, float | None] = (1.0, None, None)
    measured = dict.fromkeys((*main, "MIG", "SSIM", "KID-classifier", "copies"), one)
    losses = {"validation/loss", "test/loss"}
    runs = [evaluate(make_run(tmp_path / str(seed), f"seed={seed}"), measured) for seed in (0, 1)]
    make_run(tmp_path / "2", "seed=2")

    def headings_of(*options: str) -> set[str]:
        printed = genlab(tmp_path, "compare", *map(str, runs), *options).stdout
        heads = [line for line in printed.splitlines() if line.startswith("┃")]
        return {cell.strip() for line in heads for cell in line.split("┃")} & {*measured, *losses}

    assert headings_of() == set(main)
    assert headings_of("--sort", "MIG") == {*main, "MIG"}
    assert headings_of("--all") == {*measured, *losses}
    assert headings_of("--metrics", "MIG") == {"MIG"}
    # The run without an evaluation has nothing but its losses.
    runs.append(tmp_path / "2")
    assert headings_of("--out", "files") == {*main, *losses}
    assert set(measured) <= set((tmp_path / "files/table.csv").read_text().splitlines()[0].split(","))
    printed = genlab(tmp_path, "compare", *map(str, runs)).stdout
    assert "4 more metrics are in table.csv; --all prints them, and --metrics NAME,... those you name.\n" in printed
    assert genlab(tmp_path, "compare", *map(str, runs), "--all", "--metrics", "MIG").returncode == 2


@pytest.fixture
def trained(place: Path) -> Path:
    """A folder with three trained runs of equal weights, whose configs claim different settings."""
    for beta in ("1.0", "2.0", "4.0"):
        run = Path(shutil.copytree(place / "outputs/mine", place / "outputs/sweep" / f"beta={beta}"))
        (run / "config.yaml").write_text((run / "config.yaml").read_text().replace("beta: 1.0", f"beta: {beta}"))
    return place


def test_trained_runs_are_compared_and_no_file_is_overwritten(trained: Path) -> None:
    for run in (trained / "outputs/sweep").iterdir():
        evaluate(run, MEASURED)
    first = genlab(trained, "compare", "outputs/sweep", "--out", "mine")
    assert first.returncode == 0, first.stderr
    names = {"table.csv", "table.json", "metrics.png", "effects.png", "samples.png"}
    before = {path.name: path.read_bytes() for path in (trained / "mine").iterdir()}
    assert set(before) == names
    for name in names:
        if name.endswith(".png"):
            with Image.open(trained / "mine" / name) as picture:
                assert min(picture.size) > 100
    again = genlab(
        trained, "compare", "outputs/sweep", "--out", "mine", "--sort", "seconds", "--metrics", "test/loss,seconds"
    )
    assert again.returncode == 0, again.stderr
    assert all((trained / "mine" / name).read_bytes() == content for name, content in before.items())
    assert (trained / "mine" / "table-2.csv").exists()


def test_sorting_trained_runs_by_a_loss_of_different_objectives_is_refused(trained: Path) -> None:
    done = genlab(trained, "compare", "outputs/sweep", "--sort", "test/loss")
    assert_refused(done, "Cannot sort by test/loss: the runs have different objectives (model.beta).")


def test_each_comparison_without_a_folder_gets_a_new_one(trained: Path) -> None:
    for _ in range(2):
        done = genlab(trained, "compare", "latest", "--metrics", "test/loss", "--format", "csv")
        assert done.returncode == 0, done.stderr
        assert done.stdout.startswith("run,path,checkpoint,step,test/loss\n")
    folders = list((trained / "outputs" / "comparisons").iterdir())
    assert len(folders) == 2
    assert all((folder / "table.csv").read_text() == done.stdout for folder in folders)


def test_a_folder_that_cannot_be_written_is_refused_before_the_work(trained: Path) -> None:
    (trained / "file").write_text("mine")
    assert_refused(genlab(trained, "compare", "latest", "--out", "file/there"), "file/there cannot be written")
