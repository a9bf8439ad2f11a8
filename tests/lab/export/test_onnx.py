"""ONNX files compute what the model computes, at every size, and say how they are used."""

import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

import genlab
from genlab.kinds import Classes, Image, Points
from genlab.lab.export import onnx
from genlab.lab.export.abilities import Abilities
from genlab.lab.export.graphs import Graph
from genlab.models.vae import VAE
from genlab.networks.mlp import Mlp
from genlab.registry import RunError
from tests.fixtures.program import assert_refused, environment
from tests.fixtures.program import genlab as program

EXAMPLE = Path(__file__).parents[3] / "docs/examples/decode_onnx.py"
Array = NDArray[Any]


def opened(path: Path) -> Callable[..., list[Array]]:
    """Return a function that runs an ONNX file on named inputs."""
    session = onnxruntime.InferenceSession(str(path))
    return lambda **inputs: list(session.run(None, inputs))


@pytest.fixture(scope="module")
def exported(trained: Path) -> Path:
    """The folder into which the command has exported the VAE."""
    out = trained / "exported"
    done = program(trained, "export", "vae", "--out", str(out))
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("largest difference") == 4
    assert "score is left out. It draws random numbers inside" in done.stdout
    return out


def test_codes_and_items_are_those_of_the_model_at_unseen_batch_sizes(trained: Path, exported: Path) -> None:
    run = genlab.load(trained / "vae")
    decode, encode = opened(exported / "decode.onnx"), opened(exported / "encode.onnx")
    reconstruct, sample = opened(exported / "reconstruct.onnx"), opened(exported / "sample.onnx")
    for count in (5, 64):
        codes = torch.randn(count, run.config["model"]["latent_dim"])
        items = torch.rand(count, *run.kinds["x"].shape)
        assert np.abs(decode(codes=codes.numpy())[0] - run.decode(codes).numpy()).max() < 1e-5
        assert np.abs(sample(noise=codes.numpy())[0] - run.decode(codes).numpy()).max() < 1e-5
        assert np.abs(encode(items=items.numpy())[0] - run.encode(items).numpy()).max() < 1e-5
        assert np.abs(reconstruct(items=items.numpy())[0] - run.reconstruct(items).numpy()).max() < 1e-5


def test_the_file_beside_them_describes_every_input_and_the_checkpoint(trained: Path, exported: Path) -> None:
    facts, run = json.loads((exported / "export.json").read_text()), genlab.load(trained / "vae")
    assert facts["checkpoint"] == run.checkpoint_digest
    assert facts["step"] == run.step
    assert facts["items"]["layout"] == "N x C x H x W"
    assert facts["items"]["range"] == [0, 1]
    assert set(facts["left_out"]) == {"score"}
    assert facts["checked_at"] == [{"batch": 1}, {"batch": 2}, {"batch": 7}]
    for entry in facts["files"].values():
        session = onnxruntime.InferenceSession(str(exported / entry["file"]))
        for ports, found in ((entry["inputs"], session.get_inputs()), (entry["outputs"], session.get_outputs())):
            assert [port["name"] for port in ports] == [each.name for each in found]
            assert [port["shape"][1:] for port in ports] == [list(each.shape[1:]) for each in found]
        assert entry["largest_difference"] < 1e-5
        assert entry["opset"] >= 18


def test_a_conditional_model_takes_the_class_or_infers_it(trained: Path) -> None:
    run = genlab.load(trained / "cvae")
    found = run.export(only=["encode", "decode"])
    assert max(found.differences.values()) < 1e-5
    items, given = torch.rand(9, 1, 8, 8), torch.arange(9)
    encode, decode = opened(found.files["encode"]), opened(found.files["decode"])
    codes, used = encode(items=items.numpy(), label=given.numpy())
    assert np.array_equal(used, given)
    assert np.abs(codes - run.encode(items, label=given).numpy()).max() < 1e-5
    codes, used = encode(items=items.numpy(), label=np.full(9, -1))
    assert np.abs(codes - run.encode(items).numpy()).max() < 1e-5
    assert np.abs(decode(codes=codes, label=used)[0] - run.reconstruct(items).numpy()).max() < 1e-5
    facts = json.loads((found.folder / "export.json").read_text())
    assert facts["classes"]["label"] == [str(digit) for digit in range(10)]


def test_samples_of_a_fitted_prior_take_its_noise(trained: Path) -> None:
    run = genlab.load(trained / "vae")
    run.fit_prior(components=[3], count=0)
    run = genlab.load(trained / "vae")
    try:
        found = run.export(only=["sample"])
        assert found.differences["sample"] < 1e-5
        entry = json.loads((found.folder / "export.json").read_text())["files"]["sample"]
        assert entry["inputs"][0]["shape"] == ["batch", run.config["model"]["latent_dim"] + 1]
        assert "fitted prior" in entry["note"]
    finally:
        (trained / "vae/prior.safetensors").unlink()


def test_a_file_that_differs_from_the_model_is_refused(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    truth = Graph.expected
    monkeypatch.setattr(Graph, "expected", lambda self, inputs: [each + 2e-4 for each in truth(self, inputs)])
    with pytest.raises(RunError, match=r"decode.onnx was refused: its largest difference from the model is 2.0e-04"):
        genlab.load(trained / "vae").export(only=["decode"], out=tmp_path / "out")
    assert not list(tmp_path.glob("out/*"))


def test_a_value_that_is_not_a_number_is_refused(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onnx, "check", lambda path, graph: float("nan"))
    with pytest.raises(RunError, match="refused"):
        genlab.load(trained / "vae").export(only=["decode"], out=tmp_path / "out")


def test_a_missing_package_is_named_with_the_way_to_install_it(trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "onnxscript" else find(name))
    done = program(trained, "export", "vae", "--only", "decode")
    assert_refused(done, "Packages are not installed: onnxscript. Run pip install 'genlab[export]'")


def test_an_ability_that_the_model_lacks_is_refused_by_name(trained: Path) -> None:
    assert_refused(program(trained, "export", "vae", "--only", "upscale"), "cannot upscale; it can reconstruct")
    assert_refused(program(trained, "export", "vae", "--only", "decoder"), "Did you mean 'decode'?")
    assert_refused(program(trained, "export", "vae", "--only", ","), "names at least one ability")


def test_the_example_program_decodes_without_genlab(exported: Path, tmp_path: Path) -> None:
    (tmp_path / "genlab.py").write_text("raise ImportError('the example must not need genlab')")
    variables = {**environment(), "PYTHONPATH": str(tmp_path)}
    done = subprocess.run([sys.executable, str(EXAMPLE), str(exported)], env=variables, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert len(EXAMPLE.read_text().split("from PIL import Image\n")[1].split("\n")) <= 15
    with open(exported / "decoded.png", "rb") as file:
        assert file.read(4) == b"\x89PNG"
    os.remove(exported / "decoded.png")


def test_items_are_drawn_in_the_range_of_their_kind() -> None:
    torch.manual_seed(0)
    kinds: list[Image | Points] = [Image(1, 8, 8), Points(3)]
    for kind in kinds:
        label = Classes(("a", "b"))
        model = VAE(
            x=kind, label=label, network=Mlp(hidden=[4]), latent_dim=2, likelihood="gaussian", condition="label"
        )
        graphs = {graph.ability: graph for graph in Abilities(model.eval(), kind).graphs()}
        assert set(graphs) == {"reconstruct", "encode", "decode", "sample", "infer"}
        items, given = graphs["encode"].example({"batch": 50})
        assert isinstance(items, Tensor)
        assert set(given.tolist()) == {-1, 0, 1}
        assert (float(items.min()) < 0) == isinstance(kind, Points)
