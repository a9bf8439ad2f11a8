"""Every lab command on every model: it works, or one sentence says why not, and the same seed gives the same files."""

from pathlib import Path
from typing import Any

import pytest
from PIL import Image

import genlab
from tests.fixtures.program import Done, assert_refused
from tests.fixtures.program import genlab as program
from tests.fixtures.upscaling import photo

# The ae has the prior that its training fitted. The codes of a vq-vae have a prior of their own, not over numbers.
DRAWING = ("ae", "vae", "cvae", "aae", "vae-gan")
ENCODERS, GENERATORS = (*DRAWING, "vq-vae"), ("gan", "cgan")
NETWORKS = {"ae": "mlp", "vae": "mlp", "cvae": "mlp-small", "gan": "mlp-deep", "cgan": "mlp-small", "vq-vae": ""}
NETWORKS |= {"aae": "mlp-small", "vae-gan": "mlp-small"}
SMALL: dict[str, Any] = {"trainer": "smoke", "trainer.batch_size": 16, "quiet": True}

# A command with arguments that keep it short, and the models that it works for.
COMMANDS: list[tuple[str, tuple[str, ...], tuple[str, ...]]] = [
    ("sample", ("--count", "4"), (*ENCODERS, *GENERATORS)),
    ("reconstruct", ("--count", "4"), ENCODERS),
    ("denoise", ("--count", "4", "--noise", "0.3"), ENCODERS),
    ("interpolate", ("--features", "random"), ENCODERS),
    ("interpolate", ("--seeds", "1,2", "--features", "random"), (*DRAWING, *GENERATORS)),
    ("traverse", ("--units", "2"), (*ENCODERS, *GENERATORS)),
    ("edit", ("--add", "label=3", "--count", "4"), ENCODERS),
    ("average", (), ENCODERS),
    ("embed", ("--count", "40"), ENCODERS),
    ("detect", (), ENCODERS),
    ("nearest", ("--count", "4"), (*ENCODERS, *GENERATORS)),
    ("fit-prior", ("--components", "2", "--count", "0"), DRAWING),
]
TAKING_ITEMS = ["reconstruct", "denoise", "embed", "detect", "nearest", "edit"]
every_command = pytest.mark.parametrize(
    ("command", "arguments", "able"), COMMANDS, ids=[" ".join((name, *given[:1])) for name, given, _ in COMMANDS]
)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a run of each model."""
    folder = tmp_path_factory.mktemp("trained")
    for model, network in NETWORKS.items():
        settings = {"model/network": network} if network else {"model.width": 8}
        genlab.train(model, data="digits", run=folder / model, **SMALL, settings=settings)
    return folder


def run(folder: Path, command: str, model: str, out: Path, *arguments: str) -> Done:
    return program(folder, command, model, *arguments, "--out", str(out))


def contents(folder: Path) -> dict[str, bytes]:
    """Return the content of every result; TensorBoard's files hold the time."""
    files = (file for file in folder.rglob("*") if file.is_file() and "tfevents" not in file.name)
    return {str(file.relative_to(folder)): file.read_bytes() for file in files}


@every_command
def test_a_command_works_for_each_model_with_its_ability_and_says_why_not_for_others(
    trained: Path, tmp_path: Path, command: str, arguments: tuple[str, ...], able: tuple[str, ...]
) -> None:
    for model in NETWORKS:
        done = run(trained, command, model, tmp_path / model, *arguments)
        if model in able:
            assert done.returncode == 0, done.stderr
            assert f"In {tmp_path / model}: " in done.stdout
            written = contents(tmp_path / model)
            assert written
            assert all(written.values()), "no file is empty"
        else:
            assert_refused(done, model)
            assert not (tmp_path / model).exists()


@every_command
def test_the_same_seed_gives_the_same_files(
    trained: Path, tmp_path: Path, command: str, arguments: tuple[str, ...], able: tuple[str, ...]
) -> None:
    for name in ("one", "two"):
        assert run(trained, command, able[0], tmp_path / name, *arguments).returncode == 0
    assert contents(tmp_path / "one") == contents(tmp_path / "two")


@pytest.mark.parametrize("command", TAKING_ITEMS)
def test_one_bad_file_does_not_stop_the_others(trained: Path, tmp_path: Path, command: str) -> None:
    folder = tmp_path / "pictures"
    folder.mkdir()
    for number in range(24):
        Image.fromarray(photo(12, 9, seed=number)).save(folder / f"{number:02}.png")
    (folder / "11.png").write_bytes(b"no picture")
    more = ["--add", "label=3"] if command == "edit" else []
    done = run(trained, command, "vae", tmp_path / "out", str(folder), *more)
    assert done.returncode == 1, done.stderr
    assert "1 file could not be read; the others are done:" in done.stderr
    assert "11.png cannot be read" in done.stderr
    assert "23 of 23 pictures were resized to 8 x 8." in done.stdout
    assert contents(tmp_path / "out")


@every_command
def test_results_on_a_file_and_missing_items_are_refused_before_the_work(
    trained: Path, tmp_path: Path, command: str, arguments: tuple[str, ...], able: tuple[str, ...]
) -> None:
    (tmp_path / "file").write_text("mine")
    assert_refused(run(trained, command, able[0], tmp_path / "file", *arguments), "is not a folder")
    assert (tmp_path / "file").read_text() == "mine"
    if command in TAKING_ITEMS:
        (tmp_path / "empty").mkdir()
        done = program(trained, command, able[0], str(tmp_path / "empty"), *arguments)
        assert_refused(done, "There are no pictures in")
