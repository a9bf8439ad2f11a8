"""The page that needs no server: what it decodes, how large it is, and what it refuses."""

import os
import re
import shutil
import tarfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import genlab
from genlab.explore import runtime, standalone
from genlab.explore.questions import Questions
from genlab.explore.survey import Survey
from genlab.registry import ConfigError
from tests.fixtures.browser import Visit, needs_browser, visit
from tests.fixtures.program import assert_refused
from tests.fixtures.program import genlab as program

PACKAGE = os.environ.get("ONNXRUNTIME_WEB")
"""The file or folder of the npm package; `npm pack onnxruntime-web@1.30.0` gets it."""
needs_runtime = pytest.mark.skipif(not PACKAGE, reason="needs ONNXRUNTIME_WEB, the path of the npm package")
NUMBERS = "((item) => [...(item.pixels ?? item.values)])"
SMALL: dict[str, Any] = {"trainer": "smoke", "trainer.batch_size": 16, "quiet": True}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a VAE and a conditional GAN of digits, and a GAN of points."""
    folder = tmp_path_factory.mktemp("trained")
    genlab.train("vae", data="digits", run=folder / "vae", **SMALL | {"model.network.hidden": [8]})
    genlab.train("cgan", data="digits", run=folder / "cgan", **SMALL | {"model/network": "mlp-small"})
    genlab.train("gan", data="gaussian", run=folder / "points", **SMALL)
    return folder


@pytest.fixture(scope="module")
def sprites(trained: Path) -> dict[str, Path]:
    """The page without a decoder of each run."""
    found = {}
    for name in ("vae", "cgan", "points"):
        done = program(trained, "explore", name, "--out", f"{name}.html")
        assert done.returncode == 0, done.stderr
        assert "npm pack onnxruntime-web@1.30.0" in done.stdout
        found[name] = trained / f"{name}.html"
    return found


def ready(visited: Visit) -> None:
    """Wait until the page shows everything, and assert that nothing went wrong."""
    visited.page.wait_for_selector("body[data-ready=yes]", timeout=60_000)
    time.sleep(0.3)
    assert visited.errors == []
    assert visited.foreign("file:") == []
    assert visited.page.inner_text("#status") == ""


def test_a_page_is_one_small_file_with_a_policy(sprites: dict[str, Path]) -> None:
    for path in sprites.values():
        text = path.read_text()
        assert path.stat().st_size < 2_000_000
        assert "default-src &#x27;none&#x27;" in text
        assert not re.search(r'(src|href)="(?!data:)', text)
        assert "innerHTML" not in text


def test_an_existing_file_is_not_overwritten(trained: Path, tmp_path: Path) -> None:
    (tmp_path / "page.html").write_text("mine")
    written = standalone.write_page(genlab.load(trained / "points"), tmp_path / "page.html")
    assert written.path == tmp_path / "page-2.html"
    assert (tmp_path / "page.html").read_text() == "mine"


def test_a_page_without_the_data_says_so(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Survey, "dataset", None)
    written = standalone.write_page(genlab.load(trained / "vae"), tmp_path / "page.html")
    assert written.note.startswith("The data of the run cannot be read")
    assert "--data" in written.note


def test_a_name_of_the_data_cannot_become_markup(trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    questions, facts = Questions(genlab.load(trained / "points")), Questions.facts
    bad = "</script><script>alert(1)</script>"
    monkeypatch.setattr(Questions, "facts", lambda self: {**facts(self), "name": bad, "classes": []})
    assert "alert(1)" not in standalone.document(questions, None)


def test_another_runtime_is_refused(tmp_path: Path, trained: Path) -> None:
    for name in runtime.DIGESTS:
        (tmp_path / "package" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "package" / name).write_text("alert(1)")
    with tarfile.open(tmp_path / "other.tgz", "w:gz") as archive:
        archive.add(tmp_path / "package", "package")
    for place in (tmp_path / "other.tgz", tmp_path / "package", tmp_path / "package/dist"):
        with pytest.raises(ConfigError, match=r"is not that of onnxruntime-web 1.30.0. Get this version: npm pack"):
            runtime.read(place)
    shutil.rmtree(tmp_path / "package/dist")
    with pytest.raises(ConfigError, match="does not hold dist/ort.wasm.min.js"):
        runtime.read(tmp_path / "package")
    done = program(trained, "explore", "vae", "--out", "x.html", "--runtime", "nowhere.tgz")
    assert_refused(done, "nowhere.tgz does not exist. Get the runtime: npm pack onnxruntime-web@1.30.0")
    assert program(trained, "explore", "vae", "--runtime", "nowhere.tgz").returncode == 2


@pytest.mark.slow
@needs_browser
@pytest.mark.parametrize("name", ["vae", "cgan", "points"])
def test_a_page_without_a_decoder_shows_the_nearest_place(name: str, trained: Path, sprites: dict[str, Path]) -> None:
    with visit(sprites[name]) as visited:
        ready(visited)
        sprite = visited.page.evaluate(
            "async () => { const {side, low, high} = await backend.sprite();"
            " return {side, low: [...low], high: [...high]}; }"
        )
        assert visited.page.evaluate("async () => (await backend.facts()).size") == 2
        steps = [np.linspace(sprite["low"][axis], sprite["high"][axis], sprite["side"]) for axis in range(2)]
        width = [step[1] - step[0] for step in steps]
        # A little beside the place in column 3 and row 1, and far outside.
        near = [float(steps[0][3] + 0.4 * width[0]), float(steps[1][1] - 0.4 * width[1])]
        ask = f"async (code) => {NUMBERS}(await backend.decode(code, 0))"
        exact = visited.page.evaluate(ask, [float(steps[0][3]), float(steps[1][1])])
        assert visited.page.evaluate(ask, near) == exact
        corner = visited.page.evaluate(ask, [float(steps[0][-1]), float(steps[1][-1])])
        assert visited.page.evaluate(ask, [1e6, 1e6]) == corner
        assert exact != corner
        # An empty status line is hidden, and a plane has no arcs to choose.
        assert visited.page.is_hidden("#status")
        assert visited.page.is_hidden("text=Shape of the path")
    if name == "vae":
        run, questions = genlab.load(trained / "vae"), Questions(genlab.load(trained / "vae"))
        plane = questions.survey.map("pca")["plane"]
        place = torch.tensor([[steps[0][3], steps[1][1]]], dtype=torch.float32)
        item = run.decode(plane["mean"] + place @ plane["axes"])[0]
        assert np.abs(item.mul(255).numpy().ravel() - np.array(exact)).max() < 1


@pytest.mark.slow
@needs_browser
@needs_runtime
@pytest.mark.parametrize("name", ["vae", "cgan", "points"])
def test_a_page_with_a_decoder_decodes_as_python_does(name: str, trained: Path, tmp_path: Path) -> None:
    run = genlab.load(trained / name)
    written = standalone.write_page(run, tmp_path / "live.html", runtime.read(Path(PACKAGE or "")))
    assert written.size < 8_000_000
    size, label = int(run.model.latent_dim), 3 if name == "cgan" else -1  # type: ignore[arg-type]
    codes = torch.randn(7, size, generator=torch.Generator().manual_seed(0))
    wanted = run.decode(codes, label=label if label >= 0 else None)
    drawn = run.sample(24, label=list(np.arange(24) % 10) if name == "cgan" else None, seed=0)
    with visit(written.path) as visited:
        ready(visited)
        found = visited.page.evaluate(
            "async ([codes, labels]) => [...(await backend.floats(Float32Array.from(codes), labels))]",
            [codes.flatten().tolist(), [label] * 7],
        )
        assert np.abs(np.array(found) - wanted.numpy().ravel()).max() < 1e-5
        settings = {"seed": 0, "count": 24, "label": -1, "truncation": 1}
        shown = visited.page.evaluate(
            f"async (settings) => (await backend.sample(settings)).items.map({NUMBERS})", settings
        )
        if name == "points":
            drawn = run.sample(480, seed=0)
            assert np.abs(np.array(shown[0]) - drawn.numpy().ravel()).max() < 1e-5
        else:
            assert np.abs(np.array(shown) - drawn.mul(255).flatten(1).numpy()).max() < 0.51
        first = visited.page.locator("#codes input[type=range]").first
        first.evaluate("(slider) => { slider.value = slider.max; slider.dispatchEvent(new Event('input')); }")
        ready(visited)
