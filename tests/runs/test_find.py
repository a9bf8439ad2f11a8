"""A run is found by its folder, a folder around it, `latest` or its name, and a run of another format is refused."""

import json
from pathlib import Path
from typing import Any

import pytest

from genlab.registry import ConfigError
from genlab.runs.run import FORMAT, find, folder_of_runs, meant
from tests.fixtures.program import TINY, assert_refused, genlab

OLD = (
    "outputs/mine was written by genlab 0.1.0 (format 1), and this version reads format 2. "
    "Use genlab 0.1.0 for it, or train again."
)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write_run(path: str, *, name: str = "vae-digits", day: int = 1, **facts: object) -> Path:
    """Write the run.json of a run that was begun on this day."""
    run = Path(path)
    run.mkdir(parents=True)
    known = {"format": FORMAT, "name": name, "created": f"2026-01-{day:02}", "state": "finished"}
    (run / "run.json").write_text(json.dumps(known | facts))
    return run


@pytest.mark.usefixtures("folder")
def test_a_folder_of_runs_means_its_newest_run() -> None:
    write_run("outputs/vae-folder/first", name="vae-folder", day=1)
    newest = write_run("outputs/vae-folder/second", name="vae-folder", day=3)
    write_run("outputs/vae-folder/third", name="vae-folder", day=2)
    for name in ("outputs/vae-folder", "vae-folder", "outputs"):
        assert find(name).path == newest


@pytest.mark.usefixtures("folder")
def test_a_name_means_the_folder_of_that_name_and_not_a_newer_run_in_a_folder_of_another_name() -> None:
    meant_run = write_run("outputs/vae-folder/2026", name="vae-folder", day=1)
    other = write_run("outputs/vae2d", name="vae-folder", day=2)
    assert find("vae-folder").path == meant_run
    assert find("vae2d").path == other


@pytest.mark.usefixtures("folder")
def test_a_sweep_can_be_named_from_outputs_and_a_model_and_its_data_mean_one_run() -> None:
    sweep = [write_run(f"outputs/betas/{number}", day=number + 1) for number in range(3)]
    write_run("outputs/vae-digits/first", day=5)
    newest = write_run("outputs/vae-digits/second", day=6)
    for name in ("outputs/betas", "betas"):
        assert [run.path for run in meant([name])] == sweep
        assert folder_of_runs(name) == Path("outputs/betas")
    assert [run.path for run in meant(["vae-digits"])] == [newest]
    for name in ("vae-digits", "outputs/betas/0", "betas/0", "missing"):
        assert folder_of_runs(name) is None


@pytest.mark.usefixtures("folder")
def test_a_name_is_matched_as_a_whole() -> None:
    write_run("outputs/vae2d", name="vae2d-folder")
    for name in ("vae-folder", "vae", "folder", "vae2"):
        with pytest.raises(ConfigError, match="There is no run"):
            find(name)


@pytest.mark.usefixtures("folder")
def test_the_name_of_a_model_and_its_data_means_the_newest_run_of_them_wherever_it_is() -> None:
    write_run("outputs/one", day=1)
    newest = write_run("outputs/sweeps/s/two", day=2)
    write_run("outputs/three", name="ae-digits", day=3)
    assert find("vae-digits").path == newest


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(("typed", "right"), [("latst", "latest"), ("mien", "mine"), ("vae-digitz", "vae-digits")])
def test_a_mistyped_name_gets_a_suggestion(typed: str, right: str) -> None:
    write_run("outputs/mine")
    with pytest.raises(ConfigError, match=f"There is no run '{typed}'. Did you mean '{right}'?"):
        find(typed)


@pytest.mark.usefixtures("folder")
def test_files_and_folders_without_runs_among_runs_are_skipped_with_a_note() -> None:
    runs = [write_run(f"sweep/seed={seed}") for seed in (1, 2)]
    Path("sweep/multirun.yaml").touch()
    Path("sweep/empty").mkdir()
    with pytest.warns(UserWarning, match="no runs are in them: sweep/empty, sweep/multirun.yaml.$"):
        found = meant(sorted(map(str, Path("sweep").iterdir())))
    assert [run.path for run in found] == runs
    for name in ("sweep/multirun.yaml", "sweep/empty"):
        with pytest.raises(ConfigError, match=f"There are no runs in {name}."):
            meant([name])


@pytest.mark.usefixtures("folder")
def test_runs_of_another_format_in_a_folder_are_skipped_and_refused_if_there_is_no_other_run() -> None:
    write_run("outputs/mine", format=1, versions={"genlab": "0.1.0"})
    with pytest.raises(ConfigError) as refused:
        meant(["outputs"])
    assert str(refused.value) == OLD
    new = write_run("outputs/new")
    with pytest.warns(UserWarning, match="other versions of genlab wrote them: outputs/mine.$"):
        assert [run.path for run in meant(["outputs"])] == [new]


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    ("facts", "sentence"),
    [
        ({"format": 3, "versions": {"genlab": "0.9.0"}}, r"was written by genlab 0\.9\.0 \(format 3\)"),
        ({"format": 1, "versions": None}, "was written by another version of genlab .* Use that version for it"),
        ({"format": "x"}, r"\(format x\)"),
    ],
)
def test_a_run_of_another_format_names_the_version_that_made_it(facts: dict[str, Any], sentence: str) -> None:
    write_run("outputs/mine", **facts)
    with pytest.raises(ConfigError, match=sentence):
        find("outputs/mine")


def make_old(place: Path) -> None:
    """Change a run to one of genlab 0.1.0, whose run.json names no format and whose config is another."""
    run = place / "outputs/mine"
    facts = json.loads((run / "run.json").read_text())
    del facts["format"]
    facts["versions"]["genlab"] = "0.1.0"
    (run / "run.json").write_text(json.dumps(facts))
    (run / "config.yaml").write_text("model: {players: {}}\n")


def test_every_command_refuses_a_run_of_another_format_with_one_sentence(place: Path) -> None:
    make_old(place)
    commands = [
        ["resume", "latest"],
        ["evaluate", "outputs/mine"],
        ["compare", "vae-digits"],
        ["upscale", "mine", "photo.png"],
        ["train", "run=outputs/mine", *TINY],
        ["train", "start=latest", *TINY],
    ]
    for command in commands:
        done = genlab(place, *command)
        assert_refused(done, OLD)
        assert done.stderr.strip() == OLD


def test_runs_of_another_format_are_listed_as_such(place: Path) -> None:
    make_old(place)
    listed = genlab(place, "list", "runs")
    assert listed.returncode == 0, listed.stderr
    assert "old format" in next(line for line in listed.stdout.splitlines() if "outputs/mine" in line)
