"""The Python API: three lines in a notebook train, load and use a run."""

import importlib
import json
import shlex
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

import genlab
from genlab.build import TABLES
from genlab.data.files.decode import Style, decode
from genlab.kinds import Classes, Points, Tokens
from genlab.kinds import Image as ImageKind
from genlab.lab.inputs import Fitting, items
from genlab.lab.run import labels_of
from tests.fixtures.program import genlab as program
from tests.fixtures.upscaling import drawn, photo, write_plugin

NARROW: dict[str, Any] = {"model.network.hidden": [8]}
MLP: dict[str, Any] = {"model/network": "mlp-small"}
UNBOUNDED: dict[str, Any] = {"model.output_activation": "none"}
SMALL: dict[str, Any] = {"trainer": "smoke", "trainer.batch_size": 16, "quiet": True}
NO_PRIOR: dict[str, Any] = {"model.fitted_prior": []}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Return a folder with one run of each sort that the tests use."""
    folder = tmp_path_factory.mktemp("trained")
    tables = {name: dict(table) for name, table in TABLES.items()}
    genlab.train("vae", data="digits", run=folder / "vae", **SMALL, **NARROW)
    genlab.train("cgan", data="digits", run=folder / "cgan", **SMALL, **MLP)
    genlab.train("vae", data="faces", run=folder / "faces", **SMALL, **FACES)
    genlab.train("gan", data="gaussian", run=folder / "points", **SMALL)
    genlab.train("ae", data="gaussian", run=folder / "points-ae", **SMALL, **NO_PRIOR, **UNBOUNDED)
    plugin = write_plugin(folder / "own")
    genlab.train("toy-upscaler", data="specks", run=folder / "upscaler", plugin=plugin, **SMALL)
    yield folder
    for name, table in tables.items():
        TABLES[name].clear()
        TABLES[name].update(table)


FACES: dict[str, Any] = {
    "data.size": 16,
    "data.count": 60,
    "data.validation": 16,
    "data.test": 16,
    "model.network.hidden": [8],
}


@pytest.fixture(scope="module")
def vae(trained: Path) -> genlab.Run:
    return genlab.load(trained / "vae")


@pytest.fixture(scope="module")
def cgan(trained: Path) -> genlab.Run:
    return genlab.load(trained / "cgan")


def images(count: int = 3, channels: int = 1, side: int = 8) -> Tensor:
    return torch.rand(count, channels, side, side, generator=torch.Generator().manual_seed(count))


def refused(action: Callable[[], Any]) -> str:
    with pytest.raises(genlab.ConfigError) as caught:
        action()
    return str(caught.value)


def test_importing_genlab_is_quick_and_imports_no_torch() -> None:
    code = (
        "import time; began = time.perf_counter(); import genlab; seconds = time.perf_counter() - began; import sys; "
        "print(seconds); print({'torch', 'numpy', 'hydra', 'PIL'} & set(sys.modules)); print(dir(genlab))"
    )
    printed = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split(
        "\n"
    )
    assert float(printed[0]) < 0.1
    assert printed[1] == "set()"
    assert printed[2] == str(sorted(genlab.__all__))


def test_every_public_name_is_there_and_others_are_not() -> None:
    assert all(getattr(genlab, name) is not None for name in genlab.__all__)
    assert genlab.Run.__name__ == "Run"
    with pytest.raises(AttributeError, match="has no attribute 'laod'"):
        genlab.laod  # type: ignore[attr-defined]  # noqa: B018


def test_a_notebook_trains_loads_and_uses_a_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    settings: dict[str, Any] = {"model.network.hidden": [8], "trainer.log_every": 1}
    run = genlab.train("vae", data="fashion-mini", steps=3, seed=5, quiet=True, **settings)
    assert run.name == "vae-fashion-mini"
    assert (run.config["seed"], run.config["trainer"]["steps"], run.config["trainer"]["epochs"]) == (5, 3, None)
    again = genlab.load("latest")
    assert again.path.resolve() == run.path.resolve()
    assert genlab.load("vae-fashion-mini").path.resolve() == run.path.resolve()
    samples = again.sample(64, seed=0)
    assert samples.shape == (64, 1, 28, 28)
    assert samples.numpy().dtype == np.float32
    assert 0 <= samples.min() <= samples.max() <= 1
    codes = again.encode(samples)
    assert codes.shape == (64, 20)
    assert again.decode(codes).shape == samples.shape
    assert [found.path.resolve() for found in genlab.runs()] == [run.path.resolve()]


def test_a_run_tells_its_metrics_its_settings_and_what_it_can_do(vae: genlab.Run, trained: Path) -> None:
    assert vae.metrics.keys() == {"train", "validation", "test"}
    assert vae.metrics["test"]["loss"] == vae.history[-1]["loss"]
    assert [line["step"] for line in vae.history if line["split"] == "train"] == [1, 2]
    assert vae.config["model"]["name"] == "vae"
    assert vae.abilities == ("reconstruct", "encode", "decode", "sample", "score")
    assert vae.kinds["x"] == ImageKind(1, 8, 8)
    assert isinstance(vae.model, genlab.Model)
    assert not vae.model.training
    assert (vae.step, vae.evaluation) == (2, None)
    wanted = f"<genlab.Run vae-digits: finished at step 2; {trained / 'vae'}; images (1x8x8); can reconstruct, encode"
    assert repr(vae).startswith(wanted)


def test_runs_are_listed_without_opening_a_model(trained: Path) -> None:
    found = genlab.runs(trained)
    assert {run.path.name for run in found} == {"vae", "cgan", "faces", "points", "points-ae", "upscaler"}
    assert not any("_opened" in vars(run) for run in found)
    assert [run.metrics["test"]["step"] for run in found] == [2] * 6


def test_the_package_of_runs_is_also_the_function(trained: Path) -> None:
    folder = importlib.import_module("genlab.runs.run")
    assert getattr(genlab.runs, "run") is folder  # noqa: B009
    assert folder.Run is not genlab.Run
    assert len(genlab.runs(trained)) == 6


def test_a_finished_run_is_opened_by_the_same_call_and_another_config_is_refused(trained: Path) -> None:
    again: dict[str, Any] = {"data": "digits", "run": trained / "vae", **SMALL, **NARROW}
    before = (trained / "vae/metrics.jsonl").read_bytes()
    assert genlab.train("vae", **again).step == 2
    assert (trained / "vae/metrics.jsonl").read_bytes() == before
    assert "another config" in refused(lambda: genlab.train("vae", seed=1, **again))


def test_arguments_mean_what_they_mean_on_the_command_line(tmp_path: Path, trained: Path) -> None:
    arguments = ["model=vae", "data=digits", "trainer=smoke", "trainer.batch_size=16", "model.network.hidden=[8]"]
    assert program(tmp_path, "train", *arguments, "run=mine").returncode == 0
    theirs = genlab.load(tmp_path / "mine")
    ours = genlab.load(trained / "vae")
    assert {**theirs.config, "run": None} == {**ours.config, "run": None}
    assert torch.equal(theirs.sample(4), ours.sample(4))


def test_a_run_records_the_command_that_trains_it_again(tmp_path: Path) -> None:
    folder = tmp_path / "mine, it's"
    settings: dict[str, Any] = {"trainer": "smoke", "trainer.batch_size": 16, "model.network.hidden": np.array([8])}
    run = genlab.train("vae", data="digits", run=folder, quiet=True, settings=settings)
    recorded = json.loads((folder / "run.json").read_text())["command"]
    command = shlex.split(recorded)
    assert command[:4] == ["genlab", "train", "model=vae", "data=digits"]
    assert "model.network.hidden=[8]" in command
    done = program(tmp_path, *command[1:])
    assert done.returncode == 0, done.stderr
    assert "is finished" in done.stdout
    assert run.path == folder


def test_every_run_of_a_sweep_records_the_command_of_the_sweep(tmp_path: Path) -> None:
    arguments = ["train", "-m", "data=digits", "trainer=smoke", "trainer.batch_size=16", "model=ae,vae", "run=mine"]
    assert program(tmp_path, *arguments).returncode == 0
    found = {json.loads(file.read_text())["command"] for file in tmp_path.glob("mine/*/run.json")}
    assert found == {shlex.join(["genlab", *arguments])}


def test_a_folder_whose_name_is_a_number_or_a_list_is_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("2024", "a,b", "1e5"):
        run = genlab.train("vae", data="digits", run=name, **SMALL, **NARROW)
        assert (run.path, run.config["run"]) == (Path(name), name)


def test_a_setting_that_is_given_twice_or_as_a_group_is_refused() -> None:
    assert "trainer.steps is given twice." in refused(
        lambda: genlab.train("vae", steps=2, settings={"trainer.steps": 3}, quiet=True)
    )
    assert "Write each setting by its full name, such as 'model.beta'" in refused(
        lambda: genlab.train("vae", settings={"model": {"beta": 3}}, quiet=True)
    )


def test_a_run_trains_outside_the_main_thread(tmp_path: Path) -> None:
    settings: dict[str, Any] = {"data": "digits", "run": tmp_path / "mine", **SMALL, "model.network.hidden": [8]}
    thread = threading.Thread(target=lambda: genlab.train("vae", **settings))
    thread.start()
    thread.join()
    assert genlab.load(tmp_path / "mine").step == 2


def test_training_prints_its_progress_unless_it_is_quiet(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    settings: dict[str, Any] = {"data": "digits", **SMALL, "model.network.hidden": [8]}
    genlab.train("vae", run=tmp_path / "quiet", **settings)
    assert capsys.readouterr().out == ""
    genlab.train("vae", run=tmp_path / "loud", **{**settings, "quiet": False})
    assert "validation at step 2" in capsys.readouterr().out


def test_a_folder_of_images_is_data(tmp_path: Path) -> None:
    for number in range(24):
        Image.fromarray(photo(12, 12, seed=number)).save(tmp_path / f"{number}.png")
    small: dict[str, Any] = {"data.size": 8, "model.network.hidden": [8], **SMALL, "trainer.batch_size": 8}
    run = genlab.train("vae", data=tmp_path, run=tmp_path / "run", **small)
    assert run.kinds["x"] == ImageKind(3, 8, 8)


def test_samples_depend_on_the_seed_alone_and_fewer_are_the_first_of_more(vae: genlab.Run, cgan: genlab.Run) -> None:
    for run in (vae, cgan):
        assert torch.equal(run.sample(300, seed=1), run.sample(300, seed=1))
        assert torch.equal(run.sample(300, seed=1)[:5], run.sample(5, seed=1))
        assert not torch.equal(run.sample(5, seed=1), run.sample(5, seed=2))


def test_a_class_is_given_by_number_by_name_or_one_for_each_item(cgan: genlab.Run) -> None:
    three = cgan.sample(4, label=3)
    assert torch.equal(cgan.sample(4, label="3"), three)
    assert torch.equal(cgan.sample(4, label=np.int64(3)), three)
    forms: list[Any] = [[3, 3, 3, 3], ["3", 3, "3", 3], np.array([3] * 4), torch.tensor([3] * 4)]
    for label in forms:
        assert torch.equal(cgan.sample(4, label=label), three)
    mixed = cgan.sample(4, label=[3, 5, 3, 5])
    assert torch.equal(mixed[::2], three[::2])
    assert not torch.equal(mixed[1::2], three[1::2])


def test_names_of_classes_are_found_in_upper_and_lower_case() -> None:
    classes = Classes(("T-shirt", "trouser"))
    assert labels_of("TROUSER", classes, 2).tolist() == [1, 1]
    assert labels_of(["t-shirt", 1], classes, 2).tolist() == [0, 1]
    assert refused(lambda: labels_of("trousers", classes, 2)) == (
        "Unknown class 'trousers'. Did you mean 'trouser'? Available: T-shirt, trouser"
    )


@pytest.mark.parametrize(
    ("label", "sentence"),
    [
        (10, "A class must be a number from 0 to 9 or a name, got 10."),
        (-1, "A class must be a number from 0 to 9 or a name, got -1."),
        (True, "A class must be a number from 0 to 9 or a name, got True."),
        (1.0, "A class must be a number from 0 to 9 or a name, got 1.0."),
        ([0.5, 1.0], "A class must be a number from 0 to 9 or a name, got 0.5."),
        ("seven", "Unknown class 'seven'. Available: 0, 1, 2"),
        ([1, 2, 3], "label must be one class or 2 classes, got 3."),
    ],
)
def test_a_wrong_class_is_refused(cgan: genlab.Run, label: Any, sentence: str) -> None:
    assert sentence in refused(lambda: cgan.sample(2, label=label))


def test_a_model_that_is_not_told_labels_refuses_them(vae: genlab.Run) -> None:
    assert "vae-digits is not conditional. Leave out the label" in refused(lambda: vae.sample(2, label=1))
    assert refused(lambda: vae.sample(0)) == "count must be at least 1, got 0."


@pytest.mark.parametrize("wrong", [2.5, "4", True, None])
def test_a_number_of_samples_and_a_seed_are_integers(vae: genlab.Run, wrong: Any) -> None:
    assert refused(lambda: vae.sample(wrong)) == f"count must be an integer, got {wrong!r}."
    assert refused(lambda: vae.sample(2, seed=wrong)) == f"seed must be an integer, got {wrong!r}."
    assert torch.equal(vae.sample(2, seed=3), vae.sample(2, seed=np.int64(3)))  # type: ignore[arg-type]


def test_a_missing_ability_is_refused_with_those_that_are_there(cgan: genlab.Run, vae: genlab.Run) -> None:
    for name in ("reconstruct", "encode", "score"):
        sentence = refused(partial(getattr(cgan, name), images()))
        assert f"(cgan-digits) cannot {name}; it can decode and sample." in sentence
    sentence = refused(lambda: vae.upscale(images()))
    assert "(vae-digits) cannot upscale; it can reconstruct, encode, decode, sample and score." in sentence


def test_abilities_are_those_of_the_model_in_any_number_of_batches(vae: genlab.Run) -> None:
    model: Any = vae.model
    many = images(600)
    assert torch.allclose(vae.encode(many)[:3], vae.encode(many[:3]), atol=1e-5)
    assert torch.allclose(vae.encode(many), model.encode({"x": many}), atol=1e-5)
    assert torch.allclose(vae.reconstruct(many), model.reconstruct({"x": many}), atol=1e-5)
    assert torch.allclose(vae.decode(vae.encode(many)), vae.reconstruct(many), atol=1e-5)
    assert vae.score(many).shape == (600,)
    assert not vae.reconstruct(many).requires_grad


def test_scores_are_the_same_in_every_call_and_move_no_draw_of_the_caller(vae: genlab.Run) -> None:
    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(3)
    scores = vae.score(images(5))
    assert torch.equal(torch.rand(4), expected)
    assert torch.equal(vae.score(images(5)), scores)


def test_codes_may_be_lists_arrays_and_tensors(vae: genlab.Run) -> None:
    codes = vae.encode(images(4))
    forms: list[Any] = [codes.numpy(), codes.tolist(), list(codes), codes.double()]
    for form in forms:
        assert torch.equal(vae.decode(form), vae.decode(codes))
    assert torch.allclose(vae.decode(codes[0]), vae.decode(codes)[:1], atol=1e-6)
    assert "Codes of this run must be N x 20, got shape (2, 3)." in refused(lambda: vae.decode(torch.zeros(2, 3)))
    assert "Pass an array or a tensor of codes" in refused(lambda: vae.decode("codes"))


def test_arrays_in_every_layout_give_the_same_items(vae: genlab.Run, trained: Path) -> None:
    faces = genlab.load(trained / "faces")
    stored = torch.randint(256, (3, 1, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    expected = vae.encode(stored.float() / 255)
    forms: list[Any] = [
        stored,
        stored.numpy(),
        stored.numpy()[:, 0],
        stored.permute(0, 2, 3, 1).numpy(),
        (stored / 255).numpy().astype(np.float64),
        [stored[0], stored[1, 0].numpy(), stored[2].permute(1, 2, 0).numpy()],
        [Image.fromarray(picture[0]) for picture in stored.numpy()],
    ]
    for form in forms:
        assert torch.allclose(vae.encode(form), expected, atol=1e-6)
    coloured = images(2, 3, 16)
    assert torch.equal(faces.encode(coloured.permute(0, 2, 3, 1)), faces.encode(coloured))


def test_files_folders_and_patterns_are_read_as_the_data_reads_files(vae: genlab.Run, tmp_path: Path) -> None:
    for number in range(3):
        Image.fromarray(photo(30, 40, seed=number)).save(tmp_path / f"{number}.png")
    (tmp_path / "notes.txt").write_text("no picture")
    files = sorted(tmp_path.glob("*.png"))
    decoded = [torch.tensor(decode(file, Style(8, "center", 1, (255, 255, 255)))) for file in files]
    expected = vae.encode(torch.stack(decoded))
    forms: list[Any] = [tmp_path, str(tmp_path), f"{tmp_path}/*.png", files, [str(file) for file in files]]
    for form in forms:
        assert torch.equal(vae.encode(form), expected)
    assert torch.allclose(vae.encode(files[1]), expected[1:2], atol=1e-5)
    assert torch.equal(vae.encode([Image.open(file) for file in files]), expected)


@pytest.mark.parametrize(
    ("mode", "options"),
    [("L", {}), ("LA", {}), ("RGBA", {}), ("P", {"transparency": 0}), ("I;16", {}), ("1", {}), ("CMYK", {})],
)
@pytest.mark.parametrize("kind", [ImageKind(1, 9, 9), ImageKind(3, 8, 8)])
def test_a_picture_gives_the_same_item_as_its_file(
    kind: ImageKind, mode: str, options: dict[str, Any], tmp_path: Path
) -> None:
    file = tmp_path / ("a.tif" if mode == "CMYK" else "a.png")
    drawn(mode).save(file, **options)
    fitting = Fitting(background=(255, 0, 0))
    with Image.open(file) as opened:
        assert torch.equal(items(kind, opened, fitting), items(kind, file, fitting))


def test_pictures_are_cut_to_proportions_that_are_not_square(tmp_path: Path) -> None:
    kind = ImageKind(1, 4, 8)
    pixels = np.zeros((20, 20), np.uint8)
    pixels[5:15] = 255
    Image.fromarray(pixels).save(tmp_path / "a.png")
    whole = items(kind, Image.fromarray(pixels), Fitting(crop=False))
    for form in (Image.fromarray(pixels), tmp_path / "a.png"):
        found = items(kind, form, Fitting())
        assert found.shape == whole.shape == (1, 1, 4, 8)
        # The filter looks a little beyond the part that is cut out.
        assert found.min() > 0.8
        assert whole.min() < 0.2


def test_points_are_arrays_of_numbers(trained: Path) -> None:
    autoencoder, gan = genlab.load(trained / "points-ae"), genlab.load(trained / "points")
    expected = autoencoder.reconstruct([[1.0], [2.0]])
    assert expected.shape == (2, 1)
    for form in (np.array([1.0, 2.0]), torch.tensor([[1.0], [2.0]]), [1, 2]):
        assert torch.equal(autoencoder.reconstruct(form), expected)
    assert gan.sample(5).shape == (5, 1)
    assert "Points must be N x 1, got shape (2, 3)." in refused(lambda: autoencoder.encode(np.zeros((2, 3))))
    assert "Pass an array or a tensor of points, N x 1" in refused(lambda: autoencoder.encode("photos/"))


def test_a_single_point_and_texts_are_read_by_their_kind() -> None:
    assert items(Points(3), [1, 2, 3], Fitting()).shape == (1, 3)
    words = Tokens(("", "a", "b"), 4)
    assert items(words, ["ab", "b"], Fitting()).tolist() == [[1, 2, 0, 0], [2, 0, 0, 0]]
    assert items(words, "ab", Fitting()).dtype == torch.int64
    assert torch.equal(items(words, np.array([[1, 2, 0, 0]]), Fitting()), items(words, "ab", Fitting()))


@pytest.mark.parametrize(
    ("inputs", "sentence"),
    [
        (np.zeros((2, 9, 9), np.uint8), "must be N x 1 x 8 x 8 or N x 8 x 8 x 1, got shape (2, 9, 9). Files and PIL"),
        (np.zeros((8, 8, 3), np.uint8), "got shape (8, 8, 3)."),
        (np.zeros((8, 8), np.int64), "Images must be uint8 in 0..255 or floats in 0..1, got torch.int64."),
        (np.full((8, 8), 255.0), "got floats from 255 to 255."),
        (np.full((8, 8), np.nan), "got floats from nan to nan."),
        (np.array(["a"]), "got an array of <U1."),
        ([], "There are no images: the list is empty."),
        (3, "Images must be a file, folder, PIL image, array, tensor or a list of these, got an object of type int."),
        ("absent.png", "absent.png cannot be read: No such file or directory."),
        ("*.nothing", "No picture matches '*.nothing'"),
        (Image.new("F", (8, 8)), "A PIL image cannot be read: its pixels are floats, of no known range."),
    ],
)
def test_a_wrong_input_is_refused_with_a_sentence(vae: genlab.Run, inputs: Any, sentence: str) -> None:
    assert sentence in refused(lambda: vae.encode(inputs))


def test_upscaling_gives_the_pixels_of_the_command(trained: Path, tmp_path: Path) -> None:
    run = genlab.load(trained / "upscaler")
    file = tmp_path / "a.png"
    Image.fromarray(photo(30, 40)).save(file)
    done = program(tmp_path, "upscale", str(trained / "upscaler"), "a.png", "--out", "large")
    assert done.returncode == 0, done.stderr
    large = np.asarray(Image.open(tmp_path / "large/a.png"))
    for form in (file, Image.open(file), [file]):
        assert np.array_equal((run.upscale(form)[0] * 255).round().permute(1, 2, 0).numpy(), large)
    floats = run.upscale(photo(30, 40))
    assert floats.shape == (1, 3, 60, 80)
    assert np.abs((floats[0] * 255).permute(1, 2, 0).numpy() - large).max() <= 1


def test_upscaling_takes_one_size_a_call(trained: Path) -> None:
    run = genlab.load(trained / "upscaler")
    assert run.upscale(torch.rand(2, 3, 5, 6)).shape == (2, 3, 10, 12)
    sentence = refused(lambda: run.upscale([torch.rand(3, 5, 6), torch.rand(3, 6, 5)]))
    assert "Upscale images of one size at a time: the results would be 3 x 10 x 12, 3 x 12 x 10." in sentence
    assert "must be N x 3 x H x W or N x H x W x 3, got shape (5, 6)." in refused(lambda: run.upscale(torch.rand(5, 6)))


def test_the_best_checkpoint_is_opened_if_there_is_one(trained: Path) -> None:
    best = genlab.load(trained / "vae", checkpoint="best")
    assert best.step in (1, 2)
    assert "has no best checkpoint. Use checkpoint='last'." in refused(
        lambda: genlab.load(trained / "cgan", checkpoint="best")
    )
    sentence = refused(lambda: genlab.load(trained / "vae", checkpoint="first"))  # type: ignore[arg-type]
    assert sentence == "checkpoint must be 'last' or 'best', got 'first'."


def test_mistakes_are_config_errors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert "There is no run 'latest'." in refused(genlab.load)
    mistyped: dict[str, Any] = {"model.betta": 4}
    assert "Did you mean 'vae'?" in refused(lambda: genlab.train("vaee", data="digits"))
    assert "beta" in refused(lambda: genlab.train("vae", data="digits", **mistyped))
    assert "is not a run" in refused(lambda: genlab.Run(tmp_path))


def test_plugins_of_a_run_need_trust(trained: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("GENLAB_CACHE", str(tmp_path))
    assert "plugins that you have not trained with" in refused(lambda: genlab.load(trained / "upscaler"))
    assert genlab.load(trained / "upscaler", trust=True).upscale(torch.rand(3, 4, 4)).shape == (1, 3, 8, 8)
