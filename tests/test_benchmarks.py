"""The benchmark of adversarial models trains an ordinary script's networks with our loop."""

import json
from pathlib import Path

import pytest
from torch import nn

from benchmarks.ordinary import Ordinary
from genlab.kinds import Image
from tests.fixtures.program import assert_refused, genlab

PLUGIN = Path(__file__).parent.parent / "benchmarks/ordinary.py"
RUN = ["--plugin", str(PLUGIN), "model=dcgan", "model/network=ordinary", "model.network.width=8", "trainer=smoke"]
DATA = ["data=shapes", "data.count=60", "data.validation=8", "data.test=8", "trainer.batch_size=8"]


def test_the_ordinary_networks_train_as_a_plugin(tmp_path: Path) -> None:
    done = genlab(tmp_path, "train", *RUN, *DATA, "data.size=32", "run=mine")
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in (tmp_path / "mine/metrics.jsonl").read_text().splitlines()]
    assert lines[-1]["step"] == 2
    assert {"discriminator/loss", "generator/loss"} <= lines[0].keys()


def test_the_ordinary_networks_refuse_sizes_that_they_cannot_double(tmp_path: Path) -> None:
    done = genlab(tmp_path, "train", *RUN, *DATA, "data.size=30")
    assert_refused(done, "ordinary doubles the image twice, so its sides must be multiples of 4, got 30x30.")


@pytest.mark.parametrize(
    ("part", "widths"),
    [
        (Ordinary().decoder(100, Image(3, 32, 32)), [(128, 128), (128, 64), (64, 3)]),
        (Ordinary().encoder(Image(3, 32, 32), 1), [(3, 16), (16, 32), (32, 64), (64, 128)]),
    ],
)
def test_the_ordinary_networks_have_the_widths_of_the_scripts(part: nn.Module, widths: list[tuple[int, int]]) -> None:
    convolutions = [layer for layer in part.modules() if isinstance(layer, nn.Conv2d)]
    assert [(layer.in_channels, layer.out_channels) for layer in convolutions] == widths


def test_the_plugin_is_short() -> None:
    assert len(PLUGIN.read_text(encoding="utf-8").splitlines()) < 80
