"""Every recipe can be exported as ONNX, and each ability without a file is named with the reason."""

from pathlib import Path

import pytest

from genlab.contract import abilities_of
from genlab.kinds import Image
from genlab.lab.export import onnx
from genlab.lab.export.abilities import Abilities, on_cpu
from genlab.lab.export.trace import traced
from tests.contract.test_contract import DEFAULTS, Case, built

# Scores that draw codes at random, and a prior that draws its symbols one after the other.
LEFT_OUT = {
    **dict.fromkeys(("vae", "beta-vae", "cvae", "iwae", "tc-vae"), {"score"}),
    "vq-vae": {"sample"},
    "stylegan": {"mix"},
}
COLOUR = Image(3, 16, 16)
UPSCALERS = [
    Case("srresnet", "", ("model.base=bicubic", "model.scale=2"), COLOUR),
    Case("srresnet", "", ("model.base=bicubic", "model.scale=4"), COLOUR),
    Case("srgan", "", ("model.base=bicubic", "model.scale=8"), COLOUR),
    Case("srresnet", "", ("model.scale=2", "model.normalization=none"), COLOUR),
]
OTHERS = [
    Case("aae", "", ("model.prior=mixture", "model.condition=label")),
    Case("cgan", "", ("model.condition=projection",)),
    Case("dcgan", "resnet", ("model.loss=hinge", "model.spectral_norm=true"), Image(3, 32, 32)),
]


def distances(case: Case, folder: Path) -> tuple[dict[str, float], dict[str, str]]:
    """Export all abilities of a small model; return the difference of each file, and what was left out."""
    abilities, found = Abilities(on_cpu(built(case)), case.kind), dict[str, float]()
    for graph in abilities.graphs():
        path = folder / f"{graph.ability}.onnx"
        onnx.write(traced(graph), graph, path)
        found[graph.ability] = onnx.check(path, graph)
    return found, abilities.left_out


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("case", [*DEFAULTS, *OTHERS], ids=str)
def test_every_ability_agrees_with_the_model(case: Case, tmp_path: Path) -> None:
    found, left_out = distances(case, tmp_path)
    assert set(left_out) == LEFT_OUT.get(case.model, set())
    assert set(found) | set(left_out) == set(abilities_of(built(case)))
    assert max(found.values()) < 5e-5


@pytest.mark.slow
@pytest.mark.parametrize("case", UPSCALERS, ids=str)
def test_an_upscaler_takes_images_of_any_size(case: Case, tmp_path: Path) -> None:
    """Three sizes, odd ones among them, in pixels that are bytes: there the bicubic base rounds halves."""
    found, _ = distances(case, tmp_path)
    assert found["upscale"] < 1e-5


def test_an_upscaler_is_exported_without_its_strips(tmp_path: Path) -> None:
    """A picture that genlab upscales in several strips is upscaled by the file in the same way."""
    model = built(Case("srresnet", "", ("model.scale=2",), COLOUR))
    (graph,) = Abilities(on_cpu(model), COLOUR).graphs()
    assert str(graph.outputs[0]) == "upscaled (N x 3 x 2H x 2W)"
    onnx.write(traced(graph), graph, tmp_path / "upscale.onnx")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("genlab.lab.export.trace.SIZES", ({"batch": 2, "height": 41, "width": 60},))
        patch.setattr("genlab.networks.super_resolution._STRIP", 2**10)
        assert onnx.check(tmp_path / "upscale.onnx", graph) < 1e-5
